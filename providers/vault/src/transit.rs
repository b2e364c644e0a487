//! The calls of transit for remote custody: <https://developer.hashicorp.com/vault/api-docs/secret/transit>.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use signet_api::{ErrorKind, Failure};
use signet_core::algorithm::KeyType;
use signet_core::public_key::PublicKey;
use signet_core::{Algorithm, Timestamp};

use crate::client::{Call, Client};

/// The server generates the key pair before it answers. An RSA key of 4096 bits can take a slow machine this long.
const MAKING_A_KEY: Duration = Duration::from_secs(30);

/// Transit at a mount.
#[derive(Clone, Debug)]
pub(crate) struct Transit {
    client: Client,
    mount: String,
}

/// A transit key with its versions.
#[derive(Debug, Deserialize)]
pub(crate) struct TransitKey {
    #[serde(rename = "type")]
    pub(crate) key_type: String,
    pub(crate) latest_version: u64,
    #[serde(default)]
    pub(crate) min_available_version: u64,
    #[serde(default)]
    pub(crate) min_encryption_version: u64,
    #[serde(default)]
    pub(crate) min_decryption_version: u64,
    #[serde(default)]
    pub(crate) exportable: bool,
    #[serde(default)]
    pub(crate) allow_plaintext_backup: bool,
    /// Whether the key was deleted softly. Only OpenBao has this.
    #[serde(default)]
    pub(crate) soft_deleted: bool,
    keys: BTreeMap<String, VersionInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum VersionInfo {
    Pair {
        creation_time: String,
        public_key: String,
    },
    /// The version of a key that is not a key pair.
    Other(IgnoredAny),
}

/// A public key, and when transit created it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) public: PublicKey,
    pub(crate) at: Timestamp,
}

#[derive(Serialize)]
struct Create {
    #[serde(rename = "type")]
    key_type: &'static str,
    exportable: bool,
    allow_plaintext_backup: bool,
}

#[derive(Serialize)]
struct Nothing {}

/// A change of one of the two numbers. The number that is not sent stays the same.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Config {
    MinDecryptionVersion(u64),
    MinEncryptionVersion(u64),
}

#[derive(Serialize)]
struct Trim {
    min_available_version: u64,
}

#[derive(Serialize)]
struct Sign<'a> {
    input: String,
    key_version: u64,
    #[serde(flatten)]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_algorithm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt_length: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marshaling_algorithm: Option<&'a str>,
}

#[derive(Serialize)]
struct Digest {
    prehashed: bool,
    hash_algorithm: &'static str,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

impl TransitKey {
    /// The data that transit has for a version. `None` if the version never existed or was destroyed.
    pub(crate) fn version(&self, version: u64) -> Option<Result<Made, Failure>> {
        let info = self.keys.get(&version.to_string())?;
        let damaged = |what: &str| {
            let text = format!("version {version} of a transit key of type {}: {what}", self.key_type);
            Failure::new(ErrorKind::BadAnswer, text)
        };
        let VersionInfo::Pair {
            creation_time,
            public_key,
        } = info
        else {
            return Some(Err(damaged("it has no public key")));
        };
        let public = public_of(&self.key_type, public_key).ok_or_else(|| damaged("its public key cannot be read"));
        let at = rfc3339(creation_time).ok_or_else(|| damaged("its creation_time cannot be read"));
        Some(public.and_then(|public| Ok(Made { public, at: at? })))
    }

    /// Whether the private half of a version can still sign.
    pub(crate) const fn signs_with(&self, version: u64) -> bool {
        !self.soft_deleted && self.min_encryption_version <= version
    }
}

impl Transit {
    pub(crate) fn new(client: Client, mount: &str) -> Self {
        Self {
            client,
            mount: mount.to_owned(),
        }
    }

    pub(crate) fn mount(&self) -> &str {
        &self.mount
    }

    /// The API path for signing with a key.
    pub(crate) fn sign_path(&self, name: &str) -> String {
        format!("{}/sign/{name}", self.mount)
    }

