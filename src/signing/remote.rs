//! Signatures by the provider: the only part of the data path that waits for the provider.
//!
//! A deadline and a limit on waiting requests apply; the circuit breaker is a guard of the provider itself. A call that
//! has started is completed even if its client has left. If it were cancelled, its connection would be closed and the
//! next call would need a new TLS handshake; clients could force thousands of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use signet_api::{ErrorKind, KeyProvider, Operation, ProviderError};
use signet_base::{Clock, Outage, chain};
use signet_core::Kid;
use signet_core::signing_key::Signature;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info};

use signet_base::FailureLogLimit;
use signet_base::brief;

/// Signs with the provider.
#[derive(Debug)]
pub struct Remote {
    provider: Arc<dyn KeyProvider>,
    permits: Arc<Semaphore>,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    logged: FailureLogLimit<ErrorKind>,
    /// Read by each signature. The lock is taken only if this changes.
    is_failing: AtomicBool,
    outage: Mutex<Option<(Kid, Outage)>>,
}

impl Remote {
    /// Allows at most `concurrency` calls at once, each with this deadline.
    #[must_use]
    pub fn new(provider: Arc<dyn KeyProvider>, concurrency: usize, deadline: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            provider,
            permits: Arc::new(Semaphore::new(concurrency)),
            deadline,
            clock,
            logged: FailureLogLimit::new(),
            is_failing: AtomicBool::new(false),
            outage: Mutex::default(),
        }
    }

    /// Signs a message, and returns it with its signature. The provider's guards have verified the signature.
    ///
    /// # Errors
    /// The provider's error; `TimedOut` after the deadline; `Throttled` if the message waited in the
    /// queue for all of that time.
    pub async fn sign<M>(&self, kid: &Kid, message: M) -> Result<(M, Signature), ProviderError>
    where
        M: AsRef<[u8]> + Send + 'static,
    {
        let outcome = self.within_the_deadline(kid, message).await;
        match &outcome {
            Ok(_) if !self.is_failing.load(Ordering::Relaxed) => {}
            Ok(_) => self.on_recovery(),
            Err(failure) => self.on_failure(kid, failure),
        }
        outcome
    }

    /// The key with which signing failed last, when it started to fail, and the last error. `None` if the last signature
    /// succeeded.
    #[must_use]
    pub fn outage(&self) -> Option<(Kid, Outage)> {
        self.outage.lock().clone()
    }

    async fn within_the_deadline<M>(&self, kid: &Kid, message: M) -> Result<(M, Signature), ProviderError>
    where
        M: AsRef<[u8]> + Send + 'static,
    {
        let until = Instant::now() + self.deadline;
        let stopping = || self.error(ErrorKind::Unavailable, "the process is stopping".to_owned());
        let Ok(permit) = timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await else {
            return Err(self.error(
                ErrorKind::Throttled,
                format!(
                    "the request waited {} because as many signatures as SIGNET_SIGN_CONCURRENCY allows were in \
                     progress. Raise it if the provider's quota allows more, or use sealed \
                     custody, which signs in this process",
                    humantime::format_duration(self.deadline)
                ),
            ));
        };
        // The semaphore is never closed.
        let permit = permit.map_err(|_| stopping())?;
        let (provider, kid) = (Arc::clone(&self.provider), kid.clone());
        let work = tokio::spawn(async move {
            let signature = provider.sign(&kid, message.as_ref()).await;
            drop(permit);
            Ok((message, signature?))
        });
        match timeout_at(until, work).await {
            Ok(outcome) => outcome.map_err(|_| stopping())?,
            Err(_) => Err(self.error(
                ErrorKind::TimedOut,
                format!(
                    "no signature within {} (SIGNET_SIGN_TIMEOUT). Check the provider's latency, or use sealed \
                     custody, which signs in this process",
                    humantime::format_duration(self.deadline)
                ),
            )),
        }
    }

    fn error(&self, kind: ErrorKind, text: String) -> ProviderError {
        ProviderError::new(self.provider.capabilities().provider, Operation::Sign, kind, text)
    }

    fn on_recovery(&self) {
        let outage = self.outage.lock().take();
        self.is_failing.store(false, Ordering::Relaxed);
        let may_log = self.logged.may_log_end();
        if let Some((_, outage)) = outage.filter(|_| may_log) {
            let after = brief(self.clock.now().since(outage.since));
            info!(%after, "the provider signs again");
        }
    }

    fn on_failure(&self, kid: &Kid, failure: &ProviderError) {
        let (now, reason) = (self.clock.now(), chain(failure));
        if let Some(held_back) = self.logged.may_log(failure.kind) {
            error!(%kid, kind = failure.kind.as_str(), held_back, "the provider did not sign: {reason}");
        }
        let mut outage = self.outage.lock();
        let since = outage.as_ref().map_or(now, |(_, outage)| outage.since);
        *outage = Some((kid.clone(), Outage { since, reason }));
        self.is_failing.store(true, Ordering::Relaxed);
    }
}
