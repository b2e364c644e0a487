//! Keys of all specs that Signet uses, and their cryptography.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, RsaEncoding,
};

pub(crate) enum Material {
    Rsa(rsa::KeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Symmetric(RandomizedNonceKey),
}

const RSA: [&str; 6] = [
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
];

impl Material {
    /// Makes a key. `None` for a spec that this fake does not support.
    pub(crate) fn new(spec: &str) -> Option<Self> {
        let rsa = |size| Self::Rsa(rsa::KeyPair::generate(size).unwrap());
        let ecdsa = |algorithm| Self::Ecdsa(EcdsaKeyPair::generate(algorithm).unwrap());
        Some(match spec {
            "RSA_2048" => rsa(KeySize::Rsa2048),
            "RSA_3072" => rsa(KeySize::Rsa3072),
            "RSA_4096" => rsa(KeySize::Rsa4096),
            "ECC_NIST_P256" => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            "ECC_NIST_P384" => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            "ECC_NIST_P521" => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            "ECC_NIST_EDWARDS25519" => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            "SYMMETRIC_DEFAULT" => {
                let mut octets = [0; 32];
                aws_lc_rs::rand::fill(&mut octets).unwrap();
                Self::Symmetric(RandomizedNonceKey::new(&AES_256_GCM, &octets).unwrap())
            }
            _ => return None,
        })
    }

    pub(crate) fn signing_algorithms(spec: &str) -> &'static [&'static str] {
        match spec {
            "ECC_NIST_P256" => &["ECDSA_SHA_256"],
            "ECC_NIST_P384" => &["ECDSA_SHA_384"],
            "ECC_NIST_P521" => &["ECDSA_SHA_512"],
            "ECC_NIST_EDWARDS25519" => &["ED25519_SHA_512", "ED25519_PH_SHA_512"],
            "SYMMETRIC_DEFAULT" => &[],
            _ => &RSA,
        }
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ecdsa(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Symmetric(_) => Vec::new(),
        }
    }

    /// Signs, or says why not.
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8], is_digest: bool) -> Result<Vec<u8>, &'static str> {
        if let Self::Ed25519(key) = self {
            return match (algorithm, is_digest) {
                ("ED25519_SHA_512", false) => Ok(key.sign(message).as_ref().to_vec()),
                _ => Err("Algorithm and MessageType do not go together."),
            };
        }
        let hash = match algorithm.rsplit('_').next() {
            Some("256") => &digest::SHA256,
            Some("384") => &digest::SHA384,
            _ => &digest::SHA512,
        };
        let digest = match is_digest {
            true => Digest::import_less_safe(message, hash).map_err(|_| "Digest is invalid length for algorithm.")?,
            false => digest::digest(hash, message),
        };
        match self {
            Self::Rsa(key) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RSASSA_PKCS1_V1_5_SHA_256" => &signature::RSA_PKCS1_SHA256,
                    "RSASSA_PKCS1_V1_5_SHA_384" => &signature::RSA_PKCS1_SHA384,
                    "RSASSA_PKCS1_V1_5_SHA_512" => &signature::RSA_PKCS1_SHA512,
                    "RSASSA_PSS_SHA_256" => &signature::RSA_PSS_SHA256,
                    "RSASSA_PSS_SHA_384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(padding, &digest, &mut signature).unwrap();
                Ok(signature)
            }
            Self::Ecdsa(key) => Ok(key.sign_digest(&digest).unwrap().as_ref().to_vec()),
            _ => Err("The key does not sign."),
        }
    }

    pub(crate) fn encrypt(&self, plaintext: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let Self::Symmetric(key) = self else { return None };
        let mut buffer = plaintext.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(context), &mut buffer).unwrap();
        Some([nonce.as_ref().as_slice(), &buffer].concat())
    }

    pub(crate) fn decrypt(&self, ciphertext: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let Self::Symmetric(key) = self else { return None };
        let (nonce, body) = ciphertext.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = body.to_vec();
        let len = key
            .open_in_place(Nonce::from(nonce), Aad::from(context), &mut buffer)
            .ok()?
            .len();
        buffer.truncate(len);
        Some(buffer)
    }
}

/// A random key id in the form of a UUID.
pub(crate) fn key_id() -> String {
    let mut octets = [0; 16];
    aws_lc_rs::rand::fill(&mut octets).unwrap();
    let digits = super::sigv4::hex(&octets);
    let mut id = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if [8, 12, 16, 20].contains(&index) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}
