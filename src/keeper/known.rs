//! What this replica knows: its rings as last read, and the private keys that it could unseal.
//!
//! The loops that read providers write it, each for itself and none waiting for another; the publisher reads it. The lock
//! is never held across an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use signet_base::Outage;
use signet_core::{Kid, SigningKey, Timestamp};
use tokio::sync::watch;

use crate::reading::Reading;

/// The knowledge itself.
#[derive(Debug)]
pub(super) struct Facts {
    /// The ring that signs.
    pub(super) ring: Reading,
    /// The rings that are published beside it, in the order of the settings.
    pub(super) also: Vec<Reading>,
    /// Private keys that sign now or next, with sealed custody.
    pub(super) unsealed: HashMap<Kid, Arc<SigningKey>>,
    /// Why others could not be unsealed.
    pub(super) unseal_failures: HashMap<Kid, Outage>,
    /// By when the ring that signs will have been read again, or the attempt have failed. Past it, this process did not run.
    pub(super) news_by: Timestamp,
    /// How long the machine had run when this process first saw that a key had expired.
    pub(super) expired: HashMap<Kid, Duration>,
}

impl Facts {
    /// All rings, the one that signs first.
    pub(super) fn rings(&self) -> impl Iterator<Item = &Reading> {
        std::iter::once(&self.ring).chain(&self.also)
    }
}

/// Facts, and word of their changes.
#[derive(Debug)]
pub(super) struct Known {
    facts: Mutex<Facts>,
    /// How many there were.
    changes: watch::Sender<u64>,
}

impl Known {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts: Mutex::new(facts),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Facts) -> T) -> T {
        look(&self.facts.lock())
    }

    /// Changes the facts, and has them published.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        let changed = change(&mut self.facts.lock());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// Changes what nothing published depends on.
    pub(super) fn change_silently<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.facts.lock())
    }

    /// The number of changes so far, and word of each.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
