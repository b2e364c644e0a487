//! Makes tokens with its own key, and the JWKS that verifies them. Gateways that fetch a JWKS can then be measured
//! without a sidecar.
//!
//! Writes one value of an `Authorization` header per line: `Bearer eyJ…`. All tokens are different and equally long.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::error::LoadError;

/// The algorithms, by the names that `--algorithm` takes.
pub(crate) const ALGORITHMS: [&str; 2] = ["ES256", "RS256"];
/// The lifetime of a token in seconds.
const TTL: u64 = 3600;

/// An order of tokens.
pub(crate) struct Mint {
    pub algorithm: String,
    pub count: usize,
    pub issuer: String,
    pub audience: String,
    pub out: PathBuf,
    /// The file for the JWKS.
    pub jwks: PathBuf,
}

enum Key {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// Makes the tokens and the JWKS. Returns the number of tokens.
pub(crate) fn make(mint: &Mint) -> Result<usize, LoadError> {
    let key = Key::generate(&mint.algorithm)?;
    let kid = format!("{}-key", mint.algorithm);
    let jwks = json!({"keys": [key.jwk(&mint.algorithm, &kid)]});
    write(&mint.jwks, jwks.to_string().as_bytes())?;
    let header = base64(
        json!({"alg": mint.algorithm, "typ": "JWT", "kid": kid})
            .to_string()
            .as_bytes(),
    );
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let token = |number: usize| -> Result<String, LoadError> {
        let claims = json!({
            "iss": mint.issuer, "aud": mint.audience, "sub": format!("user-{number:08}"),
            "iat": now, "exp": now + TTL, "jti": format!("00000000-0000-4000-8000-{number:012}"),
            "scope": "orders:read orders:write", "roles": ["user"],
        });
        let input = format!("{header}.{}", base64(claims.to_string().as_bytes()));
        let signature = base64(&key.sign(input.as_bytes())?);
        Ok(format!("Bearer {input}.{signature}\n"))
    };
    let parts: Vec<Result<String, LoadError>> = thread::scope(|scope| {
        let share = |thread: usize| (thread..mint.count).step_by(threads);
        let token = &token;
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || share(thread).map(token).collect()))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(LoadError::Crypto("thread"))))
            .collect()
    });
    let text: String = parts.into_iter().collect::<Result<_, _>>()?;
    write(&mint.out, text.as_bytes())?;
    Ok(mint.count)
}

impl Key {
    fn generate(algorithm: &str) -> Result<Self, LoadError> {
        match algorithm {
            "RS256" => RsaKeyPair::generate(KeySize::Rsa2048)
                .map(Self::Rsa)
                .map_err(|_| LoadError::Crypto("RSA key")),
            _ => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                .map(Self::Ecdsa)
                .map_err(|_| LoadError::Crypto("P-256 key")),
        }
    }

    fn sign(&self, input: &[u8]) -> Result<Vec<u8>, LoadError> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => match key.sign(&random, input) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(LoadError::Crypto("ES256 signature")),
            },
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, input, &mut signature)
                    .map_err(|_| LoadError::Crypto("RS256 signature"))?;
                Ok(signature)
            }
        }
    }

    fn jwk(&self, algorithm: &str, kid: &str) -> Value {
        match self {
            Self::Ecdsa(key) => {
                // An uncompressed point: the byte 4, then both coordinates.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "alg": algorithm, "use": "sig", "kid": kid,
                       "x": base64(x), "y": base64(y)})
            }
            Self::Rsa(key) => {
                // RFC 8017 §A.1.1: a sequence of two integers. For 2048 bits the modulus begins after nine bytes, and the
                // exponent after two more.
                let (modulus, exponent) = key.public_key().as_ref()[9..].split_at(256);
                json!({"kty": "RSA", "alg": algorithm, "use": "sig", "kid": kid,
                       "n": base64(modulus), "e": base64(&exponent[2..])})
            }
        }
    }
}

/// Encodes as base64url without padding (RFC 4648 §5).
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

fn write(path: &Path, octets: &[u8]) -> Result<(), LoadError> {
    fs::write(path, octets).map_err(|source| LoadError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};

    use super::*;

    #[test]
    fn base64url_has_no_padding() {
        for (octets, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\xfb\xff", "-_8"),
        ] {
            assert_eq!(base64(octets), text);
        }
    }

    #[test]
    fn every_token_is_another_and_its_key_verifies_it() {
        let directory = tempfile::tempdir().expect("a directory");
        for algorithm in ALGORITHMS {
            let mint = Mint {
                algorithm: algorithm.to_owned(),
                count: 5,
                issuer: "https://issuer.test".to_owned(),
                audience: "api".to_owned(),
                out: directory.path().join("tokens"),
                jwks: directory.path().join("jwks"),
            };
            assert_eq!(make(&mint).expect("tokens"), 5);
            let text = fs::read_to_string(&mint.out).expect("the file");
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            lines.dedup();
            assert_eq!(lines.len(), 5);
            assert!(
                lines
                    .iter()
                    .all(|line| line.starts_with("Bearer eyJ") && line.len() == lines[0].len())
            );
            let jwks: Value = serde_json::from_slice(&fs::read(&mint.jwks).expect("the file")).expect("JSON");
            assert_eq!(jwks["keys"][0]["alg"], algorithm);
        }
        let key = Key::generate("ES256").expect("a key");
        let Key::Ecdsa(pair) = &key else {
            panic!("no key of P-256")
        };
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()).expect("a public key");
        let signature = key.sign(b"input").expect("a signature");
        assert!(public.verify_sig(b"input", &signature).is_ok());
    }
}
