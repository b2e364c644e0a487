//! `POST /v1/sign/batch` and `/v1/verify/batch`: each item succeeds or fails on its own, in order.

use serde_json::{Value, json};

use crate::harness::{AUDIENCE, Signed};
use crate::{expect, sidecar, works};

const MOST: usize = 1024;

fn word(item: &Value) -> String {
    let kind = item["type"].as_str().unwrap_or("");
    let kind = kind.strip_prefix("urn:signet:problem:").unwrap_or("");
    format!("{kind}{}", item["error"].as_str().unwrap_or(""))
}

#[test]
fn a_wrong_batch_is_refused_as_a_whole() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let many = json!({ "items": vec![json!({}); MOST + 1] }).to_string();
    for (name, body, problem) in [
        ("an empty body", "", "invalid_request"),
        ("no items", "{}", "invalid_request"),
        ("a bare array", "[[{}]]", "invalid_request"),
        ("items that are an object", r#"{"items":{}}"#, "invalid_request"),
        ("an unknown member", r#"{"items":[{}],"ttl":1}"#, "invalid_request"),
        ("items twice", r#"{"items":[{}],"items":[{}]}"#, "invalid_request"),
        ("an empty list", r#"{"items":[]}"#, "invalid_batch"),
        ("one too many", &many, "invalid_batch"),
    ] {
        for path in ["/v1/sign/batch", "/v1/verify/batch"] {
            let answer = connection.post(path, body.as_bytes()).expect("an answer");
            expect(&format!("{name} to {path}"), &answer, 400, problem);
            works(&sidecar, &mut connection);
        }
    }
}

#[test]
fn good_and_bad_items_are_answered_in_their_order() {
    let sidecar = sidecar();
    let claims = |n: usize| json!({ "claims": { "sub": format!("client {n}"), "aud": AUDIENCE } });
    let items = json!([claims(0), { "claims": {} }, claims(2), "text", { "claims": { "sub": "s", "aud": "a", "exp": 1 } }, claims(5)]);
    let answer = sidecar.post("/v1/sign/batch", &json!({ "items": items }));
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let words: Vec<String> = answer["items"].as_array().expect("items").iter().map(word).collect();
    assert_eq!(
        words,
        ["", "missing_claim", "", "invalid_request", "contradicting_claim", ""],
        "{answer}"
    );

    let signed: Vec<Signed> = [0, 2, 5].map(|n| Signed::from_json(&answer["items"][n])).into();
    signed.iter().for_each(|signed| sidecar.remember(&signed.token));
    let ask = |token: &str| json!({ "token": token, "audience": AUDIENCE });
    let tampered = format!("{}AAAA", signed[1].token);
    let items =
        json!([ask(&signed[2].token), ask("nonsense"), { "token": "x" }, ask(&tampered), 7, ask(&signed[0].token)]);
    let answer = sidecar.post("/v1/verify/batch", &json!({ "items": items })).json();
    let words: Vec<String> = answer["items"].as_array().expect("items").iter().map(word).collect();
    assert_eq!(
        words,
        [
            "",
            "malformed",
            "audience_required",
            "bad_signature",
            "invalid_request",
            ""
        ],
        "{answer}"
    );
    assert_eq!(answer["items"][0]["claims"]["sub"], "client 5");
    assert_eq!(answer["items"][5]["claims"]["sub"], "client 0");
}

#[test]
fn a_full_batch_is_signed_and_verified_whole() {
    for algorithm in ["ES256", "RS256"] {
        let sidecar = crate::Spec::new(&crate::Home::new())
            .set("SIGNET_ALGORITHM", algorithm)
            .start();
        let size = if algorithm == "RS256" { 64 } else { MOST };
        let items: Vec<Value> = (0..size)
            .map(|n| json!({ "claims": { "sub": format!("{n}"), "aud": AUDIENCE } }))
            .collect();
        let answer = sidecar.post("/v1/sign/batch", &json!({ "items": items })).json();
        let signed = answer["items"].as_array().expect("items").iter();
        let asks: Vec<Value> = signed
            .map(|item| json!({ "token": Signed::from_json(item).token, "audience": AUDIENCE }))
            .collect();
        let answer = sidecar.post("/v1/verify/batch", &json!({ "items": asks })).json();
        let items = answer["items"].as_array().expect("items");
        assert_eq!(items.len(), size);
        for (n, item) in items.iter().enumerate() {
            assert_eq!(
                (&item["active"], &item["claims"]["sub"]),
                (&json!(true), &json!(n.to_string()))
            );
        }
    }
}
