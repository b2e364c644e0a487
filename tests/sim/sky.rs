//! True time, and clocks that differ from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use signet_base::Clock;
use signet_core::Timestamp;
use tokio::time::Instant;

/// Milliseconds: of true time since the beginning of the run, or a duration.
pub(crate) type Ms = i64;

pub(crate) const SECOND: Ms = 1000;
pub(crate) const MINUTE: Ms = 60 * SECOND;
pub(crate) const HOUR: Ms = 60 * MINUTE;
pub(crate) const DAY: Ms = 24 * HOUR;

/// The time of the wall clock at the beginning of all runs.
const BEGINNING: Timestamp = Timestamp::from_secs(1_767_225_600);

pub(crate) fn span(ms: Ms) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

pub(crate) fn ms(span: Duration) -> Ms {
    Ms::try_from(span.as_millis()).unwrap_or(Ms::MAX)
}

/// What a correct clock shows at this true time.
pub(crate) fn wall(at: Ms) -> Timestamp {
    Timestamp::from_millis(BEGINNING.as_millis() + at)
}

/// The true time: that of the paused runtime.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sun(Instant);

impl Sun {
    pub(crate) fn risen() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Ms {
        ms(self.0.elapsed())
    }

    pub(crate) async fn reaches(self, at: Ms) {
        tokio::time::sleep_until(self.0 + span(at)).await;
    }
}

/// A clock that is off.
#[derive(Debug)]
pub(crate) struct SkewedClock {
    sun: Sun,
    offset: AtomicI64,
}

impl SkewedClock {
    pub(crate) fn new(sun: Sun, offset: Ms) -> Arc<Self> {
        Arc::new(Self {
            sun,
            offset: AtomicI64::new(offset),
        })
    }

    pub(crate) fn offset(&self) -> Ms {
        self.offset.load(Ordering::Relaxed)
    }

    pub(crate) fn set_offset(&self, offset: Ms) {
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// What the clock shows at this true time.
    pub(crate) fn at(&self, at: Ms) -> Timestamp {
        Timestamp::from_millis(BEGINNING.as_millis() + at + self.offset())
    }

    /// The true time at which the clock shows this.
    pub(crate) fn true_time_of(&self, shown: Timestamp) -> Ms {
        shown.as_millis() - BEGINNING.as_millis() - self.offset()
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        self.at(self.sun.now())
    }

    fn running(&self) -> Duration {
        span(self.sun.now())
    }
}
