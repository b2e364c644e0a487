//! `POST /v1/verify` and `/v1/verify/batch`, and the one place where a token is checked.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arc_swap::Guard;
use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use signet_core::verify::{Refusal, Requirements, authenticate};
use signet_core::{Timestamp, token};

use crate::http::Response;
use crate::http::body;
use crate::http::problem::Problem;
use crate::routes::Service;
use crate::routes::sign::{items, join, object};
use crate::snapshot::Snapshot;
use crate::token_cache::{Entry, Fingerprint};

/// After so many tokens of a batch, other requests get their turn.
const TURN: usize = 4;
const EXPECTED: &str = r#"{"token":"…","audience":["…"],"scope":"…","typ":"…"}, of which only token is required"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyRequest<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(default, borrow)]
    audience: Option<Audiences<'a>>,
    #[serde(default, borrow)]
    scope: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    typ: Option<Cow<'a, str>>,
}

/// One audience, or a list of them.
struct Audiences<'a>(Vec<Text<'a>>);

/// Borrowed from the request unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Audiences<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Audiences<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_borrowed_str<E>(self, one: &'de str) -> Result<Self::Value, E> {
                Ok(Audiences(vec![Text(Cow::Borrowed(one))]))
            }

            fn visit_str<E>(self, one: &str) -> Result<Self::Value, E> {
                Ok(Audiences(vec![Text(Cow::Owned(one.to_owned()))]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::with_capacity(1);
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(Audiences(many))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// What a caller asks of a token, before the configuration fills what it left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The audiences of which one is required; empty for the configured ones.
    pub audience: &'a [&'a str],
    /// The scopes required.
    pub scope: Option<&'a str>,
    /// The type required.
    pub typ: Option<&'a str>,
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
        let audience = request.audience.as_ref().map_or(&[][..], |audiences| &audiences.0);
        let audience: Vec<&str> = audience.iter().map(|text| text.0.as_ref()).collect();
        let asked = Asked {
            audience: &audience,
            scope: request.scope.as_deref(),
            typ: request.typ.as_deref(),
        };
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
        let configured: Vec<&str>;
        let audience = if asked.audience.is_empty() {
            configured = self.audience.iter().map(signet_core::Audience::as_str).collect();
            &configured
        } else {
            asked.audience
        };
        if audience.is_empty() {
            return Err(Problem::request(
                "audience_required",
                "name the audience that the token must be for, or set SIGNET_AUDIENCE (RFC 8725 §3.9)",
            ));
        }
        let require = Requirements {
            issuer: &self.issuer,
            audience,
            scope: asked.scope,
            typ: asked.typ,
            clock_skew: self.clock_skew,
        };
        let outcome = self.find(snapshot, token).and_then(|entry| {
            entry.authentic.verify(&require, now)?;
            Ok(entry)
        });
        match &outcome {
            Ok(_) => {
                self.metrics.accepted.inc();
            }
            Err(refusal) => {
                self.metrics.refused(refusal.code());
                if *refusal == Refusal::UnknownKey {
                    self.nudge.unknown_key(now);
                }
            }
        }
        Ok(outcome)
    }

    /// The proof that a published key signed the token, from memory or made anew.
    fn find(&self, snapshot: &Snapshot, token: &str) -> Result<Arc<Entry>, Refusal> {
        if token.len() > token::LONGEST {
            return Err(Refusal::TooLarge);
        }
        let fingerprint = Fingerprint::of(token);
        if let Some(entry) = self.cache.find(&fingerprint) {
            // The key may have expired or been revoked since.
            let published = snapshot.published.contains_key(entry.authentic.kid());
            return if published { Ok(entry) } else { Err(Refusal::UnknownKey) };
        }
        let entry = Arc::new(Entry::new(authenticate(token, |kid| snapshot.published.get(kid))?));
        self.cache.keep(fingerprint, Arc::clone(&entry));
        Ok(entry)
    }
}
