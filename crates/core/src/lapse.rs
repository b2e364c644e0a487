//! Lapses: times when a replica could not read its provider for so long that keys it has never seen
//! may be signing elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::ring::{KeyRecord, KeyState};
use crate::time::Timestamp;

/// A time without a reading of the ring that is longer than the maximum age of a reading
/// ([`Durations::bearable_age`](crate::Durations::bearable_age)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lapse {
    /// The last reading before the lapse.
    #[serde(rename = "from_ms")]
    pub from: Timestamp,
    /// The first reading after the lapse. `None` while it lasts.
    #[serde(rename = "to_ms")]
    pub to: Option<Timestamp>,
}

/// The lapses that can affect when a key of the ring signs, in order of time.
///
/// During a lapse, the provider may be unreachable for all replicas. A key that was created just before it is then
/// unknown to most of them and missing from all caches, yet by its creation time it may sign as soon as any replica
/// reads it. Therefore a replica in a lapse does not start to sign with a new key. After the lapse it continues with
/// the previous key for the minimum lead ([`Durations::least_lead`](crate::Durations::least_lead)). By then all
/// replicas have read the ring, and caches have dropped their old copies.
///
/// Or only this replica was cut off, and the others have moved on to the new key. Therefore an activation is put off no
/// longer than the previous key can sign a token of the default lifetime that is accepted everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lapses(Vec<Lapse>);

/// The maximum number of lapses to keep. If outages repeat quickly, only the newest are kept.
const MOST: usize = 32;

impl Lapses {
    /// Takes lapses that are in order of time.
    #[must_use]
    pub fn new(lapses: Vec<Lapse>) -> Self {
        Self(lapses)
    }

    /// The lapses in order of time.
    pub fn iter(&self) -> impl Iterator<Item = &Lapse> {
        self.0.iter()
    }

    /// Whether there are no lapses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lapses that matter now, for a ring that was read at `read_at`. Drops those that no key depends on any more,
    /// and adds one that has begun since the reading.
    #[must_use]
    pub fn at(&self, keys: &[KeyRecord], read_at: Timestamp, policy: &Policy, now: Timestamp) -> Self {
        // An end in the future comes from a clock that was ahead. Such a lapse would put off keys
        // until then, so it is dropped.
        let latest = now.plus(policy.durations().clocks_apart());
        let is_told_right = |lapse: &&Lapse| lapse.to.is_none_or(|to| to <= latest);
        let earlier = self
            .iter()
            .filter(is_told_right)
            .filter(|lapse| lapse.matters(keys, policy, now));
        let begun = (now >= read_at.plus(policy.durations().bearable_age())).then_some(Lapse {
            from: read_at,
            to: None,
        });
        let lapses: Vec<Lapse> = earlier.copied().chain(begun).collect();
        Self(lapses[lapses.len().saturating_sub(MOST)..].to_vec())
    }

    /// Ends the lapse that is still open, because the ring was read at `now`.
    #[must_use]
    pub fn ended(self, now: Timestamp) -> Self {
        let end = |lapse: Lapse| Lapse {
            to: lapse.to.or(Some(now)),
            ..lapse
        };
        Self(self.0.into_iter().map(end).collect())
    }

    /// When a key that would replace `signer` at `at` starts to sign. `None` means not before the ring is read again.
    pub(crate) fn put_off(&self, at: Timestamp, signer: &KeyRecord, policy: &Policy) -> Option<Timestamp> {
        if signer.state == KeyState::Disabled || signer.revoked.is_some() {
            return Some(at);
        }
        let durations = policy.durations();
        let usable = at.plus(sure_retention(signer, policy).saturating_sub(durations.token_ttl));
        let mut signs_at = at;
        for lapse in self.iter() {
            // A key that already signs continues.
            if signs_at > lapse.from.plus(durations.bearable_age()) {
                let to = lapse.to?;
                // If the previous key signed here during the lapse, it stays published until its last token has
                // expired. If it was created and superseded elsewhere during the lapse, it is not published again.
                let signed_here = signer.created_at <= lapse.from;
                let at_the_earliest = if signed_here { signs_at.max(to) } else { signs_at };
                signs_at = to.plus(durations.least_lead()).min(usable).max(at_the_earliest);
            }
        }
        Some(signs_at)
    }
}

impl Lapse {
    /// Whether this lapse puts off a key of the ring, could put off one that appears later, or keeps a key published.
    fn matters(&self, keys: &[KeyRecord], policy: &Policy, now: Timestamp) -> bool {
        let (Some(to), durations) = (self.to, policy.durations()) else {
            return true;
        };
        let (begins, ends) = (
            self.from.plus(durations.bearable_age()),
            to.plus(durations.least_lead()),
        );
        let is_put_off = |key: &KeyRecord| {
            let at = key.created_at.plus(policy.lead_of(key));
            begins < at && at < ends
        };
        let longest = keys
            .iter()
            .map(|key| policy.retention_of(key))
            .max()
            .unwrap_or_default();
        now < ends || now < ends.plus(longest) && keys.iter().any(is_put_off)
    }
}

/// How long after the next key's activation a token of this key is accepted everywhere, if each clock may be off by S.
#[must_use]
pub fn sure_retention(key: &KeyRecord, policy: &Policy) -> Duration {
    let retention = policy.terms_of(key).retention;
    retention.saturating_sub(policy.durations().clock_skew * 2)
}
