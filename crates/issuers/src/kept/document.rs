//! The content of the file: readable JSON, accepted only if every part is as Signet would have written it.
//!
//! ```json
//! {
//!   "format": "signet-issuer-keys/1",
//!   "sha256": "…",
//!   "content": {
//!     "issuer": "https://login.example.com/",
//!     "terms": { "discovery_url": "https://login.example.com/.well-known/openid-configuration", "algorithms": ["RS256"] },
//!     "fetched_at_ms": 1790000000000,
//!     "good_for_ms": 900000,
//!     "rules": 1,
//!     "jwks": { "keys": [ … ] }
//!   }
//! }
//! ```
//!
//! `sha256` is the digest of the bytes of `content` in hexadecimal. It detects damage, not forgery: somebody who can
//! write the file can also write the digest.
//!
//! `rules` is the version of the rules by which the moduli of RSA keys were judged. Judging takes milliseconds for each key, so a
//! start does not repeat it for a file that was written by the current rules.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signet_core::jwk::JwkSet;
use signet_core::{ForeignKeys, Issuer, Timestamp, json};
use signet_files::cache::{self, FileFault};

use super::{Refusal, Remembered};
use crate::{KeysAt, TrustedIssuer};

pub(super) const FORMAT: &str = "signet-issuer-keys/1";
/// The maximum size of the file in bytes: twice that of the longest document that is fetched.
pub(super) const LONGEST: usize = 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentJson {
    format: String,
    sha256: String,
    content: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContentJson {
    issuer: Issuer,
    terms: TermsJson,
    fetched_at_ms: Timestamp,
    good_for_ms: u64,
    /// Files of older versions have no rules.
    #[serde(default)]
    rules: u32,
    jwks: Box<RawValue>,
}

/// The version of the current rules. Increase it whenever the rules become stricter.
const RULES: u32 = 1;

/// The settings that decide which keys belong to an issuer. Keys that were fetched under other settings are not used.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jwks_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    discovery_url: Option<String>,
    algorithms: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
}

impl TermsJson {
    fn of(terms: &TrustedIssuer) -> Self {
        let (jwks_url, discovery_url) = match &terms.keys_at {
            KeysAt::Jwks(url) => (Some(url.to_string()), None),
            KeysAt::Discovery(url) => (None, Some(url.to_string())),
        };
        Self {
            jwks_url,
            discovery_url,
            algorithms: terms.algorithms.iter().map(|alg| alg.as_str().to_owned()).collect(),
            ca_file: terms.ca_file.clone(),
        }
    }

    /// The first setting that differs.
    fn differs_in(&self, other: &Self) -> Option<&'static str> {
        [
            ("jwks_url", self.jwks_url == other.jwks_url),
            ("discovery_url", self.discovery_url == other.discovery_url),
            ("algorithms", self.algorithms == other.algorithms),
            ("ca_file", self.ca_file == other.ca_file),
        ]
        .into_iter()
        .find_map(|(name, is_same)| (!is_same).then_some(name))
    }
}

/// Parses the text, and checks that it is for this issuer with these settings.
pub(super) fn parse(bytes: &[u8], terms: &TrustedIssuer) -> Result<Remembered, Refusal> {
    let (text, _) = cache::parse(bytes, FORMAT)?;
    let json: DocumentJson = json::read(text.as_bytes()).map_err(FileFault::Malformed)?;
    if sha256(json.content.get()) != json.sha256 {
        return Err(Refusal::Damaged);
    }
    let content: ContentJson = json::read(json.content.get().as_bytes()).map_err(FileFault::Malformed)?;
    if content.issuer != terms.issuer {
        return Err(Refusal::Issuer {
            found: content.issuer.to_string(),
            ours: terms.issuer.to_string(),
        });
    }
    if let Some(setting) = content.terms.differs_in(&TermsJson::of(terms)) {
        return Err(Refusal::OtherTerms { setting });
    }
    // The keys are checked by the same rules as when they are fetched. These may have become stricter.
    let parse = match content.rules {
        RULES => ForeignKeys::parse_judged,
        _ => ForeignKeys::parse,
    };
    let keys = parse(content.jwks.get().as_bytes(), &terms.algorithms).map_err(Refusal::NoKeys)?;
    Ok(Remembered {
        keys,
        fetched_at: content.fetched_at_ms,
        good_for: Duration::from_millis(content.good_for_ms),
    })
}

/// Composes the text of the file.
pub(super) fn compose(remembered: &Remembered, terms: &TrustedIssuer) -> Result<Vec<u8>, Refusal> {
    let jwks = JwkSet {
        keys: remembered.keys.to_jwks(),
    };
    let raw = |json: serde_json::Result<String>| json.and_then(RawValue::from_string).map_err(FileFault::Unencodable);
    let content = ContentJson {
        issuer: terms.issuer.clone(),
        terms: TermsJson::of(terms),
        fetched_at_ms: remembered.fetched_at,
        good_for_ms: u64::try_from(remembered.good_for.as_millis()).unwrap_or(u64::MAX),
        rules: RULES,
        jwks: raw(serde_json::to_string_pretty(&jwks))?,
    };
    let content = raw(serde_json::to_string_pretty(&content))?;
    let json = DocumentJson {
        format: FORMAT.to_owned(),
        sha256: sha256(content.get()),
        content,
    };
    Ok(serde_json::to_vec_pretty(&json).map_err(FileFault::Unencodable)?)
}

pub(super) fn sha256(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}
