//! The schedule: the phase of each key, what is due, and when to look again. A pure function of the provider's list.
//!
//! There is no other state. All replicas that read the same list compute the same schedule, so they need no leader. The
//! exception is a replica that could not read its provider for a long time ([`Lapses`]).

use std::time::Duration;

use serde::Serialize;

use crate::faults;
use crate::lapse::Lapses;
use crate::names::Kid;
use crate::policy::Policy;
use crate::ring::{KeyRecord, KeyState, in_order};
use crate::time::Timestamp;

/// A phase in the life of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The key is published and does not sign yet.
    Pending,
    /// The key signs. At most one key is active.
    Active,
    /// The key is still published and no longer signs.
    Retiring,
    /// The key is no longer published.
    Expired,
    /// The key was revoked and must never be used again.
    Revoked,
}

impl Phase {
    /// All phases, in the order of a key's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Active,
        Self::Retiring,
        Self::Expired,
        Self::Revoked,
    ];

    /// The stable name of this phase in logs, metrics and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Whether a key in this phase is in the JWKS and its signatures are accepted.
    #[must_use]
    pub const fn is_published(self) -> bool {
        matches!(self, Self::Pending | Self::Active | Self::Retiring)
    }
}

/// A key with its phase and the instants of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledKey {
    /// The id of the key.
    pub kid: Kid,
    /// The phase now.
    pub phase: Phase,
    /// When the key starts to sign, or started. `None` for a key that was revoked before that, and for one that waits
    /// until the ring is read again ([`Lapses`]).
    pub activates_at: Option<Timestamp>,
    /// When the successor starts to sign. `None` if there is no successor yet.
    pub superseded_at: Option<Timestamp>,
    /// When the key leaves the JWKS. `None` if that is not known yet.
    pub expires_at: Option<Timestamp>,
}

/// Why a new key is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The ring has no keys.
    Empty,
    /// The active key has been active for P − L.
    Period,
    /// The active key has another algorithm than the configured one.
    Algorithm,
    /// The active key was revoked, and no other key is pending.
    Revoked,
    /// The active key was disabled in the provider.
    Disabled,
}

impl Reason {
    /// Whether no key can sign until there is a new one.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Empty | Self::Revoked | Self::Disabled)
    }

    /// The code of the reason in log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "ring_empty",
            Self::Period => "rotation_period",
            Self::Algorithm => "algorithm_changed",
            Self::Revoked => "active_key_revoked",
            Self::Disabled => "active_key_disabled",
        }
    }
}

/// An action to take in the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Create the successor of the ring's newest key, or the first key of the ring.
    Successor {
        /// The newest key of the ring. `None` if the ring is empty.
        of: Option<Kid>,
        /// Why the key is needed.
        reason: Reason,
    },
    /// Disable or destroy this key, which is no longer published.
    Retire(Kid),
}

/// The result of [`schedule()`]: the phase of each key, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// All keys in order of creation.
    pub keys: Vec<ScheduledKey>,
    /// The actions to take in the provider.
    pub due: Vec<Due>,
    /// When to compute the schedule again. `None` if it changes only when the list of keys changes.
    pub next_look: Option<Timestamp>,
    /// When the published set must change next. No cache may keep the JWKS beyond this instant.
    pub set_changes_at: Option<Timestamp>,
    /// The newest key, if its creation time is further in the future than clocks may differ. Either our clock is
    /// behind, or the clock that set the creation time was ahead. Until that time has come, a new key is due only if
    /// nothing can sign without it.
    pub from_the_future: Option<Kid>,
}

impl Schedule {
    /// The key that signs now.
    #[must_use]
    pub fn active(&self) -> Option<&ScheduledKey> {
        self.keys.iter().find(|key| key.phase == Phase::Active)
    }
}

/// Computes the schedule of a ring. The order of the list does not matter.
#[must_use]
pub fn schedule(keys: &[KeyRecord], policy: &Policy, now: Timestamp) -> Schedule {
    schedule_after(&Lapses::default(), keys, policy, now)
}

