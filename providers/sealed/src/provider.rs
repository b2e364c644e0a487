//! [`Sealed`]: implements the calls of the contract as changes of the ring document.
//!
//! Every change is one compare-and-swap of the whole document, so no call can leave a partial change. A key pair or
//! ciphertext that was made before the swap exists only in memory, and disappears when the call ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_api::{
    Answer, Capabilities, Claim, CreateDecision, Custody, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation,
    ProviderError, Trials, may_retire,
};
use signet_base::Clock;
use signet_core::algorithm::KeyType;
use signet_core::signing_key::{Signature, SigningKeyError};
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation, SigningKey};
use tokio::sync::Mutex;

use crate::context::{Context, Purpose};
use crate::document::Document;
use crate::entry::Entry;
use crate::ring::Ring;
use crate::sealer::Sealer;
use crate::store::RingStore;

/// The number of attempts at a swap. A swap fails only if another one succeeded; so many
/// failures in a row are not a race.
const TRIES: usize = 64;
/// The maximum number of disabled keys to keep. Revoked keys are not counted and are always kept.
const MOST_DISABLED: usize = 64;

/// A key provider that combines a sealer and a store.
pub struct Sealed<S, R> {
    ring: Ring<S, R>,
    clock: Arc<dyn Clock>,
    /// Allows one creation at a time in this process. Parallel ones would generate key pairs only to discard them.
    creating: Mutex<()>,
}

impl<S: Sealer, R: RingStore> Sealed<S, R> {
    /// The ring of this name in `store`, sealed by `sealer`. Nothing is read or written yet.
    ///
    /// `provider` is the name for errors and metrics.
    pub fn new(ring: impl Into<String>, provider: &'static str, sealer: S, store: R, clock: Arc<dyn Clock>) -> Self {
        Self {
            ring: Ring::new(ring.into(), provider, sealer, store),
            clock,
            creating: Mutex::new(()),
        }
    }

    /// Generates a key pair and encrypts its private half. The key is newer than all keys of the ring.
    async fn entry(&self, new: &NewKey, key: &SigningKey, before: &[Entry]) -> Result<Entry, ProviderError> {
        let (now, newest) = (self.clock.now(), before.last());
        // Two keys never share a creation time, and a clock that was set back does not make a key older than
        // an existing one. Revoked keys do not count: if a revoked key has a date in the future, its
        // successor must not get one too.
        let used = before.iter().filter(|entry| entry.record.revoked.is_none());
        let created_at = used.fold(now, |at, entry| {
            at.max(entry.record.created_at.plus(Duration::from_millis(1)))
        });
        let terms = new.terms;
        let mut entry = Entry {
            record: KeyRecord {
                public: key.verifying_key().clone(),
                created_at,
                sequence: 0,
                predecessor: newest.map(|newest| newest.kid().clone()),
                terms: Some(terms),
                state: KeyState::Enabled,
                revoked: None,
            },
            terms,
            wrapped: None,
        };
        let plaintext = key
            .to_pkcs8()
            .map_err(|error| self.library(Operation::Create, &error))?;
        let wrapped = self
            .ring
            .sealer
            .wrap(&plaintext, &entry.context(&self.ring.name))
            .await
            .map_err(self.ring.own(Operation::Create))?;
        entry.wrapped = Some(wrapped);
        Ok(entry)
    }

    /// Changes one key of the ring. `change` returns `None` if there is nothing to write.
    async fn change(
        &self,
        operation: Operation,
        kid: &Kid,
        change: impl Fn(&Document, usize) -> Result<Option<Vec<Entry>>, String> + Send + Sync,
    ) -> Result<(), ProviderError> {
        for _ in 0..TRIES {
            let reading = self.ring.read(operation).await?;
            let Some((reading, index)) = reading.and_then(|reading| {
                let index = reading.document.keys.iter().position(|key| key.kid() == kid)?;
                Some((reading, index))
            }) else {
                return Err(self.unknown(operation, kid));
            };
            let keys = change(&reading.document, index)
                .map_err(|text| self.ring.error(operation, ErrorKind::KeyUnusable, text))?;
            let Some(keys) = keys else {
                return Ok(());
            };
            if self.ring.write(operation, Some(&reading), keys).await? {
                return Ok(());
            }
        }
        Err(self.outrun(operation))
    }

