//! The real binary over every provider: a real OpenBao, and servers of ours that speak the clouds' protocols.
//!
//! What the conformance kit cannot see is here: rings that are switched while tokens flow, starts that are killed, and
//! how many calls a replica makes.

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
