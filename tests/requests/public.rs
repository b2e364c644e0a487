//! The public documents: what caches, browsers and discovery clients rely on.

use serde_json::{Value, json};

use crate::harness::{Home, ISSUER, Spec};
use crate::{expect, sidecar};

const DOCUMENTS: [&str; 3] = [
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

#[test]
fn each_document_has_a_strong_tag_and_is_not_sent_again_to_who_has_it() {
    let sidecar = sidecar();
    let mut connection = sidecar.public();
    for path in DOCUMENTS {
        let whole = connection.get(path).expect("an answer");
        assert_eq!(whole.status, 200);
        let tag = whole.header("etag").expect("ETag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
        let head = connection.request("HEAD", path, &[], None).expect("an answer");
        let length = whole.body.len().to_string();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some(length.as_str()))
        );
        for name in ["etag", "content-type", "access-control-allow-origin"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
        for (tags, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"x\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let answer = connection
                .request("GET", path, &[("if-none-match", &tags)], None)
                .expect("an answer");
            assert_eq!(
                (answer.status, answer.header("etag")),
                (status, Some(tag.as_str())),
                "{tags}"
            );
            assert_eq!(answer.body.is_empty(), status == 304);
            assert!(answer.header("cache-control").is_some(), "RFC 9110 §15.4.5: {tags}");
        }
    }
}

#[test]
fn each_document_may_be_read_by_scripts_from_anywhere_and_kept_for_the_configured_time() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_JWKS_MAX_AGE", "2m")
        .set("SIGNET_VERIFIER_CACHE", "10m")
        .start();
    let mut connection = sidecar.public();
    for path in DOCUMENTS {
        let answer = connection.get(path).expect("an answer");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let expected = "public, max-age=120, stale-while-revalidate=480, stale-if-error=480";
        assert_eq!(answer.header("cache-control"), Some(expected), "{path}");
    }
}

/// A script may send `If-None-Match` only if the server has allowed it to the browser.
#[test]
fn a_browser_that_asks_before_it_sends_a_tag_is_told_that_it_may() {
    let sidecar = sidecar();
    let mut connection = sidecar.public();
    for path in DOCUMENTS {
        let asks = [
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "if-none-match"),
        ];
        for headers in [&asks[..], &[]] {
            let answer = connection.request("OPTIONS", path, headers, None).expect("an answer");
            assert_eq!((answer.status, answer.header("content-length")), (204, None), "{path}");
            for (name, value) in [
                ("allow", "GET, HEAD, OPTIONS"),
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
                ("access-control-allow-headers", "If-None-Match"),
                ("access-control-max-age", "86400"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{path}: {name}");
            }
        }
        // A script can see the tag.
        let answer = connection.get(path).expect("an answer");
        assert_eq!(answer.header("access-control-expose-headers"), Some("ETag"), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = connection.request(method, path, &[], None).expect("an answer");
            expect(method, &answer, 405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{method} {path}");
            assert_eq!(
                answer.header("access-control-allow-origin"),
                Some("*"),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn max_age_ends_with_the_next_change_of_the_set() {
    // A successor is due at P − L = 30 s, long before the max-age of 60 s ends.
    let sidecar = Spec::new(&Home::new())
        .set_all(&[("SIGNET_ROTATION_PERIOD", "150s"), ("SIGNET_PUBLISH_LEAD", "75s")])
        .set_all(&[("SIGNET_JWKS_MAX_AGE", "60s"), ("SIGNET_VERIFIER_CACHE", "0s")])
        .set_all(&[("SIGNET_CLOCK_SKEW", "0s"), ("SIGNET_REFRESH_INTERVAL", "1s")])
        .start();
    let answer = sidecar.public().get(DOCUMENTS[0]).expect("an answer");
    let cache = answer.header("cache-control").expect("Cache-Control");
    assert!(cache.starts_with("public, max-age=60,"), "75 s are left: {cache}");

    let sidecar = Spec::new(&Home::new())
        .set_all(&[("SIGNET_ROTATION_PERIOD", "150s"), ("SIGNET_PUBLISH_LEAD", "75s")])
        .set_all(&[("SIGNET_JWKS_MAX_AGE", "74s"), ("SIGNET_VERIFIER_CACHE", "0s")])
        .set_all(&[("SIGNET_CLOCK_SKEW", "0s"), ("SIGNET_REFRESH_INTERVAL", "1s")])
        .start();
    let mut connection = sidecar.public();
    crate::harness::time::wait_for("max-age to shrink", crate::harness::PATIENCE, || {
        let answer = connection.get(DOCUMENTS[0]).expect("an answer");
        answer
            .header("cache-control")
            .expect("Cache-Control")
            .starts_with("public, max-age=72,")
            .then_some(())
    });
}

#[test]
fn the_discovery_documents_lead_to_the_keys() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_ISSUER", format!("{ISSUER}/realm/"))
        .set("SIGNET_ALGORITHM", "EdDSA")
        .start();
    let mut connection = sidecar.public();
    for path in &DOCUMENTS[1..] {
        let document = connection.get(path).expect("an answer").json();
        assert_eq!(document["issuer"], format!("{ISSUER}/realm/"));
        assert_eq!(document["jwks_uri"], format!("{ISSUER}/realm/.well-known/jwks.json"));
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["EdDSA"]));
        // OpenID Connect Discovery 1.0 §3 and RFC 8414 §2 require these. RFC 8414 §3.2 forbids empty members.
        assert_eq!(document["response_types_supported"], json!(["id_token"]));
        assert_eq!(document["subject_types_supported"], json!(["public"]));
        for (name, value) in document.as_object().expect("an object") {
            assert!(
                *value != json!([]) && *value != json!("") && !value.is_null(),
                "{name}: {document}"
            );
        }
    }
}

#[test]
fn the_jwks_holds_public_members_only_for_every_kind_of_key() {
    for (algorithm, members) in [
        ("RS256", vec!["alg", "e", "kid", "kty", "n", "use"]),
        ("ES384", vec!["alg", "crv", "kid", "kty", "use", "x", "y"]),
        ("EdDSA", vec!["alg", "crv", "kid", "kty", "use", "x"]),
    ] {
        let sidecar = Spec::new(&Home::new()).set("SIGNET_ALGORITHM", algorithm).start();
        let set = sidecar.public().get(DOCUMENTS[0]).expect("an answer").json();
        let key = &set["keys"][0];
        let mut given: Vec<&str> = key.as_object().expect("a key").keys().map(String::as_str).collect();
        given.sort_unstable();
        assert_eq!(given, members, "{set}");
        assert_eq!((&key["alg"], &key["use"]), (&json!(algorithm), &json!("sig")));
        assert_eq!(set.as_object().map(serde_json::Map::len), Some(1), "{set}");
    }
}

#[test]
fn nothing_else_is_public() {
    let sidecar = sidecar();
    let mut connection = sidecar.public();
    for path in [
        "/",
        "/v1/sign",
        "/v1/ring",
        "/metrics",
        "/readyz",
        "/.well-known/",
        "/.well-known/jwks.json/",
        "//.well-known/jwks.json",
    ] {
        expect(path, &connection.get(path).expect("an answer"), 404, "not_found");
    }
    let answer = connection.request("OPTIONS", "/nowhere", &[], None).expect("an answer");
    expect("OPTIONS", &answer, 404, "not_found");
    // A query does not select another document.
    let set: Value = connection
        .get("/.well-known/jwks.json?cache=bust")
        .expect("an answer")
        .json();
    assert!(set["keys"].is_array());
}
