//! Reads and writes the ring document through the sealer and the store, and detects rollbacks.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError};

use crate::context::{Context, Purpose};
use crate::damage::Damage;
use crate::document::{Document, RingKey, Unverified};
use crate::entry::Entry;
use crate::sealer::Sealer;
use crate::store::{RingStore, Swap, Version};

/// The ring of one handle.
#[derive(Debug)]
pub(crate) struct Ring<S, R> {
    pub(crate) name: String,
    pub(crate) provider: &'static str,
    pub(crate) sealer: S,
    pub(crate) store: R,
    memory: Mutex<Memory>,
}

/// What this process has seen of the ring. Answers that contradict it are refused.
#[derive(Debug, Default)]
struct Memory {
    /// The decrypted ring key. With it, the ring can be read while the sealer is down.
    ring_key: Option<Arc<RingKey>>,
    /// The last document seen. An older one, or a different one of the same generation, is a rollback.
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    generation: u64,
    mac: Vec<u8>,
}

/// A document with what is needed to write the next one.
pub(crate) struct Reading {
    pub(crate) document: Document,
    version: Version,
    ring_key: Arc<RingKey>,
}

impl<S: Sealer, R: RingStore> Ring<S, R> {
    pub(crate) fn new(name: String, provider: &'static str, sealer: S, store: R) -> Self {
        Self {
            name,
            provider,
            sealer,
            store,
            memory: Mutex::default(),
        }
    }

    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(self.provider, operation, kind, text.into())
    }

    /// Adds the provider and the operation to an error of the sealer or the store, which do not know them.
    pub(crate) fn own(&self, operation: Operation) -> impl Fn(ProviderError) -> ProviderError {
        let provider = self.provider;
        move |mut error| {
            error.provider = provider;
            error.operation = operation;
            error
        }
    }

    fn damaged(&self, operation: Operation, damage: &Damage) -> ProviderError {
        self.error(
            operation,
            ErrorKind::BadAnswer,
            format!(
                "the ring in {} is refused: {damage}. Nothing was changed, and no new ring is created. Restore it \
                 from a backup; if nobody in your team changed it, treat it as an attack",
                self.store.location()
            ),
        )
    }

    /// Reads the ring and checks everything about it. `None` if there never was one.
    pub(crate) async fn read(&self, operation: Operation) -> Result<Option<Reading>, ProviderError> {
        // The answer must not be older than what was seen before the request. While the request runs, another task may
        // see a newer document than the answer has.
        let seen = self.memory().seen.clone();
        let Some(stored) = self.store.load().await.map_err(self.own(operation))? else {
            return match seen {
                None => Ok(None),
                Some(seen) => Err(self.error(
                    operation,
                    ErrorKind::BadAnswer,
                    format!(
                        "the ring in {} has disappeared; this process last read its generation {}. It creates no new \
                         ring: restore the ring from a backup. Do not restart Signet before \
                         that, because it could take this for a first start and create a new \
                         ring. If you have only an older backup, restore it, and then \
                         restart Signet to accept it",
                        self.store.location(),
                        seen.generation
                    ),
                )),
            };
        };
        let damaged = |damage: Damage| self.damaged(operation, &damage);
        let unverified = Unverified::parse(&stored.bytes, &self.name).map_err(damaged)?;
        let known = self.memory().ring_key.clone();
        let ring_key = match known {
            Some(key) => key,
            None => {
                let context = Context::new(&self.name, Purpose::RingKey);
                let octets = self
                    .sealer
                    .unwrap(unverified.wrapped_ring_key(), &context)
                    .await
                    .map_err(self.own(operation))?;
                Arc::new(RingKey::from_octets(&octets).map_err(damaged)?)
            }
        };
        let document = unverified.verify(&ring_key).map_err(|damage| {
            self.damaged(
                operation,
                &match seen {
                    None => damage,
                    Some(_) => Damage::new(format!(
                        "{damage} (or it is a new ring; if you started one on purpose, restart Signet to accept it)"
                    )),
                },
            )
        })?;
        if let Some(seen) = &seen
            && (document.generation < seen.generation
                || (document.generation == seen.generation && document.mac != seen.mac))
        {
            return Err(self.error(
                operation,
                ErrorKind::BadAnswer,
                format!(
                    "the ring in {} was rolled back: it is generation {}, but this process has read generation {} \
                     with other content. A revocation could be missing. If you restored a backup \
                     on purpose, restart Signet to accept it; if not, treat it as an attack",
                    self.store.location(),
                    document.generation,
                    seen.generation
                ),
            ));
        }
        self.remember(&document, &ring_key);
        Ok(Some(Reading {
            document,
            version: stored.version,
            ring_key,
        }))
    }

    /// Replaces the document that was read. `false` means that another writer was first and nothing has changed.
    pub(crate) async fn write(
        &self,
        operation: Operation,
        before: Option<&Reading>,
        keys: Vec<Entry>,
    ) -> Result<bool, ProviderError> {
        let failed = |damage: Damage| {
            self.error(
                operation,
                ErrorKind::Unavailable,
                format!("the next ring for {}: {damage}", self.store.location()),
            )
        };
        let (generation, ring_key, wrapped) = match before {
            Some(reading) => (
                reading.document.generation.saturating_add(1),
                Arc::clone(&reading.ring_key),
                reading.document.wrapped_ring_key.clone(),
            ),
            None => {
                let key = Arc::new(RingKey::generate().map_err(failed)?);
                let context = Context::new(&self.name, Purpose::RingKey);
                let wrapped = self
                    .sealer
                    .wrap(key.octets(), &context)
                    .await
                    .map_err(self.own(operation))?;
                (1, key, wrapped)
            }
        };
        let (document, bytes) = Document::compose(&self.name, generation, &ring_key, wrapped, keys).map_err(failed)?;
        let version = before.map(|reading| &reading.version);
        match self
            .store
            .compare_and_swap(version, &bytes)
            .await
            .map_err(self.own(operation))?
        {
            Swap::Stored(_) => {
                self.remember(&document, &ring_key);
                Ok(true)
            }
            Swap::Lost => Ok(false),
        }
    }

    fn remember(&self, document: &Document, ring_key: &Arc<RingKey>) {
        let mut memory = self.memory();
        if memory.ring_key.is_none() {
            memory.ring_key = Some(Arc::clone(ring_key));
        }
        if memory
            .seen
            .as_ref()
            .is_none_or(|seen| seen.generation < document.generation)
        {
            memory.seen = Some(Seen {
                generation: document.generation,
                mac: document.mac.clone(),
            });
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }
}
