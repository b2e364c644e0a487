//! Random numbers. All come from one seed, through a separate generator for each purpose, so another draw in one place
//! changes nothing in another.

use parking_lot::Mutex;

use crate::sky::Ms;
use crate::splitmix;

/// A random generator.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A separate generator for this purpose.
    pub(crate) fn fork(&self, purpose: u64) -> Self {
        let mut forked = Self(self.0 ^ purpose.wrapping_mul(0xd134_2543_de82_ef95));
        Self(forked.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        splitmix::next(&mut self.0)
    }

    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number between these two, both included.
    pub(crate) fn between(&mut self, least: Ms, most: Ms) -> Ms {
        let span = u64::try_from(most.saturating_sub(least)).unwrap_or(0);
        least + i64::try_from(self.below(span + 1)).unwrap_or(0)
    }

    /// True with this probability in percent.
    pub(crate) fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}

/// A generator that several tasks share. The order of their draws matters.
#[derive(Debug)]
pub(crate) struct SharedRng(Mutex<Rng>);

impl SharedRng {
    pub(crate) const fn new(rng: Rng) -> Self {
        Self(Mutex::new(rng))
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock())
    }
}
