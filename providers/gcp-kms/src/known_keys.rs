//! What this process knows about the ring without a call: public keys, which never change, and the last reading. A
//! signature then takes one call.

use std::collections::HashMap;

use google_cloud_kms_v1::model::ProtectionLevel;
use signet_core::public_key::VerifyingKey;
use signet_core::{KeyState, Kid, Terms};

/// What `sign` needs to know about a key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) public: VerifyingKey,
    pub(crate) protection: ProtectionLevel,
    pub(crate) state: KeyState,
    pub(crate) revoked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    publics: HashMap<u64, VerifyingKey>,
    /// The terms of each version that this process saw first.
    terms: HashMap<u64, Terms>,
    entries: HashMap<Kid, Entry>,
    /// Counts the versions that this process disabled or destroyed.
    changes: u64,
    /// The versions that it disabled or destroyed, with the count at that time. A reading that began
    /// earlier must not restore them.
    closed: HashMap<u64, u64>,
    /// The highest version that this process created. A list may not show it yet.
    pub(crate) made: u64,
}

impl KnownKeys {
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn public(&self, number: u64) -> Option<VerifyingKey> {
        self.publics.get(&number).cloned()
    }

    pub(crate) fn learn(&mut self, number: u64, public: &VerifyingKey) {
        self.publics.insert(number, public.clone());
    }

    /// The terms of a version. `read` are the terms that are in the labels now. A key's terms never change
    /// (clause 2), although labels may.
    pub(crate) fn terms(&mut self, number: u64, read: Option<Terms>) -> Option<Terms> {
        match (self.terms.get(&number), read) {
            (Some(first), _) => Some(*first),
            (None, Some(read)) => Some(*self.terms.entry(number).or_insert(read)),
            (None, None) => None,
        }
    }

    pub(crate) fn entry(&self, kid: &Kid) -> Option<Entry> {
        self.entries.get(kid).cloned()
    }

    /// Takes over the result of a reading that began when `changes` was `since`.
    pub(crate) fn take(&mut self, seen: impl Iterator<Item = Entry>, since: u64) {
        let before = std::mem::take(&mut self.entries);
        for mut entry in seen {
            let kid = entry.public.kid().clone();
            if self.closed.get(&entry.number).is_some_and(|change| *change > since) {
                entry.state = KeyState::Disabled;
            }
            // Revocations are never undone, so a reading without one began before it.
            entry.revoked |= before.get(&kid).is_some_and(|before| before.revoked);
            self.entries.insert(kid, entry);
        }
    }

    /// Records that this process disabled or destroyed a version.
    pub(crate) fn close(&mut self, kid: &Kid, number: u64, revoked: bool) {
        self.changes += 1;
        self.closed.insert(number, self.changes);
        if let Some(entry) = self.entries.get_mut(kid) {
            entry.state = KeyState::Disabled;
            entry.revoked |= revoked;
        }
    }
}

#[cfg(test)]
mod tests {
    use signet_core::{Algorithm, SigningKey};

    use super::*;

    #[test]
    fn a_look_that_began_before_a_key_was_closed_does_not_bring_it_back() {
        let key = SigningKey::generate(Algorithm::ES256, Default::default()).expect("a key");
        let kid = key.verifying_key().kid().clone();
        let open = || Entry {
            number: 7,
            public: key.verifying_key().clone(),
            protection: ProtectionLevel::Software,
            state: KeyState::Enabled,
            revoked: false,
        };
        let mut known = KnownKeys::default();
        known.take([open()].into_iter(), 0);
        let since = known.changes();
        known.close(&kid, 7, true);
        known.take([open()].into_iter(), since);
        let entry = known.entry(&kid).expect("known");
        assert_eq!((entry.state, entry.revoked), (KeyState::Disabled, true));
        // Somebody enabled it again. It is as the reading says, except for the revocation.
        known.take([open()].into_iter(), known.changes());
        let entry = known.entry(&kid).expect("known");
        assert_eq!((entry.state, entry.revoked), (KeyState::Enabled, true));
    }
}
