//! Checking tokens by the rules of RFC 8725.
//!
//! In two steps, as the first is expensive and does not depend on who asks: [`Unproven::authenticate`] proves that a key
//! signed the token, [`Authentic::verify`] that the token is good now and for this caller. Only these two make their types.
//! Which key that is, is between the two names that the token gives, [`Unproven::issuer`] and [`Unproven::kid`]: the keys of one
//! issuer never verify a token of another.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::algorithm::Algorithm;
use crate::claim_path::ClaimPath;
use crate::json::Object;
use crate::names::{Issuer, Kid};
use crate::public_key::VerifyingKey;
use crate::time::{Timestamp, YEAR_10000};
use crate::token::Compact;

/// Why a token was refused. The words of [`Refusal::code`] are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`crate::token::LONGEST`].
    #[error("the token is longer than 16 KiB")]
    TooLarge,
    /// Not a JWS in compact form with JSON claims.
    #[error("{0}")]
    Malformed(&'static str),
    /// It asks for an extension.
    #[error("{0}")]
    Critical(&'static str),
    /// No key of the ring has its kid, or it names none.
    #[error("no published key has this kid")]
    UnknownKey,
    /// Its `alg` is not the one of its key.
    #[error("alg in the header is not the algorithm of the key (RFC 8725 §3.1)")]
    WrongAlgorithm,
    /// The signature is not its key's.
    #[error("the signature does not verify")]
    BadSignature,
    /// `iss` is another.
    #[error("iss is not the issuer (RFC 8725 §3.8)")]
    WrongIssuer,
    /// `aud` names none of the audiences asked for.
    #[error("aud names none of the required audiences (RFC 8725 §3.9)")]
    WrongAudience,
    /// `typ` is not the one asked for, or a kind of token that is not for access.
    #[error("typ is not the required type of token (RFC 8725 §3.11)")]
    WrongType,
    /// `exp` has passed.
    #[error("exp has passed")]
    Expired,
    /// `nbf` or `iat` lie in the future.
    #[error("nbf or iat lies in the future")]
    NotYetValid,
    /// `scope` lacks one that was asked for.
    #[error("scope lacks a required value")]
    InsufficientScope,
}

impl Refusal {
    /// One of each, for documentation and tests.
    pub const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::Malformed(""),
        Self::Critical(""),
        Self::UnknownKey,
        Self::WrongAlgorithm,
        Self::BadSignature,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::WrongType,
        Self::Expired,
        Self::NotYetValid,
        Self::InsufficientScope,
    ];

    /// The word for it in answers, logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Critical(_) => "unsupported_critical",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::WrongType => "wrong_type",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

/// In which claims an issuer writes what others write in `scope` and `aud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The claims that hold scopes, all of which count. Empty: `scope`, or else `scp`.
    pub scope: Vec<ClaimPath>,
    /// The claim that holds the audience; `None` is `aud`.
    pub audience: Option<ClaimPath>,
}

static STANDARD: Dialect = Dialect {
    scope: Vec::new(),
    audience: None,
};

impl Dialect {
    /// That of RFC 7519 and RFC 9068, which is our own.
    #[must_use]
    pub fn standard() -> &'static Self {
        &STANDARD
    }
}

/// A token taken apart, of which nothing is to be believed yet.
#[derive(Debug)]
pub struct Unproven<'t>(Compact<'t>);

impl<'t> Unproven<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// As [`Compact::parse`].
    pub fn parse(token: &'t str) -> Result<Self, Refusal> {
        Ok(Self(Compact::parse(token)?))
    }

    /// The key that it names.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// The issuer that it names.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn issuer(&self) -> Result<Option<String>, Refusal> {
        issuer(&claims(&self.0.payload)?)
    }

    /// Proves that the key signed the token: the algorithm is chosen by the key.
    ///
    /// # Errors
    /// Every [`Refusal`] that does not depend on the time or on the caller.
    pub fn authenticate(self, key: &VerifyingKey, dialect: &Dialect) -> Result<Authentic, Refusal> {
        let token = self.0;
        if !key.algorithm().is_named(&token.alg) {
            return Err(Refusal::WrongAlgorithm);
        }
        if !key.verifies(token.signing_input, &token.signature) {
            return Err(Refusal::BadSignature);
        }
        // Only now are they worth a close look: whoever wrote them holds the key.
        let claims = claims(&token.payload)?;
        let expires_at = date(&claims, "exp", "exp is not a NumericDate (RFC 7519 §4.1.4)")?
            .ok_or(Refusal::Malformed("the token has no exp (RFC 8725 §3)"))?;
        let not_before = date(&claims, "nbf", "nbf is not a NumericDate (RFC 7519 §4.1.5)")?;
        let issued_at = date(&claims, "iat", "iat is not a NumericDate (RFC 7519 §4.1.6)")?;
        let issuer = issuer(&claims)?;
        let subject = member::<String>(&claims, "sub", "sub is not a string (RFC 7519 §4.1.2)")?;
        let audience = audience(&claims, dialect)?;
        let scope = scope(&claims, dialect)?;
        drop(claims);
        Ok(Authentic {
            kid: Kid::new(&token.kid),
            thumbprint: key.kid().clone(),
            algorithm: key.algorithm(),
            typ: token.typ,
            payload: token.payload.into_boxed_str(),
            issuer,
            subject,
            audience,
            scope,
            expires_at,
            not_before,
            issued_at,
        })
    }
}

