//! Random numbers that can be reproduced from a seed.

use super::{say, time};

/// An xorshift64* generator, which is good enough for choosing when to kill.
pub struct Random(u64);

impl Random {
    /// A generator with the seed in `SIGNET_TEST_SEED`, or one from the clock. The seed is printed.
    #[expect(clippy::disallowed_methods, reason = "the seed of a run that is to be repeated")]
    pub fn seeded(what: &str) -> Self {
        let given = std::env::var("SIGNET_TEST_SEED")
            .ok()
            .map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| time::unix_millis().unsigned_abs());
        say(format!("{what}: SIGNET_TEST_SEED={seed}"));
        // A zero state would stay zero, and two tests with the same seed should differ.
        let spread = what
            .bytes()
            .fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Self(spread.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}
