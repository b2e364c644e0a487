//! `SIGNET_ALSO_PUBLISH` with the real binary: what is published and accepted of the other ring, for how long, and what
//! happens when its provider fails.

use std::time::Duration;

use crate::harness::time::{instant, wait_for};
use crate::harness::{FAST, Home, PATIENCE, Sidecar, Spec};
use crate::servers::{Aws, Openbao, Place};
use crate::traffic::Traffic;
use crate::verifier::{Keep, Verifier};

/// The durations of [`FAST`], but without a rotation during the test, and with the S that the
/// clouds' whole seconds need.
const STILL: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "1h"),
    ("SIGNET_PUBLISH_LEAD", "5s"),
    ("SIGNET_CLOCK_SKEW", "1s"),
    ("SIGNET_REPLICAS", "1"),
];
/// R + S of [`STILL`].
const BOUND: Duration = Duration::from_millis(1200);

fn spec(at: &Place, also: Option<&Place>) -> Spec {
    at.configure(&Spec::new(&Home::new()).set_all(FAST).set_all(STILL), also)
}

/// What `/readyz` says about the other ring, if anything.
fn complaint(sidecar: &Sidecar) -> Option<String> {
    let (status, answer) = sidecar.readiness();
    assert_eq!(status, 200, "no reason not to be ready: {answer}");
    let conditions = answer["conditions"].as_array().expect("conditions");
    let also = conditions
        .iter()
        .find(|condition| condition["name"] == "also_publish")?;
    assert!(also["since"].is_string(), "{also}");
    Some(also["detail"].as_str().expect("a detail").to_owned())
}

#[test]
fn the_keys_of_the_other_ring_are_accepted_until_one_is_revoked_and_it_is_gone_in_time() {
    let bao = Openbao::start();
    let other = spec(&bao.remote("other"), None);
    let signer = other.start();
    let signed = signer.sign_for("client");
    let sidecar = spec(&Place::local(), Some(&bao.remote("other"))).start();
    assert!(sidecar.jwks_kids().contains(&signed.kid));
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    Verifier::new(sidecar.spec().listen(), Keep::AsTold, Duration::from_secs(1))
        .verify(&signed.token, &signed.kid)
        .expect("a good token");
    assert_ne!(sidecar.sign_for("client").kid, signed.kid, "it signs with its own ring");

    // A token that lives longer than the limit.
    let signed = signer.sign_for("client");
    let revoked = other.run(&["keys", "revoke", &signed.kid, "--reason", "stolen"]);
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    let marked = instant();
    wait_for("the revoked key to leave the JWKS", PATIENCE, || {
        (!sidecar.jwks_kids().contains(&signed.kid)).then_some(())
    });
    let took = marked.elapsed();
    assert_eq!(sidecar.verify(&signed.token)["active"], false);
    assert!(took < BOUND, "gone after {took:?}, and R + S is {BOUND:?}");
}

#[test]
fn with_the_other_provider_down_its_last_keys_stay_and_readiness_says_so() {
    let aws = Aws::start();
    let signer = spec(&aws.remote("down"), None).start();
    let sidecar = spec(&Place::local(), Some(&aws.remote("down"))).start();
    let kid = signer.sign_for("client").kid;
    signer.stop();
    assert_eq!(complaint(&sidecar), None);
    aws.outage().fail();
    // A reading is retried for 20 s before it counts as failed.
    let told = wait_for("readiness to tell it", Duration::from_secs(40), || complaint(&sidecar));
    assert!(
        told.contains("aws-kms") && told.contains("its last keys stay"),
        "{told}"
    );
    assert!(sidecar.jwks_kids().contains(&kid));
    assert_eq!(sidecar.verify(&sidecar.sign_for("client").token)["active"], true);
    aws.outage().recover();
    wait_for("readiness to be whole", Duration::from_secs(40), || {
        complaint(&sidecar).is_none().then_some(())
    });
}

#[test]
fn the_other_provider_being_down_does_not_hold_up_the_ring_that_signs() {
    let aws = Aws::start();
    assert_eq!(spec(&aws.remote("beside"), None).run(&["keys", "rotate"]).code, 0);
    // With rotations every 4 s, S is too short for the clouds, but no key is created there.
    let spec = Spec::new(&Home::new()).set_all(FAST).set("SIGNET_REPLICAS", 1);
    let sidecar = Place::local().configure(&spec, Some(&aws.remote("beside"))).start();
    let verifiers = vec![Verifier::new(sidecar.spec().listen(), Keep::AsTold, Duration::ZERO)];
    let mut traffic = Traffic::new(&[&sidecar], verifiers);
    traffic.run_until(PATIENCE, |traffic| traffic.tokens > 5);
    aws.outage().fail();
    let start = instant();
    traffic.run_until(PATIENCE, |traffic| traffic.signers.len() == 3);
    let took = start.elapsed();
    // Two rotations take 8 s.
    assert!(took < Duration::from_secs(10), "two rotations took {took:?}");
}

