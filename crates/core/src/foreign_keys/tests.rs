//! Which keys of a JWK Set are used, and which are left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use num_bigint::BigUint;
use serde_json::{Value, json};

use super::*;
use crate::algorithm::RsaBits;
use crate::jwk::JwkSet;
use crate::signing_key::SigningKey;

const ALLOWED: [Algorithm; 2] = [Algorithm::ES256, Algorithm::EdDSA];

fn jwk(algorithm: Algorithm, changes: Value) -> Value {
    let key = SigningKey::generate(algorithm, RsaBits::default()).expect("a key");
    let mut jwk = serde_json::to_value(Jwk::from(key.verifying_key())).expect("JSON");
    for (name, value) in changes.as_object().expect("members") {
        jwk[name] = value.clone();
    }
    jwk
}

fn parse(keys: &[Value]) -> Result<ForeignKeys, NoKeys> {
    ForeignKeys::parse(json!({ "keys": keys }).to_string().as_bytes(), &ALLOWED)
}

#[test]
fn a_number_in_the_other_alphabet_or_with_padding_is_the_same_key() {
    for algorithm in ALLOWED {
        let plain = jwk(algorithm, json!({"kid": "a"}));
        let mut other = plain.clone();
        for member in ["x", "y"] {
            if let Some(text) = plain[member].as_str() {
                other[member] = format!("{}=", text.replace('-', "+").replace('_', "/")).into();
            }
        }
        let read = |key: &Value| {
            let set = json!({"keys": [key]}).to_string();
            let keys = ForeignKeys::parse(set.as_bytes(), &ALLOWED).expect("keys");
            keys.find("a", algorithm.as_str()).expect("the key").kid().clone()
        };
        assert_ne!(plain, other);
        assert_eq!(read(&plain), read(&other), "{algorithm}");
    }
}

#[test]
fn a_key_has_the_name_that_its_issuer_gave_it_and_one_algorithm() {
    let keys = parse(&[
        jwk(Algorithm::ES256, json!({"kid": "a \"b\""})),
        jwk(Algorithm::EdDSA, json!({"kid": "no alg", "alg": null})),
    ])
    .expect("keys");
    assert_eq!(keys.len(), 2);
    let algorithm = |kid| keys.find(kid, "").map(VerifyingKey::algorithm);
    assert_eq!(algorithm("a \"b\""), Some(Algorithm::ES256));
    assert_eq!(algorithm("no alg"), Some(Algorithm::EdDSA));
    assert_eq!(algorithm("c"), None);
}

#[test]
fn the_keys_can_be_written_down_and_read_again() {
    let keys = parse(&[
        jwk(Algorithm::ES256, json!({"kid": "b \"\u{0}"})),
        jwk(Algorithm::EdDSA, json!({"kid": "a", "alg": null})),
        jwk(Algorithm::ES256, json!({"kid": "a"})),
    ])
    .expect("keys");
    let jwks = keys.to_jwks();
    let kids: Vec<_> = jwks.iter().map(|jwk| jwk.kid.as_deref()).collect();
    assert_eq!(kids, [Some("a"), Some("a"), Some("b \"\u{0}")]);
    let again = serde_json::to_vec(&JwkSet { keys: jwks }).expect("JSON");
    let again = ForeignKeys::parse(&again, &ALLOWED).expect("keys");
    assert_eq!(again.to_jwks(), keys.to_jwks());
    assert_eq!(
        again.find("a", "EdDSA").map(VerifyingKey::algorithm),
        Some(Algorithm::EdDSA)
    );
}

#[test]
fn a_key_that_will_not_do_is_left_out_and_the_others_stay() {
    let good = || jwk(Algorithm::ES256, json!({"kid": "good"}));
    for (bad, why) in [
        (json!({"kty": "oct", "kid": "x", "k": "AAAA"}), "symmetric"),
        (jwk(Algorithm::ES256, json!({"d": "AAAA"})), "private part"),
        (jwk(Algorithm::ES256, json!({"kid": null})), "no kid"),
        (jwk(Algorithm::ES256, json!({"kid": ""})), "no kid"),
        (jwk(Algorithm::ES256, json!({"key_ops": ["sign"]})), "(key_ops)"),
        (jwk(Algorithm::ES256, json!({"crv": "secp256k1"})), "unknown key type"),
        (jwk(Algorithm::ES256, json!({"x": null})), "lacks a member"),
        (jwk(Algorithm::ES256, json!({"x": "AA*A"})), "not encoded as"),
        (jwk(Algorithm::ES256, json!({"x": "AAAA"})), "not a valid key"),
        (jwk(Algorithm::ES384, json!({})), "has an algorithm that is not allowed"),
        (
            jwk(Algorithm::ES256, json!({"alg": "HS256"})),
            "has an algorithm that is not allowed",
        ),
        (
            jwk(Algorithm::ES256, json!({"alg": "none"})),
            "has an algorithm that is not allowed",
        ),
        (jwk(Algorithm::ES256, json!({"alg": "EdDSA"})), "not a valid key"),
        (jwk(Algorithm::ES256, json!({"y": "A".repeat(43)})), "not a valid key"),
        (jwk(Algorithm::ES256, json!({"p": "AAAA"})), "private part"),
        (jwk(Algorithm::ES256, json!({"oth": []})), "private part"),
        (jwk(Algorithm::ES256, json!({"k": ""})), "private part"),
        (jwk(Algorithm::ES256, json!({"use": "jwt-svid"})), "its use is not sig"),
        (jwk(Algorithm::ES256, json!({"use": "SIG"})), "its use is not sig"),
        (jwk(Algorithm::ES256, json!({"use": ""})), "its use is not sig"),
        (
            json!(["EC", "sig", "ES256", "a", "P-256", "AA", "AA", null, null]),
            "not a JWK",
        ),
        (json!("a"), "not a JWK"),
        (json!({"kty": 1}), "not a JWK"),
    ] {
        let keys = parse(&[bad.clone(), good()]).expect("the good one");
        assert_eq!(keys.len(), 1, "{bad}");
        assert!(keys.left_out()[0].why.contains(why), "{bad}: {:?}", keys.left_out());
        assert!(matches!(parse(&[bad]), Err(NoKeys::NoneFits(_))));
    }
}

