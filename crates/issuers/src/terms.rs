//! The terms of a trusted issuer, from the settings.

use std::path::PathBuf;
use std::time::Duration;

use signet_core::verify::Dialect;
use signet_core::{Algorithm, Audience, Issuer};

use super::Location;

/// The settings of one trusted issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The `iss` of its tokens.
    pub issuer: Issuer,
    /// Its tokens must be for one of these audiences, in addition to what a request asks for. Not empty.
    pub audiences: Vec<Audience>,
    /// The algorithms that its keys may have. A key that names none gets the first one of its key type.
    pub algorithms: Vec<Algorithm>,
    /// The claims in which it writes scopes and audience.
    pub dialect: Dialect,
    /// The URL of its keys, or of its discovery document.
    pub keys_at: KeysAt,
    /// A file with the certificate authorities to trust for these URLs, in PEM. `None` means those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The minimum time between two fetches, whatever the `max-age` of the keys.
    pub min_refresh: Duration,
    /// The maximum time between two fetches.
    pub max_refresh: Duration,
    /// How much longer keys are used while fetching them fails.
    pub max_stale: Duration,
    /// The minimum time from any fetch to one that is caused by a token with an unknown key.
    pub cool_down: Duration,
}

impl From<&TrustedIssuer> for signet_verify::Terms {
    fn from(trusted: &TrustedIssuer) -> Self {
        Self {
            issuer: trusted.issuer.clone(),
            audiences: trusted.audiences.clone(),
            dialect: trusted.dialect.clone(),
        }
    }
}

/// How the keys of an issuer are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// The keys are at this URL.
    Jwks(Location),
    /// The discovery document at this URL names the URL of the keys.
    Discovery(Location),
}
