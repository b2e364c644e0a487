//! The keys of another issuer, read from its JWKS (RFC 7517 §5).
//!
//! Published sets are often untidy: keys without `alg` (Entra ID), encryption keys, keys of unknown types. A key that
//! cannot be used is left out with the reason, and the rest stay usable.
//!
//! Each key gets exactly one algorithm when the set is read: the one that the key names, if the issuer may use it, or
//! else the first allowed algorithm of its key type. The token never chooses it (RFC 8725 §3.1). One kid may name
//! several keys, each for a different algorithm (RFC 7517 §4.5).

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::algorithm::Algorithm;
use crate::json::{self, Object};
use crate::jwk::Jwk;
use crate::modulus::Judged;
use crate::names::Kid;
use crate::public_key::{PublicKey, PublicKeyError, VerifyingKey};
use crate::verify::Authentic;
use crate::weak_key::Weakness;

/// The reason for leaving out an encryption key. Providers publish these beside their signing keys, so it is reported
/// only if the set has no usable key at all.
const FOR_ENCRYPTION: &str = "is for encryption (use)";

/// The members of private and symmetric keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2). Any one of an RSA key's
/// private members is enough to compute the whole private key.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The maximum number of keys in a set. Each key costs time to parse.
pub const MOST: usize = 256;

/// How many unusable keys an error names. The text is shown in `/readyz` and on the status page.
const MOST_REASONS: usize = 32;

/// The usable keys of an issuer by kid. The kid is any text that the issuer chose.
#[derive(Clone, Debug)]
pub struct ForeignKeys {
    /// One or more keys for each kid. Several keys of one kid have different algorithms (RFC 7517 §4.5).
    keys: HashMap<Kid, Vec<VerifyingKey>>,
    left_out: Vec<LeftOut>,
}

/// A key of the set that is not used, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The key's kid, if it has one, cut to 64 characters.
    pub kid: Option<String>,
    /// The position of the key in the set, counted from 1.
    pub place: usize,
    /// The reason why the key is not used.
    pub why: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "{kid:?} {}", self.why),
            None => write!(f, "key {} of the set {}", self.place, self.why),
        }
    }
}

/// The error for a JWKS without any usable key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// The document is not a JWK Set.
    #[error("the document is not a JWK Set: a JSON object with an array `keys` (RFC 7517 §5)")]
    NotASet,
    /// The set has more keys than [`MOST`].
    #[error("the set has {0} keys, but at most {MOST} are allowed")]
    TooMany(usize),
    /// No key of the set can be used. The text lists the reasons.
    #[error("the set has no usable key: {0}")]
    NoneFits(String),
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A key that can be used.
struct Usable {
    kid: Kid,
    key: VerifyingKey,
    /// Whether the key itself says which algorithm it is for.
    names_algorithm: bool,
    place: usize,
}

impl ForeignKeys {
    /// Reads a JWK Set. `algorithms` lists the algorithms that the issuer may use, preferred ones first.
    ///
    /// Each RSA key takes milliseconds. To judge only new keys, use [`parse_again`](Self::parse_again).
    ///
    /// # Errors
    /// [`NoKeys`] if no key of the set can be used.
    pub fn parse(document: &[u8], algorithms: &[Algorithm]) -> Result<Self, NoKeys> {
        Self::parse_again(document, algorithms, &mut Judged::default())
    }

    /// Like [`parse`](Self::parse), but reuses the verdicts on the RSA keys that the issuer published before. Only
    /// new keys take milliseconds.
    ///
    /// # Errors
    /// [`NoKeys`] if no key of the set can be used.
    pub fn parse_again(document: &[u8], algorithms: &[Algorithm], judged: &mut Judged) -> Result<Self, NoKeys> {
        let mut verdicts = Judged::default();
        let keys = Self::read(document, algorithms, |n| verdicts.judge(n, judged));
        if !matches!(keys, Err(NoKeys::NotASet | NoKeys::TooMany(_))) {
            *judged = verdicts;
        }
        keys
    }

    /// Like [`parse`](Self::parse), for keys that were judged before they were stored.
    ///
    /// # Errors
    /// [`NoKeys`] if no key of the set can be used.
    pub fn parse_judged(document: &[u8], algorithms: &[Algorithm]) -> Result<Self, NoKeys> {
        Self::read(document, algorithms, |_| Ok(()))
    }

    /// The verdicts on these keys, from when they were parsed.
    #[must_use]
    pub fn judged(&self) -> Judged {
        let mut judged = Judged::default();
        for key in self.keys.values().flatten() {
            if let PublicKey::Rsa { n, .. } = key.public() {
                judged.is_good(n);
            }
        }
        judged
    }