/// A token that a key of the ring signed. It may be expired, or meant for somebody else.
#[derive(Debug)]
pub struct Authentic {
    kid: Kid,
    thumbprint: Kid,
    algorithm: Algorithm,
    typ: Option<String>,
    payload: Box<str>,
    issuer: Option<String>,
    subject: Option<String>,
    audience: Vec<String>,
    scope: Option<String>,
    expires_at: Timestamp,
    not_before: Option<Timestamp>,
    issued_at: Option<Timestamp>,
}

/// Proves that a key of one ring signed the token, written as we write: the key is chosen by kid alone.
///
/// # Errors
/// Every [`Refusal`] that does not depend on the time or on the caller.
pub fn authenticate<'k>(
    token: &str,
    key_of: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
) -> Result<Authentic, Refusal> {
    let token = Unproven::parse(token)?;
    let key = key_of(token.kid()).ok_or(Refusal::UnknownKey)?;
    token.authenticate(key, Dialect::standard())
}

fn claims(payload: &str) -> Result<Object<'_>, Refusal> {
    Object::parse(payload)
        .map_err(|_| Refusal::Malformed("the claims are not a JSON object without duplicate members (RFC 7519 §4)"))
}

fn issuer(claims: &Object<'_>) -> Result<Option<String>, Refusal> {
    member(claims, "iss", "iss is not a string (RFC 7519 §4.1.1)")
}

fn audience(claims: &Object<'_>, dialect: &Dialect) -> Result<Vec<String>, Refusal> {
    let audience = match &dialect.audience {
        None => member::<OneOrMany>(
            claims,
            "aud",
            "aud is neither a string nor an array of them (RFC 7519 §4.1.3)",
        )?,
        Some(path) => value(
            path.find(claims),
            "the claim of the audience is neither a string nor an array of them",
        )?,
    };
    Ok(audience.map_or_else(Vec::new, OneOrMany::into_vec))
}

fn scope(claims: &Object<'_>, dialect: &Dialect) -> Result<Option<String>, Refusal> {
    if dialect.scope.is_empty() {
        return match member::<String>(claims, "scope", "scope is not a string (RFC 8693 §4.2)")? {
            Some(scope) => Ok(Some(scope)),
            // Some issuers write an array under another name.
            None => Ok(
                member::<OneOrMany>(claims, "scp", "scp is neither a string nor an array of them")?
                    .map(OneOrMany::into_scope),
            ),
        };
    }
    let mut scopes: Option<String> = None;
    for path in &dialect.scope {
        let found: Option<OneOrMany> = value(
            path.find(claims),
            "a claim of scopes is neither a string nor an array of them",
        )?;
        let Some(found) = found.map(OneOrMany::into_scope).filter(|scope| !scope.is_empty()) else {
            continue;
        };
        scopes = Some(match scopes {
            None => found,
            Some(scopes) => scopes + " " + &found,
        });
    }
    Ok(scopes)
}

/// What the caller asks of a token.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// `iss` must be this.
    pub issuer: &'a Issuer,
    /// The token must be for one of these. Empty refuses every token: an audience is always required.
    pub audience: &'a [&'a str],
    /// `scope` must hold each of these, separated by spaces.
    pub scope: Option<&'a str>,
    /// `typ` must be this; without, `JWT`, `at+jwt` or none.
    pub typ: Option<&'a str>,
    /// S: the most that any clock is off, so that two may be twice that apart.
    pub clock_skew: Duration,
}

/// A token that is good now, for this caller. Only [`Authentic::verify`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a>(&'a Authentic);

