//! Verifying tokens by the rules of RFC 8725.
//!
//! There are two steps, because the first is expensive and does not depend on the caller. [`Unproven::authenticate`]
//! proves that a key signed the token. [`Authentic::verify`] checks that the token is good now and for this caller. No
//! other function makes their result types.
//!
//! A token names its key by issuer and kid together ([`Read::issuer`], [`Unproven::kid`]). The keys of one issuer never
//! verify the tokens of another.

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

/// A parsed token. Nothing in it can be trusted yet.
#[derive(Debug)]
pub struct Unproven<'t>(Compact<'t>);

impl<'t> Unproven<'t> {
    /// Parses a token.
    ///
    /// # Errors
    /// The errors of [`Compact::parse`].
    pub fn parse(token: &'t str) -> Result<Self, Refusal> {
        Ok(Self(Compact::parse(token)?))
    }

    /// The kid in the header.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.0.kid
    }

    /// The `alg` in the header. It only chooses among keys that share a kid (RFC 7517 §4.5); each
    /// key has its own algorithm.
    #[must_use]
    pub fn alg(&self) -> &str {
        &self.0.alg
    }

    /// Reads the claims before the signature is verified. A caller that trusts several issuers needs
    /// the issuer to find the key.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] if the claims are not a strict JSON object or `iss` is not a string.
    pub fn read(&self) -> Result<Read<'_, 't>, Refusal> {
        let claims = claims(&self.0.payload)?;
        let issuer = issuer(&claims)?;
        Ok(Read {
            token: self,
            claims,
            issuer,
        })
    }

    /// Proves that this key signed the token. The other claims are read only after that, so that nobody without the key
    /// can make us parse them.
    ///
    /// # Errors
    /// Any [`Refusal`] that does not depend on the time or the caller.
    pub fn authenticate(&self, key: &VerifyingKey, dialect: &Dialect) -> Result<Authentic, Refusal> {
        self.is_signed_by(key)?;
        self.read()?.authentic(key, dialect)
    }

    /// Checks the signature. The key decides the algorithm.
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

/// A token whose claims were read. Nothing in it can be trusted yet.
#[derive(Debug)]
pub struct Read<'u, 't> {
    token: &'u Unproven<'t>,
    claims: Object<'u>,
    issuer: Option<String>,
}

impl Read<'_, '_> {
    /// The token's `iss`, if it has one.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Proves that this key signed the token.
    ///
    /// # Errors
    /// Any [`Refusal`] that does not depend on the time or the caller.
    pub fn authenticate(self, key: &VerifyingKey, dialect: &Dialect) -> Result<Authentic, Refusal> {
        self.token.is_signed_by(key)?;
        self.authentic(key, dialect)
    }

    /// Makes the proof. Call it only after the signature was verified.
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
            // A malformed scope is an error only for a caller that requires a scope, so the result is stored.
            scope: scope(claims, dialect),
            expires_at,
            not_before,
            issued_at,
        })
    }
}

/// A token that is proven to be signed by a key of the ring. It may have expired or be meant for somebody else.
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

/// Proves that a key of our own ring signed the token. The kid alone finds the key.
///
/// # Errors
/// Any [`Refusal`] that does not depend on the time or the caller.
pub fn authenticate<'k>(
    token: &str,
    key_of: impl FnOnce(&str) -> Option<&'k VerifyingKey>,
) -> Result<Authentic, Refusal> {
    let token = Unproven::parse(token)?;
    let key = key_of(token.kid()).ok_or(Refusal::UnknownKey)?;
    token.authenticate(key, Dialect::standard())
}

/// What the caller requires of a token.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// The required `iss`.
    pub issuer: &'a Issuer,
    /// The accepted audiences. An empty list refuses every token, because an audience is always required.
    pub audience: &'a [&'a str],
    /// The scopes that the token must have, separated by spaces.
    pub scope: Option<&'a str>,
    /// The required `typ`. `None` accepts `JWT`, `at+jwt` and no `typ`.
    pub typ: Option<&'a str>,
    /// S: how far any clock may be off. Two clocks may differ by twice that.
    pub clock_skew: Duration,
}

/// A token that is good now, for this caller. Only [`Authentic::verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a>(&'a Authentic);

impl Authentic {
    /// Checks everything that depends on the time or the caller.
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
        self.has_dates_around(now, require.clock_skew)?;
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

    /// Makes the checks that do not depend on a caller: that this is an access token, and that it is good at this
    /// instant. `clock_skew` is how far any clock may be off.
    ///
    /// # Errors
    /// [`Refusal::WrongType`], [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn is_good_at(&self, now: Timestamp, clock_skew: Duration) -> Result<(), Refusal> {
        match typ_fits(self.typ.as_deref(), None) {
            true => self.has_dates_around(now, clock_skew),
            false => Err(Refusal::WrongType),
        }
    }

    fn has_dates_around(&self, now: Timestamp, clock_skew: Duration) -> Result<(), Refusal> {
        if now >= self.expires_at.plus(clock_skew) {
            return Err(Refusal::Expired);
        }
        // The signer's clock may be ahead while ours is behind.
        let latest = now.plus(clock_skew * 2);
        match self.not_before.is_some_and(|at| at > latest) || self.issued_at.is_some_and(|at| at > latest) {
            true => Err(Refusal::NotYetValid),
            false => Ok(()),
        }
    }

    /// The kid of the key that signed the token.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// Whether this key signed the token, with its current algorithm.
    ///
    /// A cache of tokens must check this, because the issuer may have reused the kid for another key, or changed
    /// the algorithm of the key.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        self.thumbprint == *key.kid() && self.algorithm == key.algorithm()
    }

    /// The token's `iss`. The key was looked up among the keys of this issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether the token is for one of these audiences.
    #[must_use]
    pub fn is_for(&self, audience: &[&str]) -> bool {
        self.audience.iter().any(|named| audience.contains(&named))
    }

    /// The claims as they were signed, a JSON object.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The token's `sub`, if it has one.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The token's scopes, separated by spaces. `None` also if the claim is malformed.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_ref().ok().and_then(Option::as_deref)
    }

    /// The heap memory of this token in bytes. A cache adds this to the size of the struct.
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
        // Each text is its own allocation, which costs at most 16 extra bytes.
        texts.iter().map(|text| text.len() + 16).sum::<usize>() + self.audience.octets_held()
    }
}

impl<'a> Verified<'a> {
    /// The kid of the key that signed the token.
    #[must_use]
    pub fn kid(&self) -> &'a Kid {
        &self.0.kid
    }

    /// The claims as they were signed, a JSON object.
    #[must_use]
    pub fn payload(&self) -> &'a str {
        &self.0.payload
    }

    /// The token's `sub`, if it has one.
    #[must_use]
    pub fn subject(&self) -> Option<&'a str> {
        self.0.subject()
    }

    /// The token's scopes, separated by spaces.
    #[must_use]
    pub fn scope(&self) -> Option<&'a str> {
        self.0.scope()
    }
}

/// Removes `application/`, which may be left out if no other `/` follows (RFC 7515 §4.1.9). The
/// case of types is ignored.
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
        // Other types are tokens for other purposes, such as logout, DPoP proofs and security events (RFC 8725 §2.8).
        (Some(typ), None) => typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt"),
    }
}
