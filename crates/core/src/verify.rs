//! Checking tokens by the rules of RFC 8725.
//!
//! In two steps, as the first is expensive and does not depend on who asks: [`Unproven::authenticate`] proves that a key
//! signed the token, [`Authentic::verify`] that the token is good now and for this caller. Only these two make their types.
//! The token names its key by [`Read::issuer`] and [`Unproven::kid`] together: the keys of one issuer never verify a token of
//! another.

use std::time::Duration;

use crate::algorithm::Algorithm;
use crate::claims::{Texts, audience, claims, date, issuer, optional, scope};
use crate::json::Object;
use crate::names::{Issuer, Kid};
use crate::public_key::VerifyingKey;
use crate::time::Timestamp;
use crate::token::Compact;

pub use crate::dialect::Dialect;
pub use crate::refusal::Refusal;

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

    /// The algorithm that it names, which only chooses among the keys of its kid (RFC 7517 §4.5): a key has one of its own.
    #[must_use]
    pub fn alg(&self) -> &str {
        &self.0.alg
    }

    /// Reads the claims before the signature is verified: whoever trusts several issuers learns here whose key it must be.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn read(&self) -> Result<Read<'_, 't>, Refusal> {
        let claims = claims(&self.0.payload)?;
        let issuer = issuer(&claims)?;
        Ok(Read {
            token: self,
            claims,
            issuer,
        })
    }

    /// Proves that the key signed the token. The claims are read only after that, as they are worth a close look only if the
    /// holder of the key wrote them.
    ///
    /// # Errors
    /// Every [`Refusal`] that does not depend on the time or on the caller.
    pub fn authenticate(&self, key: &VerifyingKey, dialect: &Dialect) -> Result<Authentic, Refusal> {
        self.is_signed_by(key)?;
        self.read()?.authentic(key, dialect)
    }

    /// Whether the key signed it: the algorithm is chosen by the key.
    fn is_signed_by(&self, key: &VerifyingKey) -> Result<(), Refusal> {
        let token = &self.0;
        if !key.algorithm().is_named(&token.alg) {
            return Err(Refusal::WrongAlgorithm);
        }
        match key.verifies(token.signing_input, &token.signature) {
            true => Ok(()),
            false => Err(Refusal::BadSignature),
        }
    }
}

/// An unproven token with its claims read. Still nothing of it is to be believed.
#[derive(Debug)]
pub struct Read<'u, 't> {
    token: &'u Unproven<'t>,
    claims: Object<'u>,
    issuer: Option<String>,
}

impl Read<'_, '_> {
    /// The issuer that it names.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Proves that the key signed the token.
    ///
    /// # Errors
    /// Every [`Refusal`] that does not depend on the time or on the caller.
    pub fn authenticate(self, key: &VerifyingKey, dialect: &Dialect) -> Result<Authentic, Refusal> {
        self.token.is_signed_by(key)?;
        self.authentic(key, dialect)
    }

    /// The proof; the signature was verified.
    fn authentic(self, key: &VerifyingKey, dialect: &Dialect) -> Result<Authentic, Refusal> {
        let (token, claims) = (&self.token.0, &self.claims);
        let expires_at = date(claims, "exp", "exp is not a NumericDate (RFC 7519 §4.1.4)")?
            .ok_or(Refusal::Malformed("the token has no exp (RFC 8725 §3)"))?;
        let not_before = date(claims, "nbf", "nbf is not a NumericDate (RFC 7519 §4.1.5)")?;
        let issued_at = date(claims, "iat", "iat is not a NumericDate (RFC 7519 §4.1.6)")?;
        let subject = optional::<String>(claims, "sub", "sub is not a string (RFC 7519 §4.1.2)")?;
        Ok(Authentic {
            kid: Kid::new(&token.kid),
            thumbprint: key.kid().clone(),
            algorithm: key.algorithm(),
            typ: token.typ.as_deref().map(Box::from),
            payload: Box::from(token.payload.as_str()),
            issuer: self.issuer.map(String::into_boxed_str),
            subject: subject.map(String::into_boxed_str),
            audience: audience(claims, dialect)?,
            // Whoever asks for no scope is not concerned by how it is written.
            scope: scope(claims, dialect),
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
    typ: Option<Box<str>>,
    payload: Box<str>,
    issuer: Option<Box<str>>,
    subject: Option<Box<str>>,
    audience: Texts,
    scope: Result<Option<Box<str>>, Refusal>,
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
        if let Some(wanted) = require.scope {
            let held = self
                .scope
                .as_ref()
                .map_err(|refusal| *refusal)?
                .as_deref()
                .unwrap_or("");
            let lacks = |wanted: &str| !held.split(' ').any(|scope| scope == wanted);
            if wanted.split(' ').filter(|scope| !scope.is_empty()).any(lacks) {
                return Err(Refusal::InsufficientScope);
            }
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
        self.audience.iter().any(|named| audience.contains(&named))
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

    /// `scope`, values separated by spaces. `None` also where it is written in a form that cannot be read.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_ref().ok().and_then(Option::as_deref)
    }

    /// Octets that it holds outside of itself: what a cache has to count beside its size.
    #[must_use]
    pub fn octets_held(&self) -> usize {
        let texts = [
            self.kid.as_str(),
            self.thumbprint.as_str(),
            self.typ.as_deref().unwrap_or_default(),
            &self.payload,
            self.issuer().unwrap_or_default(),
            self.subject().unwrap_or_default(),
            self.scope().unwrap_or_default(),
        ];
        // Each text is an allocation of its own, which takes 16 octets more at most.
        texts.iter().map(|text| text.len() + 16).sum::<usize>() + self.audience.octets_held()
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
