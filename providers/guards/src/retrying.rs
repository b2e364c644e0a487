//! [`Retrying`]: the one layer that makes a call again.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_core::Kid;
use tokio::time::{Instant, sleep};

use crate::around::{Around, Call};
use crate::words;
use signet_base::Jitter;

/// How a call is made again.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// No attempt of a control call begins later than this after the first.
    pub budget: Duration,
    /// The same for `sign`, which is made again once at most: a request of the gateway waits.
    pub sign_budget: Duration,
    /// The longest pause before the second attempt; it doubles with each one.
    pub first_pause: Duration,
    /// The longest pause of all.
    pub longest_pause: Duration,
    /// For how long `sign` and `unseal` of a key that was just created are made again if the key is not found.
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

/// How long a key counts as just created: a key of AWS was not found for up to a minute after it was made.
const FRESH: Duration = Duration::from_secs(60);

/// Makes calls again that failed with a transient kind, after an exponential pause with full jitter, or after the time
/// that the provider asked for; it never comes back sooner than that, and gives up at once if that is beyond its budget.
///
/// Every call may be repeated. Listing, signing and unsealing change nothing; retiring and revoking twice is no error; and
/// `create` is for the successor of a *named* key (clause 3), so that the second attempt finds what the first one made.
/// Where the claim is only tolerated it may make a second key, which the schedule bears.
#[derive(Debug)]
pub struct Retrying {
    retries: Retries,
    jitter: Jitter,
    fresh: Mutex<Vec<(Kid, Instant)>>,
}

impl Retrying {
    /// A guard that retries so.
    #[must_use]
    pub const fn new(retries: Retries, jitter: Jitter) -> Self {
        Self {
            retries,
            jitter,
            fresh: Mutex::new(Vec::new()),
        }
    }

    /// How long to wait before the next attempt; `None` to give up. `failed` attempts came before.
    fn pause(&self, call: &Call<'_>, error: &ProviderError, failed: u32, elapsed: Duration) -> Option<Duration> {
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
            // All who were told the same come back apart from each other, but none too soon.
            Some(asked) => asked.saturating_add(self.jitter.up_to(retries.first_pause)),
            // Half the budget is the most that a call of the data path is worth waiting for.
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

impl Around for Retrying {
    async fn around<T, F, Fut>(&self, call: Call<'_>, attempt: F) -> Result<T, ProviderError>
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

    fn created(&self, kid: &Kid) {
        let mut fresh = self.fresh();
        fresh.retain(|(other, at)| other != kid && at.elapsed() < FRESH);
        fresh.push((kid.clone(), Instant::now()));
    }

    fn retired(&self, kid: &Kid) {
        self.fresh().retain(|(other, _)| other != kid);
    }
}

/// Says how often it was tried, before what went wrong in the end.
#[derive(Debug)]
struct GaveUp {
    attempts: u32,
    elapsed: Duration,
    last: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, elapsed) = (self.attempts, words::span(self.elapsed));
        write!(f, "tried {attempts} times in {elapsed}, the last time")
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
