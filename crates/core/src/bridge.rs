//! What keys are to do while the wall clock was set and nobody knows yet whether it is right now or was before.

use crate::schedule::{Phase, Schedule};
use crate::time::Timestamp;

impl Schedule {
    /// Bridges this schedule, of the instant that the wall clock would show if nobody had set it, and the one of the instant that
    /// it shows, `set_by` milliseconds later, of the same keys.
    ///
    /// One of the two is what all other replicas go by. A key that is published by either stays published, as tokens of it may be
    /// good; and the key that signed goes on, unless it has expired by the wall clock, as others may no longer have it.
    /// Instants are those of the wall clock, by which requests ask.
    #[must_use]
    pub fn bridged(mut self, by_wall: &Self, set_by: i64) -> Self {
        let index_of_active = |schedule: &Self| schedule.keys.iter().position(|key| key.phase == Phase::Active);
        let (signed, by_wall_signs) = (index_of_active(&self), index_of_active(by_wall));
        let goes_on = signed.filter(|index| by_wall.keys.get(*index).is_some_and(|key| key.phase.is_published()));
        let signer = goes_on.or(by_wall_signs).or(signed);
        for (index, (key, other)) in self.keys.iter_mut().zip(&by_wall.keys).enumerate() {
            key.phase = match signer {
                _ if key.phase == Phase::Revoked => Phase::Revoked,
                Some(signer) if signer == index => Phase::Active,
                _ if !key.phase.is_published() && !other.phase.is_published() => Phase::Expired,
                Some(signer) if signer < index => Phase::Pending,
                _ => Phase::Retiring,
            };
        }
        let sooner = |steady: Option<Timestamp>, wall: Option<Timestamp>| {
            steady.map(|at| at.shifted(set_by)).into_iter().chain(wall).min()
        };
        self.next_look = sooner(self.next_look, by_wall.next_look);
        self.set_changes_at = sooner(self.set_changes_at, by_wall.set_changes_at);
        self
    }
}
