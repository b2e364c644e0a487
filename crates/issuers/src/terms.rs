//! What was agreed about an issuer.

use std::path::PathBuf;
use std::time::Duration;

use signet_core::verify::Dialect;
use signet_core::{Algorithm, Audience, Issuer};

use super::Location;

/// What was agreed about one issuer.
#[derive(Clone, Debug)]
pub struct TrustedIssuer {
    /// `iss` of its tokens.
    pub issuer: Issuer,
    /// Its tokens must be for one of these, whatever a request asks for beside that. Not empty.
    pub audiences: Vec<Audience>,
    /// The algorithms that its keys may have; a key that names none gets the first that fits.
    pub algorithms: Vec<Algorithm>,
    /// In which claims it writes scopes and audience.
    pub dialect: Dialect,
    /// Where its keys are.
    pub keys_at: KeysAt,
    /// The certificate authorities to trust for that, in PEM, instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// Keys are used for at least this long before they are fetched again, whatever their `max-age`.
    pub min_refresh: Duration,
    /// And for at most this long.
    pub max_refresh: Duration,
    /// How much longer they are used while fetching them fails.
    pub max_stale: Duration,
    /// Between two fetches, the later of which a token of an unknown key caused.
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

/// How an issuer's keys are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// There.
    Jwks(Location),
    /// Where the discovery document says that is there.
    Discovery(Location),
}
