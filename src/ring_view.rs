//! The ring for people and programs: `GET /v1/ring`, `signet keys list`, the status page.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use signet_core::{Issuer, KeyRecord, Phase, Policy, Schedule, Timestamp};

use signet_base::rfc3339;

/// All keys with their phases and times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RingView {
    /// The `iss` of the ring's tokens.
    pub issuer: String,
    /// Provider, custody and key, which distinguish this ring from others of the issuer. `None` if they were not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The algorithm of new keys.
    pub algorithm: &'static str,
    /// The keys, oldest first.
    pub keys: Vec<KeyView>,
    /// The rings that are also published, whose tokens are accepted too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<AlsoView>,
    /// When any part of this next changes with time alone.
    pub next_change_at: Option<String>,
}

/// A ring that is also published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlsoView {
    /// The provider of the ring.
    pub provider: &'static str,
    /// The keys, oldest first.
    pub keys: Vec<KeyView>,
}

/// A key of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// The id of the key.
    pub kid: String,
    /// The algorithm of the key.
    pub alg: &'static str,
    /// The phase of the key now.
    pub phase: Phase,
    /// The provider's creation time.
    pub created_at: String,
    /// When the key starts to sign, or started.
    pub activates_at: Option<String>,
    /// When the successor starts to sign.
    pub superseded_at: Option<String>,
    /// When the key leaves the JWKS.
    pub expires_at: Option<String>,
    /// When and why the key was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevokedView>,
}

/// When and why a key was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokedView {
    /// The time of the revocation.
    pub at: String,
    /// The operator's reason.
    pub reason: String,
}

impl RingView {
    /// The view of a ring that was not read yet.
    #[must_use]
    pub fn unread(issuer: &Issuer, policy: &Policy) -> Self {
        Self {
            issuer: issuer.to_string(),
            origin: None,
            algorithm: policy.algorithm().as_str(),
            keys: Vec::new(),
            also: Vec::new(),
            next_change_at: None,
        }
    }

    /// Combines the provider's records with the schedule that was computed from them.
    #[must_use]
    pub fn new(issuer: &Issuer, policy: &Policy, records: &[KeyRecord], schedule: &Schedule) -> Self {
        Self {
            issuer: issuer.to_string(),
            origin: None,
            algorithm: policy.algorithm().as_str(),
            keys: key_views(records, schedule),
            also: Vec::new(),
            next_change_at: schedule.next_look.map(rfc3339),
        }
    }

    /// The revoked keys of all published rings, with the times of their revocation.
    #[must_use]
    pub fn revocations(&self) -> Vec<(String, Timestamp)> {
        let also = self.also.iter().flat_map(|also| &also.keys);
        let keys = self.keys.iter().chain(also);
        keys.filter_map(|key| Some((key.kid.clone(), instant(&key.revoked.as_ref()?.at))))
            .collect()
    }
}

impl AlsoView {
    /// Combines the provider's records with the schedule that was computed from them.
    #[must_use]
    pub fn new(provider: &'static str, records: &[KeyRecord], schedule: &Schedule) -> Self {
        Self {
            provider,
            keys: key_views(records, schedule),
        }
    }
}

fn key_views(records: &[KeyRecord], schedule: &Schedule) -> Vec<KeyView> {
    schedule
        .keys
        .iter()
        .filter_map(|key| {
            records
                .iter()
                .find(|record| *record.kid() == key.kid)
                .map(|record| (key, record))
        })
        .map(|(key, record)| KeyView {
            kid: key.kid.to_string(),
            alg: record.public.algorithm().as_str(),
            phase: key.phase,
            created_at: rfc3339(record.created_at),
            activates_at: key.activates_at.map(rfc3339),
            superseded_at: key.superseded_at.map(rfc3339),
            // A revoked key has already left the JWKS.
            expires_at: key.expires_at.filter(|_| record.revoked.is_none()).map(rfc3339),
            revoked: record.revoked.as_ref().map(|revocation| RevokedView {
                at: rfc3339(revocation.at),
                reason: revocation.reason.clone(),
            }),
        })
        .collect()
}

/// Parses an instant that `rfc3339` has written. Returns the epoch for any other text; no key has that time.
#[must_use]
pub fn instant(text: &str) -> Timestamp {
    let at = humantime::parse_rfc3339(text).unwrap_or(UNIX_EPOCH);
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
