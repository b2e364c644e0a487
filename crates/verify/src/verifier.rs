//! The verifier, the only place where tokens are checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use signet_core::verify::{Authentic, Refusal, Requirements, Unproven};
use signet_core::{Audience, Issuer, Timestamp, token};

use crate::cache::{Entry, Fingerprint, Kept, TokenCache};
use crate::identity::HeaderBound;
use crate::source::{KeySource, NoKeys, Terms};

/// What a caller requires of a token. Missing parts are filled from the configuration.
///
/// An empty value requires nothing. Code that reads these from a request must therefore refuse a
/// requirement without a value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectations<'a> {
    /// The accepted audiences. Empty means the configured ones.
    pub audience: &'a [&'a str],
    /// The accepted issuers. Empty means our own and all trusted ones.
    pub issuer: &'a [&'a str],
    /// The required scopes, separated by spaces.
    pub scope: Option<&'a str>,
    /// The required `typ`.
    pub typ: Option<&'a str>,
}

/// The result of checking a token.
#[derive(Debug)]
pub enum Verdict<K> {
    /// The token is good now, for this caller.
    Good(Arc<Entry<K>>),
    /// The token is refused.
    Refused(Refusal),
    /// The token cannot be judged.
    Undecided(NoVerdict),
}

/// Why a token cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVerdict {
    /// The request names no audience, and none is configured (RFC 8725 §3.9).
    NoAudience,
    /// The keys of the token's issuer are not available.
    NoKeys(NoKeys),
}

/// Why a check ended early.
enum Stop {
    Refused(Refusal),
    Undecided(NoVerdict),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NoKeys> for Stop {
    fn from(why: NoKeys) -> Self {
        Self::Undecided(NoVerdict::NoKeys(why))
    }
}

/// An issuer whose tokens are accepted, with its keys.
#[derive(Debug)]
struct Accepted {
    terms: Terms,
    source: Arc<dyn KeySource>,
    is_own: bool,
}

/// Checks tokens of our own issuer and of the trusted ones.
///
/// `K` is what the program stores with each good token; see [`Kept`].
#[derive(Debug)]
pub struct Verifier<K> {
    own: Accepted,
    trusted: HashMap<Issuer, Accepted>,
    /// S: how far any clock may be off.
    clock_skew: Duration,
    cache: TokenCache<K>,
}

impl<K: Kept> Verifier<K> {
    /// Makes a verifier for tokens of our own issuer. The cache holds `entries` common tokens of
    /// up to 4 KiB; 0 stores none.
    #[must_use]
    pub fn new(
        own: Terms,
        source: Arc<dyn KeySource>,
        clock_skew: Duration,
        remembered: usize,
        headers: HeaderBound,
    ) -> Self {
        Self {
            own: Accepted {
                terms: own,
                source,
                is_own: true,
            },
            trusted: HashMap::new(),
            clock_skew,
            cache: TokenCache::new(remembered, headers),
        }
    }

    /// Also accepts tokens of this issuer, but only for the audiences in its terms.
    pub fn trust(&mut self, terms: Terms, source: Arc<dyn KeySource>) {
        let issuer = terms.issuer.clone();
        let accepted = Accepted {
            terms,
            source,
            is_own: false,
        };
        self.trusted.insert(issuer, accepted);
    }

    /// Handles a token with an unknown key of this issuer, which somebody else has seen. Returns whether tokens of the
    /// issuer are accepted.
    pub fn on_unknown_key(&self, issuer: &str) -> bool {
        let own = (self.own.terms.issuer.as_str() == issuer).then_some(&self.own);
        let accepted = own.or_else(|| self.trusted.get(issuer));
        if let Some(accepted) = accepted {
            accepted.source.on_refused(Refusal::UnknownKey);
        }
        accepted.is_some()
    }

    /// Checks one token at this instant.
    #[must_use]
    pub fn check(&self, token: &str, expected: &Expectations<'_>, now: Timestamp) -> Verdict<K> {
        match self.decide(token, expected, now) {
            Ok(entry) => Verdict::Good(entry),
            Err(Stop::Refused(refusal)) => Verdict::Refused(refusal),
            Err(Stop::Undecided(why)) => Verdict::Undecided(why),
        }
    }