    fn read(
        document: &[u8],
        algorithms: &[Algorithm],
        mut judge: impl FnMut(&[u8]) -> Result<(), Weakness>,
    ) -> Result<Self, NoKeys> {
        let set: Set<'_> = json::read(document).map_err(|_| NoKeys::NotASet)?;
        if set.keys.len() > MOST {
            return Err(NoKeys::TooMany(set.keys.len()));
        }
        let mut left_out = Vec::new();
        let mut usable = Vec::new();
        for (index, text) in set.keys.into_iter().enumerate() {
            match read_key(text.get(), index + 1, algorithms, &mut judge) {
                Ok(key) => usable.push(key),
                Err(reason) => left_out.push(reason),
            }
        }
        let keys = by_name(usable, &mut left_out);
        left_out.sort_by_key(|key| key.place);
        if keys.is_empty() {
            let reasons: Vec<String> = left_out.iter().take(MOST_REASONS).map(ToString::to_string).collect();
            return Err(NoKeys::NoneFits(match left_out.len().checked_sub(reasons.len()) {
                _ if reasons.is_empty() => "the set is empty".to_owned(),
                None | Some(0) => reasons.join(", "),
                Some(more) => format!("{}, and {more} more", reasons.join(", ")),
            }));
        }
        left_out.retain(|key| key.why != FOR_ENCRYPTION);
        Ok(Self { keys, left_out })
    }

    /// Finds the key with this kid. If several keys have it, the one for algorithm `alg` is chosen.
    ///
    /// `alg` never decides how a key verifies. If no key of the kid has this algorithm, another key of the kid is
    /// returned, and the token is then refused for the wrong algorithm.
    #[must_use]
    pub fn find(&self, kid: &str, alg: &str) -> Option<&VerifyingKey> {
        let named = self.keys.get(kid)?;
        let fits = named.iter().find(|key| key.algorithm().is_named(alg));
        fits.or_else(|| named.first())
    }

    /// Whether the set still contains the key that signed this token, under the same kid and with the same algorithm.
    #[must_use]
    pub fn have_signed(&self, token: &Authentic) -> bool {
        let named = self.keys.get(token.kid().as_str());
        named.is_some_and(|named| named.iter().any(|key| token.is_signed_by(key)))
    }

    /// The usable keys as JWKs, sorted by kid, each with its issuer's kid and the algorithm that it is used for.
    /// [`Self::parse`] reads the same keys back.
    #[must_use]
    pub fn to_jwks(&self) -> Vec<Jwk> {
        let all = self.keys.iter();
        let mut named: Vec<_> = all
            .flat_map(|(kid, keys)| keys.iter().map(move |key| (kid, key)))
            .collect();
        named.sort_by_key(|(kid, key)| (kid.as_str(), key.algorithm()));
        let jwk = |(kid, key): (&Kid, &VerifyingKey)| Jwk {
            kid: Some(kid.as_str().to_owned()),
            ..Jwk::from(key)
        };
        named.into_iter().map(jwk).collect()
    }

