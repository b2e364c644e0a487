//! The record: what Signet must know about the keys of a ring, but transit cannot store. One document in KV v2.
//!
//! It names every version in the ring, and the next one *before* transit creates it. A version that it does not name is
//! not in the ring. The record is not trusted with public keys, except those of revoked keys, with which nobody
//! verifies. It can move a creation time only later than transit's, never earlier.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use signet_api::{ErrorKind, Failure};
use signet_core::jwk::Jwk;
use signet_core::schedule::newest_revoked_signer;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation, Terms, Timestamp};

use crate::names::transit_keys;

/// The version of the record's format.
const FORMAT: u32 = 1;
/// The maximum number of disabled keys to keep. Revoked keys are not counted and are always kept.
const MOST_DISABLED: usize = 32;

/// The record as stored in KV: one string. OpenBao accepts at most 1,000 strings in a request, including the names of
/// members. If they were separate values, no more than 28 keys would fit. Vault has such limits, too.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    record: String,
}

/// What is found in KV.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum StoredRecord {
    Text {
        record: String,
    },
    /// A record as the first versions wrote it.
    Plain(Box<Record>),
}

impl StoredRecord {
    /// Parses and checks the record.
    pub(crate) fn record(self, ring: &str, location: &str) -> Result<Record, Failure> {
        let record = match self {
            Self::Plain(record) => *record,
            Self::Text { record } => serde_json::from_str(&record)
                .map_err(|_| refused(location, "it is not a record, or it is of another version of Signet"))?,
        };
        record.checked(ring, location)
    }
}

fn refused(location: &str, what: &str) -> Failure {
    let text = format!(
        "the record in {location} is refused: {what}. Restore an older version (`vault kv rollback`), then repeat \
         every later revocation (`signet keys revoke`); if nobody in your team changed it, treat it as an \
         attack"
    );
    Failure::new(ErrorKind::BadAnswer, text)
}

/// The content of the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    ring: String,
    /// The number of the last key that was claimed.
    pub(crate) last_number: u64,
    pub(crate) keys: Vec<Entry>,
    /// The key that is being created.
    pub(crate) claim: Option<ClaimOf>,
}

/// A version of a transit key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TransitVersion {
    pub(crate) transit_key: String,
    pub(crate) version: u64,
}

/// A key in the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// A number that counts up. It orders keys with the same creation time.
    pub(crate) number: u64,
    pub(crate) place: TransitVersion,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Kid,
    pub(crate) public: Jwk,
    pub(crate) created_at_ms: Timestamp,
    pub(crate) predecessor: Option<Kid>,
    pub(crate) terms: Terms,
    pub(crate) state: KeyState,
    /// Whether the key is being destroyed and is no longer in the ring.
    pub(crate) destroyed: bool,
    pub(crate) revoked: Option<Revocation>,
}

/// A claim: somebody is about to create this version.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimOf {
    pub(crate) number: u64,
    pub(crate) place: TransitVersion,
    pub(crate) algorithm: Algorithm,
    pub(crate) predecessor: Option<Kid>,
    pub(crate) terms: Terms,
    /// Identifies the handle that made the claim.
    pub(crate) nonce: String,
    pub(crate) claimed_at_ms: Timestamp,
}

impl Record {
    pub(crate) fn empty(ring: &str) -> Self {
        Self {
            format: FORMAT,
            ring: ring.to_owned(),
            last_number: 0,
            keys: Vec::new(),
            claim: None,
        }
    }

    /// The record as it is written to KV.
    pub(crate) fn document(&self) -> Result<Document, Failure> {
        let record = serde_json::to_string(self)
            .map_err(|_| Failure::new(ErrorKind::InvalidConfig, "the record cannot be written as JSON"))?;
        Ok(Document { record })
    }

    /// Checks everything before the record is used.
    fn checked(self, ring: &str, location: &str) -> Result<Self, Failure> {
        let bad = |what: String| refused(location, &what);
        if self.format != FORMAT {
            return Err(bad(format!(
                "its format is {}, but this version of Signet reads {FORMAT}",
                self.format
            )));
        }
        if self.ring != ring {
            return Err(bad(format!("it is of the ring {:?}", self.ring)));
        }
        let names = transit_keys(ring);
        let claimed = self.claim.as_ref().map(|claim| &claim.place);
        let mut places = BTreeSet::new();
        for entry in &self.keys {
            // The transit key of a revoked key may have been deleted and created again, starting at version 1.
            let is_alone = entry.revoked.is_some() || entry.destroyed || places.insert(&entry.place);
            if !names.contains(&entry.place.transit_key) || !is_alone {
                return Err(bad(entry.place.is_bad()));
            }
        }
        if let Some(place) = claimed.filter(|place| !names.contains(&place.transit_key) || places.contains(place)) {
            return Err(bad(place.is_bad()));
        }
        let kids: BTreeSet<&str> = self.keys.iter().map(|entry| entry.kid.as_str()).collect();
        if kids.len() != self.keys.len() {
            return Err(bad("two of its keys have the same kid".to_owned()));
        }
        Ok(self)
    }

