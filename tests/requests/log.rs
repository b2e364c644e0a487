//! What the log says about requests and keys: codes and words, never a token and never a Rust identifier.

use serde_json::json;

use crate::harness::{AUDIENCE, Home, ISSUER, Spec};
use crate::works;

#[test]
fn a_refused_token_is_logged_by_code_key_issuer_and_audience() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_LOG", "signet=debug").start();
    let mut connection = sidecar.socket();
    let signed = works(&sidecar, &mut connection);
    let request = json!({ "token": signed.token, "audience": "https://other.test" });
    let answer = sidecar.post("/v1/verify", &request);
    assert_eq!(answer.json()["error"], "wrong_audience", "{}", answer.text());
    let lines = sidecar.logged("a token was refused");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for (field, value) in [
        ("code", "wrong_audience"),
        ("kid", signed.kid.as_str()),
        ("issuer", ISSUER),
        ("audience", AUDIENCE),
        ("required_audience", "https://other.test"),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    // Its parts are not in the log either: a token that is good elsewhere must not leak.
    for part in signed.token.split('.') {
        assert!(!sidecar.log_text().contains(part), "{line}");
    }
    sidecar.post("/v1/verify", &json!({ "token": "nonsense", "audience": "a" }));
    let lines = sidecar.logged("a token was refused");
    assert_eq!(lines[1]["code"], "malformed", "{lines:?}");
    assert!(lines[1].get("kid").is_none(), "{lines:?}");
}

#[test]
fn a_refused_request_is_logged_with_its_code() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_LOG", "signet=debug").start();
    sidecar.post("/v1/sign", &json!({ "claims": { "sub": "a" } }));
    let lines = sidecar.logged("a request was refused");
    assert_eq!(lines[0]["code"], "missing_claim", "{lines:?}");
}

#[test]
fn a_new_key_is_logged_with_a_code_for_its_reason() {
    let sidecar = Spec::new(&Home::new()).start();
    let lines = sidecar.logged("created a new key");
    assert_eq!(lines[0]["reason"], "ring_empty", "{lines:?}");
    let lines = sidecar.logged("found a key in the ring");
    assert_eq!(
        (&lines[0]["phase"], lines[0].get("previous_phase")),
        (&"active".into(), None)
    );
}
