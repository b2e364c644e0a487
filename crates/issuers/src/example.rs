//! An issuer for unit tests.

use std::time::Duration;

use signet_core::verify::Dialect;
use signet_core::{Algorithm, Audience, Issuer};

use super::Location;
use crate::{KeysAt, TrustedIssuer};

/// The terms of an issuer whose keys are at this URL.
pub(super) fn trusted(jwks: &str) -> TrustedIssuer {
    TrustedIssuer {
        issuer: Issuer::new("https://login.example.com/"),
        audiences: vec![Audience::new("https://orders.example.com")],
        algorithms: vec![Algorithm::ES256],
        dialect: Dialect::standard().clone(),
        keys_at: KeysAt::Jwks(Location::parse(jwks).expect("a location")),
        ca_file: None,
        min_refresh: Duration::from_secs(1),
        max_refresh: Duration::from_secs(3600),
        max_stale: Duration::ZERO,
        cool_down: Duration::from_secs(10),
    }
}
