//! The clocks.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use signet_core::Timestamp;

/// Tells the time. The sidecar has one that reads the machine's clocks; tests have one that they move.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock's instant. Somebody may set it, forward or back, at any moment.
    fn now(&self) -> Timestamp;

    /// How long the machine has run, the time in which it was suspended included. Nobody can set this one: it tells how old
    /// something is, and whether the wall clock was set.
    fn running(&self) -> Duration;
}

/// Reads the system's wall clock, and how long it has run.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge at which time enters")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken clock: everything would be expired or not yet valid, which is what it says.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn running(&self) -> Duration {
        // CLOCK_MONOTONIC stands still while the machine is suspended, and the wall clock does not: a suspend would look as if
        // somebody had set the clock, and keys would look younger than they are.
        Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
    }
}
