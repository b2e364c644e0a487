//! Public keys: read from DER or from a JWK, identified by their thumbprint, and bound to an algorithm to verify with.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs1::der::Decode as _;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::algorithm::{Algorithm, Curve, KeyType};
use crate::names::Kid;
use crate::weak_key::{self, Weakness};

const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const OID_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const OID_P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why a public key was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Not a DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), or one with trailing or malformed parts.
    #[error("the key is not a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7)")]
    Der,
    /// A key type or curve that no supported algorithm uses.
    #[error("the key is neither RSA, nor EC on P-256, P-384 or P-521, nor Ed25519")]
    Unsupported,
    /// The key does not match the algorithm: wrong type, not on the curve, or of a wrong size.
    #[error(
        "the key is not valid for {0}: it has another type, its point is not on the curve, its RSA modulus is not \
         2048 to 8192 bits, or its RSA exponent is even, 1, or longer than 33 bits"
    )]
    Unfit(Algorithm),
    /// Somebody other than the owner can sign with the key or compute its private half.
    #[error("the key is weak: {0}")]
    Weak(Weakness),
    /// A member of the JWK is missing, or is not canonical base64url of the right length.
    #[error("JWK member {0:?} is missing, or is not canonical base64url of the right length (RFC 7518 §6)")]
    Member(&'static str),
}

