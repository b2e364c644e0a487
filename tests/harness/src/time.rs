//! The only place where tests read a clock and wait.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "a black-box test measures real time")]
pub fn instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a black-box test measures real time")]
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("fits")
}

/// Waits until the probe returns a value. Tests wait in no other way.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = instant();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Waits for the next beat of a regular loop.
pub fn next_beat(beat: &mut Instant, period: Duration) {
    *beat += period;
    std::thread::sleep(beat.saturating_duration_since(instant()));
}

/// The shortest durations that tests tolerate: a rotation every 4 s, with a lead 400 ms longer
/// than the policy requires.
pub const FAST: &[(&str, &str)] = &[
    ("SIGNET_ROTATION_PERIOD", "4s"),
    ("SIGNET_PUBLISH_LEAD", "2s"),
    ("SIGNET_REFRESH_INTERVAL", "200ms"),
    ("SIGNET_JWKS_MAX_AGE", "1s"),
    ("SIGNET_VERIFIER_CACHE", "1s"),
    ("SIGNET_CLOCK_SKEW", "200ms"),
    ("SIGNET_TOKEN_TTL", "1s"),
    ("SIGNET_TOKEN_MAX_TTL", "2s"),
];
