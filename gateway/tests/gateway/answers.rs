//! How answers of backends are processed: filters, merge, chain, fixed members, statuses and headers.

use serde_json::json;

use crate::support::{Answer, Backend, Gateway, reply};

const ANSWERS: &[(&str, &str)] = &[
    (
        "/user",
        r#"{"id": 7, "name": "<b>", "address": {"city": "X", "zip": 1.50}, "tags": ["a", "b"], "none": null}"#,
    ),
    ("/orders/7", r#"{"orders": [1, 2], "name": "orders"}"#),
    ("/orders/a,b", r#"{"joined": true}"#),
    ("/orders/a%2Cb", r#"{"joined": true}"#),
    ("/list", r#"[1, {"a": 2}]"#),
    ("/empty", "{}"),
    ("/null", "null"),
    ("/text", "\"just text\""),
];

fn served(endpoint: serde_json::Value) -> (Backend, Gateway) {
    let backend = Backend::json(ANSWERS);
    let mut endpoint = endpoint;
    endpoint["endpoint"] = "/x".into();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "cache_ttl": "1h", "endpoints": [endpoint]}));
    (backend, gateway)
}

/// The answer of an endpoint with these keys.
fn answered(endpoint: serde_json::Value) -> Answer {
    let (_backend, gateway) = served(endpoint);
    gateway.get("/x")
}

fn completed(answer: &Answer) -> (u16, &str, Option<&str>) {
    (
        answer.status,
        answer.header("x-krakend-completed").unwrap_or("absent"),
        answer.header("cache-control"),
    )
}

const COMPLETE: (u16, &str, Option<&str>) = (200, "true", Some("public, max-age=3600"));
const INCOMPLETE: (u16, &str, Option<&str>) = (200, "false", None);
const FAILED: (u16, &str, Option<&str>) = (500, "false", None);

#[test]
fn one_backend_without_filters_hands_on_its_octets() {
    let answer = answered(json!({"backend": [{"url_pattern": "/user"}]}));
    assert_eq!(completed(&answer), COMPLETE);
    assert_eq!(answer.body, ANSWERS[0].1);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[test]
fn filters_make_of_an_object_what_the_file_says() {
    let answer = answered(
        json!({"backend": [{"url_pattern": "/user", "allow": ["address.zip", "name"],
        "mapping": {"name": "title"}, "group": "user"}]}),
    );
    assert_eq!(completed(&answer), COMPLETE);
    assert_eq!(
        answer.body,
        r#"{"user":{"address":{"zip":1.50},"title":"\u003cb\u003e"}}"#
    );
}

#[test]
fn arrays_texts_and_nothing_have_a_place_in_an_object() {
    for (endpoint, status, body) in [
        (
            json!({"backend": [{"url_pattern": "/list", "is_collection": true}]}),
            COMPLETE,
            r#"{"collection":[1, {"a": 2}]}"#,
        ),
        (
            json!({"output_encoding": "json-collection", "backend": [{"url_pattern": "/list", "is_collection": true}]}),
            COMPLETE,
            r#"[1, {"a": 2}]"#,
        ),
        (
            json!({"backend": [{"url_pattern": "/list", "encoding": "safejson"}]}),
            COMPLETE,
            r#"{"collection":[1, {"a": 2}]}"#,
        ),
        (
            json!({"output_encoding": "string", "backend": [{"url_pattern": "/text", "encoding": "safejson"}]}),
            COMPLETE,
            "just text",
        ),
        (
            json!({"backend": [{"url_pattern": "/text", "encoding": "string"}]}),
            COMPLETE,
            r#"{"content":"\"just text\""}"#,
        ),
        (json!({"backend": [{"url_pattern": "/empty"}]}), INCOMPLETE, "{}"),
        (json!({"backend": [{"url_pattern": "/null"}]}), INCOMPLETE, "{}"),
        (json!({"backend": [{"url_pattern": "/list"}]}), FAILED, ""),
        (
            json!({"backend": [{"url_pattern": "/user", "is_collection": true}]}),
            FAILED,
            "",
        ),
        (json!({"backend": [{"url_pattern": "/nothing"}]}), FAILED, ""),
    ] {
        let answer = answered(endpoint.clone());
        assert_eq!((completed(&answer), answer.body.as_str()), (status, body), "{endpoint}");
    }
}

#[test]
fn several_backends_are_merged_in_the_order_of_the_file() {
    let merge = |first: &str, second: &str| {
        json!({"backend": [
        {"url_pattern": first, "allow": ["name", "orders"]}, {"url_pattern": second, "allow": ["name", "id"]}]})
    };
    let answer = answered(merge("/user", "/orders/7"));
    assert_eq!(
        (completed(&answer), answer.body.as_str()),
        (COMPLETE, r#"{"name":"orders"}"#)
    );
    let answer = answered(merge("/orders/7", "/user"));
    assert_eq!(
        (completed(&answer), answer.json()),
        (COMPLETE, json!({"id": 7, "name": "<b>", "orders": [1, 2]}))
    );
    let answer = answered(merge("/nothing", "/user"));
    assert_eq!(
        (completed(&answer), answer.json()),
        (INCOMPLETE, json!({"id": 7, "name": "<b>"}))
    );
    assert_eq!(completed(&answered(merge("/nothing", "/nothing"))), FAILED);
}

#[test]
fn a_chain_fills_the_next_url_from_the_answers_before() {
    let chain = |second: &str| {
        json!({"extra_config": {"proxy": {"sequential": true}}, "backend": [
        {"url_pattern": "/user", "allow": ["id", "tags", "address", "none"]}, {"url_pattern": second}]})
    };
    for (second, status, asked) in [
        ("/orders/{resp0_id}", COMPLETE, "/orders/7"),
        ("/orders/{resp0_tags}", COMPLETE, "/orders/a%2Cb"),
        ("/orders/{resp0_address.zip}", INCOMPLETE, "/orders/1.50"),
    ] {
        let (backend, gateway) = served(chain(second));
        assert_eq!(completed(&gateway.get("/x")), status, "{second}");
        assert_eq!(backend.asked()[1].target, asked);
    }
    // A value without a text is not used in a request.
    for second in [
        "/orders/{resp0_none}",
        "/orders/{resp0_missing}",
        "/orders/{resp0_address}",
    ] {
        let (backend, gateway) = served(chain(second));
        let answer = gateway.get("/x");
        assert_eq!(
            (completed(&answer), &answer.json()["id"]),
            (INCOMPLETE, &json!(7)),
            "{second}"
        );
        assert_eq!(backend.asked().len(), 1, "{second}");
    }
    let first_fails = json!({"extra_config": {"proxy": {"strategy": "sequential"}}, "backend": [
        {"url_pattern": "/nothing"}, {"url_pattern": "/user"}]});
    assert_eq!(completed(&answered(first_fails)), FAILED);
}

#[test]
fn fixed_members_stand_over_what_backends_say() {
    let fixed = |strategy: &str, pattern: &str| {
        json!({"extra_config": {"proxy": {"static": {"strategy": strategy,
        "data": {"name": "fixed", "more": {"a": [1.50]}}}}}, "backend": [{"url_pattern": pattern, "allow": ["name"]}]})
    };
    for (strategy, pattern, status, body) in [
        ("always", "/user", COMPLETE, r#"{"more":{"a":[1.5]},"name":"fixed"}"#),
        (
            "always",
            "/nothing",
            INCOMPLETE,
            r#"{"more":{"a":[1.5]},"name":"fixed"}"#,
        ),
        ("errored", "/user", COMPLETE, r#"{"name":"\u003cb\u003e"}"#),
        (
            "errored",
            "/nothing",
            INCOMPLETE,
            r#"{"more":{"a":[1.5]},"name":"fixed"}"#,
        ),
        ("success", "/nothing", FAILED, ""),
    ] {
        let answer = answered(fixed(strategy, pattern));
        assert_eq!(
            (completed(&answer), answer.body.as_str()),
            (status, body),
            "{strategy} {pattern}"
        );
    }
}

#[test]
fn the_error_of_a_backend_is_shown_as_the_file_says() {
    let backend = Backend::start(|_, stream| reply(stream, 418, &[("content-type", "text/x-tea")], "I'm a teapot"));
    let of = |backend: serde_json::Value, more: serde_json::Value| {
        let mut endpoints = vec![json!({"endpoint": "/one", "backend": [backend]})];
        let mut second = endpoints[0].clone();
        second["endpoint"] = "/two".into();
        let other = second["backend"][0].clone();
        second["backend"].as_array_mut().expect("an array").push(other);
        endpoints.push(second);
        json!({"endpoints": endpoints, "extra_config": {"router": more}})
    };
    let http = |config: serde_json::Value| json!({"host": [backend.host()], "url_pattern": "/", "extra_config": {"backend/http": config}});
    let gateway = Gateway::start(&of(http(json!({"return_error_code": true})), json!({})));
    let answer = gateway.get("/one");
    assert_eq!((answer.status, answer.body.as_str()), (418, ""));
    assert_eq!(gateway.get("/two").status, 500, "it has no effect in a merge");
    let gateway = Gateway::start(&of(
        http(json!({"return_error_code": true})),
        json!({"return_error_msg": true}),
    ));
    let answer = gateway.get("/one");
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("content-type")),
        (418, "I'm a teapot", Some("text/x-tea"))
    );
    assert_eq!(
        gateway.get("/two").body,
        "a backend answered 418\na backend answered 418"
    );
    let gateway = Gateway::start(&of(http(json!({"return_error_details": "tea"})), json!({})));
    let details = json!({"error_tea": {"http_status_code": 418, "http_body": "I'm a teapot", "http_body_encoding": "text/x-tea"}});
    for path in ["/one", "/two"] {
        let answer = gateway.get(path);
        assert_eq!(
            (completed(&answer), answer.json()),
            (INCOMPLETE, details.clone()),
            "{path}"
        );
    }
}

#[test]
fn a_body_goes_to_each_of_several_backends() {
    let backend = Backend::echo();
    let gateway = Gateway::start(
        &json!({"host": [backend.host()], "endpoints": [{"endpoint": "/x", "method": "POST",
        "backend": [{"url_pattern": "/a", "group": "a"}, {"url_pattern": "/b", "group": "b", "method": "GET"}]}]}),
    );
    let answer = gateway
        .send("POST", "/x", &[("content-type", "text/plain")], "to both")
        .json();
    for (part, method) in [("a", "POST"), ("b", "GET")] {
        assert_eq!(
            (&answer[part]["method"], &answer[part]["body"]),
            (&json!(method), &json!("to both")),
            "{part}"
        );
        assert_eq!(answer[part]["headers"]["content-length"], "7");
    }
}
