//! [`Checked`]: verifies every answer of a provider before it is used.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use signet_api::{
    Answer, Capabilities, Check, Custody, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation, ProviderError, Trials,
};
use signet_base::Clock;
use signet_core::signing_key::Signature;
use signet_core::{KeyRecord, Kid, Revocation, SigningKey, Timestamp};

use crate::memory::{Contradiction, Memory};
use crate::words;

/// A provider whose answers are checked before they are trusted: each is about the right key, the key is unchanged, and
/// each signature verifies.
///
/// | answer | refused as `BadAnswer` if |
/// |---|---|
/// | `list`, `create` | a kid appears twice |
/// | `list`, `create` | the algorithm, creation time or terms of a known key have changed |
/// | `list`, `create` | another key is in the place of a known one, or a revocation has disappeared |
/// | `create` | the key is the one that needs a successor, or older, unless that one is revoked |
/// | `create` | the key is for another algorithm |
/// | `sign` | the signature does not verify under the listed public key |
/// | `unseal` | the private key does not belong to the listed public key |
/// | `unseal` | a provider with remote custody returned a private key |
///
/// A kid needs no check, because `VerifyingKey` computes it as the thumbprint of the key. If this process saw that a
/// key was revoked, `sign` and `unseal` refuse it here for the life of the process, whatever the provider does.
///
/// For a short time ([`SETTLING`](signet_api::SETTLING)), a list may lack the newest changes. A key that this process
/// created is then added to the list, and a revocation that it saw is restored.
///
/// *A clock that is off* by more than the skew does not cause a refusal. If the provider's clock is ahead, its keys
/// only activate later, and refusing the list would take away the ring that promise 1 needs. If it is behind, a key
/// activates before all replicas have it (promise 2). Both are logged, once for each key, and `check` fails one of its
/// lines while a key from the future is listed.
#[derive(Debug)]
pub struct Checked {
    inner: Arc<dyn KeyProvider>,
    clock: Arc<dyn Clock>,
    skew: Duration,
    memory: Mutex<Memory>,
    watch: Mutex<Watch>,
}

/// What is needed to judge creation times.
#[derive(Debug, Default)]
struct Watch {
    /// When the last list was requested. A key that is not in it was created later.
    listed_at: Option<Timestamp>,
    /// The keys with a wrong creation time. Each is logged once.
    logged: BTreeSet<Kid>,
}

