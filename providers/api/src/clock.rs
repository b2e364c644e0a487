//! Time, as an argument of whoever needs it.

use std::fmt::Debug;
use std::time::Duration;

use signet_core::Timestamp;

/// Tells the time. The sidecar has one that reads the machine's clocks; tests have one that they move.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock's instant. Somebody may set it, forward or back, at any moment.
    fn now(&self) -> Timestamp;

    /// How long the machine has run, the time in which it was suspended included. Nobody can set this one: it tells how old
    /// something is, and whether the wall clock was set.
    fn running(&self) -> Duration;
}
