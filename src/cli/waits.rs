//! Tells an operator what a command is waiting for, and for how long at most, if a provider does not answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use humantime::format_duration;
use signet_api::{KeyProvider, Operation, ProviderError};
use signet_guards::{Guard, GuardExt as _, Invocation};
use tokio::time::sleep;

use crate::app;
use crate::cli::say;

/// How long a command waits before it says so.
const QUIET: Duration = Duration::from_secs(2);

/// A guard that reports each slow call once.
#[derive(Debug)]
struct Waits {
    tell: fn(&str),
}

/// Wraps the provider to report slow calls on standard error, but not if a program reads JSON.
pub(super) fn report_slow_calls(provider: Arc<dyn KeyProvider>, json: bool) -> Arc<dyn KeyProvider> {
    match json {
        true => provider,
        false => provider.guarded(Waits { tell: say }),
    }
}

/// Runs `prune` with the same report. Guards do not cover `prune`, because it makes many calls.
pub(super) async fn prune(provider: &dyn KeyProvider, json: bool) -> Result<Vec<String>, ProviderError> {
    let call = Invocation {
        provider: provider.capabilities().provider,
        operation: Operation::Check,
        kid: None,
    };
    match json {
        true => provider.prune().await,
        false => patiently(&call, say, provider.prune()).await,
    }
}

/// Runs the work. If it takes long, reports once what the command is waiting for.
async fn patiently<T>(call: &Invocation<'_>, tell: fn(&str), work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = sleep(QUIET) => {}
    }
    tell(&format!(
        "{}: no answer to {} after {}; the command waits for at most {}",
        call.provider,
        call.operation.as_str(),
        format_duration(QUIET),
        format_duration(app::longest(call.operation))
    ));
    work.await
}

impl Guard for Waits {
    async fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        patiently(&call, self.tell, attempt()).await
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn tell(text: &str) {
        TOLD.lock().push(text.to_owned());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_takes_long_is_told_of_once_with_what_is_waited_for_and_how_long_at_most() {
        let call = Invocation {
            provider: "vault",
            operation: Operation::List,
            kid: None,
        };
        for (seconds, told) in [
            (1, &[][..]),
            (
                15,
                &["vault: no answer to list after 2s; the command waits for at most 30s"],
            ),
        ] {
            let attempt = || async move {
                sleep(Duration::from_secs(seconds)).await;
                Ok(seconds)
            };
            let answer = Waits { tell }.run(call, attempt).await;
            assert_eq!(answer.expect("an answer"), seconds);
            assert_eq!(std::mem::take(&mut *TOLD.lock()), told);
        }
    }
}
