//! The condition that is listed while a cache of the JWKS may still have a key that was revoked.

use signet_core::Timestamp;

use super::{Condition, Memory, REVOCATION, State};
use crate::timeline::short;
use signet_base::rfc3339;

impl Memory {
    /// Every sidecar refuses the key once it has read the mark; a service that verifies with the JWKS does so when its cache
    /// of that ends. `None` once that must have happened everywhere.
    pub(super) fn revocation(&self, kid: &str, at: Timestamp, now: Timestamp) -> Option<Condition> {
        let over = at.plus(self.spread);
        (now < over).then(|| Condition {
            name: REVOCATION,
            state: State::RevocationSpreads,
            ok: true,
            since: self.started_at.min(now),
            failing_since: Some(at.min(now)),
            detail: format!(
                "key {} was revoked at {}; services that verify with the JWKS may accept its tokens until {}",
                short(kid),
                rfc3339(at),
                rfc3339(over)
            ),
        })
    }
}
