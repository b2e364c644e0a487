//! `POST /v1/verify` and `/v1/verify/batch`, and the one place where a token is checked.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arc_swap::Guard;
use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use signet_core::verify::{Authentic, Dialect, Refusal, Requirements, Unproven};
use signet_core::{Audience, Timestamp, VerifyingKey, token};

use crate::http::Response;
use crate::http::body;
use crate::http::problem::Problem;
use crate::issuers::{Known, NoKeys, Trusted};
use crate::routes::Service;
use crate::routes::asked::{Asked, Given};
use crate::routes::sign::{items, join, object};
use crate::snapshot::Snapshot;
use crate::token_cache::{Entry, Fingerprint};

/// After so many tokens of a batch, other requests get their turn.
const TURN: usize = 4;
const EXPECTED: &str =
    r#"{"token":"…","audience":["…"],"issuer":["…"],"scope":"…","typ":"…"}, of which only token is required"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyRequest<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(default, borrow)]
    audience: Option<Texts<'a>>,
    #[serde(default, borrow)]
    issuer: Option<Texts<'a>>,
    #[serde(default, borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    typ: Option<Cow<'a, str>>,
}

/// One text, or a list of them.
struct Texts<'a>(Vec<Text<'a>>);

/// Borrowed from the request unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, one: &'de str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Text(Cow::Borrowed(one))]))
            }

            fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Text(Cow::Owned(one.to_owned()))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::with_capacity(1);
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(Texts(many))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// Why a token is not let through: for what it is, or because nothing can be said of it.
enum Stop {
    Refusal(Refusal),
    Problem(Problem),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<NoKeys> for Stop {
    fn from(why: NoKeys) -> Self {
        Self::Problem(Problem::issuer_unavailable(why))
    }
}

impl Service {
    /// Checks one token.
    ///
    /// # Errors
    /// [`Problem`] if the request is not acceptable. A bad token is not a problem, but an answer.
    pub fn verify(&self, request: &[u8]) -> Result<Response, Problem> {
        let now = self.clock.now();
        self.answer(&self.published.at(now), request, now).map(body::json)
    }

    /// Checks a batch; each item is answered for itself.
    ///
    /// # Errors
    /// [`Problem`] if the batch as a whole is not acceptable.
    pub async fn verify_batch(&self, request: &[u8]) -> Result<Response, Problem> {
        let items = items(request)?;
        let snapshot = Guard::into_inner(self.published.at(self.clock.now()));
        let mut answers = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            answers.push(
                self.answer(&snapshot, item.as_bytes(), self.clock.now())
                    .map(|answer| answer.to_vec()),
            );
        }
        Ok(join(answers))
    }

    fn answer(&self, snapshot: &Snapshot, request: &[u8], now: Timestamp) -> Result<Bytes, Problem> {
        let request: VerifyRequest<'_> = object(request, EXPECTED)?;
        let audience = request.audience.as_ref().map(texts);
        let issuer = request.issuer.as_ref().map(texts);
        let asked = Asked::new(Given {
            audience: audience.as_deref(),
            issuer: issuer.as_deref(),
            scope: request.scope.as_deref(),
            typ: request.typ.as_deref(),
        })?;
        Ok(match self.check(snapshot, &request.token, asked, now)? {
            Ok(entry) => entry.active().clone(),
            Err(refusal) => format!(
                r#"{{"active":false,"error":"{}","detail":"{refusal}"}}"#,
                refusal.code()
            )
            .into(),
        })
    }

