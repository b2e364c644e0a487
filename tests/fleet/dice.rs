//! Numbers that all come from one seed.

use std::time::Duration;

use crate::harness::seed::Random;

/// splitmix64.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From `SIGNET_TEST_SEED`, or from the clock; the seed is printed.
    pub(crate) fn seeded(what: &str) -> Self {
        let mut random = Random::seeded(what);
        Self(random.below(1 << 31) << 31 | random.below(1 << 31))
    }

    /// Other dice, whose falls these do not depend on.
    pub(crate) fn apart(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("fits")
    }

    /// Between so many milliseconds and so many.
    pub(crate) fn span(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.next() % (most - least).max(1))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}
