//! What `/readyz` and the status page show: conditions, and what they come to.

mod state;

use serde::Serialize;
use signet_base::rfc3339;
use signet_core::Timestamp;

pub use state::{Effect, State};

/// The ring is fresh enough to be safe.
pub const RING: &str = "ring";
/// Tokens can be signed.
pub const SIGNING: &str = "signing";
/// There are keys to publish and to verify with, and they are known to be the right ones.
pub const JWKS: &str = "jwks";
/// The local socket can be reached.
pub const SOCKET: &str = "socket";
/// A ring that is published beside the one that signs can be read. Listed while it cannot.
pub const ALSO_PUBLISH: &str = "also_publish";

/// The keys of the trusted issuers were asked for once. Listed while one of them is not, or cannot be fetched.
pub const ISSUERS: &str = "issuers";
/// A revoked key is accepted nowhere any more. Listed while a cache of the JWKS may still have it.
pub const REVOCATION: &str = "revocation";
/// The wall clock, and the instants at which keys were created, can be believed. Listed while they cannot.
pub const CLOCK: &str = "clock";

/// One named condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The name in `/readyz`, such as `ring`.
    pub name: &'static str,
    /// Whether it holds. One that is most likely lost on every replica alike counts as held: no other would do better.
    pub ok: bool,
    /// The state that it is in.
    pub state: State,
    /// Since when it holds, or does not.
    #[serde(serialize_with = "as_rfc3339")]
    pub since: Timestamp,
    /// Since when something fails that the condition bears, for a while or for good.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_rfc3339_if_any")]
    pub failing_since: Option<Timestamp>,
    /// What that means.
    pub detail: String,
}

/// All conditions at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all of them hold.
    pub ready: bool,
    /// Since when all of them hold, or not all do.
    #[serde(serialize_with = "as_rfc3339")]
    pub since: Timestamp,
    /// Each of them.
    pub conditions: Vec<Condition>,
}

fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn as_rfc3339_if_any<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&at.map(rfc3339))
}

impl Condition {
    /// Whether requests fail because of it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state.effect() >= Effect::LostEverywhere
    }

    /// Since when it is in its state; of one that only fails, since when it does.
    #[must_use]
    pub fn troubled_since(&self) -> Timestamp {
        self.failing_since.filter(|_| self.ok).unwrap_or(self.since)
    }
}

impl Report {
    /// That of a process which has not opened its ring yet: it is alive, and not ready.
    #[must_use]
    pub fn starting(provider: &str, since: Timestamp) -> Self {
        let condition = Condition {
            name: RING,
            ok: false,
            state: State::Starting,
            since,
            failing_since: None,
            detail: format!(
                "the ring of {provider} is opened and read for the first time since this process began; no other listener \
                 answers until that is done"
            ),
        };
        Self {
            ready: false,
            since,
            conditions: vec![condition],
        }
    }

    /// The worst that any condition does to requests.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let effects = self.conditions.iter().map(|condition| condition.state.effect());
        effects.max().unwrap_or(Effect::Good)
    }
}
