//! Random delays that keep replicas from acting at the same moment. They protect no secret, so a
//! small generator is enough.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Draws random durations. The default is seeded differently in each process.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    /// A generator with this seed, which gives the same durations in every run.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A random duration from zero to `most`, both included.
    #[must_use]
    pub fn up_to(&self, most: Duration) -> Duration {
        // SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let drawn = (u128::from(z) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(drawn).unwrap_or(nanos))
    }
}

impl Default for Jitter {
    fn default() -> Self {
        // The standard library seeds its hash maps from the operating system.
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_within_their_bound_and_fill_it() {
        let jitter = Jitter::seeded(1);
        let most = Duration::from_millis(100);
        let draws: Vec<Duration> = (0..10_000).map(|_| jitter.up_to(most)).collect();
        assert!(draws.iter().all(|draw| *draw <= most));
        for tenth in 0..10 {
            let within = most * tenth / 10..most * (tenth + 1) / 10;
            let count = draws.iter().filter(|draw| within.contains(draw)).count();
            assert!((800..1200).contains(&count), "{count} of 10,000 in tenth {tenth}");
        }
        assert_eq!(jitter.up_to(Duration::ZERO), Duration::ZERO);
        assert!(jitter.up_to(Duration::MAX) <= Duration::MAX);
    }

    #[test]
    fn a_seed_gives_the_same_draws_and_the_default_another_seed_each_time() {
        let draw = |jitter: &Jitter| jitter.up_to(Duration::from_secs(3600));
        assert_eq!(draw(&Jitter::seeded(7)), draw(&Jitter::seeded(7)));
        assert_ne!(draw(&Jitter::default()), draw(&Jitter::default()));
    }
}
