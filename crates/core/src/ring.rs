//! The ring as the provider lists it: facts about keys, none of them computed here.

use std::cmp::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::Kid;
use crate::public_key::VerifyingKey;
use crate::time::Timestamp;

/// What a key was bound to when it was created. It stands in the provider's record where the provider can hold it, so
/// that a change of policy, rolled out replica by replica, changes nothing for keys that already exist.
///
/// Its spans are whole milliseconds, which is what a provider's record holds: what was created equals what is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Terms {
    /// Time between the key's creation and its activation.
    #[serde(rename = "lead_ms", with = "as_millis")]
    pub lead: Duration,
    /// The longest life of a token that this key may sign.
    #[serde(rename = "token_max_ttl_ms", with = "as_millis")]
    pub token_max_ttl: Duration,
    /// How long the key stays published after its successor's activation: T + R + 2S.
    #[serde(rename = "retention_ms", with = "as_millis")]
    pub retention: Duration,
}

impl Terms {
    /// The terms with these spans, each cut to whole milliseconds.
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

/// Whether the provider will sign with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It will.
    Enabled,
    /// It will not, until somebody enables it again.
    Disabled,
}

/// That a key is never to be used again. The mark lives in the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When, by the clock of whoever revoked it.
    pub at: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
}

/// One key as the provider's own record has it.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// The public key, its id and its algorithm.
    pub public: VerifyingKey,
    /// When the provider says that it was created.
    pub created_at: Timestamp,
    /// The provider's own number of the key, which decides between keys that were created at the same instant: some
    /// providers tell whole seconds only. Zero where instants never coincide.
    pub sequence: u64,
    /// The key whose successor it was created as. `None` for the first key of a ring, and where the provider cannot tell.
    pub predecessor: Option<Kid>,
    /// What it was bound to at creation, if the provider can hold that.
    pub terms: Option<Terms>,
    /// Whether it can sign.
    pub state: KeyState,
    /// The mark of its revocation.
    pub revoked: Option<Revocation>,
}

impl KeyRecord {
    /// The key's id.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        self.public.kid()
    }

    /// Which of two keys came first. The provider's record decides; the kid only where that says nothing, so that all
    /// replicas see one order.
    #[must_use]
    pub fn creation_order(&self, other: &Self) -> Ordering {
        self.created_at
            .cmp(&other.created_at)
            .then_with(|| self.sequence.cmp(&other.sequence))
            .then_with(|| self.kid().cmp(other.kid()))
    }
}

/// The keys in the order in which they were created.
///
/// The provider's instants decide, with one exception: a key that was revoked before it was created, as its instants say, comes
/// before its successor. Whoever dated it had a clock that was ahead, and the key that took its place must not be taken for an
/// earlier one: every replica would go on to make successors of the revoked one. It never signed, by the same instants, so
/// that no other key depends on its place.
#[must_use]
pub fn in_order(keys: &[KeyRecord]) -> Vec<&KeyRecord> {
    in_order_by(keys, |key| key)
}

/// The same, of things that have a record each.
#[must_use]
pub fn in_order_by<T>(things: &[T], record: impl Fn(&T) -> &KeyRecord) -> Vec<&T> {
    let mut ordered: Vec<&T> = things.iter().collect();
    ordered.sort_by(|a, b| record(a).creation_order(record(b)));
    // Each round moves one key towards the beginning. A circle of predecessors, which no provider makes, must not turn for ever.
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

/// The newest key, as the schedule orders them.
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
