//! Limits log lines that anybody can cause with a request. The first is logged at once. After that, one per minute is
//! logged with the number of suppressed ones. Nobody can fill a disk or hide other lines by repeating a failure.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Clock as _, SystemClock};

/// The minimum time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);
/// How many kinds are counted separately in one place. Further kinds share one limit.
const MOST_KINDS: usize = 64;

/// The limit for the lines of one place in the code, counted by kind.
#[derive(Debug)]
pub struct LogLimit<K>(LazyLock<Mutex<Kinds<K>>>);

#[derive(Debug)]
struct Kinds<K> {
    known: HashMap<K, Pace>,
    /// Shared by all kinds beyond [`MOST_KINDS`].
    others: Pace,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: Option<Duration>,
    held_back: u64,
}

impl<K: Eq + Hash> LogLimit<K> {
    /// Makes a limit under which nothing was logged yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "the type is only for statics")]
    pub const fn new() -> Self {
        Self(LazyLock::new(|| {
            Mutex::new(Kinds {
                known: HashMap::new(),
                others: Pace::default(),
            })
        }))
    }

    /// Whether a line of this kind may be logged now. If so, how many were suppressed since the last one.
    #[must_use]
    pub fn may_log(&self, kind: K) -> Option<u64> {
        self.may_log_at(kind, SystemClock.running())
    }

    fn may_log_at(&self, kind: K, now: Duration) -> Option<u64> {
        let mut kinds = self.0.lock();
        let is_room = kinds.known.len() < MOST_KINDS || kinds.known.contains_key(&kind);
        let pace = match is_room {
            true => kinds.known.entry(kind).or_default(),
            false => &mut kinds.others,
        };
        if pace.last.is_some_and(|last| now.saturating_sub(last) < PAUSE) {
            pace.held_back = pace.held_back.saturating_add(1);
            return None;
        }
        pace.last = Some(now);
        Some(std::mem::take(&mut pace.held_back))
    }
}

/// The limit for lines about failures, by kind, and for the line that says that they ended.
///
/// Each logged failure gets one such line. If something fails every other time, its ends are logged no more often than
/// its failures.
#[derive(Debug)]
pub struct FailureLogLimit<K> {
    failures: LogLimit<K>,
    is_logged: AtomicBool,
}

impl<K: Eq + Hash> FailureLogLimit<K> {
    /// Makes a limit under which nothing has failed yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "as with the other error")]
    pub const fn new() -> Self {
        Self {
            failures: LogLimit::new(),
            is_logged: AtomicBool::new(false),
        }
    }

    /// Whether a failure of this kind may be logged now. If so, how many were suppressed since the last one.
    #[must_use]
    pub fn may_log(&self, kind: K) -> Option<u64> {
        let may = self.failures.may_log(kind);
        self.is_logged.fetch_or(may.is_some(), Ordering::Relaxed);
        may
    }

    /// Whether the end of the failures should be logged now.
    #[must_use]
    pub fn may_log_end(&self) -> bool {
        self.is_logged.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_lines_of_one_kind_the_first_is_logged_and_then_one_in_a_while() {
        let (limit, now) = (LogLimit::new(), Duration::from_secs(1000));
        assert_eq!(limit.may_log_at("a", now), Some(0));
        for millis in 0..5000 {
            assert_eq!(limit.may_log_at("a", now + Duration::from_millis(millis)), None);
        }
        assert_eq!(
            limit.may_log_at("b", now),
            Some(0),
            "an error of another kind is logged"
        );
        assert_eq!(limit.may_log_at("a", now + PAUSE), Some(5000));
        assert_eq!(limit.may_log_at("a", now + PAUSE), None);
        assert_eq!(limit.may_log_at("a", now + PAUSE * 2), Some(1));
    }

    #[test]
    fn kinds_without_number_are_logged_no_more_often() {
        let (limit, now) = (LogLimit::new(), Duration::from_secs(1000));
        let logged = (0..10_000)
            .filter(|kind| limit.may_log_at(*kind, now).is_some())
            .count();
        assert_eq!(logged, MOST_KINDS + 1);
        assert_eq!(limit.may_log_at(5, now), None);
        assert_eq!(
            limit.may_log_at(5, now + PAUSE),
            Some(1),
            "kinds that are already known stay known"
        );
    }

    #[test]
    fn what_fails_every_other_time_is_logged_no_more_often() {
        let limit = FailureLogLimit::new();
        let (mut failures, mut ends) = (0, 0);
        for _ in 0..10_000 {
            failures += usize::from(limit.may_log("timeout").is_some());
            ends += usize::from(limit.may_log_end());
        }
        assert_eq!((failures, ends), (1, 1));
        assert_eq!(limit.may_log("refused"), Some(0));
        assert!(limit.may_log_end(), "the end of every logged failure may be logged");
        assert!(!limit.may_log_end());
    }
}
