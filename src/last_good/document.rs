//! The content of the file: readable JSON, accepted only if every part is as Signet would have written it.
//!
//! ```json
//! {
//!   "format": "signet-last-good/1",
//!   "issuer": "https://issuer.example",
//!   "refreshed_at_ms": 1790000000000,
//!   "rings": [ { "provider": "vault", "keys": [ … ] } ]
//! }
//! ```
//!
//! If a ring could not be read for a long time, its `lapses` are stored too, for as long as a key depends on them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use signet_core::jwk::Jwk;
use signet_core::{Issuer, KeyRecord, KeyState, Kid, Lapses, Revocation, Terms, Timestamp, json};
use signet_files::cache::{self, FileFault};

use super::error::Refusal;
use super::{MOST_KEYS, Remembered, RememberedRing};

pub(super) const FORMAT: &str = "signet-last-good/1";
/// The maximum size of the file in bytes. Five rings, one for each provider, with [`MOST_KEYS`]
/// RSA keys of 4096 bits fit.
pub const LONGEST: usize = 1024 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentJson {
    format: String,
    issuer: Issuer,
    refreshed_at_ms: Timestamp,
    rings: Vec<RingJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingJson {
    provider: String,
    #[serde(default, skip_serializing_if = "Lapses::is_empty")]
    lapses: Lapses,
    keys: Vec<KeyJson>,
}

/// A key with its kid first, because that is what people look for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyJson {
    kid: String,
    state: KeyState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Revocation>,
    created_at_ms: Timestamp,
    sequence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    predecessor: Option<Kid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<Terms>,
    public: Jwk,
}

/// Parses the text, and checks that it is for this issuer.
pub(super) fn parse(bytes: &[u8], issuer: &Issuer) -> Result<Remembered, Refusal> {
    let (text, object) = cache::parse(bytes, FORMAT)?;
    let found = cache::member(&object, "issuer")?;
    if found != issuer.as_str() {
        return Err(Refusal::Issuer {
            found,
            ours: issuer.as_str().to_owned(),
        });
    }
    let json: DocumentJson = json::read(text.as_bytes()).map_err(FileFault::Malformed)?;
    if json.rings.is_empty() {
        return Err(Refusal::NoRing);
    }
    Ok(Remembered {
        refreshed_at: json.refreshed_at_ms,
        rings: json.rings.into_iter().map(ring).collect::<Result<_, _>>()?,
    })
}

fn ring(json: RingJson) -> Result<RememberedRing, Refusal> {
    let RingJson { provider, lapses, keys } = json;
    // Check this before any key is parsed, because each key costs a check of its point.
    if keys.len() > MOST_KEYS {
        return Err(Refusal::TooManyKeys {
            provider,
            found: keys.len(),
        });
    }
    let records = keys.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
    each_once(&provider, records.iter().map(KeyRecord::kid))?;
    Ok(RememberedRing {
        provider,
        records,
        lapses,
    })
}

fn each_once<'a>(provider: &str, kids: impl IntoIterator<Item = &'a Kid>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    match kids.into_iter().find(|kid| !seen.insert(*kid)) {
        None => Ok(()),
        Some(twice) => Err(Refusal::KeyTwice {
            provider: provider.to_owned(),
            kid: twice.clone(),
        }),
    }
}

fn record(json: KeyJson) -> Result<KeyRecord, Refusal> {
    let public = match json.public.verifying_key() {
        Ok(public) => public,
        Err(source) => return Err(Refusal::Key { kid: json.kid, source }),
    };
    // The kid is computed from the key. The two in the file must agree with it.
    for kid in [Some(json.kid.as_str()), json.public.kid.as_deref()] {
        if kid != Some(public.kid().as_str()) {
            return Err(Refusal::ForeignKid {
                kid: kid.unwrap_or_default().to_owned(),
                own: public.kid().clone(),
            });
        }
    }
    Ok(KeyRecord {
        public,
        created_at: json.created_at_ms,
        sequence: json.sequence,
        predecessor: json.predecessor,
        terms: json.terms,
        state: json.state,
        revoked: json.revoked,
    })
}

/// Composes the text of the file.
pub(super) fn compose(remembered: &Remembered, issuer: &Issuer) -> Result<Vec<u8>, Refusal> {
    if remembered.rings.is_empty() {
        return Err(Refusal::NoRing);
    }
    let mut rings = Vec::with_capacity(remembered.rings.len());
    for ring in &remembered.rings {
        let records = newest(&ring.records);
        each_once(&ring.provider, records.iter().map(|record| record.kid()))?;
        rings.push(RingJson {
            provider: ring.provider.clone(),
            lapses: ring.lapses.clone(),
            keys: records.into_iter().map(key_json).collect(),
        });
    }
    let json = DocumentJson {
        format: FORMAT.to_owned(),
        issuer: issuer.clone(),
        refreshed_at_ms: remembered.refreshed_at,
        rings,
    };
    // There is no line feed at the end, so a text that lost even one byte is incomplete.
    Ok(serde_json::to_vec_pretty(&json).map_err(FileFault::Unencodable)?)
}

/// The newest keys, sorted from the oldest to the newest.
fn newest(records: &[KeyRecord]) -> Vec<&KeyRecord> {
    let mut records: Vec<&KeyRecord> = records.iter().collect();
    records.sort_by(|a, b| a.creation_order(b));
    records.split_off(records.len().saturating_sub(MOST_KEYS))
}

fn key_json(record: &KeyRecord) -> KeyJson {
    KeyJson {
        kid: record.kid().as_str().to_owned(),
        state: record.state,
        revoked: record.revoked.clone(),
        created_at_ms: record.created_at,
        sequence: record.sequence,
        predecessor: record.predecessor.clone(),
        terms: record.terms,
        public: Jwk::from(&record.public),
    }
}
