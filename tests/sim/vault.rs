//! A simulated sealer and a simulated store, for the real `Sealed`.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;
use signet_api::{ErrorKind, ExpiredKeys, Operation, ProviderError, Trials};
use signet_core::jwk::Jwk;
use signet_core::{KeyRecord, KeyState, Kid, Revocation, Terms, Timestamp};
use signet_sealed::{Context, RingStore, Sealer, Stored, Swap, Version};
use zeroize::Zeroizing;

use crate::weather::Wire;
use crate::witness::Born;

/// A sealer that puts the context in front. The secrets of a simulation need no protection.
#[derive(Debug)]
pub(crate) struct SimSealer(pub(crate) Arc<Wire>);

#[async_trait]
impl Sealer for SimSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        self.0
            .ask(Operation::Create, || Ok([&context.to_bytes(), plaintext].concat()))
            .await
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.0
            .ask(Operation::Unseal, || {
                let plaintext = wrapped.strip_prefix(context.to_bytes().as_slice());
                let plaintext = plaintext.map(|plaintext| Zeroizing::new(plaintext.to_vec()));
                plaintext.ok_or_else(|| self.0.error(Operation::Unseal, ErrorKind::BadAnswer, "another context"))
            })
            .await
    }

    async fn check(&self, _: &mut Trials) {}
}

/// The document, and what the witness knows about it.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) ring: usize,
    document: Option<Vec<u8>>,
    swaps: u64,
}

impl Shelf {
    pub(crate) fn new(ring: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            ring,
            ..Self::default()
        }))
    }

    fn version(&self) -> Option<Version> {
        self.document.as_ref().map(|_| Version::new(self.swaps.to_string()))
    }
}

/// The store, accessed over one process's connection.
#[derive(Debug)]
pub(crate) struct SimStore {
    pub(crate) shelf: Arc<Mutex<Shelf>>,
    pub(crate) wire: Arc<Wire>,
}

#[async_trait]
impl RingStore for SimStore {
    fn location(&self) -> String {
        "the shelf".to_owned()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        self.wire
            .ask(Operation::List, || {
                let shelf = self.shelf.lock();
                let stored = |(bytes, version)| Stored { bytes, version };
                Ok(shelf.document.clone().zip(shelf.version()).map(stored))
            })
            .await
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        self.wire
            .ask(Operation::Create, || {
                let mut shelf = self.shelf.lock();
                if shelf.version().as_ref() != expected {
                    return Ok(Swap::Lost);
                }
                let before = shelf.document.replace(bytes.to_vec());
                shelf.swaps += 1;
                let (ring, version) = (shelf.ring, shelf.version());
                drop(shelf);
                self.tell(ring, before.as_deref(), bytes);
                Ok(version.map_or(Swap::Lost, Swap::Stored))
            })
            .await
    }

    async fn check(&self, _: &mut Trials) {}
}

/// The part of the ring document that the checks need.
#[derive(Deserialize)]
struct Page {
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    keys: Vec<PageKey>,
}

#[derive(Deserialize)]
struct PageKey {
    state: KeyState,
    revoked: Option<Revocation>,
    created_at_ms: Timestamp,
    predecessor: Option<Kid>,
    terms: Terms,
    public: serde_json::Value,
}

fn records(document: &[u8]) -> Vec<KeyRecord> {
    let page: Page = serde_json::from_slice(document).expect("a ring document");
    let record = |key: PageKey| KeyRecord {
        public: serde_json::from_value::<Jwk>(key.public)
            .ok()
            .and_then(|jwk| jwk.verifying_key().ok())
            .expect("a public key"),
        created_at: key.created_at_ms,
        sequence: 0,
        predecessor: key.predecessor,
        terms: Some(key.terms),
        state: key.state,
        revoked: key.revoked,
    };
    page.body.keys.into_iter().map(record).collect()
}

impl SimStore {
    /// Tells the witness what a swap changed.
    fn tell(&self, ring: usize, before: Option<&[u8]>, after: &[u8]) {
        let (before, after) = (before.map_or_else(Vec::new, records), records(after));
        let witness = &self.wire.witness;
        for key in &after {
            match before.iter().find(|old| old.kid() == key.kid()) {
                None => witness.born(
                    ring,
                    self.wire.caller,
                    Born {
                        record: key.clone(),
                        before: before.clone(),
                        successor_of: key.predecessor.clone(),
                    },
                ),
                Some(old) => {
                    if old.revoked.is_none() && key.revoked.is_some() {
                        witness.revoked(ring, key.kid());
                    } else if old.state != key.state {
                        witness.retired(ring, key.kid(), ExpiredKeys::Disable);
                    }
                }
            }
        }
        for old in &before {
            if !after.iter().any(|key| key.kid() == old.kid()) {
                witness.retired(ring, old.kid(), ExpiredKeys::Destroy);
            }
        }
    }
}
