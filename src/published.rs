//! Where everybody finds the latest snapshot, and those who follow the ring hear of a new one.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use parking_lot::Mutex;
use signet_core::Timestamp;
use tokio::sync::watch;

use crate::nudge::Nudge;
use crate::snapshot::Snapshot;

/// Makes a snapshot of what is known now. It asks nobody and never waits.
pub type Source = Box<dyn FnMut() -> Snapshot + Send>;

/// The latest snapshot.
pub struct Published {
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<Bytes>,
    source: Mutex<Source>,
    nudge: Arc<Nudge>,
}

impl Published {
    /// Starts with a first snapshot.
    #[must_use]
    pub fn new(mut source: Source, nudge: Arc<Nudge>) -> Self {
        let first = source();
        let changes = watch::Sender::new(first.ring_json.clone());
        Self {
            current: ArcSwap::from_pointee(first),
            changes,
            source: Mutex::new(source),
            nudge,
        }
    }

    /// What holds at this instant. If the last snapshot does not, as the keeper was late or the whole process was stopped
    /// for a while, whoever notices makes the next: it takes microseconds, and no answer is ever given from the past.
    pub fn at(&self, now: Timestamp) -> Guard<Arc<Snapshot>> {
        let current = self.current.load();
        if current.holds_at(now) {
            return current;
        }
        drop(current);
        self.renew(|current| !current.holds_at(now));
        let current = self.current.load();
        if current.asleep.is_some() {
            self.nudge.now();
        }
        current
    }

    /// The latest snapshot, whether it still holds or not: for what is told, not for what is decided.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes a new snapshot, and tells those who follow the ring if that changed.
    pub fn publish(&self) {
        self.renew(|_| true);
    }

    fn renew(&self, is_needed: impl FnOnce(&Snapshot) -> bool) {
        let mut source = self.source.lock();
        if !is_needed(&self.current.load()) {
            return;
        }
        let snapshot = source();
        let ring = snapshot.ring_json.clone();
        self.current.store(Arc::new(snapshot));
        self.changes.send_if_modified(|last| {
            let changed = *last != ring;
            *last = ring;
            changed
        });
    }

    /// Follows `GET /v1/ring`.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Bytes> {
        self.changes.subscribe()
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
