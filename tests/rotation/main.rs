//! Rotation with compressed time and the real binary: promises 1 to 3 and 6 of the design.
//!
//! Verifiers with their own caches, built on an independent library, check tokens at all times of their lives while
//! keys come and go. The lead is 400 ms longer than the policy requires, and all clocks here are the same.

use signet_harness as harness;
use signet_harness::rotation::{sleeper, traffic, verifier, watch};

use std::collections::BTreeSet;
use std::time::Duration;

use harness::time::{instant, wait_for};
use harness::{FAST, Home, PATIENCE, Sidecar, Spec, kids};
use serde_json::Value;
use traffic::Traffic;
use verifier::{Keep, Verifier};
use watch::Watch;

const LEAD: Duration = Duration::from_secs(2);
/// A key is written to disk between its creation time and its first appearance in the JWKS.
const WRITE: Duration = Duration::from_millis(300);
/// T + R + 2S: how long a key stays published after its successor took over.
const RETENTION: Duration = Duration::from_millis(2600);
const ROTATIONS: usize = 5;
/// Five rotations take 20 s.
const LIMIT: Duration = Duration::from_secs(60);

/// Half of the verifiers keep the JWKS as long as `max-age` says, and half always for V. Each fetches at another time,
/// so some fetch just before a new key.
fn verifiers(sidecars: &[&Sidecar]) -> Vec<Verifier> {
    (0..6_u32)
        .map(|n| {
            let keep = match n % 2 {
                0 => Keep::AsTold,
                _ => Keep::For(Duration::from_secs(1)),
            };
            let sidecar = sidecars[n as usize / 2 % sidecars.len()];
            Verifier::new(sidecar.spec().listen(), keep, Duration::from_millis(170) * n)
        })
        .collect()
}

#[test]
fn no_good_token_is_refused_through_five_rotations_and_every_key_is_published_before_it_signs() {
    let home = Home::new();
    let since = instant();
    let sidecar = Spec::new(&home).set_all(FAST).start();
    let sidecars = [&sidecar];
    let watch = Watch::start(sidecar.spec().listen(), since);
    let mut traffic = Traffic::new(&sidecars, verifiers(&sidecars));
    traffic.run_until(LIMIT, |traffic| traffic.signers.len() > ROTATIONS);

    let first = traffic.signers[0].kid.clone();
    traffic.run_until(PATIENCE, |_| watch.gone_at(&first).is_some());
    let seen = watch.stop();
    seen.check_leads(&traffic.signers, LEAD, WRITE);
    seen.check_departures(&traffic.signers, RETENTION);
    assert!(
        seen.most_keys <= 3,
        "one signs, one waits or retires, and the retention is shorter than the period: {}",
        seen.most_keys
    );
    assert!(
        seen.changes + 2 >= 2 * ROTATIONS,
        "keys come and go: {} changes",
        seen.changes
    );
    traffic.report("one sidecar", &seen);
}

#[test]
fn two_replicas_on_one_directory_accept_each_others_tokens_and_never_make_two_keys() {
    let home = Home::new();
    let since = instant();
    // Both start at once in an empty directory, so they also race for the first key.
    let (mut one, mut two) = (
        Spec::new(&home).set_all(FAST).spawn(),
        Spec::new(&home).set_all(FAST).spawn(),
    );
    one.wait_until_ready();
    two.wait_until_ready();
    let sidecars = [&one, &two];
    let watch = Watch::start(one.spec().listen(), since);
    let other = Watch::start(two.spec().listen(), since);
    let mut traffic = Traffic::new(&sidecars, verifiers(&sidecars));
    let mut rotations = 0;
    traffic.run_until(LIMIT, |traffic| {
        if traffic.signers.len() > rotations {
            rotations = traffic.signers.len();
            same_ring(&one, &two);
        }
        rotations > ROTATIONS
    });
    let (seen, other) = (watch.stop(), other.stop());
    for seen in [&seen, &other] {
        seen.check_leads(&traffic.signers, LEAD, WRITE);
        let signed: BTreeSet<&String> = traffic.signers.iter().map(|signer| &signer.kid).collect();
        let idle: Vec<&String> = seen.kids().filter(|kid| !signed.contains(kid)).collect();
        assert!(
            idle.len() <= 1,
            "only the next key may not have signed yet; each rotation makes one: {idle:?}"
        );
    }
    traffic.report("two replicas", &seen);
}

/// The facts about each key. Its phase may differ for a moment.
fn facts(ring: &Value) -> Value {
    let keys = ring["keys"].as_array().map_or(&[][..], Vec::as_slice);
    keys.iter()
        .map(|key| serde_json::json!([key["kid"], key["alg"], key["created_at"], key["activates_at"]]))
        .collect()
}

fn same_ring(one: &Sidecar, two: &Sidecar) {
    wait_for("both replicas to show one ring", Duration::from_secs(2), || {
        (facts(&one.ring()) == facts(&two.ring())).then_some(())
    });
}

#[test]
fn a_switch_of_algorithm_keeps_the_lead_and_refuses_no_token() {
    let home = Home::new();
    let spec = Spec::new(&home).set_all(FAST).set("SIGNET_ROTATION_PERIOD", "1h");
    let sidecar = spec.clone().set("SIGNET_ALGORITHM", "ES256").start();
    let mut traffic = Traffic::new(&[&sidecar], verifiers(&[&sidecar]));
    traffic.run_until(LIMIT, |traffic| traffic.tokens >= 25);
    let (tokens, verifiers, signers) = traffic.into_parts();
    sidecar.stop();

    let since = instant();
    let sidecar = spec.set("SIGNET_ALGORITHM", "EdDSA").start();
    let watch = Watch::start(sidecar.spec().listen(), since);
    let mut traffic = Traffic::resumed(&[&sidecar], verifiers, tokens, signers);
    assert_eq!(traffic.signers.len(), 1);
    traffic.run_until(LIMIT, |traffic| traffic.signers.len() > 1);
    // Wait until the last token of the previous key has expired.
    let before = traffic.checks;
    traffic.run_until(PATIENCE, |traffic| !traffic.lives(&traffic.signers[0].kid));
    assert!(
        traffic.checks > before,
        "the last tokens of the former key were checked"
    );
    let seen = watch.stop();
    seen.check_leads(&traffic.signers, LEAD, WRITE);
    let ring = sidecar.ring();
    let algorithms: Vec<&str> = (0..2).filter_map(|n| ring["keys"][n]["alg"].as_str()).collect();
    assert_eq!(algorithms, ["ES256", "EdDSA"], "{ring}");
    assert_eq!(kids(&ring).len(), 2, "{ring}");
    traffic.report("a switch of algorithm", &seen);
}

#[test]
fn a_replica_that_was_stopped_for_longer_than_a_rotation_answers_with_the_truth_or_not_yet() {
    let home = Home::new();
    let start = || sleeper::still(Spec::new(&home)).start();
    sleeper::wakes_with_the_truth(&start(), &start());
}