impl Authentic {
    /// Checks all that depends on the time and on the caller.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    pub fn verify(&self, require: &Requirements<'_>, now: Timestamp) -> Result<Verified<'_>, Refusal> {
        if self.issuer.as_deref() != Some(require.issuer.as_str()) {
            return Err(Refusal::WrongIssuer);
        }
        if !typ_fits(self.typ.as_deref(), require.typ) {
            return Err(Refusal::WrongType);
        }
        if now >= self.expires_at.plus(require.clock_skew) {
            return Err(Refusal::Expired);
        }
        // The signer's clock may be ahead and ours behind.
        let latest = now.plus(require.clock_skew * 2);
        if self.not_before.is_some_and(|at| at > latest) || self.issued_at.is_some_and(|at| at > latest) {
            return Err(Refusal::NotYetValid);
        }
        if !self.is_for(require.audience) {
            return Err(Refusal::WrongAudience);
        }
        let held = self.scope.as_deref().unwrap_or("");
        let lacks = |wanted: &str| !held.split(' ').any(|scope| scope == wanted);
        if require
            .scope
            .is_some_and(|wanted| wanted.split(' ').filter(|scope| !scope.is_empty()).any(lacks))
        {
            return Err(Refusal::InsufficientScope);
        }
        Ok(Verified(self))
    }

    /// The name of the key that signed it.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// Whether this key signed it, by this algorithm. A cache that keeps the token must ask, as the issuer may have given the
    /// name to another key since, or the key to another algorithm.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.thumbprint == *key.kid() && self.algorithm == key.algorithm()
    }

    /// `iss`, which the key that was taken must have belonged to.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether it names one of these as its audience.
    #[must_use]
    pub fn is_for(&self, audience: &[&str]) -> bool {
        self.audience.iter().any(|named| audience.contains(&named.as_str()))
    }

    /// The claims as they were signed, a JSON object.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// `scope`, values separated by spaces.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

impl<'a> Verified<'a> {
    /// The key that signed it.
    #[must_use]
    pub fn kid(&self) -> &'a Kid {
        &self.0.kid
    }

    /// The claims as they were signed, a JSON object.
    #[must_use]
    pub fn payload(&self) -> &'a str {
        &self.0.payload
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        self.0.subject()
    }

    /// `scope`, values separated by spaces.
    #[must_use]
    pub fn scope(&self) -> Option<&'a str> {
        self.0.scope()
    }
}

/// RFC 7515 §4.1.9: `application/` may be left out where no other `/` follows. Types are compared without case.
fn short(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') => rest,
        _ => typ,
    }
}

fn typ_fits(typ: Option<&str>, required: Option<&str>) -> bool {
    match (typ.map(short), required.map(short)) {
        (Some(typ), Some(required)) => typ.eq_ignore_ascii_case(required),
        (None, Some(_)) => false,
        (None, None) => true,
        // Other types are tokens for other purposes (logout, DPoP proofs, security events): RFC 8725 §2.8.
        (Some(typ), None) => typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt"),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }

    /// Values separated by spaces. A member of an array that holds a space itself is no scope (RFC 6749 §3.3), and would
    /// become several here: a role `not admin` is not the scope `admin`.
    fn into_scope(self) -> String {
        match self {
            Self::One(one) => one,
            Self::Many(many) => {
                let fit: Vec<String> = many
                    .into_iter()
                    .filter(|scope| !scope.is_empty() && !scope.contains(' '))
                    .collect();
                fit.join(" ")
            }
        }
    }
}

fn member<'a, T: Deserialize<'a>>(claims: &Object<'a>, name: &str, why: &'static str) -> Result<Option<T>, Refusal> {
    value(claims.member(name), why)
}

fn value<'a, T: Deserialize<'a>>(found: Option<&'a RawValue>, why: &'static str) -> Result<Option<T>, Refusal> {
    found
        .map(|value| serde_json::from_str(value.get()).map_err(|_| Refusal::Malformed(why)))
        .transpose()
}

/// A `NumericDate` may have a fraction (RFC 7519 §2). Beyond the year 9999 it is an error of the issuer.
fn date(claims: &Object<'_>, name: &str, why: &'static str) -> Result<Option<Timestamp>, Refusal> {
    let Some(seconds) = member::<f64>(claims, name, why)? else {
        return Ok(None);
    };
    if !(0.0..YEAR_10000 as f64).contains(&seconds) {
        return Err(Refusal::Malformed(why));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above and below")]
    Ok(Some(Timestamp::from_millis((seconds * 1000.0) as i64)))
}
