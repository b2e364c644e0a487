//! A provider whose calls are counted and timed.

use std::future::Future;
use std::sync::Arc;

use signet_api::{Capabilities, Check, Fate, KeyProvider, NewKey, Operation, ProviderError, async_trait};
use signet_core::signing_key::Signature;
use signet_core::{KeyRecord, Kid, Revocation, SigningKey};
use tokio::time::Instant;

use crate::telemetry::metrics::Metrics;

/// Counts and times each call of the provider within.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn KeyProvider>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Wraps a provider.
    #[must_use]
    pub fn new(inner: Arc<dyn KeyProvider>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        let start = now();
        let outcome = call.await;
        let word = outcome.as_ref().map_or_else(|error| error.kind.as_str(), |_| "ok");
        let seconds = now().duration_since(start).as_secs_f64();
        self.metrics
            .called(self.inner.capabilities().provider, operation.as_str(), word, seconds);
        outcome
    }
}

/// The runtime's clock, which tests can hold: a span is measured, no instant is told.
fn now() -> Instant {
    Instant::now()
}

#[async_trait]
impl KeyProvider for Metered {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        self.call(Operation::List, self.inner.list()).await
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        self.call(Operation::Create, self.inner.create(new)).await
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        self.call(Operation::Sign, self.inner.sign(kid, message)).await
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        self.call(Operation::Unseal, self.inner.unseal(kid)).await
    }

    async fn retire(&self, kid: &Kid, fate: Fate) -> Result<(), ProviderError> {
        self.call(Operation::Retire, self.inner.retire(kid, fate)).await
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        self.call(Operation::Revoke, self.inner.revoke(kid, revocation)).await
    }

    async fn check(&self) -> Vec<Check> {
        self.inner.check().await
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.prune().await
    }
}
