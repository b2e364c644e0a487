//! Orders with a fake sidecar that has its batch interface.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use super::*;
use crate::testserver::{Answer, TestServer};

/// Answers like `/v1/sign/batch`. The token is the subject; a subject that ends in `bad` gets a problem.
fn signer(bad: Option<usize>) -> Answer {
    Arc::new(move |parts, body| {
        assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", "/v1/sign/batch"));
        let question: Value = serde_json::from_slice(&body).expect("JSON");
        let items: Vec<Value> = question["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| {
                assert_eq!((&item["claims"]["aud"], &item["ttl"]), (&json!("api"), &json!(60)));
                let subject = item["claims"]["sub"].as_str().expect("a subject");
                match bad {
                    Some(number) if subject == format!("user-{number:08}") => {
                        json!({"status": 422, "title": "refused"})
                    }
                    _ => json!({"token": format!("x.{subject}.y"), "kid": "k", "exp": 1}),
                }
            })
            .collect();
        Response::new(Full::new(json!({"items": items}).to_string().into()))
    })
}

fn order(directory: &Path) -> Order {
    Order {
        socket: directory.join("socket"),
        count: 1_000,
        audience: "api".to_owned(),
        ttl: 60,
        out: directory.join("bodies"),
    }
}

#[test]
fn exactly_as_many_distinct_bodies_are_written_as_ordered() {
    let directory = tempfile::tempdir().expect("a directory");
    let order = order(directory.path());
    let _server = TestServer::start(Some(&order.socket), signer(None));
    let out = order.out.clone();
    assert_eq!(make(order).expect("all are made"), 1_000);
    let text = fs::read_to_string(out).expect("written");
    let tokens: HashSet<String> = text
        .lines()
        .map(|line| {
            let body: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(body["audience"], json!(["api"]));
            body["token"].as_str().expect("a token").to_owned()
        })
        .collect();
    assert_eq!(tokens.len(), 1_000);
}

#[test]
fn one_refused_item_fails_the_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let order = order(directory.path());
    let _server = TestServer::start(Some(&order.socket), signer(Some(500)));
    let error = make(order).expect_err("a failure");
    assert!(error.to_string().contains("refused"), "{error}");
}
