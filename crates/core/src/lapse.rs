//! A replica that was out of touch with its provider for so long that others may lack keys that could sign by now.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::ring::{KeyRecord, KeyState};
use crate::time::Timestamp;

/// A span without a reading, longer than a reading may be old ([`Durations::bearable_age`](crate::Durations::bearable_age)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lapse {
    /// The last reading before it.
    #[serde(rename = "from_ms")]
    pub from: Timestamp,
    /// The first reading after it; none while it lasts.
    #[serde(rename = "to_ms")]
    pub to: Option<Timestamp>,
}

/// The lapses that a key of the ring may depend on, in their order.
///
/// In a lapse the provider may be away from every replica. Then a key that was created just before is known to none of them,
/// or to one; it can sign by its record as soon as anybody reads it, and every cache was filled without it. Therefore a
/// replica in a lapse begins to sign with no such key. When it comes out of it, it goes on with the key that signed before
/// until whoever comes back as it did has read the ring, and their caches have gone: the least lead.
///
/// It may also be that this replica was cut off alone, and the others went on. So after a lapse no activation is put off
/// longer than the key that signed before can sign a token of the usual life that is good everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lapses(Vec<Lapse>);

/// Of a provider that comes and goes at short intervals, the newest lapses count.
const MOST: usize = 32;

impl Lapses {
    /// These, in their order.
    #[must_use]
    pub fn new(lapses: Vec<Lapse>) -> Self {
        Self(lapses)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Lapse> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that count now, for a ring that was read then: what nothing depends on any more is gone, and the one that has
    /// begun since is there.
    #[must_use]
    pub fn at(&self, keys: &[KeyRecord], read_at: Timestamp, policy: &Policy, now: Timestamp) -> Self {
        // One that ends in the future was told by a clock that was ahead: it would put off keys until then.
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

    /// The same, now that the ring was read again.
    #[must_use]
    pub fn ended(self, now: Timestamp) -> Self {
        let end = |lapse: Lapse| Lapse {
            to: lapse.to.or(Some(now)),
            ..lapse
        };
        Self(self.0.into_iter().map(end).collect())
    }

    /// When a key signs that would sign at `at`, after `signer`. `None`: not before the ring is read again.
    pub(crate) fn put_off(&self, at: Timestamp, signer: &KeyRecord, policy: &Policy) -> Option<Timestamp> {
        if signer.state == KeyState::Disabled || signer.revoked.is_some() {
            return Some(at);
        }
        let durations = policy.durations();
        let usable = at.plus(sure_retention(signer, policy).saturating_sub(durations.token_ttl));
        let mut signs_at = at;
        for lapse in self.iter() {
            // What had begun to sign goes on.
            if signs_at > lapse.from.plus(durations.bearable_age()) {
                let to = lapse.to?;
                // Who signed here all the while stays published as long as the last token from here. A key that came and
                // went elsewhere meanwhile does not come back.
                let signed_here = signer.created_at <= lapse.from;
                let at_the_earliest = if signed_here { signs_at.max(to) } else { signs_at };
                signs_at = to.plus(durations.least_lead()).min(usable).max(at_the_earliest);
            }
        }
        Some(signs_at)
    }
}

impl Lapse {
    /// Whether it puts off a key of the ring, or one that may yet show in it, or keeps one published.
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

/// How long after the next key's activation a token of this one is good everywhere, by clocks that may be off by S each.
#[must_use]
pub fn sure_retention(key: &KeyRecord, policy: &Policy) -> Duration {
    let retention = policy.terms_of(key).retention;
    retention.saturating_sub(policy.durations().clock_skew * 2)
}
