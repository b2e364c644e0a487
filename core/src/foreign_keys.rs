//! The keys of an issuer that is not ours, as its JWKS has them (RFC 7517 §5).
//!
//! What others publish is not as tidy as what we do: keys without `alg` (Entra ID), keys for encryption, keys of types that are
//! not known. A key that will not do is left out with the reason, and the others stay. Each key gets one algorithm for
//! good: the one that it names, if the issuer may use it, or else the first allowed one that fits its type. Never what a
//! token says (RFC 8725 §3.1).

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::algorithm::Algorithm;
use crate::jwk::Jwk;
use crate::names::Kid;
use crate::public_key::{PublicKeyError, VerifyingKey};

/// A key that is not meant for us, and no trouble where there are others: providers publish theirs for encryption beside them.
const FOR_SOMETHING_ELSE: &str = "is not for signatures (use)";

/// The most keys that a set may have. Each costs the parsing of a key.
pub const MOST: usize = 256;

/// Keys by their kid, which here is whatever the issuer chose.
#[derive(Clone, Debug)]
pub struct ForeignKeys {
    keys: HashMap<Kid, VerifyingKey>,
    left_out: Vec<LeftOut>,
}

/// A key that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its kid, if it has one, cut to 64 characters.
    pub kid: Option<String>,
    /// Why.
    pub why: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kid = self.kid.as_deref().unwrap_or("without kid");
        write!(f, "{kid:?} {}", self.why)
    }
}

/// The document gives no key to verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// Not a JWK Set.
    #[error("not a JWK Set, which is a JSON object with an array `keys` (RFC 7517 §5)")]
    NotASet,
    /// More than [`MOST`].
    #[error("{0} keys, of which at most {MOST} are read")]
    TooMany(usize),
    /// No key of it will do.
    #[error("no key to verify with: {0}")]
    NoneFits(String),
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The members that decide on whether a key is for verifying, beside those of [`Jwk`].
#[derive(Deserialize)]
struct Purpose {
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    /// The private part of every asymmetric key (RFC 7518 §6).
    #[serde(default)]
    d: Option<serde::de::IgnoredAny>,
}

impl ForeignKeys {
    /// Reads a JWK Set; `algorithms` are those that the issuer may use, the preferred ones first.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub fn parse(document: &[u8], algorithms: &[Algorithm]) -> Result<Self, NoKeys> {
        let set: Set<'_> = serde_json::from_slice(document).map_err(|_| NoKeys::NotASet)?;
        if set.keys.len() > MOST {
            return Err(NoKeys::TooMany(set.keys.len()));
        }
        let mut found: HashMap<Kid, Option<VerifyingKey>> = HashMap::new();
        let mut left_out = Vec::new();
        for text in set.keys {
            match usable(text.get(), algorithms) {
                Err(reason) => left_out.push(reason),
                Ok((kid, key)) => {
                    // Of two different keys under one kid none is the right one.
                    let is_other = |known: &Option<VerifyingKey>| {
                        known
                            .as_ref()
                            .is_none_or(|known| known.kid() != key.kid() || known.algorithm() != key.algorithm())
                    };
                    if found.get(&kid).is_some_and(is_other) {
                        left_out.push(LeftOut {
                            kid: Some(shown(kid.as_str())),
                            why: "is the kid of several keys",
                        });
                        found.insert(kid, None);
                    } else {
                        found.insert(kid, Some(key));
                    }
                }
            }
        }
        let keys: HashMap<_, _> = found.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect();
        if keys.is_empty() {
            let reasons: Vec<String> = left_out.iter().take(4).map(ToString::to_string).collect();
            return Err(NoKeys::NoneFits(match reasons.is_empty() {
                true => "the set is empty".to_owned(),
                false => reasons.join(", "),
            }));
        }
        left_out.retain(|key| key.why != FOR_SOMETHING_ELSE);
        Ok(Self { keys, left_out })
    }

    /// The key of this kid.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.get(kid)
    }

    /// The keys as JWKs, each under the kid that its issuer gave it and for the algorithm that it is used for, in the order
    /// of their kids. [`Self::parse`] makes the same keys of them.
    #[must_use]
    pub fn to_jwks(&self) -> Vec<Jwk> {
        let mut named: Vec<_> = self.keys.iter().collect();
        named.sort_by_key(|(kid, _)| kid.as_str());
        let jwk = |(kid, key): (&Kid, &VerifyingKey)| Jwk {
            kid: Some(kid.as_str().to_owned()),
            ..Jwk::from(key)
        };
        named.into_iter().map(jwk).collect()
    }

    /// How many there are; never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a set without keys is not made")]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that are not used, without those that say that they are for something else.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }
}

