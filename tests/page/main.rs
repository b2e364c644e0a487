//! What an operator sees: `/readyz` and the status page of the real binary, in a real browser too, and the
//! picture of `signet schedule`.

mod browser;
mod readiness;
mod screens;

use signet_harness as harness;

use std::time::UNIX_EPOCH;

use serde_json::Value;

use harness::time::{unix_millis, wait_for};
use harness::{Home, PATIENCE, Sidecar, Spec, kid_in_phase};

/// Tokens that live nearly as long as a period, and a lead in which a browser can start. The ring may be 9.6 s old.
const THREE_PHASES: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "60s"),
    ("SIGNET_PUBLISH_LEAD", "10s"),
    ("SIGNET_REFRESH_INTERVAL", "200ms"),
    ("SIGNET_JWKS_MAX_AGE", "1s"),
    ("SIGNET_VERIFIER_CACHE", "1s"),
    ("SIGNET_CLOCK_SKEW", "200ms"),
    ("SIGNET_TOKEN_TTL", "1s"),
    ("SIGNET_TOKEN_MAX_TTL", "50s"),
];
/// The minimum time that a key must still be pending, to look at a page before it signs.
const TIME_TO_LOOK_MS: i64 = 6000;

/// A sidecar with a pending, an active and a retiring key, and one that was revoked for this reason.
fn three_phases(reason: &str) -> Sidecar {
    let spec = Spec::new(&Home::new()).set_all(THREE_PHASES);
    let sidecar = spec.start();
    let first = kid_in_phase(&sidecar.ring(), "active").expect("a key");
    let ran = spec.run(&["keys", "revoke", &first, "--reason", reason]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    wait_for("the revocation", PATIENCE, || kid_in_phase(&sidecar.ring(), "revoked"));
    let second = kid_in_phase(&sidecar.ring(), "active").expect("its successor");
    rotate(&sidecar);
    wait_for("the next key to take over", PATIENCE, || {
        (kid_in_phase(&sidecar.ring(), "retiring")? == second).then_some(())
    });
    have_three_phases(&sidecar);
    sidecar
}

fn rotate(sidecar: &Sidecar) {
    let ran = sidecar.spec().run(&["keys", "rotate", "--reason", "to see it"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    wait_for("the key that waits", PATIENCE, || {
        kid_in_phase(&sidecar.ring(), "pending")
    });
}

/// Creates a pending key, if there is none or the existing one will sign soon.
fn have_three_phases(sidecar: &Sidecar) {
    let waits_for = |ring: &Value| {
        let keys = ring["keys"].as_array().expect("keys");
        let pending = keys.iter().find(|key| key["phase"] == "pending")?;
        let at = pending["activates_at"].as_str().expect("an instant");
        let at = humantime::parse_rfc3339(at).expect("an instant");
        let at = at.duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        Some(i64::try_from(at).expect("fits") - unix_millis())
    };
    match waits_for(&sidecar.ring()) {
        Some(left) if left > TIME_TO_LOOK_MS => return,
        Some(_) => wait_for("the key that waits to sign", PATIENCE, || {
            waits_for(&sidecar.ring()).is_none().then_some(())
        }),
        None => {}
    }
    rotate(sidecar);
    let ring = sidecar.ring();
    for phase in ["pending", "active", "retiring"] {
        assert!(kid_in_phase(&ring, phase).is_some(), "no {phase} key in {ring}");
    }
}

fn condition(readiness: &Value, name: &str) -> Value {
    let conditions = readiness["conditions"].as_array().expect("conditions");
    let found = conditions.iter().find(|condition| condition["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {readiness}")).clone()
}
