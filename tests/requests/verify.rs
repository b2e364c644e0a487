//! Tests of `POST /v1/verify`.

use serde_json::{Value, json};

use crate::harness::time::wait_for;
use crate::harness::{AUDIENCE, Home, PATIENCE, Spec};
use crate::tokens::hostile;
use crate::{expect, sidecar, works};

#[test]
fn wrong_requests_to_verify_are_refused_each_with_its_problem() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    let with = |member: &str| format!(r#"{{"token":"{token}",{member}}}"#);
    for (name, body, problem) in [
        ("an empty body", String::new(), "invalid_request"),
        ("the bare token", token.clone(), "invalid_request"),
        ("an array", format!(r#"["{token}",["{AUDIENCE}"]]"#), "invalid_request"),
        ("no token", format!(r#"{{"audience":"{AUDIENCE}"}}"#), "invalid_request"),
        (
            "a token that is a number",
            r#"{"token":5}"#.to_owned(),
            "invalid_request",
        ),
        ("an unknown member", with(r#""issuers":"x""#), "invalid_request"),
        ("a misspelt scope", with(r#""scopes":"admin""#), "invalid_request"),
        ("token twice", with(r#""token":"x""#), "invalid_request"),
        (
            "an audience that is a number",
            with(r#""audience":5"#),
            "invalid_request",
        ),
        (
            "an audience that is an object",
            with(r#""audience":{}"#),
            "invalid_request",
        ),
        (
            "a scope that is an array",
            with(r#""scope":["read"]"#),
            "invalid_request",
        ),
        ("no audience anywhere", with(r#""scope":"read""#), "audience_required"),
        (
            "an empty list of audiences",
            with(r#""audience":[]"#),
            "invalid_request",
        ),
        ("an empty list of issuers", with(r#""issuer":[]"#), "invalid_request"),
    ] {
        let answer = connection.post("/v1/verify", body.as_bytes()).expect("an answer");
        expect(name, &answer, 400, problem);
        assert!(
            !answer.text().contains("eyJ"),
            "the token is told back: {}",
            answer.text()
        );
        works(&sidecar, &mut connection);
    }
}

#[test]
fn hostile_tokens_are_answered_with_their_error_and_good_ones_stay_good() {
    let sidecar = sidecar();
    let foreign = crate::sidecar();
    let mut connection = sidecar.socket();
    let good = works(&sidecar, &mut connection);
    let table = hostile(&good, &works(&foreign, &mut foreign.socket()));
    // Twice, because an answer must not depend on what was seen before.
    for (name, token, code) in table.iter().chain(&table) {
        let request = json!({ "token": token, "audience": AUDIENCE }).to_string();
        let answer = connection.post("/v1/verify", request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let answer = answer.json();
        assert_eq!(
            (&answer["active"], &answer["error"]),
            (&json!(false), &json!(code)),
            "{name}: {answer}"
        );
        assert_eq!(answer.get("claims"), None, "{name}");
        assert_eq!(sidecar.verify(&good.token)["active"], true, "after {name}");
    }
}

#[test]
fn what_the_caller_requires_decides_on_a_token_that_is_authentic() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    let claims = json!({ "sub": "s", "aud": [AUDIENCE, "https://two.test"], "nbf": 99_999_999_999_i64 });
    let later = sidecar.sign(&claims).token;
    let request = json!({ "claims": { "sub": "s", "aud": AUDIENCE }, "typ": "logout+jwt" });
    let logout = sidecar.sign_over(&mut connection, &request).token;
    let mut ask = |token: &str, more: Value| {
        let mut request = json!({ "token": token, "audience": AUDIENCE });
        request
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let answer = connection
            .post("/v1/verify", request.to_string().as_bytes())
            .expect("an answer")
            .json();
        match answer["active"] == true {
            true => "good".to_owned(),
            false => answer["error"].as_str().expect("an error").to_owned(),
        }
    };
    for (token, more, expected) in [
        (&token, json!({}), "good"),
        (&token, json!({ "audience": [AUDIENCE, "https://other.test"] }), "good"),
        (&token, json!({ "audience": "https://other.test" }), "wrong_audience"),
        (&token, json!({ "audience": "HTTPS://API.TEST" }), "wrong_audience"),
        (&token, json!({ "scope": "read" }), "good"),
        (&token, json!({ "scope": "write read" }), "good"),
        // Some serializers write `null` for missing values.
        (&token, json!({ "scope": null, "typ": null, "issuer": null }), "good"),
        (&token, json!({ "scope": "rea" }), "insufficient_scope"),
        (&token, json!({ "scope": "read admin" }), "insufficient_scope"),
        (&token, json!({ "typ": "JWT" }), "good"),
        (&token, json!({ "typ": "at+jwt" }), "wrong_type"),
        (&later, json!({ "audience": "https://two.test" }), "not_yet_valid"),
        (&logout, json!({}), "wrong_type"),
        (&logout, json!({ "typ": "application/logout+JWT" }), "good"),
    ] {
        assert_eq!(ask(token, more.clone()), expected, "{more}");
    }
}

#[test]
fn the_configured_audience_is_required_when_the_request_names_none() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_AUDIENCE", format!("https://two.test,{AUDIENCE}"))
        .start();
    let good = sidecar.sign_for("client").token;
    let other = sidecar
        .sign(&json!({ "sub": "client", "aud": "https://other.test" }))
        .token;
    assert_eq!(
        sidecar.post("/v1/verify", &json!({ "token": good })).json()["active"],
        true
    );
    let refused = sidecar.post("/v1/verify", &json!({ "token": other })).json();
    assert_eq!(refused["error"], "wrong_audience", "{refused}");
    let answer = sidecar
        .post(
            "/v1/verify",
            &json!({ "token": other, "audience": "https://other.test" }),
        )
        .json();
    assert_eq!(answer["active"], true, "the request goes before the setting: {answer}");
}

#[test]
fn a_token_dies_at_its_exp_and_the_skew_later_at_the_latest() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_CLOCK_SKEW", "0s").start();
    let request = json!({ "claims": { "sub": "s", "aud": AUDIENCE }, "ttl": 1 });
    let signed = sidecar.sign_over(&mut sidecar.socket(), &request);
    let refused = wait_for("the token to expire", PATIENCE, || {
        let answer = sidecar.verify(&signed.token);
        (answer["active"] == false).then_some(answer)
    });
    assert_eq!(refused["error"], "expired", "{refused}");
    assert!(!signed.is_alive(), "refused before its exp");
}
