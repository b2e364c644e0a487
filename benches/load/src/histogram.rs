//! A histogram of latencies with three significant digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// One part in a thousand.
const DIGITS: u8 = 3;

/// A histogram of latencies.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        Self(Histogram::new(DIGITS).expect("three digits are supported"))
    }

    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("it grows as it needs to");
    }

    /// The number of latencies.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The largest latency, in microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        micros(self.0.max())
    }

    /// The mean latency, in microseconds.
    pub(crate) fn mean_us(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// The latency in microseconds that a share `q` of all latencies does not exceed.
    pub(crate) fn quantile_us(&self, q: f64) -> f64 {
        micros(self.0.value_at_quantile(q))
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(found: f64, exact: f64) -> bool {
        (found - exact).abs() <= exact / 500.0
    }

    #[test]
    fn quantiles_of_a_known_series_are_right_to_three_digits() {
        let mut latencies = Latencies::new();
        for micros in 1..=10_000u64 {
            latencies.record(Duration::from_micros(micros));
        }
        for (q, exact) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = latencies.quantile_us(q);
            assert!(is_near(found, exact), "{q}: {found}, not {exact}");
        }
        assert!(is_near(latencies.max_us(), 10_000.0), "{}", latencies.max_us());
        assert!(is_near(latencies.mean_us(), 5_000.5), "{}", latencies.mean_us());
        assert_eq!(latencies.count(), 10_000);
    }

    #[test]
    fn one_outlier_in_a_thousand_moves_the_maximum_and_not_the_p99() {
        let mut latencies = Latencies::new();
        for _ in 0..999 {
            latencies.record(Duration::from_micros(100));
        }
        latencies.record(Duration::from_secs(1));
        assert!(latencies.quantile_us(0.99) < 101.0);
        assert!(is_near(latencies.max_us(), 1e6), "{}", latencies.max_us());
    }

    #[test]
    fn an_empty_one_answers_zero() {
        let latencies = Latencies::new();
        assert_eq!(
            (latencies.quantile_us(0.99), latencies.max_us(), latencies.mean_us()),
            (0.0, 0.0, 0.0)
        );
    }
}
