//! Private keys in memory.
//!
//! A [`SigningKey`] is neither `Clone` nor `Serialize`, and its `Debug` shows only the public half. AWS-LC wipes the
//! private numbers when the key is dropped. Encodings that this module returns are wiped when dropped, too.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::algorithm::{Algorithm, KeyType, Primitive, RsaBits};
use crate::public_key::{PublicKey, PublicKeyError, VerifyingKey};

/// Why a private key could not be generated, read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The library failed to generate, encode or sign, for lack of memory or entropy.
    #[error("the cryptographic library failed")]
    Library,
    /// The bytes are not the PKCS#8 encoding of a key for this algorithm.
    #[error("the key is not a PKCS#8 private key for {0}")]
    Encoding(Algorithm),
    /// The public half could not be bound to the algorithm.
    #[error(transparent)]
    Public(#[from] PublicKeyError),
}

/// A private key bound to one algorithm.
pub struct SigningKey {
    public: VerifyingKey,
    pair: Pair,
    rng: SystemRandom,
}

enum Pair {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Generates a key pair. An RSA key takes from 75 ms (2048 bits) to 700 ms (4096 bits) of CPU time; do not
    /// call it where requests wait.
    ///
    /// # Errors
    /// [`SigningKeyError::Library`] if the library fails.
    pub fn generate(algorithm: Algorithm, rsa_bits: RsaBits) -> Result<Self, SigningKeyError> {
        let library = |_| SigningKeyError::Library;
        let pair = match algorithm.primitive() {
            Primitive::Rsa { .. } => Pair::Rsa(rsa::KeyPair::generate(rsa_bits.key_size()).map_err(library)?),
            Primitive::Ecdsa { signing, .. } => Pair::Ecdsa(EcdsaKeyPair::generate(signing).map_err(library)?),
            Primitive::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(library)?),
        };
        Self::new(algorithm, pair)
    }

    /// Reads a PKCS#8 private key (RFC 5958).
    ///
    /// # Errors
    /// [`SigningKeyError::Encoding`] if it is not a key for this algorithm.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, SigningKeyError> {
        let encoding = |_| SigningKeyError::Encoding(algorithm);
        let pair = match algorithm.primitive() {
            Primitive::Rsa { .. } => Pair::Rsa(rsa::KeyPair::from_pkcs8(pkcs8).map_err(encoding)?),
            Primitive::Ecdsa { signing, .. } => {
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(signing, pkcs8).map_err(encoding)?)
            }
            Primitive::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(encoding)?),
        };
        Self::new(algorithm, pair)
    }

    fn new(algorithm: Algorithm, pair: Pair) -> Result<Self, SigningKeyError> {
        let public = match (&pair, algorithm.key_type()) {
            (Pair::Rsa(pair), _) => PublicKey::from_pkcs1_der(pair.public_key().as_ref())?,
            (Pair::Ecdsa(pair), KeyType::Ec(curve)) => PublicKey::from_ec_point(curve, pair.public_key().as_ref())?,
            (Pair::Ecdsa(_), _) => return Err(SigningKeyError::Encoding(algorithm)),
            (Pair::Ed25519(pair), _) => PublicKey::from_ed25519(pair.public_key().as_ref())?,
        };
        Ok(Self {
            public: public.for_algorithm(algorithm)?,
            pair,
            rng: SystemRandom::new(),
        })
    }

    /// Encodes the private key as PKCS#8, wiped when dropped. Only a sealer, which encrypts it, may see this.
    ///
    /// # Errors
    /// [`SigningKeyError::Library`] if the library cannot encode the key.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
        let library = |_| SigningKeyError::Library;
        Ok(Zeroizing::new(match &self.pair {
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)
                .map_err(library)?
                .as_ref()
                .to_vec(),
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8().map_err(library)?.as_ref().to_vec(),
        }))
    }

    /// The public half of the key.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs the message. The signature is in JWS form (RFC 7518 §3); for ECDSA, R and S of fixed length.
    ///
    /// # Errors
    /// [`SigningKeyError::Library`] if the library cannot sign.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SigningKeyError> {
        let library = |_| SigningKeyError::Library;
        Ok(Signature(match &self.pair {
            Pair::Rsa(pair) => {
                let Primitive::Rsa { padding, .. } = self.public.algorithm().primitive() else {
                    return Err(SigningKeyError::Library);
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &self.rng, message, &mut signature)
                    .map_err(library)?;
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&self.rng, message).map_err(library)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.try_sign(message).map_err(library)?.as_ref().to_vec(),
        }))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({} {})", self.public.algorithm(), self.public.kid())
    }
}

/// A signature in JWS form (RFC 7518 §3, RFC 8037 §3.1).
pub struct Signature(Vec<u8>);

impl Signature {
    /// Takes a signature from a provider, already in JWS form.
    #[must_use]
    pub fn from_jws(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl AsRef<[u8]> for Signature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} octets)", self.as_ref().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_every_algorithm_signs_and_survives_its_encoding() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm, RsaBits::B2048).expect("generate");
            let again = SigningKey::from_pkcs8(algorithm, &key.to_pkcs8().expect("encode")).expect("decode");
            assert_eq!(again.verifying_key().kid(), key.verifying_key().kid());
            let signature = again.sign(b"message").expect("sign");
            assert!(
                key.verifying_key().verifies(b"message", signature.as_ref()),
                "{algorithm}"
            );
            assert!(
                !key.verifying_key().verifies(b"massage", signature.as_ref()),
                "{algorithm}"
            );
        }
    }

    #[test]
    fn a_key_of_one_algorithm_is_refused_for_another() {
        let key = SigningKey::generate(Algorithm::ES256, RsaBits::B2048).expect("generate");
        let pkcs8 = key.to_pkcs8().expect("encode");
        for other in Algorithm::ALL.into_iter().filter(|other| *other != Algorithm::ES256) {
            assert!(SigningKey::from_pkcs8(other, &pkcs8).is_err(), "{other}");
        }
    }

    #[test]
    fn debug_shows_only_the_public_half() {
        let key = SigningKey::generate(Algorithm::EdDSA, RsaBits::B2048).expect("generate");
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey(EdDSA {})", key.verifying_key().kid())
        );
    }
}
