//! Tests of trusted issuers.

use std::time::Duration;

use signet_core::{Algorithm, Audience};
use signet_issuers::{KeysAt, TrustedIssuer};

use super::{Start, problems};

const LOGIN: &str = "https://login.example.com/";

fn file(text: &str) -> Start {
    Start::default().file(text)
}

fn one(start: Start) -> TrustedIssuer {
    let trusted = start.loaded().trusted_issuers;
    let [issuer] = trusted.try_into().expect("one issuer");
    issuer
}

fn where_keys_are(issuer: &TrustedIssuer) -> String {
    let (KeysAt::Jwks(url) | KeysAt::Discovery(url)) = &issuer.keys_at;
    url.to_string()
}

#[test]
fn a_name_is_enough_where_there_is_an_audience() {
    let start = || Start::default().env("SIGNET_TRUSTED_ISSUERS", LOGIN);
    let issuer = one(start().env("SIGNET_AUDIENCE", "orders"));
    assert_eq!(issuer.issuer.as_str(), LOGIN);
    assert_eq!(issuer.audiences, [Audience::new("orders")]);
    assert_eq!(
        where_keys_are(&issuer),
        format!("{LOGIN}.well-known/openid-configuration")
    );
    assert_eq!(issuer.algorithms[0], Algorithm::RS256);
    let refused = start().refused();
    assert!(problems(&refused)[0].contains("RFC 8725"), "{refused}");
}

#[test]
fn a_table_says_what_differs() {
    let issuer = one(file(
        r#"
        [trusted_issuers."https://login.example.com/"]
        audiences = ["orders", "api://orders"]
        audience_claim = "client_id"
        algorithms = ["PS256"]
        scope_claims = ["scp", "/realm_access/roles"]
        jwks_url = "https://keys.example.com/keys?p=policy"
        ca_file = "/ca.pem"
        min_refresh = "10s"
        max_refresh = "20s"
        max_stale = "30s"
        unknown_kid_cooldown = "5s"
        "#,
    ));
    assert_eq!(issuer.audiences.len(), 2);
    assert_eq!(issuer.algorithms, [Algorithm::PS256]);
    assert_eq!(
        issuer.dialect.audience.as_ref().map(ToString::to_string).as_deref(),
        Some("client_id")
    );
    assert_eq!(issuer.dialect.scope.len(), 2);
    assert!(matches!(issuer.keys_at, KeysAt::Jwks(_)));
    let spans = [
        issuer.min_refresh,
        issuer.max_refresh,
        issuer.max_stale,
        issuer.cool_down,
    ];
    assert_eq!(spans.map(|span| span.as_secs()), [10, 20, 30, 5]);
}

#[test]
fn a_bound_that_is_given_moves_the_default_of_the_other() {
    for (bound, min, max) in [("max_refresh = \"30s\"", 30, 30), ("min_refresh = \"2h\"", 7200, 7200)] {
        let issuer = one(file(&format!(
            "[trusted_issuers.\"{LOGIN}\"]\naudiences = [\"a\"]\n{bound}"
        )));
        let at = |secs| Duration::from_secs(secs);
        assert_eq!((issuer.min_refresh, issuer.max_refresh), (at(min), at(max)), "{bound}");
    }
}

