//! The guard trait, and the provider that applies a guard to all its calls.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use signet_api::{Capabilities, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation, ProviderError, Trials};
use signet_core::signing_key::Signature;
use signet_core::{KeyRecord, Kid, Revocation, SigningKey};

use crate::words;

/// One invocation of a method of [`KeyProvider`], which a guard controls. It may make several calls to the service of the
/// provider (`signet_api::Call`), each with its own permission and resource. The guard does not see those.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// The name of the provider, as in its capabilities.
    pub provider: &'static str,
    /// The operation of the call.
    pub operation: Operation,
    /// The key that the call names, if it names an existing one.
    pub kid: Option<&'a Kid>,
}

impl Invocation<'_> {
    /// Makes an error that the guard itself raises.
    pub fn error(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(self.provider, self.operation, kind, text.into())
    }
}

/// A guard around the calls of a provider. It decides whether, when and how often each call is made.
pub trait Guard: Debug + Send + Sync {
    /// Carries out a call. `attempt` makes it once. A guard may call it never, once or several times, because the
    /// contract allows every call to be repeated. The future may be dropped at any point.
    fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> impl Future<Output = Result<T, ProviderError>> + Send
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send;

    /// Handles a key that `create` returned.
    fn on_created(&self, _kid: &Kid) {}

    /// Handles a key that `retire` has disabled or destroyed. The provider may not find it afterwards.
    fn on_retired(&self, _kid: &Kid) {}

    /// The time limit for `check` and `prune`. `None` means no limit. An operator runs these and waits for the result,
    /// so no guard repeats, paces or interrupts them.
    fn patience(&self) -> Option<Duration> {
        None
    }
}

/// A provider with a guard around each of its calls.
#[derive(Debug)]
pub struct Guarded<A> {
    guard: A,
    inner: Arc<dyn KeyProvider>,
}

impl<A: Guard> Guarded<A> {
    /// Puts this guard around this provider.
    pub fn new(inner: Arc<dyn KeyProvider>, guard: A) -> Self {
        Self { guard, inner }
    }

    fn call<'a>(&self, operation: Operation, kid: Option<&'a Kid>) -> Invocation<'a> {
        Invocation {
            provider: self.inner.capabilities().provider,
            operation,
            kid,
        }
    }
}

/// Adds guards to a provider. The first one added is the closest to the provider.
pub trait GuardExt {
    /// Returns the provider with this guard around it.
    fn guarded(self, guard: impl Guard + 'static) -> Arc<dyn KeyProvider>;
}

impl GuardExt for Arc<dyn KeyProvider> {
    fn guarded(self, guard: impl Guard + 'static) -> Arc<dyn KeyProvider> {
        Arc::new(Guarded::new(self, guard))
    }
}

#[async_trait]
impl<A: Guard> KeyProvider for Guarded<A> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let call = self.call(Operation::List, None);
        self.guard.run(call, || self.inner.list()).await
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        let call = self.call(Operation::Create, None);
        let created = self.guard.run(call, || self.inner.create(new)).await?;
        self.guard.on_created(created.kid());
        Ok(created)
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        let call = self.call(Operation::Sign, Some(kid));
        self.guard.run(call, || self.inner.sign(kid, message)).await
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        let call = self.call(Operation::Unseal, Some(kid));
        self.guard.run(call, || self.inner.unseal(kid)).await
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        let repeated = AtomicBool::new(false);
        let attempt = || async {
            let repeats = repeated.swap(true, Ordering::Relaxed);
            match self.inner.retire(kid, action).await {
                // An earlier attempt destroyed the key, but its answer was lost.
                Err(error) if repeats && action == ExpiredKeys::Destroy && error.kind == ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            }
        };
        let call = self.call(Operation::Retire, Some(kid));
        self.guard.run(call, attempt).await?;
        self.guard.on_retired(kid);
        Ok(())
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        let call = self.call(Operation::Revoke, Some(kid));
        self.guard.run(call, || self.inner.revoke(kid, revocation)).await
    }

    async fn check(&self, trials: &mut Trials) {
        let Some(patience) = self.guard.patience() else {
            return self.inner.check(trials).await;
        };
        let checked = tokio::time::timeout(patience, self.inner.check(trials)).await;
        if checked.is_err() {
            trials.on_timeout(too_slow(self.call(Operation::Check, None), patience));
        }
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        let Some(patience) = self.guard.patience() else {
            return self.inner.prune().await;
        };
        let pruned = tokio::time::timeout(patience, self.inner.prune()).await;
        pruned.unwrap_or_else(|_| Err(too_slow(self.call(Operation::Retire, None), patience)))
    }
}

pub(crate) fn too_slow(call: Invocation<'_>, deadline: Duration) -> ProviderError {
    let text = format!(
        "{} did not answer {} within {}. The provider is overloaded, or the network drops packets. Check the \
         provider's status page, then name resolution, network policies and the proxies of this machine",
        call.provider,
        call.operation.as_str(),
        words::span(deadline)
    );
    call.error(ErrorKind::TimedOut, text)
}
