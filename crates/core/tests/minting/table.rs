//! Requests grouped by their fault, and the exact output for those without one.

use std::time::Duration;

use signet_core::algorithm::RsaBits;
use signet_core::jwk::Jwk;
use signet_core::mint::{Headers, SignRequest};
use signet_core::token::LONGEST;
use signet_core::verify::authenticate;
use signet_core::{Algorithm, SigningKey, Timestamp};

use crate::mint::{ISSUER, JTI, KEY, KEY_TTL, MAX_TTL, NOW, Outcome, TTL, mint, mint_for, template};

/// A request with good claims plus these members.
fn claims(members: &str) -> String {
    format!(r#"{{"claims":{{"sub":"alice","aud":"api",{members}}}}}"#)
}

/// A request with good claims plus these other fields.
fn request(fields: &str) -> String {
    format!(r#"{{"claims":{{"sub":"alice","aud":"api"}},{fields}}}"#)
}

fn refused() -> Vec<(&'static str, String, &'static str)> {
    let only = |members: &str| format!(r#"{{"claims":{{{members}}}}}"#);
    let typ = |typ: &str| request(&format!(r#""typ":{}"#, serde_json::Value::from(typ)));
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        claims(&format!(r#""x":{open}{close}"#))
    };
    let long = format!("a{}", "+a".repeat(32));
    vec![
        // Claims that Signet sets itself.
        ("iat", claims(r#""iat":1"#), "contradicting_claim"),
        (
            "the right iat",
            claims(&format!(r#""iat":{NOW}"#)),
            "contradicting_claim",
        ),
        ("exp", claims(r#""exp":9999999999"#), "contradicting_claim"),
        ("jti", claims(r#""jti":"x""#), "contradicting_claim"),
        (
            "exp with an escape",
            claims(r#""e\u0078p":9999999999"#),
            "contradicting_claim",
        ),
        (
            "iss of another",
            claims(r#""iss":"https://other.example""#),
            "contradicting_claim",
        ),
        (
            "iss with a slash",
            claims(&format!(r#""iss":"{ISSUER}/""#)),
            "contradicting_claim",
        ),
        ("iss null", claims(r#""iss":null"#), "contradicting_claim"),
        (
            "iss an array with ours",
            claims(&format!(r#""iss":["{ISSUER}"]"#)),
            "contradicting_claim",
        ),
        // Missing claims.
        ("no aud", only(r#""sub":"alice""#), "missing_claim"),
        ("no sub", only(r#""aud":"api""#), "missing_claim"),
        ("nothing", only(""), "missing_claim"),
        // Claims of the wrong form.
        ("sub empty", only(r#""sub":"","aud":"api""#), "invalid_claim"),
        ("sub a number", only(r#""sub":1,"aud":"api""#), "invalid_claim"),
        ("sub null", only(r#""sub":null,"aud":"api""#), "invalid_claim"),
        ("aud empty", only(r#""sub":"alice","aud":"""#), "invalid_claim"),
        ("aud an empty list", only(r#""sub":"alice","aud":[]"#), "invalid_claim"),
        (
            "aud an empty list with white space",
            only(r#""sub":"alice","aud":[ ]"#),
            "invalid_claim",
        ),
        (
            "aud a list with an empty one",
            only(r#""sub":"alice","aud":["api",""]"#),
            "invalid_claim",
        ),
        (
            "aud a list with a number",
            only(r#""sub":"alice","aud":["api",1]"#),
            "invalid_claim",
        ),
        (
            "aud an object",
            only(r#""sub":"alice","aud":{"api":1}"#),
            "invalid_claim",
        ),
        ("nbf a string", claims(r#""nbf":"1""#), "invalid_claim"),
        ("nbf negative", claims(r#""nbf":-1"#), "invalid_claim"),
        ("nbf with a fraction", claims(r#""nbf":1.5"#), "invalid_claim"),
        (
            "nbf after the year 9999",
            claims(r#""nbf":253402300800"#),
            "invalid_claim",
        ),
        (
            "nbf of 2^64 - 1",
            claims(r#""nbf":18446744073709551615"#),
            "invalid_claim",
        ),
        ("scope a number", claims(r#""scope":1"#), "invalid_claim"),
        ("scope a list", claims(r#""scope":["read"]"#), "invalid_claim"),
        ("scope null", claims(r#""scope":null"#), "invalid_claim"),
        ("scp a number", claims(r#""scp":1"#), "invalid_claim"),
        (
            "scp a list with a number",
            claims(r#""scp":["read",1]"#),
            "invalid_claim",
        ),
        // Claims that are not a strict object.
        (
            "sub twice",
            only(r#""sub":"alice","aud":"api","sub":"root""#),
            "invalid_claims",
        ),
        (
            "sub twice with an escape",
            only(r#""sub":"alice","aud":"api","\u0073ub":"root""#),
            "invalid_claims",
        ),
        (
            "our iss twice",
            claims(&format!(r#""iss":"{ISSUER}","iss":"{ISSUER}""#)),
            "invalid_claims",
        ),
        ("a nested duplicate", claims(r#""x":{"a":1,"a":2}"#), "invalid_claims"),
        (
            "a duplicate in a list",
            claims(r#""x":[[{"a":1,"\u0061":2}]]"#),
            "invalid_claims",
        ),
        ("nested 16 deep", nested(16), "invalid_claims"),
        ("nested 100 deep", nested(100), "invalid_claims"),
        ("a lone surrogate", claims(r#""x":"\ud800""#), "invalid_claims"),
        ("a lone surrogate in a name", claims(r#""\udfff":1"#), "invalid_claims"),
        ("a number that no machine has", claims(r#""x":1e400"#), "invalid_claims"),
        ("claims a list", r#"{"claims":[]}"#.to_owned(), "invalid_claims"),
        ("claims a string", r#"{"claims":"{}"}"#.to_owned(), "invalid_claims"),
        ("claims null", r#"{"claims":null}"#.to_owned(), "invalid_claims"),
        ("claims true", r#"{"claims":true}"#.to_owned(), "invalid_claims"),
        // Texts that are not a request.
        ("no claims", "{}".to_owned(), "unreadable"),
        ("claims twice", r#"{"claims":{},"claims":{}}"#.to_owned(), "unreadable"),
        (
            "claims that go on",
            r#"{"claims":{"sub":"a"}}}"#.to_owned(),
            "unreadable",
        ),
        (
            "claims with something behind them",
            r#"{"claims":{"sub":"a"}"x"}"#.to_owned(),
            "unreadable",
        ),
        ("an unknown field", request(r#""issuer":"x""#), "unreadable"),
        ("ttl negative", request(r#""ttl":-1"#), "unreadable"),
        ("ttl with a fraction", request(r#""ttl":1.5"#), "unreadable"),
        ("ttl a string", request(r#""ttl":"60""#), "unreadable"),
        ("ttl above 2^64", request(r#""ttl":18446744073709551616"#), "unreadable"),
        ("typ a number", request(r#""typ":1"#), "unreadable"),
        // The fields besides the claims.
        ("ttl 0", request(r#""ttl":0"#), "invalid_ttl"),
        ("typ empty", typ(""), "invalid_typ"),
        ("typ with a quote", typ(r#"JWT","alg":"none"#), "invalid_typ"),
        ("typ with a backslash", typ(r"at\jwt"), "invalid_typ"),
        ("typ with a control character", typ("at+jwt\n"), "invalid_typ"),
        ("typ with a NUL", typ("at+jwt\0"), "invalid_typ"),
        ("typ with a DEL", typ("at+jwt\u{7f}"), "invalid_typ"),
        ("typ with a space", typ("at jwt"), "invalid_typ"),
        ("typ with a parameter", typ("at+jwt;a=b"), "invalid_typ"),
        ("typ that is not ASCII", typ("ät+jwt"), "invalid_typ"),
        ("typ with two slashes", typ("application/x/jwt"), "invalid_typ"),
        ("typ of 65 characters", typ(&long), "invalid_typ"),
        (
            "too large",
            claims(&format!(r#""x":"{}""#, "x".repeat(LONGEST))),
            "too_large",
        ),
    ]
}

#[test]
fn every_wrong_request_is_refused_with_the_right_code() {
    let template = template(&[], None);
    let wrong: Vec<String> = refused()
        .into_iter()
        .map(|(name, request, expected)| (name, mint(&template, &request), expected))
        .filter(|(_, outcome, expected)| outcome.code() != *expected)
        .map(|(name, outcome, expected)| format!("{name}: expected {expected}, got {outcome:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_refusal_repeats_what_the_claims_said() {
    let template = template(&[], None);
    for secret in [
        r#""x":{"hunter2":1,"hunter2":2}"#,
        r#""iss":"hunter2""#,
        r#""nbf":"hunter2""#,
    ] {
        let Outcome::Refused(refusal) = mint(&template, &claims(secret)) else {
            panic!("{secret} was not refused")
        };
        assert!(!format!("{refusal} {refusal:?}").contains("hunter2"), "{refusal}");
    }
}

/// The claims that Signet sets, for this lifetime.
fn own(ttl: u64) -> String {
    let exp = NOW + i64::try_from(ttl).expect("small");
    format!(r#"{{"iss":"{ISSUER}","iat":{NOW},"exp":{exp},"jti":"{JTI}""#)
}

#[test]
fn the_claims_come_out_as_they_were_written() {
    let plain = template(&[], None);
    let defaults = template(&["a"], Some("service"));
    let many = template(&["a", "b\"\\"], Some("quo\"te"));
    let cases = [
        (
            "the least",
            &plain,
            r#"{"sub":"alice","aud":"api"}"#,
            r#","sub":"alice","aud":"api"}"#,
        ),
        (
            "white space",
            &plain,
            " {\n\"sub\" : \"alice\" ,\t\"aud\":\"api\" } ",
            ",\n\"sub\" : \"alice\" ,\t\"aud\":\"api\" }",
        ),
        (
            "an object at the end",
            &plain,
            r#"{"sub":"s","aud":"a","x":{"a":{}}}"#,
            r#","sub":"s","aud":"a","x":{"a":{}}}"#,
        ),
        (
            "an empty list at the end",
            &plain,
            r#"{"sub":"s","aud":"a","x":[]}"#,
            r#","sub":"s","aud":"a","x":[]}"#,
        ),
        (
            "braces in a string at the end",
            &plain,
            r#"{"sub":"s","aud":"a}"}"#,
            r#","sub":"s","aud":"a}"}"#,
        ),
        (
            "digits",
            &plain,
            r#"{"sub":"s","aud":"a","x":1.10,"y":123456789012345678901234567890,"z":-0,"e":1E2}"#,
            r#","sub":"s","aud":"a","x":1.10,"y":123456789012345678901234567890,"z":-0,"e":1E2}"#,
        ),
        (
            "escapes",
            &plain,
            r#"{"sub":"\u0061","aud":"\/","\u00e9":1}"#,
            r#","sub":"\u0061","aud":"\/","\u00e9":1}"#,
        ),
        (
            "an audience list",
            &plain,
            r#"{"sub":"s","aud":["a","b"]}"#,
            r#","sub":"s","aud":["a","b"]}"#,
        ),
        (
            "nbf",
            &plain,
            r#"{"sub":"s","aud":"a","nbf":1}"#,
            r#","sub":"s","aud":"a","nbf":1}"#,
        ),
        (
            "scopes",
            &plain,
            r#"{"sub":"s","aud":"a","scope":"x y","scp":["x"]}"#,
            r#","sub":"s","aud":"a","scope":"x y","scp":["x"]}"#,
        ),
        (
            "our iss first",
            &plain,
            &format!(r#"{{"iss":"{ISSUER}","sub":"s","aud":"a"}}"#),
            r#","sub":"s","aud":"a"}"#,
        ),
        (
            "our iss last",
            &plain,
            &format!(r#"{{"sub":"s","aud":"a","iss":"{ISSUER}"}}"#),
            r#","sub":"s","aud":"a"}"#,
        ),
        (
            "our iss with an escape, among names with escapes",
            &plain,
            r#"{"a\"\\":1,"sub":"s","i\u0073s":"https:\/\/issuer.example","aud":"a","n\n":{"iss":1}}"#,
            r#","a\"\\":1,"sub":"s","aud":"a","n\n":{"iss":1}}"#,
        ),
        (
            "both defaults for nothing",
            &defaults,
            "{}",
            r#","aud":"a","sub":"service"}"#,
        ),
        (
            "both defaults for white space",
            &defaults,
            "{ \n }",
            r#","aud":"a","sub":"service"}"#,
        ),
        (
            "both defaults for our iss alone",
            &defaults,
            &format!(r#"{{"iss":"{ISSUER}"}}"#),
            r#","aud":"a","sub":"service"}"#,
        ),
        (
            "a default subject",
            &defaults,
            r#"{"aud":"b"}"#,
            r#","sub":"service","aud":"b"}"#,
        ),
        (
            "a default audience",
            &defaults,
            r#"{"sub":"s"}"#,
            r#","aud":"a","sub":"s"}"#,
        ),
        (
            "no default where both are given",
            &defaults,
            r#"{"sub":"s","aud":"b"}"#,
            r#","sub":"s","aud":"b"}"#,
        ),
        (
            "defaults that need escapes",
            &many,
            "{}",
            r#","aud":["a","b\"\\"],"sub":"quo\"te"}"#,
        ),
    ];
    for (name, template, claims, expected) in cases {
        let Outcome::Minted(minted) = mint(template, &format!(r#"{{"claims":{claims}}}"#)) else {
            panic!("{name}: not minted")
        };
        assert_eq!(minted.payload, own(TTL) + expected, "{name}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&minted.payload).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn the_life_is_the_shortest_of_what_was_asked_the_policy_and_the_key_allow() {
    let template = template(&["api"], Some("alice"));
    let cases = [
        (r#"{"claims":{}}"#.to_owned(), TTL),
        (r#"{"claims":{},"ttl":1}"#.to_owned(), 1),
        (format!(r#"{{"claims":{{}},"ttl":{KEY_TTL}}}"#), KEY_TTL),
        (format!(r#"{{"claims":{{}},"ttl":{MAX_TTL}}}"#), KEY_TTL),
        (format!(r#"{{"claims":{{}},"ttl":{}}}"#, u64::MAX), KEY_TTL),
        (r#"{"claims":{},"ttl":null}"#.to_owned(), TTL),
    ];
    for (request, life) in cases {
        let Outcome::Minted(minted) = mint(&template, &request) else {
            panic!("{request}: not minted")
        };
        assert_eq!(
            minted.expires_at,
            NOW + i64::try_from(life).expect("small"),
            "{request}"
        );
        assert!(minted.payload.starts_with(&own(life)), "{}", minted.payload);
    }
}

#[test]
fn the_policy_bounds_the_life_also_where_the_key_allows_more() {
    let template = template(&["api"], Some("alice"));
    let request: SignRequest<'_> = serde_json::from_str(r#"{"claims":{},"ttl":999999}"#).expect("a request");
    let headers = Headers::new(KEY.verifying_key());
    let now = Timestamp::from_secs(NOW);
    let unsigned = template
        .mint(&request, &headers, Duration::MAX, now, [0; 16])
        .expect("minted");
    assert_eq!(unsigned.expires_at(), NOW + i64::try_from(MAX_TTL).expect("small"));
}

#[test]
fn the_header_names_the_key_its_algorithm_and_the_type_and_nothing_else() {
    let template = template(&["api"], Some("alice"));
    let longest = format!("x/{}", "y".repeat(62));
    for typ in [
        "JWT",
        "at+jwt",
        "logout+jwt",
        "application/at+jwt",
        "vnd.a-b_c!#$&^d",
        &longest,
    ] {
        let request = request(&format!(r#""typ":"{typ}""#));
        let Outcome::Minted(minted) = mint(&template, &request) else {
            panic!("{typ}: not minted")
        };
        let kid = KEY.verifying_key().kid();
        assert_eq!(
            minted.header,
            format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"{typ}"}}"#)
        );
    }
    let Outcome::Minted(minted) = mint(&template, r#"{"claims":{}}"#) else {
        panic!("not minted")
    };
    assert!(minted.header.ends_with(r#""typ":"JWT"}"#));
}

/// The limit includes the signature: for every algorithm, the longest token that is minted is accepted.
#[test]
fn the_longest_token_of_every_algorithm_is_one_that_verify_takes() {
    let template = template(&["api"], Some("alice"));
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm, RsaBits::B2048).expect("a key");
        let headers = Headers::new(key.verifying_key());
        let of_size = |size: usize| {
            let request = format!(r#"{{"claims":{{"x":"{}"}}}}"#, "x".repeat(size));
            mint_for(&template, &key, &headers, &request)
        };
        let (mut fits, mut too_large) = (0, LONGEST);
        while too_large - fits > 1 {
            let size = usize::midpoint(fits, too_large);
            match of_size(size) {
                Outcome::Minted(_) => fits = size,
                other => {
                    assert_eq!(other.code(), "too_large");
                    too_large = size;
                }
            }
        }
        let Outcome::Minted(minted) = of_size(fits) else {
            panic!("{algorithm}: not minted")
        };
        assert!(minted.token.len() <= LONGEST, "{algorithm}: {}", minted.token.len());
        assert!(minted.token.len() > LONGEST - 4, "{algorithm}: {}", minted.token.len());
        authenticate(&minted.token, |_| Some(key.verifying_key())).expect("accepted");
        assert!(Jwk::from(key.verifying_key()).verifying_key().is_ok());
    }
}
