//! The machine's clock: with the keeper's timers, the one place where the sidecar reads the time.

use std::time::{SystemTime, UNIX_EPOCH};

use signet_api::Clock;
use signet_core::Timestamp;

/// Reads the system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the edge at which time enters")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken clock: everything would be expired or not yet valid, which is what it says.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// An instant as people and machines read it: RFC 3339, in UTC, to the second.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0));
    // The formatter knows years up to 9999.
    let last = std::time::Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(last)).to_string()
}
