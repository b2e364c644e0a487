//! What the data path reads: one immutable value, replaced whole whenever anything changes.
//!
//! All that can be encoded once is encoded here, so that a request encodes nothing but its own token.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use signet_core::jwk::{Jwk, JwkSet};
use signet_core::mint::Headers;
use signet_core::{Algorithm, KeyRecord, Kid, Phase, Policy, Schedule, SigningKey, Timestamp, VerifyingKey};
use tokio::sync::watch;

use crate::discovery;
use crate::ring_view::RingView;

/// The sidecar's state at one instant.
#[derive(Debug)]
pub struct Snapshot {
    /// The keys whose signatures are accepted: those in the JWKS.
    pub published: HashMap<Kid, VerifyingKey>,
    /// The key that signs, or why none does.
    pub signer: Result<Signer, Outage>,
    /// `/.well-known/jwks.json`.
    pub jwks: Document,
    /// The discovery documents.
    pub discovery: Document,
    /// The next instant at which the published set must change.
    pub set_changes_at: Option<Timestamp>,
    /// The ring with phases.
    pub ring: Arc<RingView>,
    /// `GET /v1/ring`.
    pub ring_json: Bytes,
    /// When the provider was last read.
    pub refreshed_at: Timestamp,
    /// Why reading it fails, if it does.
    pub refresh_failure: Option<Outage>,
}

/// The key that signs.
#[derive(Debug)]
pub struct Signer {
    /// The private key, in memory.
    pub key: Arc<SigningKey>,
    /// Its tokens' headers, encoded.
    pub headers: Headers,
    /// The longest life of a token that it may sign.
    pub longest: Duration,
}

/// Something that does not work, since when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Since when.
    pub since: Timestamp,
    /// The error and its causes, for an operator.
    pub reason: String,
}

/// A JSON document with its strong entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Debug)]
pub struct Document {
    /// The text.
    pub body: Bytes,
    /// The tag: a hash of the text.
    pub etag: HeaderValue,
}

impl Document {
    /// Tags a text.
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
    /// The ring as listed.
    pub records: &'a [KeyRecord],
    /// What follows from it now.
    pub schedule: &'a Schedule,
    /// The policy.
    pub policy: &'a Policy,
    /// The ring with phases.
    pub view: RingView,
    /// The private key of the active key, or why it is not there.
    pub signing_key: Result<Arc<SigningKey>, Outage>,
    /// When the provider was last read.
    pub refreshed_at: Timestamp,
    /// Why reading it fails, if it does.
    pub refresh_failure: Option<Outage>,
}

impl Snapshot {
    /// Encodes all that requests will need.
    #[must_use]
    pub fn new(parts: Parts<'_>) -> Self {
        let record = |kid: &Kid| parts.records.iter().find(|record| record.kid() == kid);
        let in_set: Vec<&VerifyingKey> = parts
            .schedule
            .keys
            .iter()
            .filter(|key| key.phase.is_published())
            .filter_map(|key| record(&key.kid).map(|record| &record.public))
            .collect();
        let jwks = JwkSet {
            keys: in_set.iter().map(|key| Jwk::from(*key)).collect(),
        };
        let mut algorithms: Vec<Algorithm> = in_set.iter().map(|key| key.algorithm()).collect();
        algorithms.push(parts.policy.algorithm());
        algorithms.sort_unstable();
        algorithms.dedup();
        let signer = parts.signing_key.map(|key| {
            let bound = record(key.verifying_key().kid()).and_then(|record| record.terms);
            Signer {
                headers: Headers::new(key.verifying_key()),
                longest: bound.map_or(parts.policy.durations().token_max_ttl, |terms| terms.token_max_ttl),
                key,
            }
        });
        Self {
            published: in_set.iter().map(|key| (key.kid().clone(), (*key).clone())).collect(),
            signer,
            jwks: Document::new(serde_json::to_vec(&jwks).unwrap_or_default()),
            discovery: Document::new(discovery::document(&parts.view.issuer, &algorithms)),
            set_changes_at: parts.schedule.set_changes_at,
            ring_json: serde_json::to_vec(&parts.view).unwrap_or_default().into(),
            ring: Arc::new(parts.view),
            refreshed_at: parts.refreshed_at,
            refresh_failure: parts.refresh_failure,
        }
    }

    /// How many keys are in a phase.
    #[must_use]
    pub fn count(&self, phase: Phase) -> usize {
        self.ring.keys.iter().filter(|key| key.phase == phase).count()
    }
}

/// Where the keeper puts each snapshot, and everybody else finds the latest.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<Bytes>,
}

impl Published {
    /// Starts with a first snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        let changes = watch::Sender::new(first.ring_json.clone());
        Self {
            current: ArcSwap::from_pointee(first),
            changes,
        }
    }

    /// The latest snapshot. Never waits.
    pub fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The latest snapshot, to be kept across an await.
    #[must_use]
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces it, and tells those who follow the ring if that changed.
    pub fn store(&self, snapshot: Snapshot) {
        let ring = snapshot.ring_json.clone();
        self.current.store(Arc::new(snapshot));
        self.changes.send_if_modified(|last| {
            let changed = *last != ring;
            *last = ring;
            changed
        });
    }

    /// Follows `GET /v1/ring`.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Bytes> {
        self.changes.subscribe()
    }
}
