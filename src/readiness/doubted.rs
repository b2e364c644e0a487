//! The condition that is listed while the time is in doubt.

use signet_base::{brief, rfc3339};
use signet_clock_watch::Doubt;
use signet_core::Timestamp;

use crate::conditions::{CLOCK, Condition, State};
use crate::snapshot::Snapshot;

/// What stops while the time is in doubt, and what a wrong clock does to tokens.
const HELD: &str = "No key is created, retired, disabled or erased until this is resolved. Tokens are still signed and verified by \
     this clock: if it is wrong, valid tokens are refused here, expired ones are accepted, or tokens that are \
     signed here are refused elsewhere";

/// Why the wall clock, or the creation time of a key, is in doubt.
#[derive(Clone, Debug)]
pub(super) struct Doubted {
    pub(super) state: State,
    pub(super) reason: String,
}

impl Doubted {
    pub(super) fn new(doubt: Option<Doubt>, snapshot: &Snapshot, now: Timestamp) -> Option<Self> {
        if let Some(doubt) = doubt {
            let reason = format!("{doubt}. {HELD}. {}", doubt.advice());
            let state = State::ClockInDoubt;
            return Some(Self { state, reason });
        }
        let (kid, created_at) = snapshot.from_the_future.as_ref()?;
        let reason = format!(
            "the newest key, {kid}, has a creation time {} in the future, at {}: a clock was ahead when the key was \
             created, or the clock of this machine is behind. {HELD}. Compare `date -u` with a correct clock. If this \
             clock is wrong, set it. If it is right, wait until then, or run `signet keys revoke {kid}`; tokens of \
             that key are then refused",
            brief(created_at.since(now)),
            rfc3339(*created_at)
        );
        let state = State::KeyFromTheFuture;
        Some(Self { state, reason })
    }

    /// The condition. Requests may fail because of a wrong clock, but all replicas share the ring and perhaps the
    /// clock. Most likely no other replica would do better, so this one stays ready.
    pub(super) fn condition(&self, started_at: Timestamp, since: Timestamp) -> Condition {
        Condition {
            name: CLOCK,
            state: self.state,
            ok: true,
            since: started_at.min(since),
            failing_since: Some(since),
            detail: self.reason.clone(),
        }
    }
}