    /// The number of usable keys. Never zero.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "parse refuses a set that has no usable key")]
    pub fn len(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// The keys that are not used, in their order in the set. Encryption keys are not listed.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }
}

/// Groups the keys by kid. A kid and an algorithm together must name one key: if two different keys share both, neither
/// is used, because nothing says which is right.
fn by_name(mut usable: Vec<Usable>, left_out: &mut Vec<LeftOut>) -> HashMap<Kid, Vec<VerifyingKey>> {
    // If the same key appears with and without an algorithm, the one with it counts. Sorting puts it first.
    usable.sort_by_key(|key| !key.names_algorithm);
    let mut found: HashMap<Kid, Vec<Usable>> = HashMap::new();
    let mut twins = Vec::new();
    for new in usable {
        let named = found.entry(new.kid.clone()).or_default();
        let is_known = |known: &Usable| {
            let is_same = known.key.kid() == new.key.kid();
            is_same && (!new.names_algorithm || known.key.algorithm() == new.key.algorithm())
        };
        if named.iter().any(is_known) {
            continue;
        }
        if let Some(twin) = named.iter().find(|known| known.key.algorithm() == new.key.algorithm()) {
            twins.push((twin.kid.clone(), twin.key.algorithm()));
        }
        named.push(new);
    }
    for named in found.values_mut() {
        named.retain(|key| {
            let is_twin = twins
                .iter()
                .any(|(kid, algorithm)| *kid == key.kid && *algorithm == key.key.algorithm());
            if is_twin {
                left_out.push(LeftOut {
                    kid: Some(shown(key.kid.as_str())),
                    place: key.place,
                    why: "is the kid of several keys with the same algorithm",
                });
            }
            !is_twin
        });
    }
    let keys = found.into_iter().filter(|(_, named)| !named.is_empty());
    keys.map(|(kid, named)| (kid, named.into_iter().map(|usable| usable.key).collect()))
        .collect()
}

fn read_key(
    text: &str,
    place: usize,
    algorithms: &[Algorithm],
    judge: &mut impl FnMut(&[u8]) -> Result<(), Weakness>,
) -> Result<Usable, LeftOut> {
    let nameless = |why| LeftOut { kid: None, place, why };
    // The members must have different names (RFC 7517 §4). Parsing as an object also rejects an array, which serde
    // would accept as a struct.
    let members = Object::parse(text).map_err(|_| nameless("is not a JWK"))?;
    let kid: Option<String> = members
        .member("kid")
        .and_then(|kid| serde_json::from_str(kid.get()).ok())
        .filter(|kid: &String| !kid.is_empty());
    let left_out = |why| LeftOut {
        kid: kid.as_deref().map(shown),
        place,
        why,
    };
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| left_out("is not a JWK"))?;
    if jwk.kty == "oct" {
        return Err(left_out(
            "is a symmetric key; it is published, so it is no longer secret",
        ));
    }
    let is_there = |name: &&str| members.member(name).is_some_and(|value| value.get() != "null");
    if PRIVATE.iter().any(is_there) {
        return Err(left_out(
            "is published with its private part, so it is no longer secret",
        ));
    }
    let Some(name) = &kid else {
        return Err(left_out("has no kid"));
    };
    match jwk.key_use.as_deref() {
        None | Some("sig") => {}
        Some("enc") => return Err(left_out(FOR_ENCRYPTION)),
        Some(_) => return Err(left_out("is not for signatures: its use is not sig")),
    }
    let operations = members.member("key_ops").filter(|value| value.get() != "null");
    if let Some(operations) = operations {
        let operations: Vec<String> = serde_json::from_str(operations.get()).map_err(|_| left_out("is not a JWK"))?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err(left_out("is not for verifying (key_ops)"));
        }
    }
    let jwk = plainly_written(jwk);
    let public = jwk.public_key().map_err(|error| {
        left_out(match error {
            PublicKeyError::Unsupported => "has an unknown key type",
            _ => "lacks a member, or has one that is not encoded as RFC 7518 §6 says",
        })
    })?;
    let algorithm = match &jwk.alg {
        Some(alg) => algorithms.iter().find(|algorithm| algorithm.is_named(alg)),
        None => algorithms
            .iter()
            .find(|algorithm| algorithm.key_type() == public.key_type()),
    };
    let algorithm = algorithm.ok_or_else(|| left_out("has an algorithm that is not allowed for this issuer"))?;
    let key = public.for_algorithm(*algorithm).map_err(|error| {
        left_out(match error {
            PublicKeyError::Weak(weakness) => weak(weakness),
            _ => "is too weak, too long, or not a valid key",
        })
    })?;
    if let PublicKey::Rsa { n, .. } = &public {
        judge(n).map_err(|weakness| left_out(weak(weakness)))?;
    }
    Ok(Usable {
        kid: Kid::new(name),
        key,
        names_algorithm: jwk.alg.is_some(),
        place,
    })
}

fn weak(weakness: Weakness) -> &'static str {
    match weakness {
        Weakness::NoPoint => "is not the canonical encoding of a point of its curve",
        Weakness::SmallOrder => "is a point with a small-order component, so others can sign for it",
        Weakness::SmallFactor => "is an RSA key with a small factor",
        Weakness::Prime => "is an RSA key whose modulus is a prime, so others can sign for it",
        Weakness::Power => "is an RSA key whose modulus is a power of a smaller number",
        Weakness::CloseFactors => {
            "is an RSA key that can be factored, because its two factors are too close (CVE-2022-26320)"
        }
        Weakness::Roca => "is an RSA key that can be factored (ROCA, CVE-2017-15361)",
        Weakness::NotJudged => "is one of too many new RSA keys: it is examined when the keys are read again",
    }
}

/// Rewrites numbers that are base64 with padding or in the standard alphabet (RFC 4648 §4). Some publishers write these
/// forms, and the number is the same.
fn plainly_written(mut jwk: Jwk) -> Jwk {
    for member in [&mut jwk.n, &mut jwk.e, &mut jwk.x, &mut jwk.y].into_iter().flatten() {
        let digits = member.trim_end_matches('=');
        *member = digits.replace('+', "-").replace('/', "_");
    }
    jwk
}

fn shown(kid: &str) -> String {
    kid.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
