//! The one place where tests read a clock and wait.

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

/// Waits until the probe has an answer. The only waiting that tests do.
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

/// Lets a loop run at a steady beat.
pub fn next_beat(beat: &mut Instant, period: Duration) {
    *beat += period;
    std::thread::sleep(beat.saturating_duration_since(instant()));
}
