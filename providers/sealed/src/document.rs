//! The ring document, format `signet-ring/1`: readable JSON with a MAC over all of it.
//!
//! ```json
//! {
//!   "format": "signet-ring/1",
//!   "ring": "signet",
//!   "generation": 7,
//!   "ring_key": "the wrapped ring key, base64",
//!   "mac": "HMAC-SHA-256 under the ring key, base64",
//!   "body": { "keys": [ … ] }
//! }
//! ```
//!
//! The MAC covers the exact bytes of the body and all other members, each preceded by its length. The body is not read
//! before the MAC was verified.

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signet_core::json;
use zeroize::Zeroizing;

use crate::context::push;
use crate::damage::Damage;
use crate::entry::{Entry, EntryJson};

const FORMAT: &str = "signet-ring/1";
/// The maximum size of a document in bytes. A ring of a thousand RSA-4096 keys is smaller.
pub const LONGEST: usize = 8 * 1024 * 1024;

/// The key that authenticates the document: 32 bytes, wiped when dropped.
#[derive(PartialEq, Eq)]
pub(crate) struct RingKey(Zeroizing<[u8; 32]>);

impl RingKey {
    pub(crate) fn generate() -> Result<Self, Damage> {
        let mut octets = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *octets).map_err(|_| Damage::new("the system gave no random numbers"))?;
        Ok(Self(octets))
    }

    pub(crate) fn from_octets(octets: &[u8]) -> Result<Self, Damage> {
        let octets: [u8; 32] = octets
            .try_into()
            .map_err(|_| Damage::new("its ring key does not have 32 bytes"))?;
        Ok(Self(Zeroizing::new(octets)))
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &*self.0
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &*self.0)
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RingKey")
    }
}

/// A document whose MAC was not verified yet. Its body is not accessible.
#[derive(Debug)]
pub(crate) struct Unverified {
    generation: u64,
    wrapped_ring_key: Vec<u8>,
    mac: Vec<u8>,
    message: Vec<u8>,
    body: Box<RawValue>,
}

/// A verified document.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The number of times that the document was written.
    pub(crate) generation: u64,
    /// The MAC. It distinguishes documents of the same generation.
    pub(crate) mac: Vec<u8>,
    pub(crate) wrapped_ring_key: Vec<u8>,
    /// The keys in order of creation.
    pub(crate) keys: Vec<Entry>,
}

#[derive(Deserialize)]
struct Tag {
    format: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentJson {
    format: String,
    ring: String,
    generation: u64,
    ring_key: String,
    mac: String,
    body: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyJson {
    keys: Vec<EntryJson>,
}

impl Unverified {
    /// Parses the outer members.
    pub(crate) fn parse(bytes: &[u8], ring: &str) -> Result<Self, Damage> {
        if bytes.len() > LONGEST {
            return Err(Damage::new(format!("it is longer than {LONGEST} bytes")));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Damage::new("it is empty"));
        }
        let not_json = |error: serde_json::Error| {
            Damage::new(format!(
                "it is truncated or not a ring document (line {}, column {})",
                error.line(),
                error.column()
            ))
        };
        // The format comes first: another version may have other members, and deserves a better error.
        let tag: Tag = json::read(bytes).map_err(not_json)?;
        if tag.format != FORMAT {
            return Err(Damage::new(format!(
                "its format is {:?}, but this version of Signet reads only {FORMAT:?}; run the version that wrote it",
                tag.format
            )));
        }
        let document: DocumentJson = json::read(bytes).map_err(not_json)?;
        if document.ring != ring {
            return Err(Damage::new(format!(
                "it is the ring {:?}, but the settings name {ring:?}",
                document.ring
            )));
        }
        let decode = |what: &str, text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_| Damage::new(format!("its {what} is not base64")))
        };
        let wrapped_ring_key = decode("ring_key", &document.ring_key)?;
        Ok(Self {
            generation: document.generation,
            mac: decode("mac", &document.mac)?,
            message: message(ring, document.generation, &wrapped_ring_key, document.body.get()),
            wrapped_ring_key,
            body: document.body,
        })
    }

    pub(crate) fn wrapped_ring_key(&self) -> &[u8] {
        &self.wrapped_ring_key
    }

    /// Verifies the MAC, and then reads and validates the keys.
    pub(crate) fn verify(self, key: &RingKey) -> Result<Document, Damage> {
        hmac::verify(&key.hmac(), &self.message, &self.mac)
            .map_err(|_| Damage::new("its authentication code is wrong: something other than Signet changed it"))?;
        let body: BodyJson =
            json::read(self.body.get().as_bytes()).map_err(|error| Damage::new(format!("its body: {error}")))?;
        let keys = body
            .keys
            .into_iter()
            .map(Entry::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        let mut kids = HashSet::new();
        if let Some(twice) = keys.iter().find(|key| !kids.insert(key.kid())) {
            return Err(Damage::new(format!("it has key {} twice", twice.kid())));
        }
        if !are_in_order(&keys) {
            return Err(Damage::new("its keys are not in the order of their creation"));
        }
        Ok(Document {
            generation: self.generation,
            mac: self.mac,
            wrapped_ring_key: self.wrapped_ring_key,
            keys,
        })
    }
}

