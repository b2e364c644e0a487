//! Counters that many threads increase at once. Each thread adds to a copy of its own, so threads share no cache line,
//! and nothing waits. A reader adds the copies up.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many counters fit into two cache lines, which processors fetch together.
const PER_LINE: usize = 16;
/// The maximum number of copies. With more threads, some share one.
const MOST_COPIES: usize = 64;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; PER_LINE]);

/// Counters with the numbers from zero on.
#[derive(Debug)]
pub(super) struct Cells {
    lines: Box<[Line]>,
    lines_per_copy: usize,
}

/// The number of copies: a power of two, and at least the number of threads that serve connections.
static COPIES: LazyLock<usize> = LazyLock::new(|| {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    threads.next_power_of_two().min(MOST_COPIES)
});

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The copy of this thread.
    static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) & (*COPIES - 1);
}

impl Cells {
    /// Makes so many counters, all zero.
    pub(super) fn new(count: usize) -> Self {
        let lines_per_copy = count.div_ceil(PER_LINE);
        Self {
            lines: (0..lines_per_copy * *COPIES).map(|_| Line::default()).collect(),
            lines_per_copy,
        }
    }

    /// Adds to a counter.
    pub(super) fn add(&self, number: usize, by: u64) {
        let line = OWN.with(|own| own * self.lines_per_copy) + number / PER_LINE;
        if let Some(line) = self.lines.get(line) {
            line.0[number % PER_LINE].fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The value of a counter.
    pub(super) fn sum(&self, number: usize) -> u64 {
        let lines = self.lines.iter().skip(number / PER_LINE).step_by(self.lines_per_copy);
        lines
            .map(|line| line.0[number % PER_LINE].load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_threads_add_is_in_the_sum() {
        let cells = Cells::new(PER_LINE + 3);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for number in 0..PER_LINE + 3 {
                        cells.add(number, number as u64 + 1);
                    }
                });
            }
        });
        for number in 0..PER_LINE + 3 {
            assert_eq!(cells.sum(number), 8 * (number as u64 + 1), "{number}");
        }
    }
}
