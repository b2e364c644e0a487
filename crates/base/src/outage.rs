//! A description of a failure that lasts.

use signet_core::Timestamp;

/// Something that does not work, since when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the failure began, by the wall clock.
    pub since: Timestamp,
    /// The last error and its causes, as an operator reads them.
    pub reason: String,
}
