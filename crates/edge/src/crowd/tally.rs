//! Counters of one thread.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one thread changes and others read: all tasks of a connection run on the same thread, and the locked
/// instructions of `fetch_add` would cost more than what they count.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// What it counts now.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the count.
    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// Adds to the count; it wraps at 2^64.
    pub(crate) fn add(&self, count: u64) {
        self.set(self.count().wrapping_add(count));
    }

    /// Subtracts from the count, which never goes below zero.
    pub(crate) fn sub(&self, count: u64) {
        self.set(self.count().saturating_sub(count));
    }
}
