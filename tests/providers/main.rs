//! The real binary with all providers: a real OpenBao, and our own servers with the clouds' protocols.
//!
//! These tests cover what the conformance kit cannot: switching rings while tokens are used, starts that are killed,
//! and the number of calls that a replica makes.

mod also;
mod calls;
mod check;
mod crash_loop;
mod race;
mod remote;
mod revoke;
mod sealed;
mod servers;
mod stability;
mod switch;
mod trouble;

use signet_harness as harness;
use signet_harness::openbao;
use signet_harness::rotation::{sleeper, traffic, verifier};
