//! The main promise with real processes: five replicas, one OpenBao, and six independent verifiers. A seeded script
//! kills and restarts replicas, stops OpenBao for longer than the lead, restarts it, and revokes a key.
//!
//! Time is compressed: a key signs for 8 s. No token is refused except those of the revoked key.

mod bao;
mod crew;
mod dice;
mod emergency;
mod ledger;
mod report;
mod script;
mod seats;
mod traffic;
mod verifier;

use signet_harness as harness;
use signet_harness::openbao;
use signet_harness::splitmix;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bao::{Bao, Custody};
use crew::Crew;
use dice::Dice;
use harness::time::instant;
use ledger::Ledger;
use script::Script;
use seats::Seats;
use traffic::{Curtain, Scene};
use verifier::{Verifier, python};

const REPLICAS: usize = 5;
const VERIFIERS: usize = 6;
const ROTATIONS: usize = 10;

/// R: the refresh interval.
const REFRESH: Duration = Duration::from_millis(500);
/// V: verifiers keep the JWKS for exactly this time. `max-age` is shorter.
const CACHE: Duration = Duration::from_secs(2);
/// S: the clock skew.
const SKEW: Duration = Duration::from_millis(200);
/// L: the lead, 1.1 s more than R + max(M, V) + 2S, because a busy machine may be late with a reading.
const LEAD: Duration = Duration::from_secs(4);
/// T: the maximum lifetime of a token, in seconds.
const LONGEST_LIFE: usize = 6;
const POLICY: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "8s"),
    ("SIGNET_PUBLISH_LEAD", "4s"),
    ("SIGNET_REFRESH_INTERVAL", "500ms"),
    ("SIGNET_JWKS_MAX_AGE", "1s"),
    ("SIGNET_VERIFIER_CACHE", "2s"),
    ("SIGNET_CLOCK_SKEW", "200ms"),
    ("SIGNET_TOKEN_TTL", "1s"),
    ("SIGNET_TOKEN_MAX_TTL", "6s"),
    ("SIGNET_SIGN_TIMEOUT", "1s"),
    // At level `trace`, logging all requests of ten processes would be the heaviest work of this machine.
    ("SIGNET_LOG", "info"),
];

fn live_through_it(custody: Custody) {
    let Some(python) = python() else { return };
    let started = instant();
    let mut dice = Dice::seeded(&format!("a fleet in {} custody", custody.name()));
    let bao = Bao::start(custody);
    let scene = Scene {
        seats: Seats::new(&bao, REPLICAS, POLICY),
        ledger: Ledger::default(),
        longest_life: LONGEST_LIFE,
        done: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    let crew = Crew::start(&scene.seats, dice.apart());
    let mut script = Script::new(&scene, bao, crew, dice.apart());
    std::thread::scope(|scope| {
        let _curtain = Curtain(&scene);
        scope.spawn(|| scene.seats.watch(&scene.over));
        script.wait_for_all();
        let verifiers = (0..VERIFIERS).map(|_| Verifier::start(&python, &scene.seats, CACHE, dice.next()));
        traffic::start(scope, &scene, verifiers.collect(), &mut dice);
        script.play();
        script.leave_no_orphans();
    });
    report::report(&script, started.elapsed());
}

#[test]
fn a_fleet_in_remote_custody_refuses_no_good_token_through_kills_outages_and_a_revocation() {
    live_through_it(Custody::Remote);
}

#[test]
fn a_fleet_in_sealed_custody_refuses_no_good_token_through_kills_outages_and_a_revocation() {
    live_through_it(Custody::Sealed);
}