    fn decide(&self, token: &str, expected: &Expectations<'_>, now: Timestamp) -> Result<Arc<Entry<K>>, Stop> {
        if expected.audience.is_empty() && self.own.terms.audiences.is_empty() && self.trusted.is_empty() {
            return Err(Stop::Undecided(NoVerdict::NoAudience));
        }
        if token.len() > token::LONGEST {
            return Err(Refusal::TooLarge.into());
        }
        let fingerprint = Fingerprint::of(token);
        let (entry, accepted) = match self.cache.find(&fingerprint) {
            Some(entry) => {
                let accepted = self.accepted(entry.authentic.issuer());
                if !accepted.source.keys_at(now)?.have_signed(&entry.authentic) {
                    accepted.source.on_refused(Refusal::UnknownKey);
                    return Err(Refusal::UnknownKey.into());
                }
                (entry, accepted)
            }
            None => {
                let (proof, accepted) = self.prove(token, now)?;
                let entry = Arc::new(Entry::new(proof));
                self.cache.keep(fingerprint, Arc::clone(&entry));
                (entry, accepted)
            }
        };
        self.judge(&entry.authentic, accepted, expected, now)?;
        Ok(entry)
    }

    /// The issuer whose keys may have signed the token. The token of an unknown issuer is checked with our own keys and
    /// then refused, because of its key or its `iss`.
    fn accepted(&self, issuer: Option<&str>) -> &Accepted {
        issuer.and_then(|issuer| self.trusted.get(issuer)).unwrap_or(&self.own)
    }

    /// Proves that a key of the token's issuer signed it.
    fn prove(&self, token: &str, now: Timestamp) -> Result<(Authentic, &Accepted), Stop> {
        let unproven = Unproven::parse(token)?;
        // If our own issuer is the only one, the token need not name its issuer.
        let read = match self.trusted.is_empty() {
            true => None,
            false => Some(unproven.read()?),
        };
        let accepted = self.accepted(read.as_ref().and_then(|read| read.issuer()));
        let keys = accepted.source.keys_at(now)?;
        let dialect = &accepted.terms.dialect;
        let proof = match (keys.find(&unproven), read) {
            (None, _) => Err(Refusal::UnknownKey),
            (Some(key), None) => unproven.authenticate(key, dialect),
            (Some(key), Some(read)) => read.authenticate(key, dialect),
        };
        let proof = proof.inspect_err(|refusal| accepted.source.on_refused(*refusal))?;
        Ok((proof, accepted))
    }

    /// Checks that the token is good now and for this caller, by the rules of its issuer.
    fn judge(
        &self,
        proof: &Authentic,
        accepted: &Accepted,
        expected: &Expectations<'_>,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let is_expected = |issuer: &str| expected.issuer.contains(&issuer);
        if !expected.issuer.is_empty() && !proof.issuer().is_some_and(is_expected) {
            return Err(Refusal::WrongIssuer.into());
        }
        let terms = &accepted.terms;
        let agreed = || -> Vec<&str> { terms.audiences.iter().map(Audience::as_str).collect() };
        let configured = match expected.audience.is_empty() {
            true => agreed(),
            false => Vec::new(),
        };
        let audience = match expected.audience.is_empty() {
            true => configured.as_slice(),
            false => expected.audience,
        };
        if audience.is_empty() {
            return Err(Stop::Undecided(NoVerdict::NoAudience));
        }
        let require = Requirements {
            issuer: &terms.issuer,
            audience,
            scope: expected.scope,
            typ: expected.typ,
            clock_skew: self.clock_skew,
        };
        proof.verify(&require, now)?;
        // A token of another issuer must be for an audience in the issuer's terms, whatever the caller requires.
        if !accepted.is_own && !expected.audience.is_empty() && !proof.is_for(&agreed()) {
            return Err(Refusal::WrongAudience.into());
        }
        Ok(())
    }
}
