//! Trouble without a failing call: wrong clocks, a frozen server, expired credentials, and a fleet that is too large.

use std::time::Duration;

use serde_json::json;

use crate::harness::time::{instant, wait_for};
use crate::harness::{AUDIENCE, FAST, Home, PATIENCE, Spec, kids};
use crate::servers::{Azure, Gcp, Openbao, Place};

/// Durations that satisfy L ≥ R + max(M, V) + 2S.
const TOLERANT: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "1h"),
    ("SIGNET_PUBLISH_LEAD", "12s"),
    // As often as Google's quota allows one replica to read.
    ("SIGNET_REFRESH_INTERVAL", "1s"),
    ("SIGNET_CLOCK_SKEW", "5s"),
    ("SIGNET_REPLICAS", "1"),
];

fn tolerant(at: &Place) -> Spec {
    at.configure(&Spec::new(&Home::new()).set_all(FAST).set_all(TOLERANT), None)
}

/// Creates a first key and its successor with this clock.
fn works(at: &Place) {
    let spec = tolerant(at);
    let sidecars = [spec.start(), tolerant(at).start()];
    let signed = sidecars[0].sign_for("client");
    wait_for("the other replica to accept it", PATIENCE, || {
        (sidecars[1].verify(&signed.token)["active"] == true).then_some(())
    });
    let before = kids(&sidecars[0].ring()).len();
    let made = spec.run(&["keys", "rotate"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    wait_for("the successor to be published", PATIENCE, || {
        sidecars
            .iter()
            .all(|sidecar| sidecar.jwks_kids().len() == before + 1)
            .then_some(())
    });
    assert_eq!(sidecars[0].sign_for("client").kid, signed.kid, "the successor waits");
    for sidecar in &sidecars {
        assert!(
            sidecar.logged("SIGNET_CLOCK_SKEW allows").is_empty(),
            "3 s are within S"
        );
    }
}

#[test]
fn a_provider_whose_clock_is_off_by_less_than_the_skew_troubles_nobody() {
    let (gcp, ahead, behind) = (Gcp::start(), Azure::start(), Azure::start());
    gcp.set_clock_ahead(Duration::from_secs(3));
    ahead.shift_clock(3);
    behind.shift_clock(-3);
    std::thread::scope(|scope| {
        for place in [gcp.remote("ahead"), ahead.remote("ahead"), behind.remote("behind")] {
            scope.spawn(move || works(&place));
        }
    });
}

#[test]
fn a_provider_whose_clock_is_off_by_more_than_the_skew_is_told_in_the_log_and_by_check() {
    let azure = Azure::start();
    azure.shift_clock(60);
    let spec = tolerant(&azure.remote("off"));
    let sidecar = spec.start();
    assert_eq!(sidecar.verify(&sidecar.sign_for("client").token)["active"], true);
    wait_for("the log to tell it", PATIENCE, || {
        (!sidecar.logged("SIGNET_CLOCK_SKEW allows").is_empty()).then_some(())
    });
    let told = spec.run(&["check"]);
    assert_eq!(told.code, 76, "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("SIGNET_CLOCK_SKEW"), "{}", told.stdout);
}

#[test]
fn a_frozen_vault_is_answered_for_in_time_and_signing_recovers_by_itself() {
    let bao = Openbao::start();
    let sidecar = tolerant(&bao.remote("frozen"))
        // The ring may be older than the time for which the server will be frozen.
        .set("SIGNET_PUBLISH_LEAD", "1m")
        .set("SIGNET_SIGN_TIMEOUT", "1s")
        .start();
    let request = json!({ "claims": { "sub": "client", "aud": AUDIENCE } });
    let good = sidecar.sign_for("client");
    bao.outage().fail();
    let start = instant();
    let mut statuses = Vec::new();
    while start.elapsed() < Duration::from_secs(4) {
        let asked = instant();
        let answer = sidecar.post("/v1/sign", &request);
        assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
        assert_eq!(answer.problem(), "provider_unavailable", "{}", answer.text());
        statuses.push(answer.status);
        assert!(sidecar.jwks_kids().contains(&good.kid));
        assert_eq!(sidecar.try_ready(), Some(200));
    }
    assert_eq!(statuses[0], 504, "the first one waits in vain");
    let verified = sidecar.verify(&good.token);
    assert!(
        verified["active"] == true || verified["error"] == "expired",
        "{verified}"
    );
    bao.outage().recover();
    let thawed = instant();
    wait_for("signing to go on by itself", PATIENCE, || {
        (sidecar.post("/v1/sign", &request).status == 200).then_some(())
    });
    assert!(thawed.elapsed() < Duration::from_secs(10), "{:?}", thawed.elapsed());
}

#[test]
fn a_vault_token_that_is_wrong_or_at_its_end_is_named() {
    let bao = Openbao::start();
    let wrong = tolerant(
        &bao.remote("login")
            .with("VAULT_TOKEN", "hvs.not-a-token-of-this-server"),
    );
    for command in [&["serve"][..], &["keys", "list"]] {
        let refused = wrong.run(command);
        assert_eq!(refused.code, 77, "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("VAULT_TOKEN"), "{}", refused.stderr);
    }

    let (place, token) = bao.mortal("login");
    let spec = tolerant(&place);
    let sidecar = spec.start();
    let good = sidecar.sign_for("client");
    bao.take_back(&token);
    wait_for("readiness to name it", PATIENCE, || {
        let (_, conditions) = sidecar.readiness();
        conditions.to_string().contains("VAULT_TOKEN").then_some(())
    });
    let answer = sidecar.post("/v1/sign", &json!({ "claims": { "sub": "client", "aud": AUDIENCE } }));
    assert_eq!((answer.status, answer.problem().as_str()), (502, "provider_refused"));
    assert!(!answer.text().contains("VAULT_TOKEN"), "that is nothing for clients");
    assert!(sidecar.jwks_kids().contains(&good.kid), "and the last ring stays");
    assert_eq!(spec.run(&["keys", "list"]).code, 77);
}

/// Google allows 300 key readings per minute.
#[test]
fn a_fleet_that_the_quota_of_google_does_not_bear_is_refused_with_numbers() {
    let gcp = Gcp::start();
    let quota = |spec: Spec| {
        let refused = spec.run(&["serve"]);
        assert_eq!(refused.code, 64, "{}", refused.stderr);
        for word in ["SIGNET_REPLICAS", "SIGNET_REFRESH_INTERVAL", "1000", "300", "1m"] {
            assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
        }
    };
    let large = Spec::new(&Home::new()).set("SIGNET_REPLICAS", 1000);
    quota(gcp.remote("fleet").configure(&large, None));
    // The quota is the same for a ring that is only also published.
    assert_eq!(
        gcp.remote("fleet")
            .configure(&Spec::new(&Home::new()), None)
            .run(&["keys", "rotate"])
            .code,
        0
    );
    let beside = Spec::new(&Home::new()).set("SIGNET_REPLICAS", 1000);
    let mut started = Place::local().configure(&beside, Some(&gcp.remote("fleet"))).spawn();
    let status = started.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(64), "{}", started.log_text());
}
