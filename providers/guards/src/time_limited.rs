//! [`TimeLimited`]: no call takes longer than its deadline.

use std::future::Future;
use std::time::Duration;

use signet_api::{Operation, ProviderError};

use crate::around::{Around, Call, too_slow};

/// How long each call may take, all requests that it makes together.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For `list`.
    pub list: Duration,
    /// For `create`: some providers take half a minute for an RSA key.
    pub create: Duration,
    /// For `sign`: a request of the gateway waits.
    pub sign: Duration,
    /// For `unseal`.
    pub unseal: Duration,
    /// For `retire` and `revoke`.
    pub change: Duration,
    /// For `check` and `prune`, which make many calls.
    pub check: Duration,
}

impl Deadlines {
    /// That of this operation.
    #[must_use]
    pub const fn of(&self, operation: Operation) -> Duration {
        match operation {
            Operation::List => self.list,
            Operation::Create => self.create,
            Operation::Sign => self.sign,
            Operation::Unseal => self.unseal,
            Operation::Retire | Operation::Revoke => self.change,
            Operation::Open | Operation::Check => self.check,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            list: seconds(10),
            create: seconds(60),
            sign: seconds(2),
            unseal: seconds(10),
            change: seconds(20),
            check: seconds(60),
        }
    }
}

/// Ends each call at its deadline, as `TimedOut`. It stands next to the provider, so that what a retry or a breaker does
/// is not cut short.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimited(Deadlines);

impl TimeLimited {
    /// A guard with these deadlines.
    #[must_use]
    pub const fn new(deadlines: Deadlines) -> Self {
        Self(deadlines)
    }
}

impl Around for TimeLimited {
    async fn around<T, F, Fut>(&self, call: Call<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let deadline = self.0.of(call.operation);
        let answer = tokio::time::timeout(deadline, attempt()).await;
        answer.unwrap_or_else(|_| Err(too_slow(call, deadline)))
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.0.check)
    }
}
