//! The JOSE signature algorithms that Signet supports (RFC 7518 §3.1, RFC 8037, RFC 9864).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, RsaParameters, RsaSignatureEncoding, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};

/// A signature algorithm. Each key has exactly one (RFC 8725 §3.1), which also decides the type of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256, salt as long as the hash.
    PS256,
    /// RSASSA-PSS with SHA-384, salt as long as the hash.
    PS384,
    /// RSASSA-PSS with SHA-512, salt as long as the hash.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// Ed25519 (RFC 8037 §3.1). RFC 9864 calls the same algorithm `Ed25519`; Signet accepts both
    /// names and writes `EdDSA`.
    EdDSA,
}

/// The type of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA (`kty` `RSA`).
    Rsa,
    /// An elliptic curve point (`kty` `EC`).
    Ec(Curve),
    /// Ed25519 (`kty` `OKP`).
    Ed25519,
}

/// An elliptic curve (RFC 7518 §6.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, secp256r1.
    P256,
    /// NIST P-384, secp384r1.
    P384,
    /// NIST P-521, secp521r1.
    P521,
}

impl Curve {
    /// The name of the curve in a JWK's `crv`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The length in bytes of one coordinate, and of each half of a JWS signature (RFC 7518 §3.4).
    #[must_use]
    pub const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// The error for a name that is not a supported algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a supported algorithm; write one of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA")]
pub struct UnknownAlgorithm(pub String);

impl Algorithm {
    /// All algorithms, in the order in which the documentation lists them.
    pub const ALL: [Self; 10] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
    ];

    /// The name of the algorithm in a token's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Whether a token's `alg` names this algorithm. For `EdDSA`, `Ed25519` is accepted too (RFC 9864 §2.2).
    #[must_use]
    pub fn is_named(self, alg: &str) -> bool {
        alg == self.as_str() || (self == Self::EdDSA && alg == "Ed25519")
    }

    /// The type of key that this algorithm needs.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => KeyType::Rsa,
            Self::ES256 => KeyType::Ec(Curve::P256),
            Self::ES384 => KeyType::Ec(Curve::P384),
            Self::ES512 => KeyType::Ec(Curve::P521),
            Self::EdDSA => KeyType::Ed25519,
        }
    }

    /// Whether one signature takes 100 µs or more of CPU time. Such signatures must run on a thread
    /// where no other request waits.
    ///
    /// Measured with aws-lc-rs on one core: RSA-2048 250 µs, P-521 174 µs, P-384 98 µs, P-256 19 µs, Ed25519 10 µs.
    #[must_use]
    pub const fn is_slow_to_sign(self) -> bool {
        matches!(self.key_type(), KeyType::Rsa | KeyType::Ec(Curve::P521))
    }

    pub(crate) fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self.primitive() {
            Primitive::Rsa { verification, .. } => verification,
            Primitive::Ecdsa { verification, .. } => verification,
            Primitive::Ed25519 => &signature::ED25519,
        }
    }

    pub(crate) fn primitive(self) -> Primitive {
        match self {
            Self::RS256 => Primitive::rsa(&signature::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Primitive::rsa(&signature::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Primitive::rsa(&signature::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Primitive::rsa(&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Primitive::rsa(&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Primitive::rsa(&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512),
            Self::ES256 => Primitive::ecdsa(
                &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                &signature::ECDSA_P256_SHA256_FIXED,
            ),
            Self::ES384 => Primitive::ecdsa(
                &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
                &signature::ECDSA_P384_SHA384_FIXED,
            ),
            Self::ES512 => Primitive::ecdsa(
                &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
                &signature::ECDSA_P521_SHA512_FIXED,
            ),
            Self::EdDSA => Primitive::Ed25519,
        }
    }
}

/// The algorithm in the terms of the cryptographic library.
#[derive(Clone, Copy)]
pub(crate) enum Primitive {
    Rsa {
        padding: &'static RsaSignatureEncoding,
        verification: &'static RsaParameters,
    },
    Ecdsa {
        signing: &'static EcdsaSigningAlgorithm,
        verification: &'static EcdsaVerificationAlgorithm,
    },
    Ed25519,
}

impl Primitive {
    fn rsa(padding: &'static RsaSignatureEncoding, verification: &'static RsaParameters) -> Self {
        Self::Rsa { padding, verification }
    }

    fn ecdsa(signing: &'static EcdsaSigningAlgorithm, verification: &'static EcdsaVerificationAlgorithm) -> Self {
        Self::Ecdsa { signing, verification }
    }
}

/// The size of a new RSA key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaBits {
    /// 2048 bits, the minimum of RFC 7518 §3.3.
    #[default]
    B2048,
    /// A modulus of 3072 bits.
    B3072,
    /// A modulus of 4096 bits.
    B4096,
}

impl RsaBits {
    /// The size with this number of bits. `None` if it is not 2048, 3072 or 4096.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            2048 => Some(Self::B2048),
            3072 => Some(Self::B3072),
            4096 => Some(Self::B4096),
            _ => None,
        }
    }

    /// The size in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::B2048 => 2048,
            Self::B3072 => 3072,
            Self::B4096 => 4096,
        }
    }

    pub(crate) const fn key_size(self) -> rsa::KeySize {
        match self {
            Self::B2048 => rsa::KeySize::Rsa2048,
            Self::B3072 => rsa::KeySize::Rsa3072,
            Self::B4096 => rsa::KeySize::Rsa4096,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|alg| alg.is_named(name))
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        }
        assert_eq!("Ed25519".parse(), Ok(Algorithm::EdDSA));
        assert!("none".parse::<Algorithm>().is_err());
        assert!("HS256".parse::<Algorithm>().is_err());
        assert!("es256".parse::<Algorithm>().is_err());
    }
}
