//! The facts that this replica knows: its rings as last read, and the private keys that it could unseal.
//!
//! The loops that read providers change them independently of each other; the publisher reads them. The lock is
//! never held across an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use signet_base::Outage;
use signet_core::{Kid, SigningKey, Timestamp};
use tokio::sync::watch;

use crate::reading::Reading;

/// The facts that this replica knows.
#[derive(Debug)]
pub(super) struct Facts {
    /// The signing ring.
    pub(super) ring: Reading,
    /// The rings that are also published, in the order of the settings.
    pub(super) also: Vec<Reading>,
    /// Sealed custody: the private keys that sign now or next.
    pub(super) unsealed: HashMap<Kid, Arc<SigningKey>>,
    /// Why other private keys could not be unsealed.
    pub(super) unseal_failures: HashMap<Kid, Outage>,
    /// When the signing ring must have been read again, or the attempt must have failed. If this time
    /// passes, the process was stopped.
    pub(super) news_by: Timestamp,
    /// Why the rings cannot be written to disk for the next start, if so.
    pub(super) unwritten: Option<Outage>,
    /// The uptime of the machine when this process first saw that a key was expired.
    pub(super) expired: HashMap<Kid, Duration>,
}

impl Facts {
    /// All rings, the signing one first.
    pub(super) fn rings(&self) -> impl Iterator<Item = &Reading> {
        std::iter::once(&self.ring).chain(&self.also)
    }
}

/// The facts, with a notification of changes.
#[derive(Debug)]
pub(super) struct SharedFacts {
    facts: Mutex<Facts>,
    /// The number of changes so far.
    changes: watch::Sender<u64>,
}

impl SharedFacts {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts: Mutex::new(facts),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Facts) -> T) -> T {
        look(&self.facts.lock())
    }

    /// Changes the facts and causes a new snapshot.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        let changed = change(&mut self.facts.lock());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// Changes facts on which no snapshot depends.
    pub(super) fn change_silently<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.facts.lock())
    }

    /// The number of changes so far, with a notification of each.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