    /// The API path for reading and creating a key.
    pub(crate) fn key_path(&self, name: &str) -> String {
        format!("{}/keys/{name}", self.mount)
    }

    /// Reads a key. `None` if there is none with this name.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<TransitKey>, Failure> {
        let path = self.key_path(name);
        match self.client.call(Call::get(&path)).await? {
            Ok(answer) => Ok(Some(answer.data(&format!("GET {path}"))?)),
            Err(refused) if refused.status == 404 && refused.errors.iter().all(String::is_empty) => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Creates version 1 of a key. Does nothing if the key exists.
    pub(crate) async fn create(&self, name: &str, key_type: &'static str) -> Result<(), Failure> {
        let path = self.key_path(name);
        let body = Create {
            key_type,
            exportable: false,
            allow_plaintext_backup: false,
        };
        let call = Call::post(&path, &body)?.needing("\"create\", \"update\"");
        self.client.call(call.at_least(MAKING_A_KEY)).await??;
        Ok(())
    }

    /// Creates the next version of a key.
    pub(crate) async fn rotate(&self, name: &str) -> Result<(), Failure> {
        let path = format!("{}/rotate", self.key_path(name));
        let call = Call::post(&path, &Nothing {})?.at_least(MAKING_A_KEY);
        self.client.call(call).await??;
        Ok(())
    }

    /// Forbids signing with versions below `least`.
    pub(crate) async fn forbid_below(&self, name: &str, least: u64) -> Result<(), Failure> {
        self.configure(name, &Config::MinEncryptionVersion(least)).await
    }

    /// Destroys versions below `least`. Signing with them must already be forbidden.
    pub(crate) async fn trim(&self, name: &str, key: &TransitKey, least: u64) -> Result<(), Failure> {
        // Transit destroys versions up to the lower of its two numbers. The other number is not sent, because
        // our value of it may be old.
        let config = Config::MinDecryptionVersion(least.max(key.min_decryption_version));
        self.configure(name, &config).await?;
        let path = format!("{}/trim", self.key_path(name));
        let body = Trim {
            min_available_version: least,
        };
        self.client.call(Call::post(&path, &body)?).await??;
        Ok(())
    }

    async fn configure(&self, name: &str, config: &Config) -> Result<(), Failure> {
        let path = format!("{}/config", self.key_path(name));
        self.client.call(Call::post(&path, config)?).await??;
        Ok(())
    }

    /// Signs with exactly this version. The signature is in JWS form.
    ///
    /// Where the algorithm allows it, only the digest is sent, so a large token does not make a large request.
    pub(crate) async fn sign(
        &self,
        path: &str,
        version: u64,
        algorithm: Algorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let body = request(version, algorithm, message);
        let signed: Signed = self.client.read(Call::post(path, &body)?).await?;
        signature_of(&signed.signature, version, algorithm).map_err(|what| {
            let text = format!("the answer to POST {path} has {what}, so Signet does not use it");
            Failure::new(ErrorKind::BadAnswer, text)
        })
    }
}

/// Decodes `vault:v<version>:<base64>`, or says what the text is instead.
fn signature_of(text: &str, version: u64, algorithm: Algorithm) -> Result<Vec<u8>, String> {
    let parts = text.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
    let (by, signature) = parts.ok_or("something that is not a signature of transit")?;
    if by.parse() != Ok(version) {
        return Err(format!(
            "a signature of another version than {version}, which was requested"
        ));
    }
    let decoded = match algorithm.key_type() {
        KeyType::Ec(_) => URL_SAFE_NO_PAD.decode(signature),
        KeyType::Rsa | KeyType::Ed25519 => STANDARD.decode(signature),
    };
    decoded.map_err(|_| "a signature that is not base64".to_owned())
}

fn request(version: u64, algorithm: Algorithm, message: &[u8]) -> Sign<'static> {
    // Pure Ed25519 signs the message itself (RFC 8032 §5.1.6).
    let digest = algorithm.digest(message);
    let (signature_algorithm, salt_length, marshaling_algorithm) = match algorithm {
        // Transit's default for RSA is PSS with the longest salt, which JWS accepts for neither RS nor PS.
        Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => (Some("pkcs1v15"), None, None),
        Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => (Some("pss"), Some("hash"), None),
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 => (None, None, Some("jws")),
        Algorithm::EdDSA => (None, None, None),
    };
    Sign {
        input: STANDARD.encode(digest.as_ref().map_or(message, AsRef::as_ref)),
        key_version: version,
        digest: digest.map(|digest| Digest {
            prehashed: true,
            hash_algorithm: match digest.as_ref().len() {
                32 => "sha2-256",
                48 => "sha2-384",
                _ => "sha2-512",
            },
        }),
        signature_algorithm,
        salt_length,
        marshaling_algorithm,
    }
}

/// Transit returns Ed25519 keys as base64 of their 32 bytes, and all others as PEM of a `SubjectPublicKeyInfo`.
fn public_of(key_type: &str, text: &str) -> Option<PublicKey> {
    if key_type == "ed25519" {
        return PublicKey::from_ed25519(&STANDARD.decode(text.trim()).ok()?).ok();
    }
    let body = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let body = body.strip_suffix("-----END PUBLIC KEY-----")?;
    let base64: String = body.split_ascii_whitespace().collect();
    PublicKey::from_spki_der(&STANDARD.decode(base64).ok()?).ok()
}

/// Parses an instant of RFC 3339 to whole milliseconds. The server writes it in the time zone of its machine.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let (local, offset) = match text.strip_suffix('Z') {
        Some(utc) => (utc, 0),
        None => {
            let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let (hours, minutes) = zone[1..].split_once(':')?;
            (
                local,
                sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?),
            )
        }
    };
    let instant = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let millis = i64::try_from(instant.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis - offset * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_any_time_zone() {
        let utc = rfc3339("2026-11-24T16:21:33.235174637Z").expect("an instant");
        assert_eq!(utc.as_millis(), 1_795_537_293_235);
        assert_eq!(rfc3339("2026-11-24T18:21:33.235174637+02:00"), Some(utc));
        assert_eq!(rfc3339("2026-11-24T11:51:33.235174637-04:30"), Some(utc));
        for text in ["", "Z", "now", "2026-11-24T16:21:33", "2026-11-24T16:21:33+0200"] {
            assert_eq!(rfc3339(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_signature_by_another_version_is_thrown_away() {
        let read = |text| signature_of(text, 2, Algorithm::ES256);
        assert_eq!(read("vault:v2:AQI"), Ok(vec![1, 2]));
        for text in [
            "vault:v1:AQI",
            "vault:v22:AQI",
            "vault:v:AQI",
            "vault:v2",
            "AQI",
            "",
            "vault:v2:AQI=",
            "vault:v2:+/8",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(signature_of("vault:v2:+/8=", 2, Algorithm::RS256), Ok(vec![251, 255]));
    }

    #[test]
    fn every_algorithm_says_how_it_is_to_be_signed() {
        let json = |algorithm| serde_json::to_string(&request(3, algorithm, b"m")).expect("JSON");
        for algorithm in Algorithm::ALL {
            let text = json(algorithm);
            assert!(text.contains("\"key_version\":3"), "{text}");
            assert_eq!(
                text.contains("\"prehashed\":true"),
                algorithm != Algorithm::EdDSA,
                "{text}"
            );
            let name = algorithm.as_str();
            assert_eq!(text.contains("pkcs1v15"), name.starts_with("RS"), "{text}");
            assert_eq!(
                text.contains("\"salt_length\":\"hash\""),
                name.starts_with("PS"),
                "{text}"
            );
            assert_eq!(
                text.contains("\"marshaling_algorithm\":\"jws\""),
                name.starts_with("ES"),
                "{text}"
            );
        }
        assert_eq!(json(Algorithm::EdDSA), r#"{"input":"bQ==","key_version":3}"#);
    }
}
