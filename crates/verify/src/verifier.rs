//! The one place where a token is checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use signet_core::verify::{Authentic, Refusal, Requirements, Unproven};
use signet_core::{Audience, Issuer, Timestamp, token};

use crate::cache::{Entry, Fingerprint, Kept, TokenCache};
use crate::identity::HeaderBound;
use crate::source::{KeySource, NoKeys, Terms};

/// What a caller asks of a token, before the configuration fills what it left out. Empty requires nothing, so whoever takes
/// these from a request must refuse a requirement that is there and has no value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectations<'a> {
    /// The audiences of which one is required; empty for the configured ones.
    pub audience: &'a [&'a str],
    /// The issuers of which one is required; empty for our own and every trusted one.
    pub issuer: &'a [&'a str],
    /// The scopes required, separated by spaces.
    pub scope: Option<&'a str>,
    /// The type required.
    pub typ: Option<&'a str>,
}

/// What can be said of a token.
#[derive(Debug)]
pub enum Verdict<K> {
    /// It is good now, for this caller.
    Good(Arc<Entry<K>>),
    /// It is not.
    Refused(Refusal),
    /// Nothing can be said.
    Undecided(NoVerdict),
}

/// Why nothing can be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoVerdict {
    /// No audience is asked for and none is configured (RFC 8725 §3.9).
    NoAudience,
    /// The keys of its issuer are not known.
    NoKeys(NoKeys),
}

/// Why a token does not pass.
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

/// An issuer whose tokens are accepted.
#[derive(Debug)]
struct Accepted {
    terms: Terms,
    source: Arc<dyn KeySource>,
    is_own: bool,
}

/// Checks tokens of our own issuer and of those that are trusted beside it.
///
/// `K` is what the program keeps with each good token: see [`Kept`].
#[derive(Debug)]
pub struct Verifier<K> {
    own: Accepted,
    trusted: HashMap<Issuer, Accepted>,
    /// S: the most that any clock is off.
    clock_skew: Duration,
    cache: TokenCache<K>,
}

impl<K: Kept> Verifier<K> {
    /// Accepts tokens of our own issuer. Remembers so many common tokens, 4 KiB each; 0 remembers none.
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

    /// Accepts tokens of another issuer too, for the audiences of its terms and no others.
    pub fn trust(&mut self, terms: Terms, source: Arc<dyn KeySource>) {
        let issuer = terms.issuer.clone();
        let accepted = Accepted {
            terms,
            source,
            is_own: false,
        };
        self.trusted.insert(issuer, accepted);
    }

    /// Checks one token.
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

    /// The issuer whose keys may have signed the token. A token of nobody who is trusted is tried with our own keys: it is
    /// refused for its key, or for its `iss`.
    fn accepted(&self, issuer: Option<&str>) -> &Accepted {
        issuer.and_then(|issuer| self.trusted.get(issuer)).unwrap_or(&self.own)
    }

    /// Proves that a key of the token's issuer signed it.
    fn prove(&self, token: &str, now: Timestamp) -> Result<(Authentic, &Accepted), Stop> {
        let unproven = Unproven::parse(token)?;
        // Where our own issuer is the only one, the token need not say whose it is.
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

    /// Whether the token is good now and for this caller, by the rules for its issuer.
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
        // Another issuer speaks for the audiences that were agreed with it, whatever the caller asks for.
        if !accepted.is_own && !expected.audience.is_empty() && !proof.is_for(&agreed()) {
            return Err(Refusal::WrongAudience.into());
        }
        Ok(())
    }
}
