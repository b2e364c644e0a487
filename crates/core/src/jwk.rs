//! Public JSON Web Keys (RFC 7517).
//!
//! `alg` and `use` are always written, because several consumers refuse a key without them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::algorithm::{Algorithm, Curve};
use crate::public_key::{PublicKey, PublicKeyError, VerifyingKey};

/// A public key in its JSON form. The fields are in the order that readers expect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// The key type: `RSA`, `EC` or `OKP`.
    pub kty: String,
    /// The use of the key; `sig` for a signing key.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub key_use: Option<String>,
    /// The algorithm, such as `ES256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The curve of an `EC` or `OKP` key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The x coordinate of an `EC` key, or the public key of an `OKP` key, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// The y coordinate of an `EC` key, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The modulus of an `RSA` key, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// The exponent of an `RSA` key, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// A set of public keys (RFC 7517 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys in the order in which they are published.
    pub keys: Vec<Jwk>,
}

impl From<&VerifyingKey> for Jwk {
    fn from(key: &VerifyingKey) -> Self {
        let b64 = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let mut jwk = Self {
            kty: String::new(),
            key_use: Some("sig".to_owned()),
            alg: Some(key.algorithm().as_str().to_owned()),
            kid: Some(key.kid().as_str().to_owned()),
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
        };
        match key.public() {
            PublicKey::Rsa { n, e } => {
                jwk.kty = "RSA".to_owned();
                (jwk.n, jwk.e) = (b64(n), b64(e));
            }
            PublicKey::Ec { curve, x, y } => {
                jwk.kty = "EC".to_owned();
                jwk.crv = Some(curve.as_str().to_owned());
                (jwk.x, jwk.y) = (b64(x), b64(y));
            }
            PublicKey::Ed25519 { x } => {
                jwk.kty = "OKP".to_owned();
                jwk.crv = Some("Ed25519".to_owned());
                jwk.x = b64(x);
            }
        }
        jwk
    }
}

impl Jwk {
    /// Decodes the public key. A point that is not on its curve is detected later, by [`PublicKey::for_algorithm`].
    ///
    /// # Errors
    /// [`PublicKeyError::Unsupported`] or [`PublicKeyError::Member`].
    pub fn public_key(&self) -> Result<PublicKey, PublicKeyError> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Ok(PublicKey::Rsa {
                n: unsigned("n", &self.n)?,
                e: unsigned("e", &self.e)?,
            }),
            ("EC", Some(crv)) => {
                let curve = [Curve::P256, Curve::P384, Curve::P521]
                    .into_iter()
                    .find(|curve| curve.as_str() == crv)
                    .ok_or(PublicKeyError::Unsupported)?;
                let len = curve.field_len();
                Ok(PublicKey::Ec {
                    curve,
                    x: coordinate("x", &self.x, len)?,
                    y: coordinate("y", &self.y, len)?,
                })
            }
            ("OKP", Some("Ed25519")) => Ok(PublicKey::Ed25519 {
                x: octets("x", &self.x, 32)?,
            }),
            _ => Err(PublicKeyError::Unsupported),
        }
    }

    /// Decodes the key and binds it to the algorithm in its `alg`.
    ///
    /// # Errors
    /// The errors of [`Jwk::public_key`], and an error if `alg` is missing, unknown or for another key type.
    pub fn verifying_key(&self) -> Result<VerifyingKey, PublicKeyError> {
        let alg = self.alg.as_deref().ok_or(PublicKeyError::Member("alg"))?;
        let algorithm: Algorithm = alg.parse().map_err(|_| PublicKeyError::Unsupported)?;
        self.public_key()?.for_algorithm(algorithm)
    }
}

fn decode(name: &'static str, member: &Option<String>) -> Result<Vec<u8>, PublicKeyError> {
    let text = member.as_deref().ok_or(PublicKeyError::Member(name))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| PublicKeyError::Member(name))
}

/// Decodes bytes that do not encode a number and must have this exact length.
fn octets(name: &'static str, member: &Option<String>, len: usize) -> Result<Vec<u8>, PublicKeyError> {
    decode(name, member).and_then(|bytes| {
        if bytes.len() == len {
            Ok(bytes)
        } else {
            Err(PublicKeyError::Member(name))
        }
    })
}

/// Decodes a `Base64urlUInt` (RFC 7518 §2). A leading zero byte is dropped: it is not allowed, but publishers that use
/// Java's `BigInteger` write one. The thumbprint is computed from the number in its correct form.
fn unsigned(name: &'static str, member: &Option<String>) -> Result<Vec<u8>, PublicKeyError> {
    let octets = decode(name, member)?;
    match octets.iter().position(|octet| *octet != 0) {
        Some(zeros) => Ok(octets[zeros..].to_vec()),
        None => Err(PublicKeyError::Member(name)),
    }
}

