//! The document of accepted keys: every key that a sidecar accepts, with its issuer and terms, for a gateway that
//! verifies tokens in its own process. The sidecar writes it, and the gateway reads it (`GET /v1/keys/events`).
//!
//! ```json
//! {
//!   "format": "signet-accepted-keys/1",
//!   "issuers": [
//!     {
//!       "issuer": "https://login.example.com/",
//!       "own": false,
//!       "discovery_url": "https://login.example.com/.well-known/openid-configuration",
//!       "jwks_url": "https://login.example.com/keys",
//!       "algorithms": ["RS256"],
//!       "audiences": ["https://orders.example.com"],
//!       "usable_until": "2026-11-30T12:00:00Z",
//!       "keys": [ { "jwk": { … }, "published_until": "2026-11-30T11:00:00Z" } ]
//!     }
//!   ]
//! }
//! ```

use serde::{Deserialize, Serialize};
use signet_core::jwk::Jwk;
use signet_core::{Algorithm, Audience, Issuer};

/// The format of the document. A reader refuses all others.
pub const FORMAT: &str = "signet-accepted-keys/1";
/// The name of the event with the document.
pub const KEYS_EVENT: &str = "keys";
/// The name of the event that shows that the sidecar is alive.
pub const HEARTBEAT_EVENT: &str = "heartbeat";

/// Every key that a sidecar accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedKeys {
    /// The format of the document, which is [`FORMAT`].
    pub format: String,
    /// The sidecar's own issuer first, then the trusted ones by name.
    pub issuers: Vec<AcceptedIssuer>,
}

/// An issuer whose tokens a sidecar accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedIssuer {
    /// The `iss` of its tokens. Its keys verify no other tokens.
    pub issuer: Issuer,
    /// Whether the keys are those of the sidecar's own ring.
    pub own: bool,
    /// The URL of its discovery document, if the keys are found by discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// The URL of its keys. Missing until discovery has found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// The algorithms that its keys may have.
    pub algorithms: Vec<Algorithm>,
    /// The audiences for which the sidecar accepts its tokens.
    pub audiences: Vec<Audience>,
    /// The claim that it writes the audience in, if that is not `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience_claim: Option<String>,
    /// The claims that it writes scopes in, if they are not the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope_claims: Vec<String>,
    /// Until when the keys may be used if they cannot be fetched again (RFC 3339). Missing for the own ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_until: Option<String>,
    /// The keys. Empty if there are none that may be used now: tokens of the issuer cannot be judged then.
    pub keys: Vec<AcceptedKey>,
}

/// A key that verifies tokens of its issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedKey {
    /// The public key, with its kid and its algorithm.
    pub jwk: Jwk,
    /// When the ring stops publishing the key (RFC 3339). Missing if that is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_until: Option<String>,
}