    pub(crate) fn entry(&self, kid: &Kid) -> Option<usize> {
        self.keys.iter().position(|entry| entry.kid == *kid)
    }

    /// Removes the keys that were disabled longest ago.
    pub(crate) fn forget_oldest_disabled(&mut self) {
        let is_plain = |entry: &Entry| entry.state == KeyState::Disabled && !entry.destroyed && entry.revoked.is_none();
        let mut surplus = self
            .keys
            .iter()
            .filter(|entry| is_plain(entry))
            .count()
            .saturating_sub(MOST_DISABLED);
        self.keys.retain(|entry| {
            let goes = surplus > 0 && is_plain(entry);
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// The transit keys that `list` must read.
    pub(crate) fn transit_keys_to_read(&self) -> BTreeSet<&str> {
        let entries = self
            .keys
            .iter()
            .filter(|entry| entry.is_listed() && entry.revoked.is_none());
        let claimed = self.claim.as_ref().map(|claim| &claim.place);
        let places = entries.map(|entry| &entry.place).chain(claimed);
        places.map(|place| place.transit_key.as_str()).collect()
    }

    /// The lowest version of a transit key that may still sign.
    fn least_that_signs(&self, transit_key: &str) -> Option<u64> {
        let passed_over = self.passed_over();
        self.least(transit_key, |entry| entry.may_sign() && entry.number > passed_over)
    }

    /// The lowest version with which transit may sign. Transit cannot forbid the latest version of a key, so
    /// the result is at most that.
    pub(crate) fn threshold(&self, transit_key: &str, latest: u64) -> u64 {
        self.least_that_signs(transit_key).unwrap_or(u64::MAX).min(latest)
    }

    /// The number of the newest key that was signing when it was revoked. No key up to this number signs again.
    pub(crate) fn passed_over(&self) -> u64 {
        let listed = self.keys.iter().filter(|entry| entry.is_listed());
        // Only times and terms are used here, never the public keys.
        let keys: Vec<KeyRecord> = listed.filter_map(|entry| entry.as_recorded().ok()).collect();
        newest_revoked_signer(&keys).map_or(0, |key| key.sequence)
    }

    /// Whether the latest version of a transit key was revoked, and the ring continues with another transit key. Then
    /// no newer version will follow.
    pub(crate) fn ended_revoked(&self, transit_key: &str, latest: u64) -> bool {
        let is_top = |entry: &Entry| entry.place.transit_key == transit_key && entry.place.version == latest;
        let is_revoked = self.keys.iter().any(|entry| is_top(entry) && entry.revoked.is_some());
        let next = self.keys.iter().rfind(|entry| entry.may_sign());
        is_revoked
            && self.threshold(transit_key, latest) == latest
            && next.is_some_and(|entry| entry.place.transit_key != transit_key)
    }

    /// The transit keys that hold a revoked key.
    pub(crate) fn transit_keys_with_a_revoked_key(&self) -> BTreeSet<&str> {
        let revoked = self.keys.iter().filter(|entry| entry.revoked.is_some());
        revoked.map(|entry| entry.place.transit_key.as_str()).collect()
    }

    /// The lowest version of a transit key that the ring still needs.
    pub(crate) fn least_that_is_needed(&self, transit_key: &str) -> Option<u64> {
        self.least(transit_key, |entry| entry.is_listed() && entry.revoked.is_none())
    }

    fn least(&self, transit_key: &str, counts: impl Fn(&Entry) -> bool) -> Option<u64> {
        let entries = self.keys.iter().filter(|entry| counts(entry)).map(|entry| &entry.place);
        let claimed = self.claim.as_ref().map(|claim| &claim.place);
        let places = entries.chain(claimed).filter(|place| place.transit_key == transit_key);
        places.map(|place| place.version).min()
    }
}

impl TransitVersion {
    fn is_bad(&self) -> String {
        format!(
            "it has version {} of {:?}, which is not a key of this ring, or it has it twice",
            self.version, self.transit_key
        )
    }
}

impl Entry {
    pub(crate) const fn is_listed(&self) -> bool {
        !self.destroyed
    }

    /// The key as recorded, without asking transit.
    pub(crate) fn as_recorded(&self) -> Result<KeyRecord, String> {
        let public = self.public.public_key().map_err(|error| error.to_string())?;
        Ok(KeyRecord {
            public: public
                .for_algorithm(self.algorithm)
                .map_err(|error| error.to_string())?,
            created_at: self.created_at_ms,
            sequence: self.number,
            predecessor: self.predecessor.clone(),
            terms: Some(self.terms),
            state: self.state,
            revoked: self.revoked.clone(),
        })
    }

    pub(crate) fn may_sign(&self) -> bool {
        self.is_listed() && self.revoked.is_none() && self.state == KeyState::Enabled
    }
}