#[test]
fn a_key_for_encryption_is_told_of_only_where_there_is_no_other() {
    let (good, other) = (jwk(Algorithm::ES256, json!({})), json!({"kid": "other", "use": "enc"}));
    let encrypts = jwk(Algorithm::ES256, other);
    let keys = parse(&[encrypts.clone(), good]).expect("the good one");
    assert_eq!((keys.len(), keys.left_out()), (1, &[][..]));
    assert!(keys.find("other", "ES256").is_none());
    assert!(parse(&[encrypts]).expect_err("none").to_string().contains("(use)"));
}

#[test]
fn two_keys_under_one_kid_and_one_algorithm_are_both_left_out_and_named() {
    let twice = jwk(Algorithm::ES256, json!({"kid": "same"}));
    let other = jwk(Algorithm::ES256, json!({"kid": "same", "alg": null}));
    let good = jwk(Algorithm::ES256, json!({"kid": "good"}));
    let once = parse(&[twice.clone(), twice.clone()]).expect("one key");
    assert!(once.find("same", "ES256").is_some());
    assert_eq!((once.len(), once.left_out()), (1, &[][..]));
    for keys in [[twice.clone(), other.clone(), good.clone()], [good, other, twice]] {
        let keys = parse(&keys).expect("the good one");
        assert!(keys.find("same", "ES256").is_none());
        assert!(keys.find("good", "ES256").is_some());
        let named: Vec<_> = keys.left_out().iter().map(|key| key.kid.as_deref()).collect();
        assert_eq!(named, [Some("same"), Some("same")]);
        let why = keys.left_out()[0].why;
        assert!(why.contains("several keys"), "{why}");
    }
}

/// Several keys may share a kid if their algorithms differ (RFC 7517 §4.5).
#[test]
fn a_kid_may_name_a_key_of_each_algorithm_and_only_of_those_that_are_published() {
    let allowed = [Algorithm::RS256, Algorithm::PS256, Algorithm::RS512, Algorithm::ES256];
    let rsa = jwk(Algorithm::RS256, json!({"kid": "same"}));
    let with = |alg: Value| {
        let mut other = rsa.clone();
        other["alg"] = alg;
        other
    };
    let ec = jwk(Algorithm::ES256, json!({"kid": "same", "alg": null}));
    let parse =
        |keys: &[Value]| ForeignKeys::parse(json!({ "keys": keys }).to_string().as_bytes(), &allowed).expect("keys");
    let keys = parse(&[with(json!(null)), with(json!("PS256")), ec.clone(), rsa.clone()]);
    let chosen = |keys: &ForeignKeys, alg| keys.find("same", alg).map(VerifyingKey::algorithm);
    for (alg, algorithm) in [
        ("RS256", Algorithm::RS256),
        ("PS256", Algorithm::PS256),
        ("ES256", Algorithm::ES256),
    ] {
        assert_eq!(chosen(&keys, alg), Some(algorithm));
    }
    assert_eq!((keys.len(), keys.left_out()), (3, &[][..]));
    // A key of that kid is found, and the token is then refused for its algorithm.
    assert!(chosen(&keys, "RS512").is_some_and(|algorithm| algorithm != Algorithm::RS512));
    // The same key, once with and once without its algorithm, counts once.
    let keys = parse(&[with(json!(null)), with(json!("PS256"))]);
    assert_eq!((keys.len(), chosen(&keys, "RS256")), (1, Some(Algorithm::PS256)));
    // Two different keys with the same kid and algorithm are dropped; the others stay in use.
    let keys = parse(&[rsa, jwk(Algorithm::RS256, json!({"kid": "same"})), ec]);
    assert_eq!((keys.len(), chosen(&keys, "RS256")), (1, Some(Algorithm::ES256)));
    assert_eq!(keys.left_out().len(), 2);
}

