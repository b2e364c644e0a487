//! A clock that moves only when a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use signet_core::Timestamp;

use crate::Clock;

/// A clock for tests, which moves only when the test moves it. By default, it starts in 2026.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    running: AtomicI64,
}

impl ManualClock {
    /// A clock whose wall time is this instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            now: AtomicI64::new(now.as_millis()),
            running: AtomicI64::new(0),
        }
    }

    /// Lets time pass: moves the wall clock and the running time.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        self.running.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the wall clock, forward or back, while no time passes.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Timestamp::from_secs(1_767_225_600))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn running(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.running.load(Ordering::SeqCst)).unwrap_or(0))
    }
}
