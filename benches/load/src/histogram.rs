//! A log-linear histogram of latencies: 64 buckets to each doubling, so that a quantile is at most 1.6 % too high.
//!
//! Recording is an addition to one slot of one array. It knows nothing of clocks or requests; a value is a number of
//! nanoseconds.

use std::time::Duration;

/// Buckets within one doubling, as a power of two.
const PRECISION: u32 = 6;
const PER_DOUBLING: usize = 1 << PRECISION;
/// Enough doublings to hold every `u64`.
const SLOTS: usize = (64 - PRECISION as usize + 1) * PER_DOUBLING;

/// Counts of latencies by size.
pub(crate) struct Histogram {
    slots: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![0; SLOTS],
            count: 0,
            sum: 0,
            max: 0,
        }
    }

    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.slots[slot(nanos)] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    /// How many latencies were counted.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The largest latency, in microseconds, exact.
    pub(crate) fn max_us(&self) -> f64 {
        self.max as f64 / 1e3
    }

    /// The mean latency, in microseconds, exact.
    pub(crate) fn mean_us(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64 / 1e3
        }
    }

    /// The least latency, in microseconds, that a share `q` of all does not exceed; rounded up to the end of its bucket.
    pub(crate) fn quantile_us(&self, q: f64) -> f64 {
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.slots.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(index).min(self.max) as f64 / 1e3;
            }
        }
        self.max_us()
    }
}

/// The slot of a value: its own for the small ones, then the leading `PRECISION + 1` bits.
fn slot(nanos: u64) -> usize {
    let bits = 64 - nanos.leading_zeros();
    if bits <= PRECISION + 1 {
        return nanos as usize;
    }
    let shift = bits - PRECISION - 1;
    // The leading bit is always set, so each doubling adds PER_DOUBLING to the one before.
    (shift as usize) * PER_DOUBLING + (nanos >> shift) as usize
}

/// The largest value that falls into a slot.
fn upper(slot: usize) -> u64 {
    if slot < 2 * PER_DOUBLING {
        return slot as u64;
    }
    let shift = (slot / PER_DOUBLING - 1) as u32;
    let leading = (slot - shift as usize * PER_DOUBLING) as u64;
    (leading << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_the_slot_whose_bounds_hold_it() {
        let mut values: Vec<u64> = (0..5_000).collect();
        for power in 7..64 {
            values.extend([
                (1 << power) - 1,
                1 << power,
                (1 << power) + 1,
                (1 << power) + (1 << (power - 1)),
            ]);
        }
        values.push(u64::MAX);
        for value in values {
            let index = slot(value);
            assert!(index < SLOTS, "{value} lies beyond the table");
            assert!(upper(index) >= value, "{value} is above its slot {index}");
            assert!(
                index == 0 || upper(index - 1) < value,
                "{value} is below its slot {index}"
            );
        }
    }

    #[test]
    fn slots_are_never_wider_than_one_part_in_sixty_four() {
        for index in 1..SLOTS {
            let (low, high) = (upper(index - 1) + 1, upper(index));
            assert!((high - low) as f64 <= low as f64 / 64.0, "slot {index}: {low}..={high}");
        }
    }

    #[test]
    fn quantiles_of_a_known_series_are_right_to_its_precision() {
        let mut histogram = Histogram::new();
        for micros in 1..=10_000u64 {
            histogram.record(Duration::from_micros(micros));
        }
        for (q, exact) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = histogram.quantile_us(q);
            assert!(found >= exact && found <= exact * 1.016, "{q}: {found}, not {exact}");
        }
        assert_eq!(histogram.max_us(), 10_000.0);
        assert_eq!(histogram.mean_us(), 5_000.5);
        assert_eq!(histogram.count(), 10_000);
    }

    #[test]
    fn one_outlier_in_a_thousand_moves_the_maximum_and_not_the_p99() {
        let mut histogram = Histogram::new();
        for _ in 0..999 {
            histogram.record(Duration::from_micros(100));
        }
        histogram.record(Duration::from_secs(1));
        assert!(histogram.quantile_us(0.99) < 102.0);
        assert_eq!(histogram.max_us(), 1e6);
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        let histogram = Histogram::new();
        assert_eq!(
            (histogram.quantile_us(0.99), histogram.max_us(), histogram.mean_us()),
            (0.0, 0.0, 0.0)
        );
    }
}
