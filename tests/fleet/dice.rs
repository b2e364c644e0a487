//! Random numbers from one seed.

use std::time::Duration;

use crate::harness::seed::Random;
use crate::splitmix;

/// A generator. Clones produce the same numbers.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A generator with the seed in `SIGNET_TEST_SEED`, or one from the clock. The seed is printed.
    pub(crate) fn seeded(what: &str) -> Self {
        let mut random = Random::seeded(what);
        Self(random.below(1 << 31) << 31 | random.below(1 << 31))
    }

    /// An independent generator.
    pub(crate) fn apart(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        splitmix::next(&mut self.0)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("fits")
    }

    /// A random duration between these two numbers of milliseconds.
    pub(crate) fn span(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least).max(1))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}
