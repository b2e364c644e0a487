//! `/v1/authorize` as gateways use it: the answer is in the status and the headers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::http::{Answer, Connection};
use crate::harness::{AUDIENCE, Home, Sidecar, Spec};
use crate::tokens::hostile;
use crate::{expect, works};

const IDENTITY: [&str; 3] = ["x-auth-subject", "x-auth-scope", "x-auth-claims"];

fn sidecar() -> Sidecar {
    Spec::new(&Home::new()).set("SIGNET_AUDIENCE", AUDIENCE).start()
}

fn ask(connection: &mut Connection, path: &str, authorization: &[&str]) -> Answer {
    let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("authorization", *value)).collect();
    connection.request("GET", path, &headers, None).expect("an answer")
}

fn has_no_identity(name: &str, answer: &Answer) {
    for header in IDENTITY {
        assert_eq!(answer.header(header), None, "{name}");
    }
}

#[test]
fn a_good_token_is_answered_with_the_identity_whatever_the_method() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let authorization = format!("{scheme} {token}");
            let headers = [("authorization", authorization.as_str()), ("x-auth-subject", "root")];
            let answer = connection
                .request(method, "/v1/authorize", &headers, None)
                .expect("an answer");
            assert_eq!(
                (answer.status, answer.body.len()),
                (200, 0),
                "{method}: {}",
                answer.text()
            );
            let subjects = answer
                .headers
                .iter()
                .filter(|(name, _)| name == "x-auth-subject")
                .count();
            assert_eq!(
                (answer.header("x-auth-subject"), subjects),
                (Some("client"), 1),
                "{method}"
            );
            assert_eq!(answer.header("x-auth-scope"), Some("read write"));
            let claims = URL_SAFE_NO_PAD
                .decode(answer.header("x-auth-claims").expect("claims"))
                .expect("base64url");
            let claims: Value = serde_json::from_slice(&claims).expect("JSON");
            assert_eq!((&claims["sub"], &claims["aud"]), (&json!("client"), &json!(AUDIENCE)));
        }
    }
}

#[test]
fn requests_without_a_single_bearer_token_are_refused_as_rfc_6750_has_it() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let token = works(&sidecar, &mut connection).token;
    let bearer = format!("Bearer {token}");
    let two_in_one = format!("Bearer {token}, Bearer {token}");
    let two_tokens = format!("Bearer {token} {token}");
    let no_challenge_code = r#"Bearer realm="api""#;
    for (name, headers, status, problem, challenge) in [
        ("none", vec![], 401, "token_required", no_challenge_code),
        (
            "Basic",
            vec!["Basic dXNlcjpwYXNz"],
            401,
            "token_required",
            no_challenge_code,
        ),
        (
            "another scheme",
            vec!["DPoP abc"],
            401,
            "token_required",
            no_challenge_code,
        ),
        (
            "two headers",
            vec![&bearer, &bearer],
            400,
            "invalid_request",
            r#"Bearer error="invalid_request""#,
        ),
        (
            "Basic and Bearer",
            vec!["Basic dXNlcjpwYXNz", &bearer],
            400,
            "invalid_request",
            r#"Bearer error="invalid_request""#,
        ),
        ("no scheme", vec![&token], 401, "token_required", no_challenge_code),
        ("empty", vec![""], 401, "token_required", no_challenge_code),
        ("blanks", vec!["  \t "], 401, "token_required", no_challenge_code),
        // A scheme may have no parameters (RFC 9110 §11.6.2).
        (
            "another scheme alone",
            vec!["Negotiate"],
            401,
            "token_required",
            no_challenge_code,
        ),
        (
            "another scheme that is not ASCII",
            vec!["Basic é"],
            401,
            "token_required",
            no_challenge_code,
        ),
        (
            "a scheme that begins with ours",
            vec!["Bearers a.b.c"],
            401,
            "token_required",
            no_challenge_code,
        ),
        (
            "our scheme alone",
            vec!["Bearer"],
            400,
            "invalid_request",
            r#"Bearer error="invalid_request""#,
        ),
        (
            "not ASCII",
            vec!["Bearer é"],
            400,
            "invalid_request",
            r#"Bearer error="invalid_request""#,
        ),
        (
            "two in one header",
            vec![&two_in_one],
            401,
            "invalid_token",
            r#"Bearer error="invalid_token""#,
        ),
        (
            "two tokens",
            vec![&two_tokens],
            401,
            "invalid_token",
            r#"Bearer error="invalid_token""#,
        ),
        (
            "quotes",
            vec![r#"Bearer "x\"y""#],
            401,
            "invalid_token",
            r#"Bearer error="invalid_token""#,
        ),
    ] {
        let answer = ask(&mut connection, "/v1/authorize", &headers);
        expect(name, &answer, status, problem);
        let given = answer.header("www-authenticate").expect("a challenge");
        assert!(given.starts_with(challenge), "{name}: {given}");
        assert!(
            challenge != no_challenge_code || given == challenge,
            "RFC 6750 §3.1: no code without credentials: {given}"
        );
        has_no_identity(name, &answer);
        assert_eq!(
            ask(&mut connection, "/v1/authorize", &[&bearer]).status,
            200,
            "after {name}"
        );
    }
}

