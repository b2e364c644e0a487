//! Holds the latest snapshot, and notifies followers of a new ring.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use parking_lot::Mutex;
use signet_core::Timestamp;
use tokio::sync::watch;

use crate::nudge::Nudge;
use crate::snapshot::Snapshot;

/// Makes a snapshot of what is known now. It must not wait.
pub type MakeSnapshot = Box<dyn FnMut() -> Snapshot + Send>;

/// The latest snapshot.
pub struct Published {
    current: ArcSwap<Snapshot>,
    changes: watch::Sender<Bytes>,
    renewals: watch::Sender<()>,
    make_snapshot: Mutex<MakeSnapshot>,
    nudge: Arc<Nudge>,
}

impl Published {
    /// Makes the first snapshot.
    #[must_use]
    pub fn new(mut make_snapshot: MakeSnapshot, nudge: Arc<Nudge>) -> Self {
        let first = make_snapshot();
        let changes = watch::Sender::new(first.ring_json.clone());
        Self {
            current: ArcSwap::from_pointee(first),
            changes,
            renewals: watch::Sender::new(()),
            make_snapshot: Mutex::new(make_snapshot),
            nudge,
        }
    }

    /// The snapshot that holds at this instant.
    ///
    /// If the last one does not hold any more, because the keeper was late or the process was stopped for a while, the
    /// caller makes the next one. That takes microseconds, and no answer is ever based on the past.
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

    /// The latest snapshot, even if it does not hold any more. Use it for information, not for decisions.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes a new snapshot, and notifies followers if the ring changed.
    pub fn publish(&self) {
        self.renew(|_| true);
    }

    fn renew(&self, is_needed: impl FnOnce(&Snapshot) -> bool) {
        let mut make_snapshot = self.make_snapshot.lock();
        if !is_needed(&self.current.load()) {
            return;
        }
        let snapshot = make_snapshot();
        let ring = snapshot.ring_json.clone();
        self.current.store(Arc::new(snapshot));
        self.changes.send_if_modified(|last| {
            let changed = *last != ring;
            *last = ring;
            changed
        });
        self.renewals.send_replace(());
    }

    /// Follows the JSON of `GET /v1/ring`.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Bytes> {
        self.changes.subscribe()
    }

    /// Notifies the receiver of every new snapshot.
    #[must_use]
    pub fn renewals(&self) -> watch::Receiver<()> {
        self.renewals.subscribe()
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}
