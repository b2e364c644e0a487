//! Converts the vault's public keys to ours.

use azure_security_keyvault_keys::models::{CurveName, JsonWebKey, KeyType};
use signet_core::PublicKey;
use signet_core::algorithm::Curve;

/// Converts a public key, or says what is wrong with it.
pub(crate) fn public_key(jwk: &JsonWebKey) -> Result<PublicKey, String> {
    let part = |name: &str, octets: &Option<Vec<u8>>| octets.clone().ok_or_else(|| format!("it lacks {name:?}"));
    match &jwk.kty {
        Some(KeyType::Rsa | KeyType::RsaHsm) => {
            let without_zeros = |octets: Vec<u8>| octets.into_iter().skip_while(|octet| *octet == 0).collect();
            Ok(PublicKey::Rsa {
                n: without_zeros(part("n", &jwk.n)?),
                e: without_zeros(part("e", &jwk.e)?),
            })
        }
        Some(KeyType::Ec | KeyType::EcHsm) => {
            let curve = match &jwk.crv {
                Some(CurveName::P256) => Curve::P256,
                Some(CurveName::P384) => Curve::P384,
                Some(CurveName::P521) => Curve::P521,
                _ => return Err("its curve has no JWS algorithm".to_owned()),
            };
            let mut point = vec![4];
            for coordinate in [part("x", &jwk.x)?, part("y", &jwk.y)?] {
                let missing = curve
                    .field_len()
                    .checked_sub(coordinate.len())
                    .ok_or("a coordinate is too long")?;
                point.extend(std::iter::repeat_n(0, missing));
                point.extend(coordinate);
            }
            PublicKey::from_ec_point(curve, &point).map_err(|error| error.to_string())
        }
        _ => Err("it is neither RSA nor EC".to_owned()),
    }
}