/// The parameters of a public key, as in a JWK.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// An RSA key: modulus and exponent, big-endian without leading zeros.
    Rsa {
        /// The modulus, `n` in a JWK.
        n: Vec<u8>,
        /// The public exponent, `e` in a JWK.
        e: Vec<u8>,
    },
    /// An elliptic curve key: affine coordinates, big-endian, padded to the length of the field.
    Ec {
        /// The curve, `crv` in a JWK.
        curve: Curve,
        /// The first coordinate, `x` in a JWK.
        x: Vec<u8>,
        /// The second coordinate, `y` in a JWK.
        y: Vec<u8>,
    },
    /// An Ed25519 key: the encoded point (RFC 8032 §5.1.5).
    Ed25519 {
        /// The 32 bytes of the point, `x` in a JWK.
        x: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`, the form in which cloud providers return public keys.
    ///
    /// # Errors
    /// [`PublicKeyError::Der`] or [`PublicKeyError::Unsupported`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| PublicKeyError::Der)?;
        let bits = info.subject_public_key.as_bytes().ok_or(PublicKeyError::Der)?;
        match info.algorithm.oid {
            OID_RSA => Self::from_pkcs1_der(bits),
            OID_EC => {
                let curve = match info
                    .algorithm
                    .parameters_oid()
                    .map_err(|_| PublicKeyError::Unsupported)?
                {
                    OID_P256 => Curve::P256,
                    OID_P384 => Curve::P384,
                    OID_P521 => Curve::P521,
                    _ => return Err(PublicKeyError::Unsupported),
                };
                Self::from_ec_point(curve, bits)
            }
            OID_ED25519 => Self::from_ed25519(bits),
            _ => Err(PublicKeyError::Unsupported),
        }
    }

    /// Reads a DER `RSAPublicKey` (RFC 8017 appendix A.1.1).
    ///
    /// # Errors
    /// [`PublicKeyError::Der`].
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        let key = pkcs1::RsaPublicKeyRef::from_der(der).map_err(|_| PublicKeyError::Der)?;
        Ok(Self::Rsa {
            n: key.modulus.as_bytes().to_vec(),
            e: key.public_exponent.as_bytes().to_vec(),
        })
    }

    /// Reads an uncompressed elliptic curve point (SEC 1 §2.3.3).
    ///
    /// # Errors
    /// [`PublicKeyError::Der`] if it is compressed or of the wrong length.
    pub fn from_ec_point(curve: Curve, point: &[u8]) -> Result<Self, PublicKeyError> {
        let len = curve.field_len();
        match point.split_first() {
            Some((4, coordinates)) if coordinates.len() == 2 * len => {
                let (x, y) = coordinates.split_at(len);
                Ok(Self::Ec {
                    curve,
                    x: x.to_vec(),
                    y: y.to_vec(),
                })
            }
            _ => Err(PublicKeyError::Der),
        }
    }

    /// Takes the 32 bytes of an Ed25519 public key.
    ///
    /// # Errors
    /// [`PublicKeyError::Der`] if there are not exactly 32.
    pub fn from_ed25519(x: &[u8]) -> Result<Self, PublicKeyError> {
        if x.len() == 32 {
            Ok(Self::Ed25519 { x: x.to_vec() })
        } else {
            Err(PublicKeyError::Der)
        }
    }

    /// The type of this key.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        match self {
            Self::Rsa { .. } => KeyType::Rsa,
            Self::Ec { curve, .. } => KeyType::Ec(*curve),
            Self::Ed25519 { .. } => KeyType::Ed25519,
        }
    }

    /// The length in bytes of this key's signatures in JWS form (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1).
    #[must_use]
    pub fn signature_len(&self) -> usize {
        match self {
            Self::Rsa { n, .. } => n.len(),
            Self::Ec { curve, .. } => 2 * curve.field_len(),
            Self::Ed25519 { .. } => 64,
        }
    }

    /// The key id: the SHA-256 thumbprint of RFC 7638, in base64url.
    #[must_use]
    pub fn kid(&self) -> Kid {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // RFC 7638 §3.3: exactly the required members, in lexicographic order, without white space.
        let canonical = match self {
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n)),
            Self::Ec { curve, x, y } => {
                format!(
                    r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                    curve.as_str(),
                    b64(x),
                    b64(y)
                )
            }
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, b64(x)),
        };
        Kid::new(b64(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref()))
    }

    /// Checks the key and binds it to one algorithm.
    ///
    /// # Errors
    /// [`PublicKeyError::Unfit`] if the key has another type, is not on its curve, or has a modulus that is too short
    /// or too long. [`PublicKeyError::Weak`] if others can sign with it.
    pub fn for_algorithm(&self, algorithm: Algorithm) -> Result<VerifyingKey, PublicKeyError> {
        let unfit = || PublicKeyError::Unfit(algorithm);
        if self.key_type() != algorithm.key_type() {
            return Err(unfit());
        }
        let encoded = match self {
            // The library would accept such a key here and check its length only when it verifies.
            Self::Rsa { n, e } if !is_strong_rsa(n, e) => return Err(unfit()),
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .as_der()
                .map_err(|_| unfit())?
                .as_ref()
                .to_vec(),
            Self::Ec { x, y, .. } => [&[4], x.as_slice(), y].concat(),
            Self::Ed25519 { x } => x.clone(),
        };
        // The library does not check for these weaknesses.
        match self {
            Self::Rsa { n, .. } => weak_key::rsa(n),
            Self::Ed25519 { x } => weak_key::ed25519(x),
            // These curves have prime order. Their only point of small order is the point at infinity,
            // which has no coordinates.
            Self::Ec { .. } => Ok(()),
        }
        .map_err(PublicKeyError::Weak)?;
        let parsed = ParsedPublicKey::new(algorithm.verification(), encoded).map_err(|_| unfit())?;
        Ok(VerifyingKey {
            kid: self.kid(),
            algorithm,
            public: self.clone(),
            parsed,
        })
    }
}

/// Checks the size of the modulus (RFC 7518 §3.3) and the exponent. With an exponent of 1 anybody can sign; AWS-LC
/// refuses exponents of more than 33 bits.
fn is_strong_rsa(n: &[u8], e: &[u8]) -> bool {
    let bits = |number: &[u8]| match number.first() {
        None | Some(0) => 0,
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
    };
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    (2048..=8192).contains(&bits(n)) && is_odd(n) && (2..=33).contains(&bits(e)) && is_odd(e)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?} {})", self.key_type(), self.kid())
    }
}

/// A public key that was checked and bound to one algorithm.
#[derive(Clone)]
pub struct VerifyingKey {
    kid: Kid,
    algorithm: Algorithm,
    public: PublicKey,
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    /// The id of the key.
    #[must_use]
    pub fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The only algorithm that this key verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The parameters of the key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Encodes the key as a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`PublicKeyError::Der`] if the library cannot encode it. For a key that was parsed, this means out of memory.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, PublicKeyError> {
        Ok(self.parsed.as_der().map_err(|_| PublicKeyError::Der)?.as_ref().to_vec())
    }

    /// Whether `signature`, in JWS form, is a valid signature of this key over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.algorithm, self.kid)
    }
}
