//! The sidecar's own ring as a source of keys for the verifier.

use std::sync::Arc;

use arc_swap::Guard;
use signet_base::Clock;
use signet_core::verify::{Authentic, Refusal, Unproven};
use signet_core::{Timestamp, VerifyingKey};
use signet_verify::{KeySource, Keys, NoKeys};

use crate::nudge::Nudge;
use crate::published::Published;
use crate::snapshot::Snapshot;

/// The keys of the latest snapshot.
#[derive(Debug)]
pub struct OwnKeys {
    /// The published snapshots.
    pub published: Arc<Published>,
    /// Causes early readings of the rings.
    pub nudge: Arc<Nudge>,
    /// The clock, for the cool-down of early readings.
    pub clock: Arc<dyn Clock>,
}

impl KeySource for OwnKeys {
    fn keys_at(&self, now: Timestamp) -> Result<Arc<dyn Keys>, NoKeys> {
        let snapshot = Guard::into_inner(self.published.at(now));
        Ok(snapshot)
    }

    fn on_refused(&self, refusal: Refusal) {
        // Our kids are thumbprints, so no other key can have a kid that we know. Only an unknown kid may be a new key.
        if refusal == Refusal::UnknownKey {
            self.nudge.on_unknown_key(self.clock.running());
        }
    }
}

impl Keys for Snapshot {
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
        self.published.get(token.kid())
    }

    fn have_signed(&self, token: &Authentic) -> bool {
        let key = self.published.get(token.kid().as_str());
        key.is_some_and(|key| token.is_signed_by(key))
    }
}