impl Document {
    pub(crate) fn newest(&self) -> Option<&Entry> {
        self.keys.last()
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Entry> {
        self.keys.iter().find(|key| key.kid().as_str() == kid)
    }

    /// Composes the next document with these keys, and returns it with its bytes.
    pub(crate) fn compose(
        ring: &str,
        generation: u64,
        key: &RingKey,
        wrapped_ring_key: Vec<u8>,
        keys: Vec<Entry>,
    ) -> Result<(Self, Vec<u8>), Damage> {
        let library = |error: serde_json::Error| Damage::new(format!("it cannot be written: {error}"));
        let body = BodyJson {
            keys: keys.iter().map(Entry::to_json).collect::<Result<_, _>>()?,
        };
        // JSON strings contain no raw line feeds, so this only indents lines.
        let body = serde_json::to_string_pretty(&body)
            .map_err(library)?
            .replace('\n', "\n  ");
        let mac = hmac::sign(&key.hmac(), &message(ring, generation, &wrapped_ring_key, &body));
        let json = DocumentJson {
            format: FORMAT.to_owned(),
            ring: ring.to_owned(),
            generation,
            ring_key: STANDARD.encode(&wrapped_ring_key),
            mac: STANDARD.encode(mac.as_ref()),
            body: RawValue::from_string(body).map_err(library)?,
        };
        let mut bytes = serde_json::to_vec_pretty(&json).map_err(library)?;
        bytes.push(b'\n');
        if bytes.len() > LONGEST {
            return Err(Damage::new(format!("it would be longer than {LONGEST} bytes")));
        }
        let document = Self {
            generation,
            mac: mac.as_ref().to_vec(),
            wrapped_ring_key,
            keys,
        };
        Ok((document, bytes))
    }
}

/// Whether the keys are in order of creation. A revoked key may have a creation time in the future; the time of its
/// successor counts then ([`signet_core::ring::in_order`]).
fn are_in_order(keys: &[Entry]) -> bool {
    let mut last = None;
    keys.iter().all(|key| {
        let record = &key.record;
        let is_younger = last.is_none_or(|last| last < record.created_at);
        if record.revoked.is_none() {
            last = Some(record.created_at);
        }
        is_younger
    })
}

/// The bytes over which the MAC is computed.
fn message(ring: &str, generation: u64, wrapped_ring_key: &[u8], body: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + wrapped_ring_key.len() + ring.len() + 128);
    for part in [
        FORMAT.as_bytes(),
        ring.as_bytes(),
        &generation.to_be_bytes(),
        wrapped_ring_key,
        body.as_bytes(),
    ] {
        push(&mut bytes, part);
    }
    bytes
}
