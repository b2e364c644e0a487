//! Counters that one thread writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one thread writes and others read. All tasks of a connection run on the same thread, so this avoids
/// the locked instructions of `fetch_add`, which would cost more than the counted work.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// The current count.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the count.
    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// Adds to the count, which wraps at 2^64.
    pub(crate) fn add(&self, count: u64) {
        self.set(self.count().wrapping_add(count));
    }

    /// Subtracts from the count, which stops at zero.
    pub(crate) fn sub(&self, count: u64) {
        self.set(self.count().saturating_sub(count));
    }
}
