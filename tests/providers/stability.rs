//! Starts while the provider is down, with the last good ring in the data directory: tokens are validated and keys are
//! published. Signatures wait for the provider and then work without any action.

use std::time::Duration;

use serde_json::json;

use crate::harness::http::Connection;
use crate::harness::time::{instant, wait_for};
use crate::harness::{AUDIENCE, Home, PATIENCE, Spec, kids};
use crate::servers::{Aws, Fails, Gcp, Openbao, Place};
use crate::sleeper::{still, wakes_with_the_truth};

/// A start waits 2 s for a silent provider; a busy machine adds the rest.
const STARTED: Duration = Duration::from_secs(6);

fn published(spec: &Spec) -> Vec<String> {
    wait_for("the JWKS", PATIENCE, || {
        let mut public = Connection::tcp(spec.listen()).ok()?;
        Some(kids(&public.get("/.well-known/jwks.json").ok()?.json()))
    })
}

/// Waits for the file of the last good ring, which is written after the ring was read.
fn remembered(spec: &Spec) {
    let file = spec.home().data().join("last-good.json");
    wait_for("the ring to be remembered", PATIENCE, || file.exists().then_some(()));
}

fn starts_without_it(name: &str, at: &Place, is_sealed: bool, provider: &dyn Fails) {
    let spec = at
        .configure(&Spec::new(&Home::new()), None)
        .set("SIGNET_SIGN_TIMEOUT", "1s");
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    remembered(&spec);
    sidecar.stop();

    provider.fail();
    let start = instant();
    let sidecar = spec.spawn();
    assert_eq!(published(&spec), [signed.kid.as_str()], "{name}");
    let took = start.elapsed();
    assert!(took < STARTED, "{name}: the JWKS was there after {took:?}");
    assert_eq!(sidecar.verify(&signed.token)["active"], true, "{name}");
    let request = json!({ "claims": { "sub": "client", "aud": AUDIENCE } });
    let refused = sidecar.post("/v1/sign", &request);
    let (status, readiness) = sidecar.readiness();
    if is_sealed {
        // The private key is not in memory.
        assert_eq!(
            (refused.status, refused.problem().as_str(), status),
            (503, "signing_unavailable", 503),
            "{name}: {} {readiness}",
            refused.text()
        );
        assert!(refused.text().contains("since 20"), "{name}: {}", refused.text());
    } else {
        // The provider is called for each signature, and signing would fail on any other replica too.
        assert!(matches!(refused.status, 503 | 504), "{name}: {}", refused.text());
        assert_eq!(refused.problem(), "provider_unavailable", "{name}");
    }
    assert!(readiness.to_string().contains("failing_since"), "{name}: {readiness}");
    assert_eq!(sidecar.admin().get("/livez").expect("an answer").status, 200);

    provider.recover();
    wait_for("signing to go on by itself", 2 * PATIENCE, || {
        (sidecar.post("/v1/sign", &request).status == 200).then_some(())
    });
    assert_eq!(
        sidecar.sign_for("client").kid,
        signed.kid,
        "{name}: no new ring was made"
    );
    wait_for("readiness", 2 * PATIENCE, || {
        let (status, readiness) = sidecar.readiness();
        (status == 200 && !readiness.to_string().contains("failing_since")).then_some(())
    });
}

#[test]
fn a_start_with_the_provider_down_serves_the_last_good_ring_and_signs_when_it_is_back() {
    let (remote, sealed, aws, gcp) = (Openbao::start(), Openbao::start(), Aws::start(), Gcp::start());
    let places = [
        ("vault", remote.remote("stable"), false, remote.outage()),
        ("vault, sealed", sealed.sealed("stable"), true, sealed.outage()),
        ("aws-kms, sealed", aws.sealed("stable"), true, aws.outage()),
        ("gcp-kms", gcp.remote("stable"), false, gcp.outage()),
    ];
    std::thread::scope(|scope| {
        for (name, place, is_sealed, outage) in &places {
            scope.spawn(move || starts_without_it(name, place, *is_sealed, *outage));
        }
    });
}

#[test]
fn a_start_with_the_other_provider_down_publishes_its_last_keys() {
    let aws = Aws::start();
    let (other, home) = (aws.remote("beside"), Home::new());
    let made = other.configure(&Spec::new(&Home::new()), None).run(&["keys", "rotate"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let spec = Place::local().configure(&Spec::new(&home), Some(&other));
    let sidecar = spec.start();
    let before = sidecar.jwks_kids();
    assert_eq!(before.len(), 2);
    remembered(&spec);
    sidecar.stop();
    aws.outage().fail();
    let sidecar = spec.start();
    assert_eq!(sidecar.jwks_kids(), before);
    sidecar.sign_for("client");
}

#[test]
fn a_replica_that_was_stopped_has_the_provider_sign_with_no_key_that_is_gone() {
    let bao = Openbao::start();
    let place = bao.remote("stopped");
    let start = || place.configure(&still(Spec::new(&Home::new())), None).start();
    wakes_with_the_truth(&start(), &start());
}
