//! What each key is to do now, what is due, and when to look again: a pure function of the provider's list.
//!
//! There is no state. Every replica that reads the same list computes the same schedule, which is why none of them
//! needs to lead. The exception is one that was out of touch with its provider for long ([`Lapses`]).

use std::time::Duration;

use serde::Serialize;

use crate::faults;
use crate::lapse::Lapses;
use crate::names::Kid;
use crate::policy::Policy;
use crate::ring::{KeyRecord, KeyState, in_order};
use crate::time::Timestamp;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Published, not signing yet.
    Pending,
    /// The one that signs.
    Active,
    /// Published, no longer signing.
    Retiring,
    /// No longer published.
    Expired,
    /// Never to be used again.
    Revoked,
}

impl Phase {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Active,
        Self::Retiring,
        Self::Expired,
        Self::Revoked,
    ];

    /// The word for it in logs, metrics and answers.
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

    /// Whether a key in this phase stands in the JWKS, and its signatures are accepted.
    #[must_use]
    pub const fn is_published(self) -> bool {
        matches!(self, Self::Pending | Self::Active | Self::Retiring)
    }
}

/// One key of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledKey {
    /// Which.
    pub kid: Kid,
    /// Its phase now.
    pub phase: Phase,
    /// From when it signs, or signed. `None` for a key that was revoked before it ever did, and for one that waits for the ring
    /// to be read again ([`Lapses`]).
    pub activates_at: Option<Timestamp>,
    /// When its successor takes over, if there is one yet.
    pub superseded_at: Option<Timestamp>,
    /// When it leaves the JWKS, if that is known yet.
    pub expires_at: Option<Timestamp>,
}

/// Why a new key is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The ring has no key at all.
    Empty,
    /// The active key has been active for P − L.
    Period,
    /// The active key is for another algorithm than the configured one.
    Algorithm,
    /// The active key was revoked and no other waits.
    Revoked,
    /// The active key was disabled in the provider by somebody else.
    Disabled,
}

impl Reason {
    /// Whether nothing can sign before there is a new key.
    #[must_use]
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Empty | Self::Revoked | Self::Disabled)
    }
}

/// Something to do in the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Create the successor of this key, which is the newest of the ring, or the first key.
    Successor {
        /// The newest key of the ring.
        of: Option<Kid>,
        /// Why.
        reason: Reason,
    },
    /// Disable or destroy a key that is no longer published.
    Retire(Kid),
}

/// The answer of [`schedule()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Every key, in order of creation.
    pub keys: Vec<ScheduledKey>,
    /// What is to be done in the provider.
    pub due: Vec<Due>,
    /// The next instant at which any of this changes by itself. `None`: not until the list changes.
    pub next_look: Option<Timestamp>,
    /// The next instant at which the published set must change; no cache may keep the JWKS beyond it.
    pub set_changes_at: Option<Timestamp>,
    /// The newest key, if it was created in the future, by more than clocks may be apart: ours is behind, or that of whoever
    /// dated the key was ahead. While that lasts nothing is due but a key without which nothing could sign.
    pub from_the_future: Option<Kid>,
}

impl Schedule {
    /// The key that signs.
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

/// The schedule of a replica that was out of touch, or is.
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
        // Also of a revoked key: its mark may be dated after its activation, which then ends the time of the one before.
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

/// From when a clock that is right may show the key's creation instant.
fn believable_from(key: &KeyRecord, policy: &Policy) -> Timestamp {
    key.created_at.minus(policy.durations().clocks_apart())
}

/// From when each key signs: its creation plus its lead; but the first key of a ring, and the successor of a revoked
/// signer, at once. `None` for a key that was revoked before that, or is put off without end.
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

/// From when a key signs after this signer, wherever no lapse puts that off. `None`: it was revoked before.
fn begins(signer: Option<&KeyRecord>, key: &KeyRecord, lead: Duration) -> Option<Timestamp> {
    let regular = key.created_at.plus(lead);
    let at = match signer.map(|signer| signer.revoked.as_ref()) {
        // Not the first one if it had a predecessor, which was destroyed since.
        None if key.predecessor.is_some() => regular,
        None => key.created_at,
        Some(Some(revocation)) => regular.min(revocation.at).max(key.created_at),
        Some(None) => regular,
    };
    let is_revoked_before = key.revoked.as_ref().is_some_and(|revocation| revocation.at < at);
    (!is_revoked_before).then_some(at)
}

/// The newest key that had begun to sign when it was revoked. By the schedule no key before it signs again, whatever the
/// policy, in any replica that has read the revocation. Keys whose terms the provider does not hold are passed over.
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

/// The newest key whose activation has come. If that one is revoked or disabled, or none has come yet (a ring just made by a
/// replica whose clock is ahead of ours), the next one waiting signs at once: there is nothing better to wait for.
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
    // A later key takes over when it starts to sign, even if this one's own activation lies after that.
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
    /// Create it now.
    Due(Reason),
    /// It falls due then.
    At(Timestamp),
    /// One is waiting already. Never two: replicas that disagree on the algorithm would create keys without end.
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
    // Then no key that waits can sign either: the active one is the first that can, if any can. A key that a wrong clock dated far
    // into the future, and that was disabled since, would be waited for until then.
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
