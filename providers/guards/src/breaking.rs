//! [`Breaking`]: a circuit breaker. While a provider is down, only one call at a time probes whether it is back.

use std::future::Future;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_base::Jitter;
use tokio::time::Instant;

use crate::guard::{Guard, Invocation};
use crate::words;

/// When the breaker opens, and how often it probes.
#[derive(Clone, Copy, Debug)]
pub struct Breaks {
    /// The number of failures in a row that open it. Only `Unavailable` and `TimedOut` count.
    pub failures: u32,
    /// The pause before the first probe. It doubles after each failed probe.
    pub first_pause: Duration,
    /// The maximum pause before a probe.
    pub longest_pause: Duration,
    /// The maximum pause before a probe with `sign`. It is shorter, because requests of the gateway are waiting.
    pub longest_sign_pause: Duration,
}

impl Default for Breaks {
    fn default() -> Self {
        Self {
            failures: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            longest_sign_pause: Duration::from_secs(5),
        }
    }
}

/// A guard with two circuit breakers, one for `sign` and one for all other calls, because either may fail alone.
///
/// Only missing answers open a breaker. A provider that answers with a refusal is not down.
#[derive(Debug)]
pub struct Breaking {
    breaks: Breaks,
    jitter: Jitter,
    control: Breaker,
    sign: Breaker,
}

impl Breaking {
    /// Makes a guard with these limits.
    #[must_use]
    pub fn new(breaks: Breaks, jitter: Jitter) -> Self {
        Self {
            breaks,
            jitter,
            control: Breaker::new(breaks.longest_pause),
            sign: Breaker::new(breaks.longest_sign_pause),
        }
    }

    fn breaker(&self, operation: Operation) -> &Breaker {
        match operation {
            Operation::Sign => &self.sign,
            _ => &self.control,
        }
    }

    /// A random pause from half of the full pause to all of it. Replicas then do not probe
    /// together, and none probes at once.
    fn pause(&self, failed_probes: u32, longest: Duration) -> Duration {
        let doubled = 1_u32.checked_shl(failed_probes).unwrap_or(u32::MAX);
        let pause = self.breaks.first_pause.saturating_mul(doubled);
        let half = pause.min(longest) / 2;
        half + self.jitter.up_to(half)
    }
}

/// One circuit breaker.
#[derive(Debug)]
struct Breaker {
    longest_pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// All calls are made.
    Closed { failures: u32 },
    /// No call is made until `probe_at`; then one call probes.
    Open { outage: Outage, probe_at: Instant },
    /// A probe is running. No other call is made.
    Probing { outage: Outage },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

#[derive(Clone, Debug)]
struct Outage {
    /// When the outage began. It identifies the outage: calls that started earlier say nothing about it.
    began: Instant,
    failed_probes: u32,
    last: String,
}

/// Permission to make a call, for as long as this value is held.
enum Permit<'a> {
    Call,
    Probe(Probe<'a>),
}

/// Permission for the only probe. If it is dropped without a result, another pause begins, and the next caller probes.
struct Probe<'a> {
    breaking: &'a Breaking,
    breaker: &'a Breaker,
    outage: Option<Outage>,
}

impl Breaker {
    fn new(longest_pause: Duration) -> Self {
        Self {
            longest_pause,
            state: Mutex::default(),
        }
    }

    fn opened(&self, breaking: &Breaking, outage: Outage) -> State {
        let probe_at = Instant::now() + breaking.pause(outage.failed_probes, self.longest_pause);
        State::Open { outage, probe_at }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn enter<'a>(&'a self, breaking: &'a Breaking, call: &Invocation<'_>) -> Result<Permit<'a>, ProviderError> {
        let mut state = self.state();
        let now = Instant::now();
        match &*state {
            State::Closed { .. } => Ok(Permit::Call),
            State::Open { outage, probe_at } if *probe_at <= now => {
                let outage = outage.clone();
                *state = State::Probing { outage: outage.clone() };
                Ok(Permit::Probe(Probe {
                    breaking,
                    breaker: self,
                    outage: Some(outage),
                }))
            }
            State::Open { outage, probe_at } => {
                let wait = *probe_at - now;
                let next = format!("the next attempt is in {}", words::span(wait));
                Err(outage.refusal(call, now, wait, &next))
            }
            // Nobody knows when the probe will end. This is a reasonable time after which to try again.
            State::Probing { outage } => {
                let wait = breaking.breaks.first_pause;
                Err(outage.refusal(call, now, wait, "one attempt is in progress"))
            }
        }
    }

    /// Handles the result of a call that was made while the breaker was closed.
    fn on_end(&self, breaking: &Breaking, failure: Option<&ProviderError>) {
        let mut state = self.state();
        // A call from before the outage neither ends nor extends it.
        let State::Closed { failures } = &mut *state else {
            return;
        };
        let Some(error) = failure else {
            *failures = 0;
            return;
        };
        *failures += 1;
        if *failures >= breaking.breaks.failures {
            tracing::warn!(
                provider = error.provider,
                failures = *failures,
                "the provider does not answer; no calls are made until one attempt succeeds"
            );
            *state = self.opened(
                breaking,
                Outage {
                    began: Instant::now(),
                    failed_probes: 0,
                    last: words::bounded(error),
                },
            );
        }
    }
}

impl Probe<'_> {
    fn on_end(mut self, failure: Option<&ProviderError>) {
        let Some(mut outage) = self.outage.take() else { return };
        *self.breaker.state() = match failure {
            None => {
                let down = words::span(outage.began.elapsed());
                tracing::info!(%down, "the provider answers again");
                State::default()
            }
            Some(error) => {
                outage.failed_probes = outage.failed_probes.saturating_add(1);
                outage.last = words::bounded(error);
                self.breaker.opened(self.breaking, outage)
            }
        };
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(outage) = self.outage.take() {
            *self.breaker.state() = self.breaker.opened(self.breaking, outage);
        }
    }
}

impl Outage {
    fn refusal(&self, call: &Invocation<'_>, now: Instant, wait: Duration, next: &str) -> ProviderError {
        let text = format!(
            "{} has not answered for {}, so this call was not made; {next}, and calls resume as soon as it succeeds. \
             The last error was: {}",
            call.provider,
            words::span(now - self.began),
            self.last
        );
        let mut error = call.error(ErrorKind::Unavailable, text);
        error.retry_after = Some(wait);
        error
    }
}

/// The error, if it means that the provider did not answer.
fn silence<T>(outcome: &Result<T, ProviderError>) -> Option<&ProviderError> {
    let is_silence = |error: &&ProviderError| matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
    outcome.as_ref().err().filter(is_silence)
}

impl Guard for Breaking {
    async fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let breaker = self.breaker(call.operation);
        match breaker.enter(self, &call)? {
            Permit::Call => {
                let outcome = attempt().await;
                breaker.on_end(self, silence(&outcome));
                outcome
            }
            Permit::Probe(probe) => {
                let outcome = attempt().await;
                probe.on_end(silence(&outcome));
                outcome
            }
        }
    }
}
