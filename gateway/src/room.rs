//! The memory that answers of backends take: their bytes, and what is made of them.
//!
//! All answers share one budget. Small answers do not count, so most requests touch nothing shared.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The maximum memory in bytes for all answers in use.
const BUDGET: usize = 128 * 1024 * 1024;
/// An answer that takes no more than this does not count against the budget.
const SMALL: usize = 64 * 1024;
/// The budget is taken in steps of this size.
const STEP: usize = 64 * 1024;

static ANSWERS: Semaphore = Semaphore::const_new(BUDGET);

/// There is no memory for an answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many long responses are being processed")]
pub struct NoMemory;

/// The memory of one answer. It is given back when this is dropped.
#[derive(Debug, Default)]
pub struct Room {
    used: usize,
    permit: Option<SemaphorePermit<'static>>,
}

impl Room {
    /// Adds to the memory of the answer.
    ///
    /// # Errors
    /// [`NoMemory`], if the budget is used up.
    pub fn grow(&mut self, octets: usize) -> Result<(), NoMemory> {
        self.used += octets;
        let taken = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        if self.used <= SMALL.max(taken) {
            return Ok(());
        }
        let more = u32::try_from((self.used - taken).next_multiple_of(STEP)).map_err(|_| NoMemory)?;
        let more = ANSWERS.try_acquire_many(more).map_err(|_| NoMemory)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_all_requests_share_one_budget() {
        let (mut small, mut one, mut other) = (Room::default(), Room::default(), Room::default());
        assert_eq!(small.grow(SMALL), Ok(()));
        assert_eq!(one.grow(BUDGET - STEP), Ok(()));
        assert_eq!(other.grow(SMALL + STEP), Err(NoMemory));
        drop(one);
        assert_eq!(other.grow(1), Ok(()));
    }
}
