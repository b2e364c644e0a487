//! The snapshot that the data path reads: an immutable value that is replaced as a whole whenever anything changes.
//!
//! Everything that can be encoded in advance is encoded here, so a request encodes only its own token.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use signet_base::Outage;
use signet_core::jwk::{Jwk, JwkSet};
use signet_core::mint::Headers;
use signet_core::schedule::{Due, ScheduledKey};
use signet_core::{Algorithm, KeyRecord, Kid, Lapses, Phase, Policy, Schedule, SigningKey, Timestamp, VerifyingKey};

use crate::discovery;
use crate::reading::{Reading, Standing};
use crate::ring_view::RingView;

/// The state of the sidecar at one instant.
#[derive(Debug)]
pub struct Snapshot {
    /// The keys in the JWKS. Only their signatures are accepted.
    pub published: HashMap<Kid, VerifyingKey>,
    /// The key that signs, or why none does.
    pub signer: Result<Signer, NoSigner>,
    /// The document at `/.well-known/jwks.json`.
    pub jwks: Document,
    /// The discovery document.
    pub discovery: Document,
    /// When the published set must change next.
    pub set_changes_at: Option<Timestamp>,
    /// The ring with the phases of its keys.
    pub ring: Arc<RingView>,
    /// The answer to `GET /v1/ring`.
    pub ring_json: Bytes,
    /// When the provider was last read.
    pub refreshed_at: Timestamp,
    /// A key with a creation time in the future, and that time. Until then, nothing is created or retired.
    pub from_the_future: Option<(Kid, Timestamp)>,
    /// The lapses, if a key may sign later here because of them.
    pub lapses: Lapses,
    /// Why reading the ring, or an action that is due in it, fails.
    pub refresh_failure: Option<RefreshFailure>,
    /// Whether a new key is due and not created yet.
    pub successor_is_due: bool,
    /// The rings that are also published and cannot be read, and why.
    pub also_failures: Vec<(&'static str, Outage)>,
    /// Why the rings cannot be written to disk for the next start, if so.
    pub unwritten: Option<Outage>,
    /// Until when the snapshot holds. `None` if time alone does not change it.
    pub holds_until: Option<Timestamp>,
    /// Set if this process was stopped for so long that others may sign with keys that it does not know.
    pub asleep: Option<Outage>,
}

/// Who computes signatures.
#[derive(Clone, Debug)]
pub enum Signs {
    /// This process, with the private key in memory.
    Here(Arc<SigningKey>),
    /// The provider, in remote custody.
    Remote,
}

/// The key that signs.
#[derive(Debug)]
pub struct Signer {
    /// Who computes its signatures.
    pub signs: Signs,
    /// The public half of the key.
    pub public: VerifyingKey,
    /// The maximum length of the signing input in bytes, if the provider limits it.
    pub longest_message: Option<usize>,
    /// The encoded headers of its tokens.
    pub headers: Headers,
    /// The maximum lifetime of its tokens.
    pub longest: Duration,
    /// Until when all other replicas certainly publish the key.
    pub published_until: Timestamp,
    /// The minimum lifetime of a useful token. Tokens get it even if no lifetime is certain: if the provider is down
    /// for all replicas, none of them has a successor of the key either. This replica has long been unready by then.
    pub least: Duration,
}

impl Signer {
    /// The maximum lifetime of a token that is signed now.
    #[must_use]
    pub fn longest_at(&self, now: Timestamp) -> Duration {
        let sure = self.published_until.since(now).max(self.least);
        self.longest.min(sure)
    }
}

/// Why no key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSigner {
    /// The cause, which selects the advice.
    pub cause: NoSignerCause,
    /// Since when, and the full text.
    pub outage: Outage,
}

/// The cause for which no key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSignerCause {
    /// The process was stopped, and must read its ring first.
    Asleep,
    /// No key of the ring is active.
    NoKey,
    /// The active key was disabled in the provider.
    Disabled,
    /// The private half of the active key cannot be unsealed, or was not unsealed yet.
    Sealed,
}

/// The failure of the last reading of the ring, or of an action that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshFailure {
    /// Whether the ring itself was read.
    pub was_read: bool,
    /// Since when it fails, and the last error.
    pub outage: Outage,
}

/// A JSON document with its strong entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Debug)]
pub struct Document {
    /// The text of the document.
    pub body: Bytes,
    /// The tag: a hash of the text.
    pub etag: HeaderValue,
}

impl Document {
    /// Makes a document of this text.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let hash = digest::digest(&digest::SHA256, &body);
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
        let etag = HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        Self { body, etag }
    }
}

/// What a snapshot is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The ring as last read.
    pub ring: &'a Reading,
    /// What follows from the reading now.
    pub standing: &'a Standing,
    /// The schedule of the ring by the wall clock.
    pub schedule: &'a Schedule,
    /// The rotation policy.
    pub policy: &'a Policy,
    /// How many milliseconds the wall clock was set. Instants of the reading are later by this much on the wall clock.
    pub set_by: i64,
    /// The ring with the phases of its keys.
    pub view: RingView,
    /// The active key and who signs with it, or why none does.
    pub signer: Result<(Kid, Signs), NoSigner>,
    /// The maximum length of a message that the provider signs, by the algorithm of the key.
    pub longest_message: fn(Algorithm) -> Option<usize>,
    /// The rings that are also published, each with its schedule.
    pub also: &'a [(&'a Reading, Schedule)],
    /// When time alone changes something.
    pub holds_until: Option<Timestamp>,
    /// Why the rings cannot be written to disk for the next start, if so.
    pub unwritten: Option<Outage>,
    /// Why nothing must be answered, if so.
    pub asleep: Option<Outage>,
}