    /// Whether a token is good now, for this caller.
    ///
    /// # Errors
    /// [`Problem`] if no audience is asked for and none is configured (RFC 8725 §3.9), or the rings must be read first.
    pub fn check(
        &self,
        snapshot: &Snapshot,
        token: &str,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Result<Arc<Entry>, Refusal>, Problem> {
        if let Some(outage) = &snapshot.asleep {
            return Err(Problem::asleep(outage));
        }
        if asked.audience().is_empty() && self.audience.is_empty() && self.issuers.is_empty() {
            return Err(audience_required());
        }
        let outcome = self.find(snapshot, token, now).and_then(|entry| {
            self.judge(&entry, asked, now)?;
            Ok(entry)
        });
        let outcome = match outcome {
            Ok(entry) => Ok(entry),
            Err(Stop::Refusal(refusal)) => Err(refusal),
            Err(Stop::Problem(problem)) => return Err(problem),
        };
        match &outcome {
            Ok(_) => self.metrics.accepted.inc(),
            Err(refusal) => self.metrics.refused(refusal.code()),
        };
        Ok(outcome)
    }

    /// The proof that a key of the token's issuer signed it, from memory or made anew.
    fn find(&self, snapshot: &Snapshot, token: &str, now: Timestamp) -> Result<Arc<Entry>, Stop> {
        if token.len() > token::LONGEST {
            return Err(Refusal::TooLarge.into());
        }
        let fingerprint = Fingerprint::of(token);
        if let Some(entry) = self.cache.find(&fingerprint) {
            let proof = &entry.authentic;
            let keys = self.keys_of(snapshot, proof.issuer(), now)?;
            // The key may have expired or been revoked since, or its name be another key's.
            if !keys.have_signed(proof) {
                self.look_again(&keys, Refusal::UnknownKey);
                return Err(Refusal::UnknownKey.into());
            }
            return Ok(entry);
        }
        let unproven = Unproven::parse(token)?;
        // Who is the only issuer needs no name.
        let issuer = match self.issuers.is_empty() {
            true => None,
            false => unproven.issuer()?,
        };
        let keys = self.keys_of(snapshot, issuer.as_deref(), now)?;
        let proof = match keys.find(&unproven) {
            Some(key) => unproven.authenticate(key, keys.dialect()),
            None => Err(Refusal::UnknownKey),
        };
        let proof = proof.inspect_err(|refusal| self.look_again(&keys, *refusal))?;
        let entry = Arc::new(Entry::new(proof));
        self.cache.keep(fingerprint, Arc::clone(&entry));
        Ok(entry)
    }

    /// The keys that may speak for this issuer, and no others. A token of nobody whom we trust is tried with our own: it is
    /// refused for its key, or for its `iss`.
    fn keys_of<'a>(&'a self, snapshot: &'a Snapshot, issuer: Option<&str>, now: Timestamp) -> Result<Keys<'a>, NoKeys> {
        match issuer.and_then(|issuer| self.issuers.find(issuer)) {
            None => Ok(Keys::Own(snapshot)),
            Some(trusted) => Ok(Keys::Of(
                trusted,
                self.clock_watch.by_age(now, |at| trusted.keys_at(at))?,
            )),
        }
    }

    /// Perhaps its issuer has rotated since the keys were read, so a token that is refused for its key brings an early
    /// reading: one in a while, however many there are.
    fn look_again(&self, keys: &Keys<'_>, refusal: Refusal) {
        match (keys, refusal) {
            // Ours are named by their thumbprint: under a name that we know there is no other key.
            (Keys::Own(_), Refusal::UnknownKey) => self.nudge.unknown_key(self.clock.running()),
            // Others may give a new key, also one of another type, the name of the last.
            (Keys::Of(trusted, _), Refusal::UnknownKey | Refusal::WrongAlgorithm | Refusal::BadSignature) => {
                trusted.perhaps_rotated();
            }
            _ => {}
        }
    }

    /// Whether the token is good now and for this caller, by the rules for its issuer.
    fn judge(&self, entry: &Entry, asked: Asked<'_>, now: Timestamp) -> Result<(), Stop> {
        let proof = &entry.authentic;
        let trusted = proof.issuer().and_then(|issuer| self.issuers.find(issuer));
        if !asked.issuer().is_empty() && !proof.issuer().is_some_and(|issuer| asked.issuer().contains(&issuer)) {
            return Err(Refusal::WrongIssuer.into());
        }
        let (issuer, ours) = match trusted {
            None => (&self.issuer, &self.audience),
            Some(trusted) => (&trusted.terms().issuer, &trusted.terms().audiences),
        };
        let ours: Vec<&str> = match asked.audience().is_empty() || trusted.is_some() {
            true => ours.iter().map(Audience::as_str).collect(),
            false => Vec::new(),
        };
        let audience = if asked.audience().is_empty() {
            &ours
        } else {
            asked.audience()
        };
        if audience.is_empty() {
            return Err(Stop::Problem(audience_required()));
        }
        let require = Requirements {
            issuer,
            audience,
            scope: asked.scope(),
            typ: asked.typ(),
            clock_skew: self.clock_skew,
        };
        proof.verify(&require, now)?;
        // Another issuer speaks for the audiences that were agreed with it, whatever a route asks for.
        if trusted.is_some() && !proof.is_for(&ours) {
            return Err(Refusal::WrongAudience.into());
        }
        Ok(())
    }
}

/// The keys that may speak for one issuer.
enum Keys<'a> {
    Own(&'a Snapshot),
    Of(&'a Trusted, Arc<Known>),
}

impl Keys<'_> {
    /// The key that the token names.
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
        match self {
            Self::Own(snapshot) => snapshot.published.get(token.kid()),
            Self::Of(_, known) => known.keys().find(token.kid(), token.alg()),
        }
    }

    /// Whether the key that signed this token still is one of them.
    fn have_signed(&self, token: &Authentic) -> bool {
        match self {
            Self::Own(snapshot) => {
                let key = snapshot.published.get(token.kid().as_str());
                key.is_some_and(|key| token.is_signed_by(key))
            }
            Self::Of(_, known) => known.keys().have_signed(token),
        }
    }

    fn dialect(&self) -> &Dialect {
        match self {
            Self::Own(_) => Dialect::standard(),
            Self::Of(trusted, _) => &trusted.terms().dialect,
        }
    }
}

fn audience_required() -> Problem {
    Problem::request(
        "audience_required",
        "name the audience that the token must be for, or set SIGNET_AUDIENCE (RFC 8725 §3.9)",
    )
}

fn texts<'a>(texts: &'a Texts<'_>) -> Vec<&'a str> {
    texts.0.iter().map(|text| text.0.as_ref()).collect()
}
