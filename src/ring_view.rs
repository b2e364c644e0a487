//! The ring as people and machines see it: `GET /v1/ring`, `signet keys list`, the status page.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use signet_core::{Issuer, KeyRecord, Phase, Policy, Schedule, Timestamp};

use signet_base::rfc3339;

/// Every key with its phase and instants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RingView {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Provider, custody and key, which tell this ring from others of the issuer. `None`: nobody named them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The algorithm that new keys are made for.
    pub algorithm: &'static str,
    /// The keys, oldest first.
    pub keys: Vec<KeyView>,
    /// The rings of other providers whose keys are published and accepted too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<AlsoView>,
    /// When any of this next changes by itself.
    pub next_change_at: Option<String>,
}

/// A ring that is published beside the one that signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlsoView {
    /// Where its keys are kept.
    pub provider: &'static str,
    /// The keys, oldest first.
    pub keys: Vec<KeyView>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id.
    pub kid: String,
    /// Its algorithm.
    pub alg: &'static str,
    /// Where it is in its life.
    pub phase: Phase,
    /// When the provider says that it was created.
    pub created_at: String,
    /// From when it signs.
    pub activates_at: Option<String>,
    /// When its successor takes over.
    pub superseded_at: Option<String>,
    /// When it leaves the JWKS.
    pub expires_at: Option<String>,
    /// When and why it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<RevokedView>,
}

/// When and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevokedView {
    /// When.
    pub at: String,
    /// The operator's reason.
    pub reason: String,
}

impl RingView {
    /// Of a ring that was not read yet.
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

    /// Puts the provider's records and the schedule computed from them side by side.
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

    /// The revoked keys of all rings that are published, and when each was revoked.
    #[must_use]
    pub fn revocations(&self) -> Vec<(String, Timestamp)> {
        let also = self.also.iter().flat_map(|also| &also.keys);
        let keys = self.keys.iter().chain(also);
        keys.filter_map(|key| Some((key.kid.clone(), instant(&key.revoked.as_ref()?.at))))
            .collect()
    }
}

impl AlsoView {
    /// Puts the provider's records and the schedule computed from them side by side.
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
            // A revoked key has left already.
            expires_at: key.expires_at.filter(|_| record.revoked.is_none()).map(rfc3339),
            revoked: record.revoked.as_ref().map(|revocation| RevokedView {
                at: rfc3339(revocation.at),
                reason: revocation.reason.clone(),
            }),
        })
        .collect()
}

/// An instant as `rfc3339` writes it; the epoch if it is none, which is no time at which a key was made.
#[must_use]
pub fn instant(text: &str) -> Timestamp {
    let at = humantime::parse_rfc3339(text).unwrap_or(UNIX_EPOCH);
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
