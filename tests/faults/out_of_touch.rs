//! The provider is unreachable for all replicas for longer than the lead, and a key was created just before. When it is
//! back, that key may sign by its record, but nobody has it yet. The opposite case is also tested: only one process was
//! cut off.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::time::{instant, next_beat, wait_for};
use crate::harness::{FAST, Home, PATIENCE, Sidecar, Spec, say};
use crate::running::{condition, put};

/// V and M: how long a verifier may use a JWKS that it fetched before the replicas knew the key.
const CACHE: Duration = Duration::from_secs(1);
const LEAD: Duration = Duration::from_secs(2);
const BEYOND_THE_LEAD: Duration = Duration::from_millis(2500);
const BEAT: Duration = Duration::from_millis(20);

fn spec(home: &Home) -> Spec {
    Spec::new(home)
        .set_all(FAST)
        .set("SIGNET_ROTATION_PERIOD", "1h")
        .set("SIGNET_TOKEN_MAX_TTL", "4s")
}

/// The ring with another key, which no replica has seen.
fn with_a_successor(home: &Home, ring: &[u8]) -> (Vec<u8>, String) {
    let aside = Home::new();
    fs::create_dir_all(aside.data()).expect("made");
    fs::copy(home.data().join("local.key"), aside.data().join("local.key")).expect("copied");
    put(&aside.ring_file(), ring);
    let created = spec(&aside).run(&["keys", "rotate", "--json"]);
    assert_eq!(created.code, 0, "{}", created.stderr);
    let kid = created.json()["kid"].as_str().expect("a kid").to_owned();
    (fs::read(aside.ring_file()).expect("the ring"), kid)
}

fn is_failing(sidecar: &Sidecar) -> Option<()> {
    let (_, readiness) = sidecar.readiness();
    condition(&readiness, "ring")["failing_since"].is_string().then_some(())
}

/// Makes all replicas sign and check each other's tokens until all sign with this key. Returns the time when the key
/// first signed.
fn until_it_signs(kid: &str, sidecars: &[&Sidecar]) -> Instant {
    let mut first = None;
    let mut beat = instant();
    wait_for("the new key to sign everywhere", PATIENCE, || {
        next_beat(&mut beat, BEAT);
        let signed: Vec<_> = sidecars.iter().map(|sidecar| sidecar.sign_for("client")).collect();
        for (token, sidecar) in signed.iter().flat_map(|token| sidecars.iter().map(move |s| (token, s))) {
            let word = sidecar.verify(&token.token);
            assert_eq!(word["active"], true, "a token of {}: {word}", token.kid);
        }
        let new = signed.iter().filter(|token| token.kid == kid).count();
        if new > 0 {
            first.get_or_insert_with(instant);
        }
        (new == sidecars.len()).then_some(())
    });
    first.expect("it signed")
}

#[test]
fn a_key_that_was_created_as_the_provider_went_signs_once_every_cache_can_have_it() {
    let home = Home::new();
    let [steady, mut slow, mut unlucky] = [(); 3].map(|()| spec(&home).start());
    let (ring, good) = (home.ring_file(), fs::read(home.ring_file()).expect("the ring"));
    let witness = steady.sign_for("client");

    put(&ring, &good[..good.len() / 2]);
    let (later, kid) = with_a_successor(&home, &good);
    let created = instant();
    wait_for("the outage to be noticed", PATIENCE, || is_failing(&steady));
    slow.kill();
    let mut beat = created;
    while created.elapsed() < BEYOND_THE_LEAD {
        next_beat(&mut beat, BEAT);
        assert_eq!(steady.sign_for("client").kid, witness.kid);
    }
    let cached = steady.jwks_kids();
    assert_eq!(cached, [witness.kid.as_str()]);

    put(&ring, &later);
    let back = instant();
    // One replica starts only now, and one restarts. Both know of the outage only from disk.
    let slow = slow.spec().start();
    wait_for("the key to be published", PATIENCE, || {
        unlucky.jwks_kids().contains(&kid).then_some(())
    });
    unlucky.kill();
    let unlucky = unlucky.spec().start();
    let first = until_it_signs(&kid, &[&steady, &slow, &unlucky]);
    let told = steady.logged("other replicas may not have this key yet");
    assert_eq!(told.len(), 1, "{}", steady.log_text());
    assert_eq!(told[0]["kid"], kid.as_str());
    say(format!("the key signed {:?} after the provider was back", first - back));
    assert!(first - back >= CACHE, "{:?}", first - back);
}

/// The maximum age of a ring plus T + R + 2S, and a little more.
const BEYOND_EVERY_TOKEN: Duration = Duration::from_millis(5500);

#[test]
fn a_process_that_was_away_for_longer_than_its_tokens_live_brings_no_key_back() {
    let home = Home::new();
    let sidecar = spec(&home).start();
    let witness = sidecar.sign_for("client");
    wait_for("the ring to be remembered", PATIENCE, || {
        home.data().join("last-good.json").exists().then_some(())
    });
    let spec = sidecar.spec().clone();
    sidecar.stop();
    let rotated = spec.run(&["keys", "rotate", "--json"]);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    // The other replicas continue meanwhile.
    next_beat(&mut instant(), LEAD + BEYOND_EVERY_TOKEN);
    let sidecar = spec.start();
    assert_eq!(sidecar.jwks_kids(), [rotated.json()["kid"].as_str().expect("a kid")]);
    assert_ne!(sidecar.sign_for("client").kid, witness.kid);
}
