//! Signatures that the provider computes: the one thing on the data path that waits for it.
//!
//! It waits behind a deadline and a bound on how many wait at once; the breaker is a guard of the provider itself. A call
//! once begun is carried to its end even if its client has gone: a connection that is cut off in the middle of an answer
//! would have to be made anew, with a TLS handshake, and a client that comes and goes could have us make thousands.

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

use signet_base::SeldomFailing;
use signet_base::rfc3339;

/// The way to the provider's signatures.
#[derive(Debug)]
pub struct Remote {
    provider: Arc<dyn KeyProvider>,
    permits: Arc<Semaphore>,
    deadline: Duration,
    clock: Arc<dyn Clock>,
    logged: SeldomFailing<ErrorKind>,
    /// Looked at by each signature; the lock only if it changes.
    is_failing: AtomicBool,
    outage: Mutex<Option<Outage>>,
}

impl Remote {
    /// At most `concurrency` calls at once, each answered within the deadline.
    #[must_use]
    pub fn new(provider: Arc<dyn KeyProvider>, concurrency: usize, deadline: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            provider,
            permits: Arc::new(Semaphore::new(concurrency)),
            deadline,
            clock,
            logged: SeldomFailing::new(),
            is_failing: AtomicBool::new(false),
            outage: Mutex::default(),
        }
    }

    /// Has the message signed, and gives it back with its signature, which the provider's guards verified under the published
    /// key.
    ///
    /// # Errors
    /// As the provider says, `TimedOut` after the deadline, and `Throttled` if the whole of it went by in the queue.
    pub async fn sign<M>(&self, kid: &Kid, message: M) -> Result<(M, Signature), ProviderError>
    where
        M: AsRef<[u8]> + Send + 'static,
    {
        let outcome = self.within_the_deadline(kid, message).await;
        match &outcome {
            Ok(_) if !self.is_failing.load(Ordering::Relaxed) => {}
            Ok(_) => self.recovered(),
            Err(failure) => self.failed(kid, failure),
        }
        outcome
    }

    /// When signing began to fail, and the last error.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
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
                    "as many signatures as SIGNET_SIGN_CONCURRENCY allows were under way for {}; raise it, if the \
                     provider's quota bears more, or move to sealed custody, which signs here",
                    humantime::format_duration(self.deadline)
                ),
            ));
        };
        // Never closed.
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
                    "no signature within {} (SIGNET_SIGN_TIMEOUT); look at the provider's latency, or move to sealed \
                     custody, which signs here",
                    humantime::format_duration(self.deadline)
                ),
            )),
        }
    }

    fn error(&self, kind: ErrorKind, text: String) -> ProviderError {
        ProviderError::new(self.provider.capabilities().provider, Operation::Sign, kind, text)
    }

    fn recovered(&self) {
        let outage = self.outage.lock().take();
        self.is_failing.store(false, Ordering::Relaxed);
        let may_log = self.logged.may_log_end();
        if let Some(outage) = outage.filter(|_| may_log) {
            info!(since = %rfc3339(outage.since), "the provider signs again");
        }
    }

    fn failed(&self, kid: &Kid, failure: &ProviderError) {
        let (now, reason) = (self.clock.now(), chain(failure));
        if let Some(held_back) = self.logged.may_log(failure.kind) {
            error!(%kid, kind = failure.kind.as_str(), held_back, "the provider did not sign: {reason}");
        }
        let mut outage = self.outage.lock();
        let since = outage.as_ref().map_or(now, |outage| outage.since);
        *outage = Some(Outage { since, reason });
        self.is_failing.store(true, Ordering::Relaxed);
    }
}
