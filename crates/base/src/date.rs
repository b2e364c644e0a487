//! Reads and writes instants as text.

use std::time::{Duration, UNIX_EPOCH};

use signet_core::Timestamp;

/// Parses the value of a `Date` header (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(i64::try_from(since.as_secs()).ok()?))
}

/// Formats an instant by RFC 3339, in UTC and to the second.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let since = Duration::from_millis(u64::try_from(at.as_millis()).unwrap_or(0));
    // The formatter supports years up to 9999.
    let last = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_to_the_second_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_783_000_000_999, "2026-07-02T13:46:40Z"),
            (-1, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_date_header_is_read_and_garbage_is_none() {
        let read = http_date("Thu, 02 Jul 2026 13:46:40 GMT");
        assert_eq!(read, Some(Timestamp::from_secs(1_783_000_000)));
        for text in ["", "2026-07-02T13:46:40Z", "Thu, 02 Jul 1926 13:46:40 GMT"] {
            assert_eq!(http_date(text), None, "{text:?}");
        }
    }
}
