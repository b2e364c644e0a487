//! Tests of `POST /v1/sign`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::time::unix_millis;
use crate::harness::{AUDIENCE, Home, ISSUER, Spec};
use crate::{expect, sidecar, works};

const GOOD: &str = r#""sub":"client","aud":"https://api.test""#;

fn with_claims(members: &str) -> String {
    format!(r#"{{"claims":{{{GOOD},{members}}}}}"#)
}

fn with_member(member: &str) -> String {
    format!(r#"{{"claims":{{{GOOD}}},{member}}}"#)
}

#[test]
fn wrong_requests_to_sign_are_refused_each_with_its_problem() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases: Vec<(&str, Vec<u8>, &str)> = [
        ("an empty body", String::new(), "invalid_request"),
        ("not JSON", "nonsense".to_owned(), "invalid_request"),
        ("a form", "claims=%7B%7D".to_owned(), "invalid_request"),
        ("an array", format!("[{{{GOOD}}}]"), "invalid_request"),
        ("a string", r#""claims""#.to_owned(), "invalid_request"),
        ("null", "null".to_owned(), "invalid_request"),
        ("cut off", format!(r#"{{"claims":{{{GOOD}}}"#), "invalid_request"),
        (
            "two documents",
            format!(r#"{{"claims":{{{GOOD}}}}}{{}}"#),
            "invalid_request",
        ),
        (
            "a byte order mark",
            format!("\u{feff}{{\"claims\":{{{GOOD}}}}}"),
            "invalid_request",
        ),
        ("no claims", "{}".to_owned(), "invalid_request"),
        ("an unknown member", with_member(r#""expires":300"#), "invalid_request"),
        ("a misspelt member", with_member(r#""TTL":300"#), "invalid_request"),
        (
            "claims twice",
            with_member(&format!(r#""claims":{{{GOOD}}}"#)),
            "invalid_request",
        ),
        ("ttl twice", with_member(r#""ttl":1,"ttl":2"#), "invalid_request"),
        ("a ttl of zero", with_member(r#""ttl":0"#), "invalid_ttl"),
        ("a negative ttl", with_member(r#""ttl":-1"#), "invalid_request"),
        ("a fractional ttl", with_member(r#""ttl":1.5"#), "invalid_request"),
        ("a ttl in exponents", with_member(r#""ttl":1e2"#), "invalid_request"),
        ("a ttl as text", with_member(r#""ttl":"300""#), "invalid_request"),
        (
            "a ttl beyond 64 bits",
            with_member(r#""ttl":18446744073709551616"#),
            "invalid_request",
        ),
        ("an empty typ", with_member(r#""typ":"""#), "invalid_typ"),
        ("a typ with a quote", with_member(r#""typ":"a\"b""#), "invalid_typ"),
        (
            "a typ with a parameter",
            with_member(r#""typ":"jwt;a=b""#),
            "invalid_typ",
        ),
        (
            "a typ of 65 characters",
            with_member(&format!(r#""typ":"{}""#, "a".repeat(65))),
            "invalid_typ",
        ),
        ("a typ that is a number", with_member(r#""typ":5"#), "invalid_request"),
        (
            "claims that are an array",
            r#"{"claims":[]}"#.to_owned(),
            "invalid_claims",
        ),
        (
            "claims that are text",
            r#"{"claims":"sub"}"#.to_owned(),
            "invalid_claims",
        ),
        (
            "claims that are null",
            r#"{"claims":null}"#.to_owned(),
            "invalid_claims",
        ),
        ("a claim twice", with_claims(r#""a":1,"a":2"#), "invalid_claims"),
        (
            "a claim twice, once escaped",
            with_claims("\"a\":1,\"\\u0061\":2"),
            "invalid_claims",
        ),
        ("sub twice", with_claims(r#""sub":"root""#), "invalid_claims"),
        (
            "a member twice far within",
            with_claims(r#""x":[{"a":{"b":1,"b":2}}]"#),
            "invalid_claims",
        ),
        ("a lone surrogate", with_claims(r#""x":"\ud800""#), "invalid_claims"),
        (
            "nested too deep",
            with_claims(&format!(r#""x":{}"#, nested(17))),
            "invalid_claims",
        ),
        (
            "another issuer",
            with_claims(r#""iss":"https://evil.test""#),
            "contradicting_claim",
        ),
        (
            "an issuer that is a number",
            with_claims(r#""iss":1"#),
            "contradicting_claim",
        ),
        ("an iat", with_claims(r#""iat":0"#), "contradicting_claim"),
        ("an exp", with_claims(r#""exp":99999999999"#), "contradicting_claim"),
        (
            "an exp, escaped",
            with_claims("\"\\u0065xp\":99999999999"),
            "contradicting_claim",
        ),
        ("a jti", with_claims(r#""jti":"mine""#), "contradicting_claim"),
        ("no aud", r#"{"claims":{"sub":"client"}}"#.to_owned(), "missing_claim"),
        ("no sub", r#"{"claims":{"aud":"a"}}"#.to_owned(), "missing_claim"),
        ("no claim at all", r#"{"claims":{}}"#.to_owned(), "missing_claim"),
        (
            "an empty sub",
            r#"{"claims":{"aud":"a","sub":""}}"#.to_owned(),
            "invalid_claim",
        ),
        (
            "a sub that is a number",
            r#"{"claims":{"aud":"a","sub":7}}"#.to_owned(),
            "invalid_claim",
        ),
        (
            "a sub that is null",
            r#"{"claims":{"aud":"a","sub":null}}"#.to_owned(),
            "invalid_claim",
        ),
        (
            "an aud of nobody",
            r#"{"claims":{"aud":[],"sub":"s"}}"#.to_owned(),
            "invalid_claim",
        ),
        (
            "an empty aud",
            r#"{"claims":{"aud":["a",""],"sub":"s"}}"#.to_owned(),
            "invalid_claim",
        ),
        (
            "an aud that is an object",
            r#"{"claims":{"aud":{},"sub":"s"}}"#.to_owned(),
            "invalid_claim",
        ),
        ("an nbf that is text", with_claims(r#""nbf":"now""#), "invalid_claim"),
        (
            "more than a token may hold",
            with_claims(&format!(r#""x":"{}""#, "x".repeat(13_000))),
            "too_large",
        ),
    ]
    .into_iter()
    .map(|(name, body, problem)| (name, body.into_bytes(), problem))
    .chain([
        (
            "not UTF-8",
            with_claims("\"x\":\"\u{1}\"")
                .replace('\u{1}', "\u{80}")
                .into_bytes()
                .into_iter()
                .filter(|octet| *octet != 0xc2)
                .collect(),
            "invalid_request",
        ),
        (
            "sixty thousand brackets",
            "[".repeat(60_000).into_bytes(),
            "invalid_request",
        ),
        (
            "sixty thousand brackets as a claim",
            with_claims(&format!(r#""x":{}"#, nested(30_000))).into_bytes(),
            "invalid_claims",
        ),
    ])
    .collect();
    assert!(cases.len() >= 50);

    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    for (name, body, problem) in &cases {
        let answer = connection.post("/v1/sign", body).expect("an answer");
        expect(name, &answer, 400, problem);
        assert!(answer.header("x-request-id").is_some(), "{name}");
        works(&sidecar, &mut connection);
    }
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[test]
fn a_life_longer_than_allowed_is_capped_and_the_answer_says_what_became_of_it() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_TOKEN_MAX_TTL", "10m").start();
    let mut connection = sidecar.socket();
    for (ttl, life) in [
        (json!(60), 60),
        (json!(3600), 600),
        (json!(u64::MAX), 600),
        (Value::Null, 300),
    ] {
        let request = json!({ "claims": { "sub": "s", "aud": "a" }, "ttl": ttl });
        let signed = sidecar.sign_over(&mut connection, &request);
        let claims = payload(&signed.token);
        assert_eq!(claims["exp"], signed.exp);
        assert_eq!(
            claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat"),
            life,
            "{ttl}"
        );
        assert!(
            (claims["iat"].as_i64().expect("iat") - unix_millis() / 1000).abs() <= 1,
            "{claims}"
        );
    }
}

#[test]
fn a_token_holds_what_was_asked_and_what_signet_sets_each_once() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_SIGN_AUDIENCE", "https://one.test,https://two.test")
        .set("SIGNET_SIGN_SUBJECT", "the gateway")
        .start();
    let request = json!({ "claims": { "iss": ISSUER, "a": [1, {"b": 1.10}], "é": "ü" }, "typ": "at+jwt" });
    let one = sidecar.sign_over(&mut sidecar.socket(), &request);
    let two = sidecar.sign_over(&mut sidecar.socket(), &request);
    let (first, second) = (payload(&one.token), payload(&two.token));
    assert_eq!(first["iss"], ISSUER);
    assert_eq!(first["aud"], json!(["https://one.test", "https://two.test"]));
    assert_eq!(first["sub"], "the gateway");
    assert_eq!(
        (&first["a"], &first["é"]),
        (&request["claims"]["a"], &request["claims"]["é"])
    );
    assert_ne!(first["jti"], second["jti"]);
    let header = one.token.split('.').next().expect("three parts");
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("JSON");
    assert_eq!(header, json!({ "alg": "ES256", "kid": one.kid, "typ": "at+jwt" }));
    // The caller's own values come before the defaults.
    let given = sidecar.sign(&json!({ "sub": "client", "aud": AUDIENCE }));
    let given = payload(&given.token);
    assert_eq!((&given["sub"], &given["aud"]), (&json!("client"), &json!(AUDIENCE)));
}

#[test]
fn what_is_wrong_with_claims_is_said_and_not_taken_for_something_else() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    for (member, words) in [
        (r#""a":1,"a":2"#.to_owned(), "duplicate"),
        (format!(r#""x":{}"#, nested(17)), "nested more than 16 levels deep"),
        (r#""x":1e400"#.to_owned(), "number"),
        (r#""x":[-1e400]"#.to_owned(), "number"),
        (r#""x":"\ud800""#.to_owned(), "surrogate"),
        (r#""x":{"y":"\udc00"}"#.to_owned(), "surrogate"),
    ] {
        let answer = connection
            .post("/v1/sign", with_claims(&member).as_bytes())
            .expect("an answer");
        expect(&member, &answer, 400, "invalid_claims");
        let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(words), "{member}: {detail}");
        assert_eq!(detail.contains("duplicate"), words == "duplicate", "{member}: {detail}");
    }
}

#[test]
fn a_life_that_is_cut_is_said_in_the_answer() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_TOKEN_MAX_TTL", "30m").start();
    let mut connection = sidecar.socket();
    let mut sign = |ttl: &str| {
        let answer = connection
            .post("/v1/sign", with_member(ttl).as_bytes())
            .expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        sidecar.remember(answer.json()["token"].as_str().expect("a token"));
        answer.json()
    };
    for ttl in [r#""ttl":1801"#, r#""ttl":999999"#, r#""ttl":18446744073709551615"#] {
        let answer = sign(ttl);
        assert_eq!(answer["ttl_capped_to"], 1800, "{ttl}: {answer}");
        let now = unix_millis() / 1000;
        assert!(
            (1795..=1800).contains(&(answer["exp"].as_i64().expect("exp") - now)),
            "{answer}"
        );
    }
    for ttl in [r#""ttl":1800"#, r#""ttl":1"#, r#""typ":"JWT""#] {
        let answer = sign(ttl);
        let mut names: Vec<&String> = answer.as_object().expect("an object").keys().collect();
        names.sort();
        assert_eq!(names, ["exp", "kid", "token"], "{ttl}");
    }
}
