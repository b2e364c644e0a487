//! What this process has seen of a ring. Answers that contradict it are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use signet_api::Settling;
use signet_base::Clock;
use signet_core::{KeyRecord, Kid, Revocation, VerifyingKey};

/// The keys of one ring as they were last seen. Revocations are kept for the life of the process.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    keys: BTreeMap<Kid, SeenKey>,
}

#[derive(Clone, Debug)]
struct SeenKey {
    record: KeyRecord,
    /// The public key of the record, shared by all signatures that are checked.
    public: Arc<VerifyingKey>,
    /// When the key was created, until a list has shown it.
    unlisted_since: Option<Settling>,
    /// When this process saw the revocation in the record.
    marked_at: Option<Settling>,
}

impl SeenKey {
    /// Whether a list may still lack the key.
    fn settles(&self, clock: &dyn Clock) -> bool {
        self.unlisted_since.is_some_and(|since| since.goes_on(clock))
    }
}

/// The reason why an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    /// A list contains the key twice.
    Twice(Kid),
    /// The key has changed in this property.
    Changed(Kid, &'static str),
    /// The second key has replaced the first.
    Exchanged(Kid, Kid),
    /// The revocation of the key has disappeared.
    Unmarked(Kid),
}

impl Memory {
    pub(crate) fn is_revoked(&self, kid: &Kid) -> bool {
        self.keys.get(kid).is_some_and(|known| known.record.revoked.is_some())
    }

    pub(crate) fn public(&self, kid: &Kid) -> Option<Arc<VerifyingKey>> {
        self.keys.get(kid).map(|known| Arc::clone(&known.public))
    }

    pub(crate) fn record(&self, kid: &Kid) -> Option<&KeyRecord> {
        self.keys.get(kid).map(|known| &known.record)
    }

    /// Checks a list, remembers it, and returns it with recent changes that the provider does not show yet.
    pub(crate) fn take_list(
        &mut self,
        mut listed: Vec<KeyRecord>,
        clock: &dyn Clock,
    ) -> Result<Vec<KeyRecord>, Contradiction> {
        let mut kids = BTreeSet::new();
        for key in &listed {
            if !kids.insert(key.kid().clone()) {
                return Err(Contradiction::Twice(key.kid().clone()));
            }
        }
        for key in &mut listed {
            self.compare(key, clock)?;
        }
        for key in listed.iter().filter(|key| !self.keys.contains_key(key.kid())) {
            self.find_exchange(key, &kids)?;
        }
        // A key that is neither listed nor revoked is forgotten. If it reappears, it may be part of another ring.
        self.keys
            .retain(|kid, known| kids.contains(kid) || known.record.revoked.is_some() || known.settles(clock));
        for key in &listed {
            self.learn(key, None, clock);
        }
        let missing = self.keys.values().filter(|known| known.settles(clock));
        listed.extend(missing.map(|known| known.record.clone()));
        Ok(listed)
    }

    /// Checks and remembers the answer of `create`.
    pub(crate) fn take_created(&mut self, created: &mut KeyRecord, clock: &dyn Clock) -> Result<(), Contradiction> {
        self.compare(created, clock)?;
        self.learn(created, Some(Settling::begin(clock)), clock);
        Ok(())
    }

    /// Remembers that this process revoked the key.
    pub(crate) fn on_revoked(&mut self, kid: &Kid, revocation: &Revocation, clock: &dyn Clock) {
        if let Some(known) = self.keys.get_mut(kid)
            && known.record.revoked.is_none()
        {
            known.record.revoked = Some(revocation.clone());
            known.marked_at = Some(Settling::begin(clock));
        }
    }

    /// Remembers that this process destroyed the key.
    pub(crate) fn on_destroyed(&mut self, kid: &Kid) {
        if let Some(known) = self.keys.get_mut(kid) {
            known.unlisted_since = None;
        }
    }

