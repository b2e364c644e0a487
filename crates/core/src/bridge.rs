//! The schedule to follow after the wall clock jumped, while it is unknown whether the old or the new time is right.

use crate::schedule::{Phase, Schedule};
use crate::time::Timestamp;

impl Schedule {
    /// Combines two schedules of the same keys after the wall clock was set.
    ///
    /// `self` is the schedule at the time that the clock would show without the jump; `by_wall` is the schedule
    /// at the time that it shows now, `set_by` milliseconds later. The other replicas follow one of the two,
    /// but we do not know which.
    ///
    /// A key that either schedule publishes stays published, because its tokens may be good. The key that signed
    /// continues to sign, unless it has expired by the wall clock: then the others may have dropped it. All instants in
    /// the result are those of the wall clock, because requests use it.
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