impl Snapshot {
    /// Encodes everything that requests will need.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Self {
        let records = parts.ring.records();
        let record = |kid: &Kid| records.iter().find(|record| record.kid() == kid);
        let also = parts.also.iter().map(|(ring, schedule)| (ring.records(), schedule));
        let rings: Vec<(&[KeyRecord], &Schedule)> = std::iter::once((records, parts.schedule)).chain(also).collect();
        let in_set = published(&rings);
        let jwks = JwkSet {
            keys: in_set.iter().map(|key| Jwk::from(*key)).collect(),
        };
        let mut algorithms: Vec<Algorithm> = in_set.iter().map(|key| key.algorithm()).collect();
        algorithms.push(parts.policy.algorithm());
        algorithms.sort_unstable();
        algorithms.dedup();
        // The keeper dates events by a clock that nobody can set.
        let by_wall = |outage: Outage| Outage {
            since: outage.since.shifted(parts.set_by),
            ..outage
        };
        let signer = parts.signer.map_err(|none| NoSigner {
            outage: by_wall(none.outage),
            ..none
        });
        let signer = signer.and_then(|(kid, signs)| {
            let record = record(&kid).ok_or_else(|| NoSigner {
                cause: NoSignerCause::NoKey,
                outage: Outage {
                    since: parts.ring.at().shifted(parts.set_by),
                    reason: format!("the active key {kid} is not in the ring"),
                },
            })?;
            Ok(Signer {
                headers: Headers::new(&record.public),
                longest: parts.policy.terms_of(record).token_max_ttl,
                published_until: parts
                    .ring
                    .sure_until(record, parts.policy, parts.standing)
                    .shifted(parts.set_by),
                least: parts.policy.durations().token_ttl,
                longest_message: (parts.longest_message)(record.public.algorithm()),
                public: record.public.clone(),
                signs,
            })
        });
        Self {
            published: in_set.iter().map(|key| (key.kid().clone(), (*key).clone())).collect(),
            signer,
            jwks: Document::new(serde_json::to_vec(&jwks).unwrap_or_default()),
            discovery: Document::new(discovery::document(&parts.view.issuer, &algorithms)),
            set_changes_at: rings.iter().filter_map(|(_, schedule)| schedule.set_changes_at).min(),
            ring_json: serde_json::to_vec(&parts.view).unwrap_or_default().into(),
            ring: Arc::new(parts.view),
            refreshed_at: parts.ring.at().shifted(parts.set_by),
            from_the_future: parts.schedule.from_the_future.as_ref().and_then(|kid| {
                let record = record(kid)?;
                Some((kid.clone(), record.created_at))
            }),
            lapses: parts.standing.lapses.clone(),
            refresh_failure: parts.ring.failure().map(|outage| RefreshFailure {
                was_read: parts.ring.was_read(),
                outage: by_wall(outage.clone()),
            }),
            successor_is_due: parts
                .schedule
                .due
                .iter()
                .any(|due| matches!(due, Due::Successor { .. })),
            also_failures: parts
                .also
                .iter()
                .filter_map(|(ring, _)| ring.failure().map(|outage| (ring.provider(), by_wall(outage.clone()))))
                .collect(),
            holds_until: parts.holds_until,
            unwritten: parts.unwritten.map(by_wall),
            asleep: parts.asleep.map(by_wall),
        }
    }

    /// Whether the snapshot still holds at this instant.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.holds_until.is_none_or(|until| now < until)
    }

    /// The number of keys in a phase.
    #[must_use]
    pub fn count(&self, phase: Phase) -> usize {
        self.ring.keys.iter().filter(|key| key.phase == phase).count()
    }
}

/// The published keys of all rings, the first ring's first. A key that is revoked in any ring is not published.
fn published<'a>(rings: &[(&'a [KeyRecord], &Schedule)]) -> Vec<&'a VerifyingKey> {
    let revoked: HashSet<&Kid> = rings
        .iter()
        .flat_map(|(_, schedule)| &schedule.keys)
        .filter(|key| key.phase == Phase::Revoked)
        .map(|key| &key.kid)
        .collect();
    let mut seen = HashSet::new();
    let mut keys = Vec::new();
    for (records, schedule) in rings {
        let is_published = |key: &&ScheduledKey| key.phase.is_published() && !revoked.contains(&key.kid);
        for key in schedule.keys.iter().filter(is_published) {
            let record = records.iter().find(|record| *record.kid() == key.kid);
            keys.extend(record.map(|record| &record.public).filter(|_| seen.insert(&key.kid)));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use signet_core::algorithm::RsaBits;

    use super::*;

    #[test]
    fn a_token_lives_no_longer_than_its_key_is_sure_to_be_published() {
        let key = SigningKey::generate(Algorithm::EdDSA, RsaBits::default()).expect("a key");
        let at = Timestamp::from_secs;
        let signer = Signer {
            headers: Headers::new(key.verifying_key()),
            public: key.verifying_key().clone(),
            signs: Signs::Here(Arc::new(key)),
            longest_message: None,
            longest: Duration::from_secs(3600),
            published_until: at(10_000),
            least: Duration::from_secs(300),
        };
        for (now, longest) in [
            (0, 3600),
            (6_400, 3600),
            (6_401, 3599),
            (9_700, 300),
            (9_999, 300),
            (20_000, 300),
        ] {
            assert_eq!(signer.longest_at(at(now)).as_secs(), longest, "at {now}");
        }
    }
}
