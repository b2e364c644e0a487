//! [`TimeLimited`]: a deadline for each call.

use std::future::Future;
use std::time::Duration;

use signet_api::{Operation, ProviderError};

use crate::guard::{Guard, Invocation, too_slow};

/// How long each call may take in total, including all requests that it makes.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// The deadline of `list`.
    pub list: Duration,
    /// The deadline of `create`. Some providers take half a minute for an RSA key.
    pub create: Duration,
    /// The deadline of `sign`. A request of the gateway is waiting.
    pub sign: Duration,
    /// The deadline of `unseal`.
    pub unseal: Duration,
    /// The deadline of `retire` and `revoke`.
    pub change: Duration,
    /// The deadline of `check` and `prune`, which make many calls.
    pub check: Duration,
}

impl Deadlines {
    /// The deadline of this operation.
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

/// A guard that ends each call at its deadline, as `TimedOut`. It must be the closest to the provider; otherwise it
/// would also cut off retries.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimited(Deadlines);

impl TimeLimited {
    /// Makes a guard with these deadlines.
    #[must_use]
    pub const fn new(deadlines: Deadlines) -> Self {
        Self(deadlines)
    }
}

impl Guard for TimeLimited {
    async fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> Result<T, ProviderError>
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