#[test]
fn each_mistake_is_told_by_its_place() {
    for (table, place, text) in [
        (
            "audiences = [\"a\"]\naudience = [\"a\"]",
            ".audience",
            "did you mean audiences",
        ),
        (
            "audiences = [\"a\"]\ncolour = \"red\"",
            ".colour",
            "the settings are audiences",
        ),
        ("min_refresh = \"10s\"", ".audiences", "is missing"),
        ("audiences = []", ".audiences", "is empty"),
        ("audiences = \"\"", ".audiences", "is empty"),
        ("audiences = [\"\"]", ".audiences", "has an empty item"),
        ("audiences = [\"a\", \" \"]", ".audiences", "has an empty item"),
        ("audiences = \"a,,b\"", ".audiences", "has an empty item"),
        ("audiences = [\"a\"]\nalgorithms = []", ".algorithms", "is empty"),
        (
            "audiences = [\"a\"]\nalgorithms = [\"\"]",
            ".algorithms",
            "has an empty item",
        ),
        (
            "audiences = [\"a\"]\nscope_claims = [\"\"]",
            ".scope_claims",
            "has an empty item",
        ),
        (
            "audiences = [\"a\"]\naudience_claim = \"\"",
            ".audience_claim",
            "is empty",
        ),
        ("audiences = [\"a\"]\nalgorithms = [\"none\"]", ".algorithms", "none"),
        ("audiences = [\"a\"]\nalgorithms = [\"HS256\"]", ".algorithms", "HS256"),
        (
            "audiences = [\"a\"]\njwks_url = \"http://keys.example.com/\"",
            ".jwks_url",
            "not https",
        ),
        (
            "audiences = [\"a\"]\nscope_claims = [\"/\"]",
            ".scope_claims",
            "JSON pointer",
        ),
        ("audiences = [\"a\"]\nmax_stale = 3600", ".max_stale", "no unit"),
        (
            "audiences = [\"a\"]\nmin_refresh = \"2m\"\nmax_refresh = \"1m\"",
            ".min_refresh",
            "longer",
        ),
        (
            "audiences = [\"a\"]\njwks_url = \"https://a\"\ndiscovery_url = \"https://b\"",
            ".jwks_url",
            "together with discovery_url",
        ),
    ] {
        let refused = file(&format!("[trusted_issuers.\"{LOGIN}\"]\n{table}")).refused();
        assert_eq!(refused.exit_code(), 64);
        let [problem] = problems(&refused).try_into().expect(table);
        assert!(
            problem.contains(&format!("trusted_issuers.{LOGIN:?}{place} ")),
            "{problem}"
        );
        assert!(problem.contains(text), "{problem}");
    }
}

#[test]
fn an_issuer_that_cannot_be_trusted_is_refused() {
    for (names, text) in [
        ("http://login.example.com", "not https"),
        ("login.example.com", "not an absolute"),
        ("https://a.example,https://a.example", "twice"),
        ("http://localhost:8080", "is SIGNET_ISSUER"),
    ] {
        let start = Start::default()
            .env("SIGNET_AUDIENCE", "a")
            .env("SIGNET_TRUSTED_ISSUERS", names);
        let refused = start.refused();
        let [problem] = problems(&refused).try_into().expect(names);
        assert!(problem.contains(text), "{problem}");
    }
}

/// Google documents both `https://accounts.google.com` and `accounts.google.com` as `iss`.
#[test]
fn a_name_that_is_no_url_is_trusted_where_its_keys_are_told() {
    for name in [
        "accounts.google.com",
        "urn:example:issuer",
        "spiffe://example.org",
        "joe",
    ] {
        let table = |key: &str| file(&format!("[trusted_issuers.{name:?}]\naudiences = [\"a\"]\n{key}"));
        let issuer = one(table("jwks_url = \"https://www.googleapis.com/oauth2/v3/certs\""));
        assert_eq!(issuer.issuer.as_str(), name);
        assert_eq!(where_keys_are(&issuer), "https://www.googleapis.com/oauth2/v3/certs");
        for key in [
            "",
            "discovery_url = \"https://accounts.google.com/.well-known/openid-configuration\"",
        ] {
            let refused = table(key).refused();
            let problems = problems(&refused);
            assert!(problems[0].contains("jwks_url"), "{refused}");
        }
    }
    let keys = "jwks_url = \"https://a.example/keys\"";
    for name in ["a b", "é", ""] {
        let start = file(&format!("[trusted_issuers.{name:?}]\naudiences = [\"a\"]\n{keys}"));
        start.refused();
    }
}

#[test]
fn a_table_of_an_issuer_that_the_environment_does_not_name_is_refused() {
    let start = file(&format!("[trusted_issuers.\"{LOGIN}\"]\naudiences = [\"a\"]"));
    let refused = start
        .env("SIGNET_AUDIENCE", "a")
        .env("SIGNET_TRUSTED_ISSUERS", "https://b.example")
        .refused();
    let [problem] = problems(&refused).try_into().expect("one problem");
    assert!(problem.contains("does not name this issuer"), "{problem}");
}
