//! The ring: facts about its keys as the provider lists them. Nothing here is computed.

use std::cmp::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::Kid;
use crate::public_key::VerifyingKey;
use crate::time::Timestamp;

/// The terms of a key: durations that are fixed when it is created.
///
/// The provider stores them with the key where it can. A change of policy that reaches one replica after the other then
/// does not affect existing keys.
///
/// All durations are whole milliseconds, because that is what a provider's record holds. Terms that are written equal
/// the terms that are read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Terms {
    /// The time between the key's creation and its activation.
    #[serde(rename = "lead_ms", with = "as_millis")]
    pub lead: Duration,
    /// The maximum lifetime of a token that this key signs.
    #[serde(rename = "token_max_ttl_ms", with = "as_millis")]
    pub token_max_ttl: Duration,
    /// How long the key stays published after its successor's activation: T + R + 2S.
    #[serde(rename = "retention_ms", with = "as_millis")]
    pub retention: Duration,
}

impl Terms {
    /// Makes terms of these durations, each cut to whole milliseconds.
    #[must_use]
    pub fn new(lead: Duration, token_max_ttl: Duration, retention: Duration) -> Self {
        let whole = |span: Duration| Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Self {
            lead: whole(lead),
            token_max_ttl: whole(token_max_ttl),
            retention: whole(retention),
        }
    }
}

/// Whether the provider can sign with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// The provider can sign with it.
    Enabled,
    /// The provider refuses to sign with it until somebody enables it again.
    Disabled,
}

/// The revocation of a key, which must never be used again. It is stored in the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When the key was revoked, by the clock of the replica or command that did it.
    pub at: Timestamp,
    /// The reason that the operator gave.
    pub reason: String,
}

/// A key as the provider's record describes it.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// The public key with its id and algorithm.
    pub public: VerifyingKey,
    /// The provider's creation time.
    pub created_at: Timestamp,
    /// The provider's own number for the key. It orders keys with the same creation time, because some providers report
    /// whole seconds only. Zero if creation times never coincide.
    pub sequence: u64,
    /// The key that this one succeeds. `None` for the first key of a ring, and if the provider cannot store it.
    pub predecessor: Option<Kid>,
    /// The terms of the key. `None` if the provider cannot store them.
    pub terms: Option<Terms>,
    /// Whether the provider can sign with it.
    pub state: KeyState,
    /// The revocation, if the key was revoked.
    pub revoked: Option<Revocation>,
}

impl KeyRecord {
    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        self.public.kid()
    }

    /// Compares two keys by their creation, as the provider's record has it. The kid decides only if the record does
    /// not, to give all replicas the same order.
    #[must_use]
    pub fn creation_order(&self, other: &Self) -> Ordering {
        self.created_at
            .cmp(&other.created_at)
            .then_with(|| self.sequence.cmp(&other.sequence))
            .then_with(|| self.kid().cmp(other.kid()))
    }
}

/// Sorts the keys by their creation.
///
/// The provider's instants decide, with one exception. If a key was created after its own revocation by these instants,
/// the clock that set its creation time was ahead. Such a key goes before its successor: otherwise all replicas would
/// take the successor for an earlier key and would create successors of the revoked key again and again. By the same
/// instants it never signed, and no other key depends on its position.
#[must_use]
pub fn in_order(keys: &[KeyRecord]) -> Vec<&KeyRecord> {
    in_order_by(keys, |key| key)
}

/// Sorts things that each have a [`KeyRecord`], in the same order as [`in_order`].
#[must_use]
pub fn in_order_by<T>(things: &[T], record: impl Fn(&T) -> &KeyRecord) -> Vec<&T> {
    let mut ordered: Vec<&T> = things.iter().collect();
    ordered.sort_by(|a, b| record(a).creation_order(record(b)));
    // Each round moves one key towards the beginning. The limit ends the loop even if predecessors form a
    // circle, which no provider makes.
    for _ in 0..things.len() {
        let misplaced = (0..ordered.len()).rev().find_map(|from| {
            let key = record(ordered[from]);
            let follows = |other: &&T| record(other).predecessor.as_ref() == Some(key.kid());
            let to = ordered[..from].iter().position(follows);
            let is_of_the_future = key.revoked.as_ref().is_some_and(|mark| mark.at < key.created_at);
            to.filter(|_| is_of_the_future).map(|to| (from, to))
        });
        let Some((from, to)) = misplaced else { break };
        let key = ordered.remove(from);
        ordered.insert(to, key);
    }
    ordered
}

/// The newest key in the order of [`in_order`].
#[must_use]
pub fn newest(keys: &[KeyRecord]) -> Option<&KeyRecord> {
    in_order(keys).pop()
}

mod as_millis {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
