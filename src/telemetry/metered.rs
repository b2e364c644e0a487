//! A guard that counts and times the calls of a provider.

use std::future::Future;
use std::sync::Arc;

use signet_api::ProviderError;
use signet_guards::{Guard, Invocation};
use tokio::time::Instant;

use crate::telemetry::metrics::Metrics;

/// Counts and times each call, including its retries.
#[derive(Debug)]
pub struct Metered {
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Makes a guard that updates these metrics.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

/// Measures durations with the runtime's clock, which tests can stop.
fn now() -> Instant {
    Instant::now()
}

impl Guard for Metered {
    async fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let start = now();
        let outcome = attempt().await;
        let word = outcome.as_ref().map_or_else(|error| error.kind.as_str(), |_| "ok");
        let seconds = now().duration_since(start).as_secs_f64();
        self.metrics
            .on_call(call.provider, call.operation.as_str(), word, seconds);
        outcome
    }
}
