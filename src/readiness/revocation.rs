//! The condition that is listed while a cache of the JWKS may still have a key that was revoked.

use std::collections::HashMap;
use std::time::Duration;

use signet_base::rfc3339;
use signet_core::{Policy, Timestamp};

use super::{Condition, Memory, REVOCATION, State};
use crate::timeline::short;

/// From when each mark counts.
///
/// A mark is dated by the clock of whoever made it, which may be off by any span. So its date is believed only as far as this process
/// does not know better: it accepted the key until it read the mark. Of a mark that was there when the process began, it knows only that
/// it does not lie in the future.
#[derive(Debug)]
pub(super) struct Marks {
    /// How long after it was made a mark is read at the latest, by clocks that are right.
    read_within: Duration,
    from: HashMap<String, Timestamp>,
}

impl Marks {
    pub(super) fn new(policy: &Policy) -> Self {
        let durations = policy.durations();
        Self {
            read_within: durations.refresh_interval + durations.clock_skew * 2,
            from: HashMap::new(),
        }
    }

    /// Takes in the marks that are there now.
    pub(super) fn look(&mut self, revoked: &[(String, Timestamp)], is_start: bool, now: Timestamp) {
        self.from
            .retain(|kid, _| revoked.iter().any(|(marked, _)| marked == kid));
        for (kid, at) in revoked {
            let is_late = !is_start && now.since(*at) > self.read_within;
            let from = if is_late { now } else { (*at).min(now) };
            self.from.entry(kid.clone()).or_insert(from);
        }
    }
}

impl Memory {
    /// Every sidecar refuses the key once it has read the mark; a service that verifies with the JWKS does so when its cache
    /// of that ends. `None` once that must have happened everywhere.
    pub(super) fn revocation(&self, kid: &str, at: Timestamp, now: Timestamp) -> Option<Condition> {
        let from = self.marks.from.get(kid).copied().unwrap_or(at);
        let over = from.plus(self.spread);
        (now < over).then(|| Condition {
            name: REVOCATION,
            state: State::RevocationSpreads,
            ok: true,
            since: self.started_at.min(now),
            failing_since: Some(from),
            detail: format!(
                "key {} was revoked at {}{}; services that verify with the JWKS may accept its tokens until {}",
                short(kid),
                rfc3339(at),
                match from == at {
                    true => String::new(),
                    false => format!(
                        " by the clock of who did it, which this sidecar read at {}",
                        rfc3339(from)
                    ),
                },
                rfc3339(over)
            ),
        })
    }
}
