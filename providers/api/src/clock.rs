//! Time, as an argument of whoever needs it.

use std::fmt::Debug;

use signet_core::Timestamp;

/// Tells the time. The sidecar has one that reads the machine's clock; tests have one that they move.
pub trait Clock: Debug + Send + Sync {
    /// The wall clock's instant.
    fn now(&self) -> Timestamp;
}
