//! Headers for chosen claims, and which issuers a route accepts.

use serde_json::{Value, json};

use crate::expect;
use crate::harness::http::{Answer, Connection};
use crate::harness::{AUDIENCE, Home, ISSUER, Sidecar, Spec};

const CHOSEN: &str = "email:x-auth-email,/org/roles:x-auth-roles,https://example.com/plan:x-plan";

fn sidecar() -> Sidecar {
    Spec::new(&Home::new())
        .set("SIGNET_AUDIENCE", AUDIENCE)
        .set("SIGNET_CLAIM_HEADERS", CHOSEN)
        .set("SIGNET_CLAIM_HEADERS_MAX", "2048")
        .start()
}

fn ask(sidecar: &Sidecar, connection: &mut Connection, more: &Value, query: &str) -> Answer {
    let mut claims = json!({ "sub": "client", "aud": AUDIENCE });
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let token = sidecar.sign_over(connection, &json!({ "claims": claims })).token;
    let headers = [("authorization", format!("Bearer {token}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    connection
        .request("GET", &format!("/v1/authorize{query}"), &headers, None)
        .expect("an answer")
}

#[test]
fn chosen_claims_have_headers_and_those_that_are_not_there_empty_ones() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let claims = json!({ "email": "ann@example.com", "org": { "roles": ["a", "b"] }, "https://example.com/plan": 7 });
    for (claims, email, roles, plan) in [(claims, "ann@example.com", "a,b", "7"), (json!({}), "", "", "")] {
        // Once verified, and once from the cache.
        for _ in 0..2 {
            let answer = ask(&sidecar, &mut connection, &claims, "");
            assert_eq!(answer.status, 200, "{}", answer.text());
            let given = ["x-auth-email", "x-auth-roles", "x-plan"].map(|name| answer.header(name));
            assert_eq!(given, [Some(email), Some(roles), Some(plan)]);
            assert_eq!(answer.header("x-auth-subject"), Some("client"));
        }
    }
}

#[test]
fn a_claim_that_could_not_arrive_as_it_was_signed_keeps_its_token_out() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    for claims in [
        json!({ "email": "a\r\nx-auth-subject: root" }),
        json!({ "email": "a\nb" }),
        json!({ "email": "a\u{0}b" }),
        json!({ "email": " a" }),
        json!({ "email": { "a": 1 } }),
        json!({ "org": { "roles": ["a,admin"] } }),
        json!({ "org": { "roles": [["admin"]] } }),
    ] {
        let answer = ask(&sidecar, &mut connection, &claims, "");
        assert_eq!(answer.status, 401, "{claims}");
        assert!(
            answer
                .header("www-authenticate")
                .expect("a challenge")
                .contains("invalid_token")
        );
        let names = ["x-auth-subject", "x-auth-email", "x-auth-roles"];
        assert!(names.iter().all(|name| answer.header(name).is_none()), "{claims}");
    }
}

#[test]
fn a_token_that_says_too_much_for_headers_is_kept_out_without_asking_for_another() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let answer = ask(&sidecar, &mut connection, &json!({ "other": "a".repeat(2048) }), "");
    expect("too much", &answer, 403, "identity_too_large");
    assert!(answer.header("x-auth-subject").is_none());
}

#[test]
fn a_route_says_which_issuers_it_takes() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let own = ISSUER;
    for (query, status) in [
        (format!("?issuer={own}"), 200),
        (format!("?issuer=https://other.example.com&issuer={own}"), 200),
        ("?issuer=https://other.example.com".to_owned(), 401),
        (format!("?issuer={own}/"), 401),
        ("?issuer=".to_owned(), 400),
        ("?issuers=a".to_owned(), 400),
    ] {
        let answer = ask(&sidecar, &mut connection, &json!({}), &query);
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    }
}
