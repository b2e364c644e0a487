//! Where the keys of an issuer come from, and what was agreed about the issuer.

use std::fmt::Debug;
use std::sync::Arc;

use signet_core::verify::{Authentic, Dialect, Refusal, Unproven};
use signet_core::{Audience, Issuer, Timestamp, VerifyingKey};

/// Which tokens of an issuer are accepted, whatever the caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The `iss` of its tokens (RFC 7519 §4.1.1).
    pub issuer: Issuer,
    /// The audiences that it speaks for.
    pub audiences: Vec<Audience>,
    /// In which claims it writes scopes and audiences.
    pub dialect: Dialect,
}

impl Terms {
    /// Those of an issuer that writes its claims as RFC 7519 and RFC 9068 say.
    #[must_use]
    pub fn new(issuer: Issuer, audiences: Vec<Audience>) -> Self {
        Self {
            issuer,
            audiences,
            dialect: Dialect::standard().clone(),
        }
    }
}

/// The keys of one issuer, as they are at one instant.
pub trait Keys: Debug + Send + Sync {
    /// The key that the token names.
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey>;

    /// Whether the key that signed this token is still one of them: it may have expired or been revoked since, or its name
    /// may belong to another key now.
    fn have_signed(&self, token: &Authentic) -> bool;
}

/// Where the keys of one issuer come from.
pub trait KeySource: Debug + Send + Sync {
    /// The keys that are believed at this instant. It never waits.
    ///
    /// # Errors
    /// [`NoKeys`].
    fn keys_at(&self, now: Timestamp) -> Result<Arc<dyn Keys>, NoKeys>;

    /// A token of this issuer was refused for its key. Perhaps the issuer has rotated since the keys were read, so the source may
    /// read them early. It bounds how often: anybody can send such tokens.
    fn on_refused(&self, refusal: Refusal);
}

/// Why there is no verdict on a token of this issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKeys {
    /// No fetch has succeeded yet.
    Never,
    /// The last fetch that succeeded is too long ago.
    TooOld,
}