impl Checked {
    /// Wraps this provider. `skew` is how far any clock may be off (`SIGNET_CLOCK_SKEW`).
    #[must_use]
    pub fn new(inner: Arc<dyn KeyProvider>, clock: Arc<dyn Clock>, skew: Duration) -> Self {
        Self {
            inner,
            clock,
            skew,
            memory: Mutex::default(),
            watch: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock()
    }

    fn error(&self, operation: Operation, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(self.inner.capabilities().provider, operation, kind, text.into())
    }

    fn bad_answer(&self, operation: Operation, what: impl AsRef<str>) -> ProviderError {
        let text = format!(
            "the provider's answer is refused: {}. The ring stays as it was. Somebody changed the key or its record, \
             or intercepts the connection to the provider: tell the security engineer, and check the \
             provider's audit log",
            what.as_ref()
        );
        self.error(operation, ErrorKind::BadAnswer, text)
    }

    fn contradiction(&self, operation: Operation, contradiction: &Contradiction) -> ProviderError {
        let what = match contradiction {
            Contradiction::Twice(kid) => format!("key {kid} is listed twice"),
            Contradiction::Changed(kid, what) => {
                format!("the {what} of key {kid} changed after this process last read it, but a key never changes")
            }
            Contradiction::Exchanged(old, new) => format!(
                "key {old} was replaced by key {new}, which has the same creation record: tokens of the old key \
                 would be refused, and tokens of a foreign key accepted"
            ),
            Contradiction::Unmarked(kid) => format!(
                "key {kid} was revoked, but its revocation mark is gone, so a stolen key would be accepted again. \
                 This process still refuses it; run `signet keys revoke {kid}` again before other \
                 sidecars restart"
            ),
        };
        self.bad_answer(operation, what)
    }

    /// Refuses a key that this process knows to be revoked.
    fn refuse_revoked(&self, operation: Operation, kid: &Kid) -> Result<(), ProviderError> {
        if !self.memory().is_revoked(kid) {
            return Ok(());
        }
        let text = format!("key {kid} is revoked and cannot be used again. Use the newest key of the ring");
        Err(self.error(operation, ErrorKind::KeyUnusable, text))
    }

    /// Describes how far a clock is off by which the key was created after `last` or before `first`.
    fn drift(&self, key: &KeyRecord, first: Option<Timestamp>, last: Timestamp) -> Option<String> {
        let created = key.created_at;
        let ahead = created.since(last);
        let behind = first.map_or(Duration::ZERO, |first| first.since(created));
        let (off, direction, meaning) = match () {
            () if ahead > self.skew => (ahead, "ahead of", "Its keys start to sign later than the policy says"),
            () if behind > self.skew => (behind, "behind", "Its keys may sign before every verifier has them"),
            () => return None,
        };
        Some(format!(
            "the clock of {} is {} {direction} the clock of this machine, by the creation time of key {}, but \
             SIGNET_CLOCK_SKEW allows only {}. {meaning}. Check the clock of this machine (NTP). If it \
             is right, the clock of the provider is wrong, or the clock of the machine that created the key was: \
             correct that clock. Do not just raise SIGNET_CLOCK_SKEW: expired tokens would be accepted for that much \
             longer",
            self.capabilities().provider,
            words::span(off),
            key.kid(),
            words::span(self.skew)
        ))
    }

    fn log_drift(&self, key: &KeyRecord, first: Option<Timestamp>, last: Timestamp) {
        if let Some(text) = self.drift(key, first, last)
            && self.watch().logged.insert(key.kid().clone())
        {
            tracing::warn!(kid = %key.kid(), "{text}");
        }
    }

    /// Checks that a new key is the one that was requested.
    fn judge_created(&self, new: &NewKey, key: &KeyRecord) -> Result<(), ProviderError> {
        const CREATE: Operation = Operation::Create;
        let memory = self.memory();
        let predecessor = new.successor_of.as_ref();
        if predecessor == Some(key.kid()) {
            let what = format!("the provider returned key {} as its own successor", key.kid());
            return Err(self.bad_answer(CREATE, what));
        }
        if let Some(before) = predecessor.and_then(|kid| memory.record(kid))
            && before.revoked.is_none()
            && key.creation_order(before).is_lt()
        {
            let what = format!(
                "key {} is the successor of key {}, but was created before it. The provider's clock may have been \
                 set back",
                key.kid(),
                before.kid()
            );
            return Err(self.bad_answer(CREATE, what));
        }
        // The key is ours if it has the terms of our request. Another replica may have asked for another algorithm.
        let is_ours = memory.record(key.kid()).is_none()
            && key.terms.is_none_or(|terms| terms == new.terms)
            && key.predecessor.as_ref().is_none_or(|kid| Some(kid) == predecessor);
        if is_ours && key.public.algorithm() != new.algorithm {
            let what = format!(
                "a key for {} was requested, but key {} is for {}. Another replica with another SIGNET_ALGORITHM may \
                 have created it at the same moment",
                new.algorithm,
                key.kid(),
                key.public.algorithm()
            );
            return Err(self.bad_answer(CREATE, what));
        }
        Ok(())
    }
}

#[async_trait]
impl KeyProvider for Checked {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let began = self.clock.now();
        let listed = self.inner.list().await?;
        let believed = self.memory().take_list(listed, &*self.clock);
        let believed = believed.map_err(|contradiction| self.contradiction(Operation::List, &contradiction))?;
        self.watch().listed_at = Some(began);
        let now = self.clock.now();
        for key in &believed {
            self.log_drift(key, None, now);
        }
        Ok(believed)
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        let began = self.clock.now();
        let mut key = self.inner.create(new).await?;
        self.judge_created(new, &key)?;
        let is_new = self.memory().record(key.kid()).is_none();
        let taken = self.memory().take_created(&mut key, &*self.clock);
        taken.map_err(|contradiction| self.contradiction(Operation::Create, &contradiction))?;
        // A key that was missing in the last list is younger than that list, even if another replica created it.
        let listed_at = self.watch().listed_at.filter(|_| is_new);
        let first = listed_at.map(|listed_at| listed_at.min(began));
        self.log_drift(&key, first, self.clock.now());
        Ok(key)
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        self.refuse_revoked(Operation::Sign, kid)?;
        let signature = self.inner.sign(kid, message).await?;
        // The key may have been revoked while the provider was computing.
        self.refuse_revoked(Operation::Sign, kid)?;
        let public = self.memory().public(kid);
        match public {
            Some(public) if !public.verifies(message, signature.as_ref()) => {
                let what = format!("the signature does not verify with the public key of key {kid}");
                Err(self.bad_answer(Operation::Sign, what))
            }
            // A key that was never listed here cannot be checked; the caller must know it from elsewhere.
            _ => Ok(signature),
        }
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        const UNSEAL: Operation = Operation::Unseal;
        self.refuse_revoked(UNSEAL, kid)?;
        let unsealed = self.inner.unseal(kid).await?;
        self.refuse_revoked(UNSEAL, kid)?;
        let Some(private) = &unsealed else {
            return Ok(None);
        };
        if self.capabilities().custody == Custody::Remote {
            let what = format!("the provider returned the private key of {kid}, which must never leave it");
            return Err(self.bad_answer(UNSEAL, what));
        }
        let (is, public) = (private.verifying_key(), self.memory().public(kid));
        if is.kid() != kid || public.is_some_and(|public| public.algorithm() != is.algorithm()) {
            let what = format!("the private key does not belong to the public key of key {kid}");
            return Err(self.bad_answer(UNSEAL, what));
        }
        Ok(unsealed)
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        self.inner.retire(kid, action).await?;
        if action == ExpiredKeys::Destroy {
            self.memory().on_destroyed(kid);
        }
        Ok(())
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        self.inner.revoke(kid, revocation).await?;
        self.memory().on_revoked(kid, revocation, &*self.clock);
        Ok(())
    }

    async fn check(&self, trials: &mut Trials) {
        self.inner.check(trials).await;
        // Only the keys of the ring show the provider's clock. The check above reports whether the ring can be read.
        if trials.is_over() || !trials.rows().iter().any(|check| check.answer.is_yes()) {
            return;
        }
        let listed = self.list().await.unwrap_or_default();
        let now = self.clock.now();
        if let Some(text) = listed.iter().find_map(|key| self.drift(key, None, now)) {
            trials.push(Check {
                permission: "a clock that agrees with this machine's".to_owned(),
                needed_for: "publishing keys before they sign",
                answer: Answer::No(self.error(Operation::Check, ErrorKind::BadAnswer, text)),
                grant: None,
            });
        }
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.prune().await
    }
}