#[test]
fn a_start_while_the_other_provider_is_down_fails_with_who_and_what_to_do() {
    let bao = Openbao::start();
    let nobody = bao.remote("other").with("VAULT_ADDR", "https://127.0.0.1:1");
    let refused = spec(&Place::local(), Some(&nobody)).run(&["serve"]);
    assert_eq!(refused.code, 75, "{}", refused.stderr);
    for word in ["vault", "127.0.0.1:1", "SIGNET_ALSO_PUBLISH"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}

#[test]
fn what_is_written_wrongly_of_the_other_ring_is_refused_by_its_name() {
    let at = |key: &str| {
        spec(&Place::local(), None)
            .set("SIGNET_PROVIDER", "vault")
            .set("VAULT_ADDR", "https://127.0.0.1:1")
            .set("VAULT_TOKEN", "a-token-of-nobody")
            .set("SIGNET_KEY", key)
            .set("SIGNET_ALSO_PUBLISH", "vault")
    };
    for (spec, words) in [
        (at("signet"), &["SIGNET_ALSO_PUBLISH", "the ring of vault"][..]),
        (
            at("signet").set("SIGNET_ALSO_PUBLISH", "local,local"),
            &["names local twice"],
        ),
        (
            at("a").set("SIGNET_ALSO_VAULT_VAULT_ADR", "https://127.0.0.1:2"),
            &["SIGNET_ALSO_VAULT_VAULT_ADR", "VAULT_ADDR"],
        ),
        (
            at("a").set("SIGNET_ALSO_LOCAL_KEY", "b"),
            &["SIGNET_ALSO_LOCAL_KEY", "SIGNET_ALSO_PUBLISH does not name local"],
        ),
    ] {
        let refused = spec.run(&["serve"]);
        assert_eq!(refused.code, 64, "{words:?}: {}", refused.stderr);
        for word in words {
            assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
        }
    }
}

#[test]
fn from_remote_to_sealed_within_vault_no_token_is_refused() {
    let bao = Openbao::start();
    // One transit mount with two keys: one signs, and one seals.
    let (remote, sealed) = (bao.remote("signing"), bao.sealed("sealing"));
    let specs = [(); 2].map(|()| Spec::new(&Home::new()).set_all(FAST).set_all(STILL));
    let configured = |index: usize, at: &Place, also: Option<&Place>| at.configure(&specs[index], also);
    let mut running: Vec<Sidecar> = (0..2).map(|index| configured(index, &remote, None).start()).collect();
    let verifiers = [0, 1].map(|index: usize| {
        let wait = Duration::from_millis(170 * index as u64);
        Verifier::new(specs[index].listen(), Keep::AsTold, wait)
    });
    let made = configured(0, &sealed, None).run(&["keys", "rotate"]);
    assert_eq!(made.code, 0, "{}", made.stderr);

    let (mut verifiers, mut alive, mut signers) = (verifiers.into(), Vec::new(), Vec::new());
    let (mut tokens, mut first) = (0, String::new());
    // First publish everywhere, then sign with it on one replica after the other, then remove the first ring.
    for (at, also, wait) in [
        // R + max(M, V) + 2S
        (&remote, Some(&sealed), Duration::from_millis(3200)),
        // T + R + 2S
        (&sealed, Some(&remote), Duration::from_millis(4200)),
        (&sealed, None, Duration::from_secs(1)),
    ] {
        for index in 0..2 {
            running.remove(index).stop();
            running.insert(index, configured(index, at, also).start());
            let is_last = index == 1;
            let span = if is_last { wait } else { Duration::from_millis(300) };
            let sidecars: Vec<&Sidecar> = running.iter().collect();
            let mut traffic = Traffic::resumed(&sidecars, verifiers, alive, signers);
            let until = instant() + span;
            traffic.run_until(PATIENCE, |_| instant() > until);
            tokens += traffic.tokens;
            (alive, verifiers, signers) = traffic.into_parts();
            first.clone_from(&signers[0].kid);
        }
    }
    assert_eq!(signers.len(), 2, "one key of each ring has signed");
    assert!(tokens > 100 && !running[0].jwks_kids().contains(&first));
}
