//! An instant that is recorded by two clocks, so that it can be dated even after somebody has set the wall clock.

use std::time::Duration;

use signet_core::Timestamp;

use crate::Clock;

/// Clocks drift, and NTP corrects them in small steps. An instant keeps its original date unless the clock is off by
/// more than this.
const DRIFT: Duration = Duration::from_secs(5);

/// An instant: the time on the wall clock, and how long the machine had run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    wall: Timestamp,
    /// In milliseconds. Negative before the machine was started.
    running: i64,
}

impl Moment {
    /// The current moment.
    #[must_use]
    pub fn now(clock: &dyn Clock) -> Self {
        Self::new(clock.now(), clock.running())
    }

    /// The moment with this wall time and this running time.
    #[must_use]
    pub fn new(wall: Timestamp, running: Duration) -> Self {
        let running = i64::try_from(running.as_millis()).unwrap_or(i64::MAX);
        Self { wall, running }
    }

    /// The moment that is this much earlier.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self {
            wall: self.wall.minus(span),
            running: self.running.saturating_sub(millis),
        }
    }

    /// The moment that is this much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self {
            wall: self.wall.plus(span),
            running: self.running.saturating_add(millis),
        }
    }

    /// The moment with this date on the wall clock of this one. Returns this one if the date lies in the future.
    #[must_use]
    pub fn dated(self, at: Timestamp) -> Self {
        self.before(self.wall.since(at))
    }

    /// The time on the wall clock at this moment.
    #[must_use]
    pub const fn wall(self) -> Timestamp {
        self.wall
    }

    /// The time that passed since another moment, even if the wall clock was set meanwhile. Zero if the other is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.running.saturating_sub(earlier.running);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// The later of the two.
    #[must_use]
    pub const fn or_later(self, other: Self) -> Self {
        if other.running > self.running { other } else { self }
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn or_earlier(self, other: Self) -> Self {
        if other.running < self.running { other } else { self }
    }

    /// The date of this moment, by the wall clock as it is `now`. It is the original date, unless somebody has set the
    /// clock meanwhile. It is never in the future.
    #[must_use]
    pub fn date_at(self, now: Self) -> Timestamp {
        let by_now = now.wall.shifted(self.running.saturating_sub(now.running));
        let off = Duration::from_millis(by_now.millis_after(self.wall).unsigned_abs());
        let date = if off > DRIFT { by_now } else { self.wall };
        date.min(now.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    #[test]
    fn a_moment_is_told_by_the_wall_clock_as_it_is_now() {
        let clock = ManualClock::default();
        let start = clock.now();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        clock.advance(hours(1));
        let moment = Moment::now(&clock);
        clock.advance(hours(2));
        let date = || moment.date_at(Moment::now(&clock));
        assert_eq!(date(), start.plus(hours(1)));
        // If NTP moves the clock a little, the date does not move.
        clock.set(start.plus(hours(3) + Duration::from_secs(4)));
        assert_eq!(date(), start.plus(hours(1)));
        // This was two hours ago, whatever the clock shows.
        for now in [start, start.plus(hours(100))] {
            clock.set(now);
            assert_eq!(date(), now.minus(hours(2)));
        }
        assert_eq!(Moment::now(&clock).since(moment), hours(2));
    }

    #[test]
    fn a_moment_is_never_told_to_be_in_the_future() {
        let clock = ManualClock::default();
        let start = clock.now();
        let moment = Moment::now(&clock);
        clock.set(start.minus(Duration::from_secs(3)));
        let now = Moment::now(&clock);
        assert_eq!(moment.date_at(now), now.wall());
    }
}
