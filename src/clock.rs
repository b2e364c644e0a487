//! The machine's clocks: with the keeper's timers, the one place where the sidecar reads the time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use signet_api::Clock;
use signet_core::Timestamp;

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

/// The instant of a `Date` header (RFC 9110 §5.6.7), if that is what the text is.
#[must_use]
pub fn http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(i64::try_from(since.as_secs()).ok()?))
}

/// An instant as people and machines read it: RFC 3339, in UTC, to the second.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let since = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0));
    // The formatter knows years up to 9999.
    let last = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(last)).to_string()
}