#[test]
fn hostile_tokens_are_refused_with_a_challenge_and_without_an_identity() {
    let sidecar = sidecar();
    let foreign = crate::sidecar();
    let mut connection = sidecar.socket();
    let good = works(&sidecar, &mut connection);
    for (name, token, code) in hostile(&good, &works(&foreign, &mut foreign.socket())) {
        // Spaces around a token belong to the header, and an empty token is not one.
        if name == "blanks around it" || token.is_empty() {
            continue;
        }
        let answer = ask(&mut connection, "/v1/authorize", &[&format!("Bearer {token}")]);
        expect(name, &answer, 401, "invalid_token");
        let challenge = answer.header("www-authenticate").expect("a challenge");
        let expected = format!(r#"Bearer error="invalid_token", error_description="{code}: "#);
        assert!(
            challenge.starts_with(&expected) && challenge.ends_with('"'),
            "{name}: {challenge}"
        );
        assert_eq!(challenge.matches('"').count(), 4, "{name}: {challenge}");
        has_no_identity(name, &answer);
    }
}

#[test]
fn a_missing_scope_is_forbidden_and_the_challenge_names_it() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let bearer = format!("Bearer {}", works(&sidecar, &mut connection).token);
    for (query, status) in [
        ("scope=read", 200),
        ("scope=read+write", 200),
        ("scope=read%20write", 200),
        ("scope=admin", 403),
        ("scope=read+admin", 403),
        ("scope=READ", 403),
        ("scope=ad%22min%0d%0aX-Auth-Subject:%20root", 403),
    ] {
        let answer = ask(&mut connection, &format!("/v1/authorize?{query}"), &[&bearer]);
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        if status == 403 {
            expect(query, &answer, 403, "insufficient_scope");
            let challenge = answer.header("www-authenticate").expect("a challenge");
            assert!(
                challenge.starts_with(r#"Bearer error="insufficient_scope", "#),
                "{challenge}"
            );
            assert!(challenge.contains(r#", scope=""#), "RFC 6750 §3: {challenge}");
            assert_eq!(
                challenge.matches('"').count(),
                6,
                "nothing breaks out of the quotes: {challenge}"
            );
            has_no_identity(query, &answer);
        }
    }
}

#[test]
fn an_unknown_parameter_is_refused_and_an_audience_is_always_required() {
    let sidecar = sidecar();
    let strict = crate::sidecar();
    let mut connection = sidecar.socket();
    let bearer = format!("Bearer {}", works(&sidecar, &mut connection).token);
    for query in [
        "scopes=admin",
        "Scope=admin",
        "audience=",
        "audience=+",
        "issuer=",
        "issuer=%20",
        "scope=",
        "scope=+",
        "scope=a&scope=b",
        "x",
        "audience=a&aud=b",
        "=",
        "%FF=1",
    ] {
        let answer = ask(&mut connection, &format!("/v1/authorize?{query}"), &[&bearer]);
        expect(query, &answer, 400, "invalid_request");
        has_no_identity(query, &answer);
    }
    for (query, status) in [
        ("audience=https://api.test", 200),
        ("audience=https%3A%2F%2Fapi.test&audience=b", 200),
        ("audience=a&audience=b", 401),
    ] {
        assert_eq!(
            ask(&mut connection, &format!("/v1/authorize?{query}"), &[&bearer]).status,
            status,
            "{query}"
        );
    }
    let mut connection = strict.socket();
    let bearer = format!("Bearer {}", works(&strict, &mut connection).token);
    let answer = ask(&mut connection, "/v1/authorize", &[&bearer]);
    expect("no audience anywhere", &answer, 400, "audience_required");
    has_no_identity("no audience anywhere", &answer);
}

#[test]
fn no_claim_breaks_out_of_its_header() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let refused = [
        "a\r\nX-Auth-Subject: root",
        "a\nb",
        "a\rb",
        "a\0b",
        "\u{7f}",
        "\u{1b}[2J",
        " root",
        "root ",
        "\troot",
        "a\tb",
    ];
    for name in ["sub", "scope"] {
        for value in refused {
            let claims = json!({ "sub": "s", "aud": AUDIENCE });
            let mut claims = claims.as_object().expect("an object").clone();
            claims.insert(name.to_owned(), value.into());
            let signed = sidecar.sign_over(&mut connection, &json!({ "claims": claims }));
            let answer = ask(&mut connection, "/v1/authorize", &[&format!("Bearer {}", signed.token)]);
            expect(&format!("{name} {value:?}"), &answer, 401, "invalid_token");
            has_no_identity(value, &answer);
            assert_eq!(sidecar.verify(&signed.token)["claims"][name], value, "JSON carries it");
        }
    }
    // Everything that a header can carry arrives unchanged.
    for value in ["Jürgen Müller", "日本語", "a, b; c=\"d\"", "a  b"] {
        let signed = sidecar.sign(&json!({ "sub": value, "aud": AUDIENCE }));
        let answer = ask(&mut connection, "/v1/authorize", &[&format!("Bearer {}", signed.token)]);
        assert_eq!(
            (answer.status, answer.header("x-auth-subject")),
            (200, Some(value)),
            "{}",
            answer.text()
        );
    }
}