    /// Decrypts the private key of a key that may sign.
    async fn unsealed(&self, operation: Operation, kid: &Kid) -> Result<SigningKey, ProviderError> {
        let reading = self.ring.read(operation).await?;
        let entry = reading
            .as_ref()
            .and_then(|reading| reading.document.find(kid.as_str()))
            .ok_or_else(|| self.unknown(operation, kid))?;
        if entry.record.revoked.is_some() {
            return Err(self
                .ring
                .error(operation, ErrorKind::KeyUnusable, format!("key {kid} was revoked")));
        }
        let Some(wrapped) = entry.wrapped.as_deref() else {
            let text = format!("key {kid} was retired and its private key was erased");
            return Err(self.ring.error(operation, ErrorKind::KeyUnusable, text));
        };
        let pkcs8 = self
            .ring
            .sealer
            .unwrap(wrapped, &entry.context(&self.ring.name))
            .await
            .map_err(self.ring.own(operation))?;
        let algorithm = entry.record.public.algorithm();
        let key = self
            .compute(operation, algorithm, move || SigningKey::from_pkcs8(algorithm, &pkcs8))
            .await?
            .map_err(|error| self.mismatch(operation, kid, &error.to_string()))?;
        if key.verifying_key().public() != entry.record.public.public() {
            return Err(self.mismatch(operation, kid, "it is the private key of another public key"));
        }
        Ok(key)
    }

    /// Runs long computations on a thread where no other request waits.
    async fn compute<T: Send + 'static>(
        &self,
        operation: Operation,
        algorithm: Algorithm,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ProviderError> {
        if algorithm.key_type() != KeyType::Rsa {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| {
            self.ring.error(
                operation,
                ErrorKind::Unavailable,
                "the computation was cancelled, because the process is stopping",
            )
        })
    }

    fn unknown(&self, operation: Operation, kid: &Kid) -> ProviderError {
        let text = format!("the ring in {} has no key {kid}", self.ring.store.location());
        self.ring.error(operation, ErrorKind::NotFound, text)
    }

    fn outrun(&self, operation: Operation) -> ProviderError {
        let text = format!(
            "other sidecars changed the ring in {} {TRIES} times in a row, so nothing was done; Signet tries again",
            self.ring.store.location()
        );
        self.ring.error(operation, ErrorKind::Unavailable, text)
    }

    fn mismatch(&self, operation: Operation, kid: &Kid, why: &str) -> ProviderError {
        let text = format!(
            "the decrypted private key of key {kid} in {} is wrong: {why}. Restore the ring from a backup; if nobody \
             in your team changed it, treat it as an attack",
            self.ring.store.location()
        );
        self.ring.error(operation, ErrorKind::BadAnswer, text)
    }

    fn library(&self, operation: Operation, error: &SigningKeyError) -> ProviderError {
        self.ring.error(operation, ErrorKind::Unavailable, error.to_string())
    }
}

