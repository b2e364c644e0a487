//! The conditions that `/readyz` and the status page show, and what they mean together.

mod state;

use serde::Serialize;
use signet_base::rfc3339;
use signet_core::Timestamp;

pub use state::{Effect, State};

/// The ring was read recently enough to be safe.
pub const RING: &str = "ring";
/// Tokens can be signed.
pub const SIGNING: &str = "signing";
/// There are keys to publish and to verify with, and they are known to be the right ones.
pub const JWKS: &str = "jwks";
/// The local socket can be reached.
pub const SOCKET: &str = "socket";
/// The rings that are also published can be read. Listed while one cannot.
pub const ALSO_PUBLISH: &str = "also_publish";

/// The keys of the trusted issuers were fetched. Listed while those of one were not, or cannot be fetched.
pub const ISSUERS: &str = "issuers";
/// The last good keys can be written to disk for the next start. Listed while they cannot.
pub const LAST_GOOD: &str = "last_good";
/// Revoked keys are accepted nowhere. Listed while a cached JWKS may still contain one.
pub const REVOCATION: &str = "revocation";
/// The wall clock and the creation times of keys are plausible. Listed while they are not.
pub const CLOCK: &str = "clock";

/// A named condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The name in `/readyz`, such as `ring`.
    pub name: &'static str,
    /// Whether the condition holds. A condition that most likely fails on all replicas alike counts as held, because
    /// requests would fail on any other replica too.
    pub ok: bool,
    /// The state of the condition.
    pub state: State,
    /// Since when it holds or does not hold.
    #[serde(serialize_with = "as_rfc3339")]
    pub since: Timestamp,
    /// Since when something fails that the condition tolerates, for a time or for ever.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_rfc3339_if_any")]
    pub failing_since: Option<Timestamp>,
    /// An explanation for the operator.
    pub detail: String,
}

/// All conditions at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all conditions hold.
    pub ready: bool,
    /// Since when all conditions hold, or not all of them.
    #[serde(serialize_with = "as_rfc3339")]
    pub since: Timestamp,
    /// All listed conditions.
    pub conditions: Vec<Condition>,
}

fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn as_rfc3339_if_any<S: serde::Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&at.map(rfc3339))
}

impl Condition {
    /// Whether requests fail because of this condition.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state.effect() >= Effect::LostEverywhere
    }

    /// Since when the condition is in its state. If it holds although something fails, since when that fails.
    #[must_use]
    pub fn troubled_since(&self) -> Timestamp {
        self.failing_since.filter(|_| self.ok).unwrap_or(self.since)
    }
}

impl Report {
    /// The report of a process that has not opened its ring yet. It is alive and not ready.
    #[must_use]
    pub fn starting(provider: &str, since: Timestamp) -> Self {
        let condition = Condition {
            name: RING,
            ok: false,
            state: State::Starting,
            since,
            failing_since: None,
            detail: format!(
                "the ring of {provider} is being read for the first time since this process started; the other \
                 listeners answer once that is done"
            ),
        };
        Self {
            ready: false,
            since,
            conditions: vec![condition],
        }
    }

    /// The worst effect of any condition on requests.
    #[must_use]
    pub fn effect(&self) -> Effect {
        let effects = self.conditions.iter().map(|condition| condition.state.effect());
        effects.max().unwrap_or(Effect::Good)
    }
}
