//! The condition that is listed while a cached JWKS may still contain a revoked key.

use std::collections::HashMap;
use std::time::Duration;

use signet_base::{Moment, rfc3339};
use signet_core::{Policy, Timestamp};

use super::{Condition, Memory, REVOCATION, State};
use crate::timeline::short;

/// When each revocation took effect.
///
/// The date of a revocation comes from the clock of the machine that made it, which may be far off. This process knows
/// better in one respect: it accepted the key until it read the revocation. For revocations that existed when the
/// process started, it knows only that they are not in the future.
#[derive(Debug)]
pub(super) struct Marks {
    /// The maximum time from a revocation until it is read, if the clocks are correct.
    read_within: Duration,
    from: HashMap<String, Moment>,
}

impl Marks {
    pub(super) fn new(policy: &Policy) -> Self {
        let durations = policy.durations();
        Self {
            read_within: durations.refresh_interval + durations.clock_skew * 2,
            from: HashMap::new(),
        }
    }

    /// Records the revocations that exist now.
    pub(super) fn look(&mut self, revoked: &[(String, Timestamp)], is_start: bool, now: Moment) {
        self.from
            .retain(|kid, _| revoked.iter().any(|(marked, _)| marked == kid));
        for (kid, at) in revoked {
            let is_late = !is_start && now.wall().since(*at) > self.read_within;
            let from = if is_late { now } else { now.dated(*at) };
            self.from.entry(kid.clone()).or_insert(from);
        }
    }
}

impl Memory {
    /// The condition for a revoked key. `None` once it is refused everywhere.
    ///
    /// A sidecar refuses the key once it has read the revocation. A service that verifies with the JWKS refuses it
    /// when its cached copy expires.
    pub(super) fn revocation(&self, kid: &str, at: Timestamp, now: Moment) -> Option<Condition> {
        let from = self.marks.from.get(kid).copied().unwrap_or(now.dated(at));
        let is_over = now.since(from) >= self.spread;
        let from = from.date_at(now);
        let over = from.plus(self.spread);
        (!is_over).then(|| Condition {
            name: REVOCATION,
            state: State::RevocationSpreads,
            ok: true,
            since: self.started.date_at(now),
            failing_since: Some(from),
            detail: format!(
                "key {} was revoked at {}{}; services that verify with the JWKS may accept its tokens until {}",
                short(kid),
                rfc3339(at),
                match from == at {
                    true => String::new(),
                    false => format!(
                        " by the clock of the machine that revoked it; this sidecar read the revocation at {}",
                        rfc3339(from)
                    ),
                },
                rfc3339(over)
            ),
        })
    }
}
