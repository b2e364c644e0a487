//! The source of an issuer's keys, and the terms under which its tokens are accepted.

use std::fmt::Debug;
use std::sync::Arc;

use signet_core::verify::{Authentic, Dialect, Refusal, Unproven};
use signet_core::{Audience, Issuer, Timestamp, VerifyingKey};

/// Which tokens of an issuer are accepted at all, independently of a caller's requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The `iss` of the issuer's tokens (RFC 7519 §4.1.1).
    pub issuer: Issuer,
    /// The audiences for which tokens of this issuer are accepted.
    pub audiences: Vec<Audience>,
    /// The claims in which the issuer writes scopes and audience.
    pub dialect: Dialect,
}

impl Terms {
    /// Terms for an issuer that writes its claims by RFC 7519 and RFC 9068.
    #[must_use]
    pub fn new(issuer: Issuer, audiences: Vec<Audience>) -> Self {
        Self {
            issuer,
            audiences,
            dialect: Dialect::standard().clone(),
        }
    }
}

/// The keys of one issuer at one instant.
pub trait Keys: Debug + Send + Sync {
    /// Finds the key that the token names.
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey>;

    /// Whether the key that signed this token is still among the keys. The key may have expired or been revoked since,
    /// or the kid may now belong to another key.
    fn have_signed(&self, token: &Authentic) -> bool;
}

/// A source of the keys of one issuer.
pub trait KeySource: Debug + Send + Sync {
    /// The keys that can be trusted at this instant. Must not wait.
    ///
    /// # Errors
    /// [`NoKeys`] if there are none, or they are too old.
    fn keys_at(&self, now: Timestamp) -> Result<Arc<dyn Keys>, NoKeys>;

    /// Handles the refusal of a token of this issuer.
    ///
    /// If the key was the reason, the issuer may have rotated since the keys were read, and the source may read them
    /// early. It must limit how often, because anybody can send such tokens.
    fn on_refused(&self, refusal: Refusal);
}

/// Why the keys of an issuer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKeys {
    /// No fetch has succeeded yet.
    Never,
    /// The last successful fetch is too long ago.
    TooOld,
}