#[async_trait]
impl<S: Sealer, R: RingStore> KeyProvider for Sealed<S, R> {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: self.ring.provider,
            custody: Custody::Sealed,
            algorithms: &Algorithm::ALL,
            claim: Claim::Atomic,
            longest_message: |_| None,
            reads: None,
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let reading = self.ring.read(Operation::List).await?;
        Ok(reading.map_or_else(Vec::new, |reading| {
            reading.document.keys.into_iter().map(|key| key.record).collect()
        }))
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        const CREATE: Operation = Operation::Create;
        let _turn = self.creating.lock().await;
        let mut pair = None;
        for _ in 0..TRIES {
            let reading = self.ring.read(CREATE).await?;
            let newest = reading.as_ref().and_then(|reading| reading.document.newest());
            match new.decide(newest.map(|newest| &newest.record)) {
                CreateDecision::New => {}
                CreateDecision::Newest(_) if signet_core::faults::has("the claim is ignored") => {}
                CreateDecision::Newest(newest) => return Ok(newest.clone()),
                CreateDecision::Lost(kid) => return Err(self.unknown(CREATE, kid)),
            }
            let key = match &pair {
                Some(key) => key,
                None => {
                    let (algorithm, bits) = (new.algorithm, new.rsa_bits);
                    let key = self
                        .compute(CREATE, algorithm, move || SigningKey::generate(algorithm, bits))
                        .await?
                        .map_err(|error| self.library(CREATE, &error))?;
                    pair.insert(key)
                }
            };
            let mut keys = reading
                .as_ref()
                .map_or_else(Vec::new, |reading| reading.document.keys.clone());
            let entry = self.entry(new, key, &keys).await?;
            let record = entry.record.clone();
            keys.push(entry);
            if self.ring.write(CREATE, reading.as_ref(), keys).await? {
                return Ok(record);
            }
        }
        Err(self.outrun(CREATE))
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        let key = self.unsealed(Operation::Sign, kid).await?;
        let message = message.to_vec();
        self.compute(Operation::Sign, key.verifying_key().algorithm(), move || {
            key.sign(&message)
        })
        .await?
        .map_err(|error| self.library(Operation::Sign, &error))
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        self.unsealed(Operation::Unseal, kid).await.map(Some)
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        self.change(Operation::Retire, kid, |document, index| {
            may_retire(document.keys.iter().map(|key| &key.record), kid).map_err(|failure| failure.text)?;
            let mut keys = document.keys.clone();
            let key = &mut keys[index];
            match action {
                // A revoked key stays revoked. It is never removed, because the revocation would be lost.
                _ if key.record.revoked.is_some() => return Ok(None),
                ExpiredKeys::Disable if !key.is_enabled() => return Ok(None),
                ExpiredKeys::Disable => {
                    key.disable();
                    forget_oldest_disabled(&mut keys);
                }
                ExpiredKeys::Destroy => {
                    keys.remove(index);
                }
            }
            Ok(Some(keys))
        })
        .await
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        self.change(Operation::Revoke, kid, |document, index| {
            let mut keys = document.keys.clone();
            let key = &mut keys[index];
            if key.record.revoked.is_some() {
                return Ok(None);
            }
            key.record.revoked = Some(revocation.clone());
            key.disable();
            Ok(Some(keys))
        })
        .await
    }

    async fn check(&self, trials: &mut Trials) {
        self.ring.store.check(trials).await;
        self.ring.sealer.check(trials).await;
        let ring = format!("read and authenticate the ring in {}", self.ring.store.location());
        let read = self.ring.read(Operation::Check);
        trials.property(ring, "publishing and verifying", read).await;
        let wrapping = "encrypt a secret and decrypt it again";
        trials
            .property(wrapping, "creating keys and signing with them", self.round_trip())
            .await;
        for check in trials.rows_mut() {
            if let Answer::No(error) | Answer::Failed(error) = &mut check.answer {
                error.provider = self.ring.provider;
            }
        }
    }

    /// A swap leaves nothing behind that would have to be deleted.
    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

impl<S: Sealer, R: RingStore> Sealed<S, R> {
    async fn round_trip(&self) -> Result<(), ProviderError> {
        const TRIAL: &[u8] = b"signet check";
        let context = Context::new(&self.ring.name, Purpose::Trial);
        let wrapped = self.ring.sealer.wrap(TRIAL, &context).await?;
        let unwrapped = self.ring.sealer.unwrap(&wrapped, &context).await?;
        if unwrapped.as_slice() == TRIAL {
            Ok(())
        } else {
            let text = "the provider decrypted something other than what it had encrypted";
            Err(self.ring.error(Operation::Check, ErrorKind::BadAnswer, text))
        }
    }
}

impl<S, R> fmt::Debug for Sealed<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} {:?})", self.ring.provider, self.ring.name)
    }
}

fn forget_oldest_disabled(keys: &mut Vec<Entry>) {
    let counts = |key: &Entry| !key.is_enabled() && key.record.revoked.is_none();
    let mut surplus = keys
        .iter()
        .filter(|key| counts(key))
        .count()
        .saturating_sub(MOST_DISABLED);
    keys.retain(|key| {
        let goes = surplus > 0 && counts(key);
        surplus -= usize::from(goes);
        !goes
    });
}