/// Computes the schedule of a replica that could not read its provider during these lapses.
#[must_use]
pub fn schedule_after(lapses: &Lapses, keys: &[KeyRecord], policy: &Policy, now: Timestamp) -> Schedule {
    let records = in_order(keys);
    let activations = activations(&records, lapses, policy);
    let active = active_index(&records, &activations, now);

    let scheduled: Vec<ScheduledKey> = (0..records.len())
        .map(|index| scheduled_key(&records, &activations, active, index, policy, now))
        .collect();

    let mut instants = Vec::new();
    let mut set_changes = Vec::new();
    for key in &scheduled {
        // This includes revoked keys: a revocation may be dated after the key's activation, which then
        // supersedes the key before.
        instants.extend(key.activates_at);
        if key.phase.is_published() {
            instants.extend(key.expires_at);
            set_changes.extend(key.expires_at);
        }
    }

    let newest = records
        .iter()
        .filter(|key| key.revoked.is_none())
        .max_by_key(|key| key.created_at);
    let from_the_future = newest.filter(|key| now < believable_from(key, policy));
    instants.extend(from_the_future.map(|key| believable_from(key, policy)));

    let mut due = Vec::new();
    match successor(&records, &scheduled, active, policy, now) {
        Successor::Due(reason) if from_the_future.is_some() && !reason.is_urgent() => {
            set_changes.extend(from_the_future.map(|key| believable_from(key, policy)));
        }
        Successor::Due(reason) => due.push(Due::Successor {
            of: records.last().map(|key| key.kid().clone()),
            reason,
        }),
        Successor::At(instant) => {
            instants.push(instant);
            set_changes.push(instant);
        }
        Successor::Waits => {}
    }
    due.extend(
        scheduled
            .iter()
            .zip(&records)
            .filter(|(key, record)| key.phase == Phase::Expired && record.state == KeyState::Enabled)
            .filter(|_| from_the_future.is_none())
            .filter(|_| !faults::has("expired keys are left"))
            .map(|(key, _)| Due::Retire(key.kid.clone())),
    );

    let next = |instants: &[Timestamp]| instants.iter().copied().filter(|instant| *instant > now).min();
    Schedule {
        next_look: next(&instants),
        set_changes_at: next(&set_changes),
        from_the_future: from_the_future.map(|key| key.kid().clone()),
        keys: scheduled,
        due,
    }
}

/// The earliest time that a correct clock can show when the key is created.
fn believable_from(key: &KeyRecord, policy: &Policy) -> Timestamp {
    key.created_at.minus(policy.durations().clocks_apart())
}

/// When each key starts to sign: one lead after its creation. The first key of a ring and the successor of a revoked
/// key sign at once. `None` for a key that was revoked before it signed, or that a lapse puts off indefinitely.
fn activations(records: &[&KeyRecord], lapses: &Lapses, policy: &Policy) -> Vec<Option<Timestamp>> {
    let mut signer: Option<&KeyRecord> = None;
    records
        .iter()
        .map(|key| {
            let at = begins(signer, key, policy.lead_of(key))?;
            let before = signer.replace(key).filter(|_| key.revoked.is_none());
            match before {
                Some(before) => lapses.put_off(at, before, policy),
                None => Some(at),
            }
        })
        .collect()
}

/// When a key starts to sign after `signer`, if no lapse puts it off. `None` if it was revoked before that.
fn begins(signer: Option<&KeyRecord>, key: &KeyRecord, lead: Duration) -> Option<Timestamp> {
    let regular = key.created_at.plus(lead);
    let at = match signer.map(|signer| signer.revoked.as_ref()) {
        // A key with a predecessor is not the first of the ring. The predecessor was destroyed.
        None if key.predecessor.is_some() => regular,
        None => key.created_at,
        Some(Some(revocation)) => regular.min(revocation.at).max(key.created_at),
        Some(None) => regular,
    };
    let is_revoked_before = key.revoked.as_ref().is_some_and(|revocation| revocation.at < at);
    (!is_revoked_before).then_some(at)
}

