//! A token that was verified before is refused all the same once its key is gone or its time is up.

use serde_json::json;

use crate::harness::time::wait_for;
use crate::harness::{AUDIENCE, Home, PATIENCE, Spec, kid_in_phase};
use crate::sidecar;

#[test]
fn a_token_seen_before_is_refused_after_its_key_was_revoked() {
    let sidecar = sidecar();
    let signed = sidecar.sign_for("client");
    let bearer = format!("Bearer {}", signed.token);
    let path = format!("/v1/authorize?audience={AUDIENCE}");
    let mut connection = sidecar.socket();
    let mut authorize = || {
        let headers = [("authorization", bearer.as_str())];
        connection
            .request("GET", &path, &headers, None)
            .expect("an answer")
            .status
    };
    for _ in 0..3 {
        assert_eq!(sidecar.verify(&signed.token)["active"], true);
        assert_eq!(authorize(), 200);
    }
    let ran = sidecar
        .spec()
        .run(&["keys", "revoke", &signed.kid, "--reason", "a test"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    sidecar.hang_up();
    let refused = wait_for("the token to be refused", PATIENCE, || {
        let answer = sidecar.verify(&signed.token);
        (answer["active"] == false).then_some(answer)
    });
    assert_eq!(refused["error"], "unknown_key", "{refused}");
    assert_eq!(authorize(), 401);
    assert!(!sidecar.jwks_kids().contains(&signed.kid));
    // The successor signs at once, and its tokens are good.
    let next = sidecar.sign_for("client");
    assert_eq!(Some(&next.kid), kid_in_phase(&sidecar.ring(), "active").as_ref());
    assert_ne!(next.kid, signed.kid);
    assert_eq!(sidecar.verify(&next.token)["active"], true);
}

#[test]
fn a_token_seen_before_is_refused_after_its_exp_and_for_another_audience() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_CLOCK_SKEW", "0s").start();
    let request = json!({ "claims": { "sub": "s", "aud": AUDIENCE }, "ttl": 2 });
    let signed = sidecar.sign_over(&mut sidecar.socket(), &request);
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    let answer = sidecar.post(
        "/v1/verify",
        &json!({ "token": signed.token, "audience": "https://other.test" }),
    );
    assert_eq!(answer.json()["error"], "wrong_audience");
    wait_for("the token to expire", PATIENCE, || (!signed.is_alive()).then_some(()));
    assert_eq!(sidecar.verify(&signed.token)["error"], "expired");
}

#[test]
fn without_a_cache_the_answers_are_the_same() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_VERIFY_CACHE_ENTRIES", "0").start();
    let signed = sidecar.sign_for("client");
    for _ in 0..3 {
        assert_eq!(sidecar.verify(&signed.token)["claims"]["sub"], "client");
    }
    let metrics = sidecar.admin().get("/metrics").expect("an answer").text();
    assert!(metrics.contains("signet_tokens_accepted_total 3"), "{metrics}");
}