fn usable(text: &str, algorithms: &[Algorithm]) -> Result<(Kid, VerifyingKey), LeftOut> {
    let nameless = |why| LeftOut { kid: None, why };
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| nameless("is not a JWK"))?;
    let purpose: Purpose = serde_json::from_str(text).map_err(|_| nameless("is not a JWK"))?;
    let kid = jwk.kid.clone().filter(|kid| !kid.is_empty());
    let left_out = |why| LeftOut {
        kid: kid.as_deref().map(shown),
        why,
    };
    if jwk.kty == "oct" {
        return Err(left_out("is a symmetric key, which everybody has now"));
    }
    if purpose.d.is_some() {
        return Err(left_out("is published with its private part, which everybody has now"));
    }
    let Some(name) = &kid else {
        return Err(left_out("has no kid"));
    };
    if jwk.key_use.as_deref().is_some_and(|used| used != "sig") {
        return Err(left_out(FOR_SOMETHING_ELSE));
    }
    if purpose
        .key_ops
        .is_some_and(|ops| !ops.iter().any(|operation| operation == "verify"))
    {
        return Err(left_out("is not for verifying (key_ops)"));
    }
    let public = jwk.public_key().map_err(|error| {
        left_out(match error {
            PublicKeyError::Unsupported => "is of a type that is not known",
            _ => "lacks a member, or has one that is not written as in RFC 7518 §6",
        })
    })?;
    let algorithm = match &jwk.alg {
        Some(alg) => algorithms.iter().find(|algorithm| algorithm.is_named(alg)),
        None => algorithms
            .iter()
            .find(|algorithm| algorithm.key_type() == public.key_type()),
    };
    let algorithm = algorithm.ok_or_else(|| left_out("is for no algorithm that the issuer may use"))?;
    let key = public
        .for_algorithm(*algorithm)
        .map_err(|_| left_out("is too weak, too long, or no key at all"))?;
    Ok((Kid::new(name), key))
}

fn shown(kid: &str) -> String {
    kid.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
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
    fn a_key_has_the_name_that_its_issuer_gave_it_and_one_algorithm() {
        let keys = parse(&[
            jwk(Algorithm::ES256, json!({"kid": "a \"b\""})),
            jwk(Algorithm::EdDSA, json!({"kid": "no alg", "alg": null})),
        ])
        .expect("keys");
        assert_eq!(keys.len(), 2);
        let algorithm = |kid| keys.find(kid).map(VerifyingKey::algorithm);
        assert_eq!(algorithm("a \"b\""), Some(Algorithm::ES256));
        assert_eq!(algorithm("no alg"), Some(Algorithm::EdDSA));
        assert_eq!(algorithm("c"), None);
    }

    #[test]
    fn the_keys_can_be_written_down_and_read_again() {
        let keys = parse(&[
            jwk(Algorithm::ES256, json!({"kid": "b \"\u{0}"})),
            jwk(Algorithm::EdDSA, json!({"kid": "a", "alg": null})),
        ])
        .expect("keys");
        let jwks = keys.to_jwks();
        let kids: Vec<_> = jwks.iter().map(|jwk| jwk.kid.as_deref()).collect();
        assert_eq!(kids, [Some("a"), Some("b \"\u{0}")]);
        let again = serde_json::to_vec(&JwkSet { keys: jwks }).expect("JSON");
        let again = ForeignKeys::parse(&again, &ALLOWED).expect("keys");
        assert_eq!(again.to_jwks(), keys.to_jwks());
        assert_eq!(again.find("a").map(VerifyingKey::algorithm), Some(Algorithm::EdDSA));
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
            (jwk(Algorithm::ES256, json!({"crv": "secp256k1"})), "not known"),
            (jwk(Algorithm::ES256, json!({"x": null})), "lacks a member"),
            (jwk(Algorithm::ES256, json!({"x": "AAAA"})), "not written as"),
            (jwk(Algorithm::ES384, json!({})), "no algorithm"),
            (jwk(Algorithm::ES256, json!({"alg": "HS256"})), "no algorithm"),
            (jwk(Algorithm::ES256, json!({"alg": "none"})), "no algorithm"),
            (jwk(Algorithm::ES256, json!({"alg": "EdDSA"})), "no key at all"),
            (jwk(Algorithm::ES256, json!({"y": "A".repeat(43)})), "no key at all"),
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
        assert!(keys.find("other").is_none());
        assert!(parse(&[encrypts]).expect_err("none").to_string().contains("(use)"));
    }

    #[test]
    fn two_keys_under_one_kid_are_both_left_out() {
        let twice = jwk(Algorithm::ES256, json!({"kid": "same"}));
        let other = jwk(Algorithm::ES256, json!({"kid": "same"}));
        let good = jwk(Algorithm::ES256, json!({"kid": "good"}));
        assert!(
            parse(&[twice.clone(), twice.clone()])
                .expect("one key")
                .find("same")
                .is_some()
        );
        for keys in [[twice.clone(), other.clone(), good.clone()], [good, other, twice]] {
            let keys = parse(&keys).expect("the good one");
            assert!(keys.find("same").is_none());
            assert!(keys.find("good").is_some());
        }
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>", "{\"keys\":[]"] {
            assert_eq!(
                ForeignKeys::parse(text.as_bytes(), &ALLOWED).expect_err(text),
                NoKeys::NotASet
            );
        }
        assert!(matches!(parse(&[]), Err(NoKeys::NoneFits(_))));
        let many = vec![json!({"kty": "oct"}); MOST + 1];
        assert_eq!(parse(&many).expect_err("too many"), NoKeys::TooMany(MOST + 1));
    }
}
