//! The clock through which all code reads the time.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use signet_core::Timestamp;

/// Tells the time. The sidecar uses [`SystemClock`]; tests use a clock that they control.
pub trait Clock: Debug + Send + Sync {
    /// The time of the wall clock. It may be set forward or back at any moment.
    fn now(&self) -> Timestamp;

    /// How long the machine has run, including the time in which it was suspended. Nobody can set this clock. Use it to
    /// measure age, and to detect that the wall clock was set.
    fn running(&self) -> Duration;
}

/// Reads the system's wall clock and uptime.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "only this function may read the system's clock"
    )]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is broken. With the time zero, everything looks expired or not yet valid.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn running(&self) -> Duration {
        // CLOCK_MONOTONIC stops while the machine is suspended, and the wall clock does not. A suspend would look as if
        // somebody had set the clock, and keys would look younger than they are.
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }
}