/// Decodes a coordinate, which must be as long as the field (RFC 7518 §6.2.1.2). Leading zeros may be missing (Keycloak
/// before version 20) or one too many; the number is the same.
fn coordinate(name: &'static str, member: &Option<String>, len: usize) -> Result<Vec<u8>, PublicKeyError> {
    let octets = decode(name, member)?;
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    let number = &octets[zeros..];
    match len.checked_sub(number.len()) {
        // An empty member is an error and does not mean zero.
        Some(missing) if !octets.is_empty() => Ok([&vec![0; missing], number].concat()),
        _ => Err(PublicKeyError::Member(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638 §3.1.
    #[test]
    fn the_thumbprint_example_of_rfc_7638() {
        let jwk: Jwk = serde_json::from_str(
            r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
        )
        .expect("the RFC's JSON");
        assert_eq!(
            jwk.public_key().expect("the RFC's key").kid().as_str(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    /// The example of RFC 8037 appendix A.3.
    #[test]
    fn the_thumbprint_example_of_rfc_8037() {
        let jwk: Jwk =
            serde_json::from_str(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#)
                .expect("the RFC's JSON");
        assert_eq!(
            jwk.public_key().expect("the RFC's key").kid().as_str(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_point_off_the_curve_is_refused() {
        let mut jwk = Jwk::from(
            &crate::SigningKey::generate(Algorithm::ES256, Default::default())
                .expect("key")
                .verifying_key()
                .clone(),
        );
        jwk.y = jwk.x.clone();
        assert_eq!(
            jwk.verifying_key().expect_err("off the curve"),
            PublicKeyError::Unfit(Algorithm::ES256)
        );
    }

    #[test]
    fn every_algorithm_goes_through_a_jwk_and_a_der_and_comes_back() {
        for algorithm in Algorithm::ALL {
            let key = crate::SigningKey::generate(algorithm, Default::default()).expect("key");
            let public = key.verifying_key();
            let back = Jwk::from(public).verifying_key().expect("jwk");
            assert_eq!(back.public(), public.public());
            let der = public.to_spki_der().expect("der");
            assert_eq!(PublicKey::from_spki_der(&der).expect("spki"), *public.public());
        }
    }

    #[test]
    fn a_number_with_more_or_fewer_leading_zeros_is_the_same_key_under_the_same_thumbprint() {
        let generate = |algorithm| {
            let key = crate::SigningKey::generate(algorithm, Default::default()).expect("key");
            Jwk::from(key.verifying_key())
        };
        let changed = |member: &Option<String>, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            let octets = URL_SAFE_NO_PAD
                .decode(member.as_deref().expect("a member"))
                .expect("base64url");
            Some(URL_SAFE_NO_PAD.encode(change(octets)))
        };
        let longer = |octets: Vec<u8>| [&[0, 0], octets.as_slice()].concat();
        let shorter = |octets: Vec<u8>| octets.into_iter().skip_while(|octet| *octet == 0).collect();
        let rsa = generate(Algorithm::RS256);
        let padded = Jwk {
            n: changed(&rsa.n, &longer),
            e: changed(&rsa.e, &longer),
            ..rsa.clone()
        };
        assert_ne!(padded.n, rsa.n);
        let read = |jwk: &Jwk| jwk.verifying_key().expect("a key").public().clone();
        assert_eq!(read(&padded), read(&rsa));
        for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
            // One of 256 keys has a coordinate that begins with a zero byte; of P-521, one of two.
            let ec = (0..4000)
                .map(|_| generate(algorithm))
                .find(|jwk| changed(&jwk.x, &shorter) != jwk.x)
                .expect("a coordinate that begins with a zero");
            for change in [&longer as &dyn Fn(Vec<u8>) -> Vec<u8>, &shorter] {
                let other = Jwk {
                    x: changed(&ec.x, change),
                    y: changed(&ec.y, change),
                    ..ec.clone()
                };
                assert_ne!(other.x, ec.x);
                assert_eq!(read(&other), read(&ec), "{algorithm}");
                assert_eq!(read(&other).kid(), read(&ec).kid());
            }
            // A leading byte other than zero changes the number.
            let long = Jwk {
                x: changed(&ec.x, &|octets| [&[1], octets.as_slice()].concat()),
                ..ec.clone()
            };
            assert_eq!(long.public_key(), Err(PublicKeyError::Member("x")));
            let empty = Jwk {
                x: Some(String::new()),
                ..ec
            };
            assert_eq!(empty.public_key(), Err(PublicKeyError::Member("x")));
        }
    }

    #[test]
    fn members_that_are_not_canonical_are_refused() {
        let key = |x: &str| Jwk {
            kty: "OKP".into(),
            crv: Some("Ed25519".into()),
            x: Some(x.into()),
            key_use: None,
            alg: None,
            kid: None,
            y: None,
            n: None,
            e: None,
        };
        assert!(key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").public_key().is_ok());
        assert!(
            key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp").public_key().is_err(),
            "stray trailing bits"
        );
        assert!(
            key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
                .public_key()
                .is_err(),
            "padding"
        );
        assert!(
            key("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo").public_key().is_err(),
            "the other alphabet"
        );
    }
}
