//! The keys, which are real.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA512,
};

/// The maximum length of data, plaintext or additional authenticated data: 64 KiB.
pub(crate) const LONGEST: usize = 64 * 1024;

pub(crate) enum Material {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Symmetric(RandomizedNonceKey),
}

impl Material {
    pub(crate) fn generate(algorithm: &str) -> Self {
        if algorithm.starts_with("RSA") {
            let size = match () {
                () if algorithm.contains("4096") => rsa::KeySize::Rsa4096,
                () if algorithm.contains("3072") => rsa::KeySize::Rsa3072,
                () => rsa::KeySize::Rsa2048,
            };
            return Self::Rsa(rsa::KeyPair::generate(size).unwrap());
        }
        match algorithm {
            "EC_SIGN_P256_SHA256" => Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            "EC_SIGN_P384_SHA384" => Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap()),
            "EC_SIGN_ED25519" => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => {
                let mut key = [0; 32];
                aws_lc_rs::rand::fill(&mut key).unwrap();
                Self::Symmetric(RandomizedNonceKey::new(&AES_256_GCM, &key).unwrap())
            }
        }
    }

    /// The DER `SubjectPublicKeyInfo`.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ecdsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Symmetric(_) => Vec::new(),
        }
    }

    /// Signs a digest, with an ECDSA signature in DER. `None` if the digest is not that of the algorithm.
    pub(crate) fn sign(&self, algorithm: &str, digest: &[u8]) -> Option<Vec<u8>> {
        let hash = match algorithm {
            _ if algorithm.ends_with("SHA512") => &digest::SHA512,
            _ if algorithm.ends_with("SHA384") => &digest::SHA384,
            _ => &digest::SHA256,
        };
        match self {
            Self::Rsa(pair) => {
                let digest = Digest::import_less_safe(digest, hash).ok()?;
                let mut signature = vec![0; pair.public_modulus_len()];
                let sha512 = algorithm.ends_with("SHA512");
                match algorithm.contains("PSS") {
                    true if sha512 => pair.sign_digest(&RSA_PSS_SHA512, &digest, &mut signature),
                    true => pair.sign_digest(&RSA_PSS_SHA256, &digest, &mut signature),
                    false if sha512 => pair.sign_digest(&RSA_PKCS1_SHA512, &digest, &mut signature),
                    false => pair.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature),
                }
                .unwrap();
                Some(signature)
            }
            Self::Ecdsa(pair) => {
                let digest = Digest::import_less_safe(digest, hash).ok()?;
                Some(pair.sign_digest(&digest).unwrap().as_ref().to_vec())
            }
            Self::Ed25519(_) | Self::Symmetric(_) => None,
        }
    }

    /// Signs data. It is hashed here, except for Ed25519.
    pub(crate) fn sign_data(&self, algorithm: &str, data: &[u8]) -> Option<Vec<u8>> {
        let hash = match algorithm {
            _ if algorithm.ends_with("SHA512") => &digest::SHA512,
            _ if algorithm.ends_with("SHA384") => &digest::SHA384,
            _ => &digest::SHA256,
        };
        match self {
            Self::Ed25519(pair) => Some(pair.sign(data).as_ref().to_vec()),
            _ => self.sign(algorithm, digest::digest(hash, data).as_ref()),
        }
    }

    pub(crate) fn encrypt(&self, plaintext: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let Self::Symmetric(key) = self else { return None };
        let mut buffer = plaintext.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(aad), &mut buffer).unwrap();
        Some([nonce.as_ref().as_slice(), &buffer].concat())
    }

    pub(crate) fn decrypt(&self, ciphertext: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
        let Self::Symmetric(key) = self else { return None };
        let (nonce, sealed) = ciphertext.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = sealed.to_vec();
        let plaintext = key
            .open_in_place(Nonce::from(nonce), Aad::from(aad), &mut buffer)
            .ok()?;
        Some(plaintext.to_vec())
    }
}
