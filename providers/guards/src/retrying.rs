//! [`Retrying`]: the only layer that repeats calls.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_base::Jitter;
use signet_core::Kid;
use tokio::time::{Instant, sleep};

use crate::guard::{Guard, Invocation};
use crate::words;

/// The limits of retries.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// No attempt starts later than this after the first one.
    pub budget: Duration,
    /// The same limit for `sign`, which is repeated at most once because a request of the gateway is waiting.
    pub sign_budget: Duration,
    /// The maximum pause before the second attempt. It doubles with each further attempt.
    pub first_pause: Duration,
    /// The maximum pause before any attempt.
    pub longest_pause: Duration,
    /// How long `sign` and `unseal` are repeated while a key that was just created is not found.
    pub settling: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(20),
            sign_budget: Duration::from_millis(500),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            settling: Duration::from_secs(10),
        }
    }
}

/// How long a key counts as just created. AWS has taken up to a minute to find a new key.
const FRESH: Duration = Duration::from_secs(60);

/// A guard that repeats calls after a transient error.
///
/// The pause is exponential with full jitter. If the provider asks for a longer time, that time is kept. If it exceeds
/// the budget, the call fails at once.
///
/// Every call can be repeated safely. Listing, signing and unsealing change nothing; retiring and revoking twice is not
/// an error; and `create` makes the successor of a *named* key (clause 3), so the second attempt finds what the first
/// one created. A provider without atomic claims may create a second key, which the schedule tolerates.
#[derive(Debug)]
pub struct Retrying {
    retries: Retries,
    jitter: Jitter,
    fresh: Mutex<Vec<(Kid, Instant)>>,
}

impl Retrying {
    /// Makes a guard with these limits.
    #[must_use]
    pub const fn new(retries: Retries, jitter: Jitter) -> Self {
        Self {
            retries,
            jitter,
            fresh: Mutex::new(Vec::new()),
        }
    }

    /// How long to wait before the next attempt, after `failed` attempts. `None` means give up.
    fn pause(&self, call: &Invocation<'_>, error: &ProviderError, failed: u32, elapsed: Duration) -> Option<Duration> {
        let retries = &self.retries;
        let signs = call.operation == Operation::Sign;
        let not_yet_found = error.kind == ErrorKind::NotFound
            && matches!(call.operation, Operation::Sign | Operation::Unseal)
            && call.kid.is_some_and(|kid| self.is_fresh(kid));
        let budget = match error.kind {
            _ if not_yet_found => retries.settling,
            kind if !kind.is_transient() => return None,
            _ if signs && failed > 1 => return None,
            _ if signs => retries.sign_budget,
            _ => retries.budget,
        };
        let doubled = retries
            .first_pause
            .saturating_mul(1_u32.checked_shl(failed - 1).unwrap_or(u32::MAX));
        let longest = doubled.min(retries.longest_pause);
        let pause = match error.retry_after {
            // Callers that got the same time from the provider retry at random times shortly after it, never before.
            Some(asked) => asked.saturating_add(self.jitter.up_to(retries.first_pause)),
            // A call of the data path waits for at most half of its budget.
            None if signs => self.jitter.up_to(longest.min(budget / 2)),
            None => self.jitter.up_to(longest),
        };
        (elapsed.saturating_add(pause) <= budget).then_some(pause)
    }

    fn is_fresh(&self, kid: &Kid) -> bool {
        let fresh = self.fresh();
        fresh.iter().any(|(other, at)| other == kid && at.elapsed() < FRESH)
    }

    fn fresh(&self) -> MutexGuard<'_, Vec<(Kid, Instant)>> {
        self.fresh.lock()
    }
}

impl Guard for Retrying {
    async fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let began = Instant::now();
        let mut failed = 0;
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failed += 1;
            match self.pause(&call, &error, failed, began.elapsed()) {
                Some(pause) => sleep(pause).await,
                None if failed == 1 => return Err(error),
                None => return Err(gave_up(error, failed, began.elapsed())),
            }
        }
    }

    fn on_created(&self, kid: &Kid) {
        let mut fresh = self.fresh();
        fresh.retain(|(other, at)| other != kid && at.elapsed() < FRESH);
        fresh.push((kid.clone(), Instant::now()));
    }

    fn on_retired(&self, kid: &Kid) {
        self.fresh().retain(|(other, _)| other != kid);
    }
}

/// The last error, preceded by the number of attempts.
#[derive(Debug)]
struct GaveUp {
    attempts: u32,
    elapsed: Duration,
    last: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, elapsed) = (self.attempts, words::span(self.elapsed));
        write!(f, "tried {attempts} times in {elapsed}; the last attempt")
    }
}

impl Error for GaveUp {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.last)
    }
}

fn gave_up(error: ProviderError, attempts: u32, elapsed: Duration) -> ProviderError {
    ProviderError {
        source: Box::new(GaveUp {
            attempts,
            elapsed,
            last: error.source,
        }),
        ..error
    }
}
