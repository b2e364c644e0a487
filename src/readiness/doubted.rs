//! The condition that is listed while the time is in doubt.

use signet_base::{brief, rfc3339};
use signet_clock_watch::Doubt;
use signet_core::Timestamp;

use crate::conditions::{CLOCK, Condition, State};
use crate::snapshot::Snapshot;

/// What stops while the time is in doubt, and what a wrong clock does to tokens.
const HELD: &str = "No key is created, retired, disabled or erased while that lasts. Tokens are signed and judged by this clock: if it is \
                    wrong, good tokens are refused here, expired ones are accepted, or those that are signed here are refused elsewhere";

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
            "key {kid}, the newest, was created {} in the future, at {}: a clock was ahead when it was created, or this one is \
             behind. {HELD}. Compare `date -u` with a clock that is right. If this one is wrong, set it; if it is right, wait until \
             then, or give the key up with `signet keys revoke {kid}`, which refuses its tokens",
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