    /// Compares a record with what is known about the key. A revocation that is only missing for a moment is restored.
    fn compare(&self, key: &mut KeyRecord, clock: &dyn Clock) -> Result<(), Contradiction> {
        let Some(known) = self.keys.get(key.kid()) else {
            return Ok(());
        };
        let changed = |what| Err(Contradiction::Changed(key.kid().clone(), what));
        let before = &known.record;
        // The public key cannot have changed, because the kid is its thumbprint.
        if before.public.algorithm() != key.public.algorithm() {
            return changed("algorithm");
        }
        if before.created_at != key.created_at {
            return changed("creation time");
        }
        if before.terms != key.terms {
            return changed("terms");
        }
        if let (Some(mark), None) = (&before.revoked, &key.revoked) {
            if known.marked_at.is_none_or(|at| !at.goes_on(clock)) {
                return Err(Contradiction::Unmarked(key.kid().clone()));
            }
            key.revoked = Some(mark.clone());
        }
        Ok(())
    }

    /// Detects a key that was replaced by another.
    ///
    /// The new key has another kid, because the kid is the thumbprint. It is recognised by its creation record, which
    /// is that of a key that disappeared at the same moment. A key that no list has shown yet may share its creation
    /// record with the winner of a race, so it is not considered.
    fn find_exchange(&self, new: &KeyRecord, listed: &BTreeSet<Kid>) -> Result<(), Contradiction> {
        let gone = self.keys.values().find(|known| {
            let record = &known.record;
            (record.created_at, record.sequence) == (new.created_at, new.sequence)
                && known.unlisted_since.is_none()
                && !listed.contains(record.kid())
        });
        match gone {
            Some(gone) => Err(Contradiction::Exchanged(gone.record.kid().clone(), new.kid().clone())),
            None => Ok(()),
        }
    }

    fn learn(&mut self, key: &KeyRecord, created: Option<Settling>, clock: &dyn Clock) {
        let known = self.keys.get(key.kid());
        let marked_at = match (known.and_then(|known| known.marked_at), &key.revoked) {
            (None, Some(_)) => Some(Settling::begin(clock)),
            (at, _) => at,
        };
        // A key that was already known was listed before; `create` only adopted it.
        let unlisted_since = created.filter(|_| known.is_none_or(|known| known.unlisted_since.is_some()));
        let public = known.map(|known| Arc::clone(&known.public));
        let known = SeenKey {
            record: key.clone(),
            public: public.unwrap_or_else(|| Arc::new(key.public.clone())),
            unlisted_since,
            marked_at,
        };
        self.keys.insert(key.kid().clone(), known);
    }
}

#[cfg(test)]
mod tests {
    use signet_base::ManualClock;
    use signet_core::algorithm::RsaBits;
    use signet_core::{Algorithm, KeyState, SigningKey, Timestamp};

    use super::*;

    #[tokio::test]
    async fn a_key_is_for_one_algorithm_for_ever() {
        let private = SigningKey::generate(Algorithm::RS256, RsaBits::B2048).expect("a key");
        let public = private.verifying_key().public();
        let listed = |algorithm| KeyRecord {
            public: public.for_algorithm(algorithm).expect("fits"),
            created_at: Timestamp::from_secs(1_767_225_600),
            sequence: 0,
            predecessor: None,
            terms: None,
            state: KeyState::Enabled,
            revoked: None,
        };
        let (mut memory, clock) = (Memory::default(), ManualClock::default());
        memory
            .take_list(vec![listed(Algorithm::RS256)], &clock)
            .expect("believed");
        let contradiction = memory
            .take_list(vec![listed(Algorithm::PS256)], &clock)
            .expect_err("a lie");
        assert_eq!(contradiction, Contradiction::Changed(public.kid(), "algorithm"));
        memory
            .take_list(vec![listed(Algorithm::RS256)], &clock)
            .expect("believed");
    }
}
