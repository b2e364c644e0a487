//! When a ring is read again: every R, a little earlier at random, and sooner after a failure.

use std::time::Duration;

use signet_base::Jitter;
use tokio::time::Instant;

/// The first wait after a failure. It doubles up to the refresh interval.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// The waits between the readings of one ring.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    asked: Option<Instant>,
    failures: u32,
    jitter: Jitter,
}

impl Pace {
    pub(super) const fn new(interval: Duration, jitter: Jitter) -> Self {
        Self {
            interval,
            asked: None,
            failures: 0,
            jitter,
        }
    }

    /// Records that a reading begins.
    pub(super) fn on_attempt(&mut self) {
        self.asked = Some(Instant::now());
    }

    pub(super) const fn on_success(&mut self) {
        self.failures = 0;
    }

    pub(super) const fn on_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The time until the next reading.
    ///
    /// Its answer should arrive within the interval, on which the lead depends. Therefore the interval counts from the
    /// start of the last reading, and a twentieth of the interval is left for the provider's answer.
    pub(super) fn wait(&self) -> Duration {
        let took = self.asked.map_or(Duration::ZERO, |asked| asked.elapsed());
        let (longest, share) = match self.failures {
            0 => ((self.interval - self.interval / 20).saturating_sub(took), 10),
            failures => (
                FIRST_RETRY
                    .saturating_mul(1 << (failures - 1).min(16))
                    .min(self.interval),
                2,
            ),
        };
        longest - self.jitter.up_to(longest / share)
    }

    /// A random delay of up to `most`, which spreads the calls of replicas.
    pub(super) fn apart(&self, most: Duration) -> Duration {
        self.jitter.up_to(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_never_longer_than_the_interval_and_grows_with_failures() {
        let interval = Duration::from_secs(60);
        let mut pace = Pace::new(interval, Jitter::seeded(1));
        let waits = |pace: &Pace| (0..1000).map(|_| pace.wait()).collect::<Vec<_>>();
        let longest = interval * 19 / 20;
        assert!(
            waits(&pace)
                .iter()
                .all(|wait| (longest * 9 / 10..=longest).contains(wait))
        );
        pace.on_attempt();
        tokio::time::advance(Duration::from_secs(40)).await;
        let after_a_slow_one = pace.wait();
        assert!(after_a_slow_one <= Duration::from_secs(17), "{after_a_slow_one:?}");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(pace.wait(), Duration::ZERO);
        for longest in [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] {
            pace.on_failure();
            let longest = Duration::from_millis(longest);
            assert!(waits(&pace).iter().all(|wait| (longest / 2..=longest).contains(wait)));
        }
        pace.on_success();
        pace.on_attempt();
        assert!(pace.wait() > interval / 2);
    }
}
