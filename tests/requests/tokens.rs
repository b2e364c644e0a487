//! Hostile tokens, made from a good token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::Signed;

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Hostile tokens with their refusal codes. The full table is in `crates/core/tests/hostile`.
pub(crate) fn hostile(good: &Signed, foreign: &Signed) -> Vec<(&'static str, String, &'static str)> {
    let parts: Vec<&str> = good.token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let with_header = |change: &dyn Fn(&mut Value)| {
        let mut value = decode(header);
        change(&mut value);
        format!("{}.{payload}.{signature}", encode(&value))
    };
    let with_claims = |change: &dyn Fn(&mut Value)| {
        let mut value = decode(payload);
        change(&mut value);
        format!("{header}.{}.{signature}", encode(&value))
    };
    let zeros = URL_SAFE_NO_PAD.encode([0_u8; 64]);
    let flipped = {
        let mut octets = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        octets[10] ^= 1;
        URL_SAFE_NO_PAD.encode(octets)
    };
    let none = encode(&json!({ "alg": "none", "typ": "JWT" }));
    vec![
        ("an empty text", String::new(), "malformed"),
        ("no token at all", "nonsense".to_owned(), "malformed"),
        ("two parts", format!("{header}.{payload}"), "malformed"),
        ("four parts", format!("{}.{signature}", good.token), "malformed"),
        ("blanks around it", format!(" {} ", good.token), "malformed"),
        ("padding", format!("{}==", good.token), "malformed"),
        ("alg none without a kid", format!("{none}.{payload}."), "unknown_key"),
        (
            "alg none under a good kid",
            with_header(&|h| h["alg"] = "none".into()),
            "wrong_algorithm",
        ),
        (
            "the key as a secret for HS256",
            with_header(&|h| h["alg"] = "HS256".into()),
            "wrong_algorithm",
        ),
        (
            "another algorithm of the curve",
            with_header(&|h| h["alg"] = "ES384".into()),
            "wrong_algorithm",
        ),
        (
            "no kid",
            with_header(&|h| drop(h.as_object_mut().expect("an object").remove("kid"))),
            "unknown_key",
        ),
        (
            "a kid that is a path",
            with_header(&|h| h["kid"] = "../../etc/passwd".into()),
            "unknown_key",
        ),
        (
            "a kid that is a number",
            with_header(&|h| h["kid"] = 5.into()),
            "malformed",
        ),
        (
            "its own key in the header",
            with_header(&|h| h["jwk"] = json!({ "kty": "oct", "k": "AA" })),
            "bad_signature",
        ),
        (
            "a key from elsewhere",
            with_header(&|h| h["jku"] = "http://127.0.0.1/".into()),
            "bad_signature",
        ),
        (
            "crit",
            with_header(&|h| h["crit"] = json!(["exp"])),
            "unsupported_critical",
        ),
        ("b64", with_header(&|h| h["b64"] = false.into()), "unsupported_critical"),
        (
            "claims changed",
            with_claims(&|c| c["sub"] = "root".into()),
            "bad_signature",
        ),
        (
            "a longer life",
            with_claims(&|c| c["exp"] = 99_999_999_999_i64.into()),
            "bad_signature",
        ),
        ("no signature", format!("{header}.{payload}."), "bad_signature"),
        (
            "a signature of zeros",
            format!("{header}.{payload}.{zeros}"),
            "bad_signature",
        ),
        (
            "one bit of the signature",
            format!("{header}.{payload}.{flipped}"),
            "bad_signature",
        ),
        ("another ring's key", foreign.token.clone(), "unknown_key"),
        (
            "longer than 16 KiB",
            format!("{header}.{}.{signature}", "A".repeat(16 * 1024)),
            "too_large",
        ),
    ]
}