/// The newest key that was signing, or had signed, when it was revoked. By the schedule no earlier key signs again in
/// any replica that has read this revocation, whatever its policy. Keys without stored terms are skipped.
#[must_use]
pub fn newest_revoked_signer(keys: &[KeyRecord]) -> Option<&KeyRecord> {
    let mut records = in_order(keys);
    records.retain(|key| key.terms.is_some());
    let (mut signer, mut found) = (None, None);
    for key in records {
        if begins(signer, key, key.terms?.lead).is_some() {
            signer = Some(key);
            found = key.revoked.as_ref().map_or(found, |_| Some(key));
        }
    }
    found
}

/// The index of the key that signs: the newest key whose activation has come.
///
/// If that key is revoked or disabled, or no activation has come yet, the next pending key signs at
/// once, because waiting would not help. (No activation has come if a replica whose clock is ahead of
/// ours has just created the ring.)
fn active_index(records: &[&KeyRecord], activations: &[Option<Timestamp>], now: Timestamp) -> Option<usize> {
    let reached = activations.iter().rposition(|at| at.is_some_and(|at| at <= now));
    if reached.is_some_and(|index| records[index].revoked.is_some())
        && faults::has("what follows a revoked key waits its lead")
    {
        return None;
    }
    let is_used = |index: &usize| records[*index].revoked.is_none();
    let can_sign = |index: &usize| is_used(index) && records[*index].state == KeyState::Enabled;
    let mut from_there_on = reached.unwrap_or(0)..records.len();
    from_there_on
        .clone()
        .find(can_sign)
        .or_else(|| from_there_on.find(is_used))
}

fn scheduled_key(
    records: &[&KeyRecord],
    activations: &[Option<Timestamp>],
    active: Option<usize>,
    index: usize,
    policy: &Policy,
    now: Timestamp,
) -> ScheduledKey {
    let key = records[index];
    // A later key takes over when it starts to sign, even if this key's own activation is later.
    let superseded_at = activations[index + 1..].iter().flatten().min().copied();
    let expires_at = superseded_at.map(|at| at.plus(policy.retention_of(key)));
    let phase = if key.revoked.is_some() {
        Phase::Revoked
    } else if active == Some(index) {
        Phase::Active
    } else if expires_at.is_some_and(|at| at <= now) {
        Phase::Expired
    } else if active.is_some_and(|active| active > index) || superseded_at.is_some_and(|at| at <= now) {
        Phase::Retiring
    } else {
        Phase::Pending
    };
    ScheduledKey {
        kid: key.kid().clone(),
        phase,
        activates_at: activations[index],
        superseded_at,
        expires_at,
    }
}

enum Successor {
    /// A new key must be created now.
    Due(Reason),
    /// A new key will be needed at this time.
    At(Timestamp),
    /// A key is already pending. There must never be two pending keys: replicas that disagree about the algorithm would
    /// create keys without end.
    Waits,
}

fn successor(
    records: &[&KeyRecord],
    scheduled: &[ScheduledKey],
    active: Option<usize>,
    policy: &Policy,
    now: Timestamp,
) -> Successor {
    let Some(index) = active else {
        return Successor::Due(if records.is_empty() {
            Reason::Empty
        } else {
            Reason::Revoked
        });
    };
    let key = records[index];
    // The active key is the first that can sign. If it is disabled, no pending key can sign either, and waiting for one
    // would not help. Its date may even be far in the future because of a wrong clock.
    if key.state == KeyState::Disabled {
        return Successor::Due(Reason::Disabled);
    }
    if scheduled.iter().any(|key| key.phase == Phase::Pending) && !faults::has("a successor beside one that waits") {
        return Successor::Waits;
    }
    if key.public.algorithm() != policy.algorithm() {
        return Successor::Due(Reason::Algorithm);
    }
    let at = scheduled[index]
        .activates_at
        .unwrap_or(key.created_at)
        .plus(policy.successor_after());
    if at <= now {
        Successor::Due(Reason::Period)
    } else {
        Successor::At(at)
    }
}
