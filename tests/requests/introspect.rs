//! `POST /v1/introspect` by RFC 7662.

use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection};
use crate::harness::{AUDIENCE, Home, Sidecar, Spec};
use crate::tokens::hostile;
use crate::{expect, works};

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

fn sidecar() -> Sidecar {
    Spec::new(&Home::new()).set("SIGNET_AUDIENCE", AUDIENCE).start()
}

fn ask(connection: &mut Connection, form: &str) -> Answer {
    connection
        .request("POST", "/v1/introspect", &FORM, Some(form.as_bytes()))
        .expect("an answer")
}

fn said(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_str(&answer.text()).expect("JSON without duplicate members")
}

#[test]
fn a_good_token_is_active_and_says_what_was_signed() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    let said = said(&ask(
        &mut connection,
        &format!("token={token}&token_type_hint=access_token&more=1"),
    ));
    assert_eq!(said["active"], json!(true));
    assert_eq!(said["token_type"], json!("Bearer"));
    assert_eq!(
        (&said["sub"], &said["aud"], &said["scope"]),
        (&json!("client"), &json!(AUDIENCE), &json!("read write"))
    );
    for claim in ["iss", "exp", "iat", "jti"] {
        assert!(said.get(claim).is_some(), "{claim}: {said}");
    }
}

#[test]
fn a_claim_does_not_say_whether_its_token_is_active() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let claims = json!({ "sub": "client", "aud": AUDIENCE, "active": false, "token_type": "mac" });
    let token = sidecar.sign_over(&mut connection, &json!({ "claims": claims })).token;
    let answer = ask(&mut connection, &format!("token={token}"));
    assert_eq!(answer.text().matches("\"active\"").count(), 1, "{}", answer.text());
    let said = said(&answer);
    assert_eq!((&said["active"], &said["token_type"]), (&json!(true), &json!("Bearer")));
}

#[test]
fn a_bad_token_is_inactive_and_nobody_learns_why() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let good = works(&sidecar, &mut connection);
    let foreign = crate::sidecar();
    for (name, bad, _) in hostile(&good, &works(&foreign, &mut foreign.socket())) {
        // This is not a request.
        if bad.trim().is_empty() {
            continue;
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", &bad)
            .finish();
        assert_eq!(said(&ask(&mut connection, &form)), json!({ "active": false }), "{name}");
    }
    let token = good.token;
    for narrowed in [
        "audience=other",
        "scope=admin",
        "issuer=https%3A%2F%2Fother.example.com",
    ] {
        let answer = ask(&mut connection, &format!("token={token}&{narrowed}"));
        assert_eq!(said(&answer), json!({ "active": false }), "{narrowed}");
    }
    assert_eq!(
        said(&ask(&mut connection, &format!("token={token}&scope=read")))["active"],
        json!(true)
    );
}

#[test]
fn what_is_no_request_for_introspection_is_refused() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    for form in [
        String::new(),
        "tokens=a".to_owned(),
        format!("token={token}&token={token}"),
    ] {
        expect(&form, &ask(&mut connection, &form), 400, "invalid_request");
    }
    let form = format!("token={token}");
    let request = |connection: &mut Connection, method, headers: &[(&str, &str)]| {
        connection
            .request(method, "/v1/introspect", headers, Some(form.as_bytes()))
            .expect("an answer")
    };
    let answer = request(&mut connection, "POST", &[("content-type", "application/json")]);
    expect("JSON", &answer, 415, "unsupported_media_type");
    let answer = request(&mut connection, "POST", &[]);
    expect("no type", &answer, 415, "unsupported_media_type");
    let answer = request(&mut connection, "GET", &FORM);
    expect("GET", &answer, 405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("POST"));
}
