//! What transit would not make, and for how long that is left to others.

use std::time::Duration;

use signet_api::Failure;
use signet_core::Timestamp;

/// How long a handle that transit refused leaves the making to others.
pub(crate) const REST: Duration = Duration::from_secs(30);

/// That transit refused to make a key for this handle.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) transit_key: String,
    pub(crate) at: Timestamp,
    pub(crate) failure: Failure,
}

impl Refusal {
    /// Whether the same would be refused again.
    pub(crate) fn holds(&self, transit_key: &str, now: Timestamp) -> bool {
        self.transit_key == transit_key && now.since(self.at) < REST && self.at.since(now) < REST
    }
}
