//! The real binary over every provider: a real OpenBao, and servers of ours that speak the clouds' protocols.
//!
//! What the conformance kit cannot see is here: rings that are switched while tokens flow, starts that are killed, and
//! how many calls a replica makes.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../rotation/sleeper.rs"]
mod sleeper;
#[path = "../rotation/traffic.rs"]
#[allow(dead_code, reason = "the rotation tests use the rest")]
mod traffic;
#[path = "../rotation/verifier.rs"]
mod verifier;
#[path = "../rotation/watch.rs"]
#[allow(dead_code, reason = "the rotation tests use the rest")]
mod watch;

#[path = "../../providers/vault/tests/openbao/server.rs"]
#[allow(dead_code, reason = "the provider's tests use the rest")]
mod openbao;

mod also;
mod calls;
mod check;
mod crash_loop;
mod race;
mod remote;
mod sealed;
mod servers;
mod stability;
mod switch;
mod trouble;