#[test]
fn each_key_that_is_not_used_is_named_by_kid_or_place() {
    let key = |changes| jwk(Algorithm::ES256, changes);
    let keys = parse(&[
        key(json!({"kid": "good"})),
        key(json!({"kid": "svid", "use": "jwt-svid"})),
        key(json!({"kid": null})),
        json!({"kid": "no kty"}),
        json!([1]),
    ])
    .expect("the good one");
    let named: Vec<String> = keys.left_out().iter().map(ToString::to_string).collect();
    let begins = [
        r#""svid" is"#,
        "key 3 of the set has no kid",
        r#""no kty" is"#,
        "key 5 of the set",
    ];
    assert_eq!(named.len(), begins.len(), "{named:?}");
    for (named, begin) in named.iter().zip(begins) {
        assert!(named.starts_with(begin), "{named}");
    }
}

#[test]
fn a_set_may_begin_with_a_byte_order_mark() {
    let set = json!({ "keys": [jwk(Algorithm::ES256, json!({}))] }).to_string();
    let with_bom = [b"\xef\xbb\xbf", set.as_bytes()].concat();
    assert_eq!(ForeignKeys::parse(&with_bom, &ALLOWED).expect("a set").len(), 1);
}

#[test]
fn what_is_no_set_of_keys_is_refused() {
    for text in [
        "",
        "[]",
        "[[]]",
        r#"[[{"kty":"EC"}]]"#,
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
        "{\"keys\":[]",
    ] {
        assert_eq!(
            ForeignKeys::parse(text.as_bytes(), &ALLOWED).expect_err(text),
            NoKeys::NotASet
        );
    }
    assert!(matches!(parse(&[]), Err(NoKeys::NoneFits(_))));
    let many = vec![json!({"kty": "oct"}); MOST + 1];
    assert_eq!(parse(&many).expect_err("too many"), NoKeys::TooMany(MOST + 1));
}

/// An RSA key with this modulus.
fn rsa(kid: &str, n: &BigUint) -> Value {
    let n = URL_SAFE_NO_PAD.encode(n.to_bytes_be());
    json!({"kty": "RSA", "kid": kid, "alg": "RS256", "n": n, "e": "AQAB"})
}

/// 2^1279 - 1 and 2^2203 - 1 are primes.
fn primes() -> [BigUint; 2] {
    [1279, 2203].map(|exponent| (BigUint::from(1_u32) << exponent) - 1_u32)
}

#[test]
fn an_rsa_key_that_anybody_can_factor_is_left_out_also_when_it_is_read_again() {
    let [small, large] = primes();
    let set = json!({"keys": [
        rsa("good", &(&small * &large)),
        rsa("prime", &large),
        rsa("cube", &small.pow(3)),
        rsa("exponent", &(&large * 65_537_u32)),
    ]});
    let (set, mut judged) = (set.to_string(), Judged::default());
    for _ in 0..2 {
        let keys = ForeignKeys::parse_again(set.as_bytes(), &[Algorithm::RS256], &mut judged).expect("a key");
        let left_out: Vec<String> = keys.left_out().iter().map(ToString::to_string).collect();
        assert_eq!(
            left_out,
            [
                "\"prime\" is an RSA key whose modulus is a prime, so others can sign for it",
                "\"cube\" is an RSA key whose modulus is a power of a smaller number",
                "\"exponent\" is an RSA key with a small factor",
            ]
        );
        assert!(keys.find("good", "RS256").is_some());
        assert_eq!(judged.len(), 4, "bad keys are remembered as well");
    }
}

#[test]
fn verdicts_live_as_long_as_the_keys_are_published_and_outlive_an_answer_that_is_no_set() {
    let [small, large] = primes();
    let good = json!({"keys": [rsa("good", &(&small * &large))]}).to_string();
    let other = json!({"keys": [jwk(Algorithm::ES256, json!({"kid": "a"}))]}).to_string();
    let mut judged = Judged::default();
    let read = |text: &str, judged: &mut Judged| {
        ForeignKeys::parse_again(text.as_bytes(), &[Algorithm::RS256, Algorithm::ES256], judged)
            .map(|keys| keys.judged().len())
    };
    assert_eq!(read(&good, &mut judged), Ok(1));
    assert_eq!(read("<html>", &mut judged), Err(NoKeys::NotASet));
    assert_eq!(judged.len(), 1);
    assert_eq!(read(&other, &mut judged), Ok(0));
    assert_eq!(judged.len(), 0);
}

#[test]
fn keys_that_were_judged_before_they_were_written_down_are_not_judged_again() {
    let [_, prime] = primes();
    let set = json!({"keys": [rsa("prime", &prime)]}).to_string();
    assert!(ForeignKeys::parse(set.as_bytes(), &[Algorithm::RS256]).is_err());
    assert!(ForeignKeys::parse_judged(set.as_bytes(), &[Algorithm::RS256]).is_ok());
}
