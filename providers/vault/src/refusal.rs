//! Remembers that transit refused to create a key, to leave it to others for a while.

use std::time::Duration;

use signet_api::Failure;
use signet_core::Timestamp;

/// How long a handle leaves the creation to others after transit refused it.
pub(crate) const REST: Duration = Duration::from_secs(30);

/// A refusal by transit to create a key for this handle.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) transit_key: String,
    pub(crate) at: Timestamp,
    pub(crate) failure: Failure,
}

impl Refusal {
    /// Whether transit would probably refuse again.
    pub(crate) fn holds(&self, transit_key: &str, now: Timestamp) -> bool {
        self.transit_key == transit_key && now.since(self.at) < REST && self.at.since(now) < REST
    }
}
