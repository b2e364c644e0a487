//! Versions of keys, with real private keys.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    self, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RsaEncoding, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_core::PublicKey;

use super::answers::bad_parameter;
use crate::server::Response;

pub(super) const RSA_OPERATIONS: [&str; 6] = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
pub(super) const EC_OPERATIONS: [&str; 2] = ["sign", "verify"];

pub(super) struct Version {
    pub(super) id: String,
    pub(super) kty: String,
    pub(super) enabled: bool,
    pub(super) nbf: Option<i64>,
    pub(super) exp: Option<i64>,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) operations: Vec<String>,
    /// How many more readings do not show the version.
    pub(super) hidden: u32,
    private: Private,
}

enum Private {
    Rsa(Box<rsa::KeyPair>),
    Ec { pair: EcdsaKeyPair, curve: &'static str },
}

/// 32 hexadecimal digits, like the vendor's names of versions.
pub(super) fn random_hex() -> String {
    let mut octets = [0; 16];
    aws_lc_rs::rand::SecureRandom::fill(&SystemRandom::new(), &mut octets).expect("random octets");
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn curve(name: &str) -> Option<(&'static str, &'static EcdsaSigningAlgorithm)> {
    Some(match name {
        "P-256" => ("P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        "P-384" => ("P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        "P-521" => ("P-521", &signature::ECDSA_P521_SHA512_FIXED_SIGNING),
        _ => return None,
    })
}

impl Version {
    /// Generates a version. `shape` is the curve or the length of the modulus.
    pub(super) fn generate(kty: &str, shape: &str, now: i64) -> Result<Self, Response> {
        let (private, operations): (_, &[&str]) = match kty {
            "RSA" | "RSA-HSM" => {
                let size = match shape {
                    "2048" => KeySize::Rsa2048,
                    "3072" => KeySize::Rsa3072,
                    "4096" => KeySize::Rsa4096,
                    _ => return Err(bad_parameter("Key size is not supported.")),
                };
                let pair = rsa::KeyPair::generate(size).expect("a key");
                (Private::Rsa(Box::new(pair)), &RSA_OPERATIONS)
            }
            "EC" | "EC-HSM" => {
                let (curve, algorithm) = curve(shape).ok_or_else(|| bad_parameter("Property crv has invalid value"))?;
                let pair = EcdsaKeyPair::generate(algorithm).expect("a key");
                (Private::Ec { pair, curve }, &EC_OPERATIONS)
            }
            _ => return Err(bad_parameter("Property kty has invalid value")),
        };
        Ok(Self {
            id: random_hex(),
            kty: kty.to_owned(),
            enabled: true,
            nbf: None,
            exp: None,
            created: now,
            updated: now,
            tags: BTreeMap::new(),
            operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
            hidden: 0,
            private,
        })
    }

    pub(super) fn attributes(&self) -> Value {
        let mut attributes = json!({
            "enabled": self.enabled,
            "created": self.created,
            "updated": self.updated,
            "recoveryLevel": "Recoverable+Purgeable",
            "recoverableDays": 90,
            "exportable": false,
            "hsmPlatform": "0",
        });
        for (name, instant) in [("nbf", self.nbf), ("exp", self.exp)] {
            if let Some(instant) = instant {
                attributes[name] = json!(instant);
            }
        }
        attributes
    }

    pub(super) fn jwk(&self, kid: &str) -> Value {
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let mut jwk = json!({ "kid": kid, "kty": self.kty, "key_ops": self.operations });
        match &self.private {
            Private::Rsa(pair) => {
                if let Ok(PublicKey::Rsa { n, e }) = PublicKey::from_pkcs1_der(pair.public_key().as_ref()) {
                    jwk["n"] = json!(encode(&n));
                    jwk["e"] = json!(encode(&e));
                }
            }
            Private::Ec { pair, curve } => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                jwk["crv"] = json!(curve);
                jwk["x"] = json!(encode(x));
                jwk["y"] = json!(encode(y));
            }
        }
        jwk
    }

    fn incompatible(&self, algorithm: &str) -> Response {
        bad_parameter(&format!(
            "Key and signing algorithm are incompatible. Key is of type '{}', and algorithm '{algorithm}' cannot be used \
             with it.",
            self.kty
        ))
    }

    pub(super) fn sign(&self, algorithm: &str, digest: &[u8]) -> Result<Vec<u8>, Response> {
        let digest = import(algorithm, digest)?;
        match &self.private {
            Private::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => return Err(self.incompatible(algorithm)),
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(encoding, &digest, &mut signature)
                    .expect("a signature");
                Ok(signature)
            }
            Private::Ec { pair, curve } if fits(curve, algorithm) => {
                Ok(pair.sign_digest(&digest).expect("a signature").as_ref().to_vec())
            }
            Private::Ec { .. } => Err(self.incompatible(algorithm)),
        }
    }

    pub(super) fn verify(&self, algorithm: &str, digest: &[u8], signature: &[u8]) -> Result<bool, Response> {
        let digest = import(algorithm, digest)?;
        let (verification, public): (&'static dyn VerificationAlgorithm, &[u8]) = match &self.private {
            Private::Rsa(pair) => {
                let verification: &'static dyn VerificationAlgorithm = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(self.incompatible(algorithm)),
                };
                (verification, pair.public_key().as_ref())
            }
            Private::Ec { pair, curve } if fits(curve, algorithm) => {
                let verification: &'static dyn VerificationAlgorithm = match algorithm {
                    "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
                    "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
                    _ => &signature::ECDSA_P521_SHA512_FIXED,
                };
                (verification, pair.public_key().as_ref())
            }
            Private::Ec { .. } => return Err(self.incompatible(algorithm)),
        };
        Ok(UnparsedPublicKey::new(verification, public)
            .verify_digest(&digest, signature)
            .is_ok())
    }

    fn oaep(&self, algorithm: &str) -> Result<(PrivateDecryptingKey, &'static OaepAlgorithm), Response> {
        let Private::Rsa(pair) = &self.private else {
            return Err(self.incompatible(algorithm));
        };
        let oaep = match algorithm {
            "RSA-OAEP-256" => &OAEP_SHA256_MGF1SHA256,
            "RSA-OAEP" => &OAEP_SHA1_MGF1SHA1,
            _ => return Err(bad_parameter("Property alg has invalid value")),
        };
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("encodes");
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).expect("the same key");
        Ok((key, oaep))
    }

    pub(super) fn encrypt(&self, algorithm: &str, plaintext: &[u8]) -> Result<Vec<u8>, Response> {
        let (key, oaep) = self.oaep(algorithm)?;
        let public = OaepPublicEncryptingKey::new(key.public_key()).expect("a public key");
        let mut ciphertext = vec![0; public.ciphertext_size()];
        public
            .encrypt(oaep, plaintext, &mut ciphertext, None)
            .map_err(|_| bad_parameter("The parameter is too long for this key."))?;
        Ok(ciphertext)
    }

    pub(super) fn decrypt(&self, algorithm: &str, ciphertext: &[u8]) -> Result<Vec<u8>, Response> {
        let (key, oaep) = self.oaep(algorithm)?;
        let private = OaepPrivateDecryptingKey::new(key).expect("a private key");
        let mut plaintext = vec![0; private.min_output_size()];
        let len = private
            .decrypt(oaep, ciphertext, &mut plaintext, None)
            .map_err(|_| bad_parameter("The parameter is incorrect."))?
            .len();
        plaintext.truncate(len);
        Ok(plaintext)
    }
}

fn fits(curve: &str, algorithm: &str) -> bool {
    matches!(
        (curve, algorithm),
        ("P-256", "ES256") | ("P-384", "ES384") | ("P-521", "ES512")
    )
}

fn import(algorithm: &str, octets: &[u8]) -> Result<Digest, Response> {
    let hash = match algorithm.get(2..) {
        Some("256") => &digest::SHA256,
        Some("384") => &digest::SHA384,
        Some("512") => &digest::SHA512,
        _ => return Err(bad_parameter("Property alg has invalid value")),
    };
    Digest::import_less_safe(octets, hash).map_err(|_| {
        bad_parameter(&format!(
            "Invalid length of 'value': {} bytes. {algorithm} requires {} bytes.",
            octets.len(),
            hash.output_len
        ))
    })
}
