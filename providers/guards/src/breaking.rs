//! [`Breaking`]: a provider that is down is left alone, and asked by one call at a time whether it is back.

use std::future::Future;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError};
use tokio::time::Instant;

use crate::around::{Around, Call};
use crate::words;
use signet_base::Jitter;

/// When a breaker opens, and how it closes.
#[derive(Clone, Copy, Debug)]
pub struct Breaks {
    /// Opens after so many calls in a row that failed as `Unavailable` or `TimedOut`.
    pub failures: u32,
    /// The pause before the first probe. It doubles with each probe that fails.
    pub first_pause: Duration,
    /// The longest pause before a probe.
    pub longest_pause: Duration,
    /// The same for `sign`: requests of the gateway wait for the provider to be back.
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

/// Two breakers: one for `sign`, one for all other calls, as signing may be down alone, and the other way round.
///
/// Only silence opens one. A provider that answers, be it with a refusal, is there.
#[derive(Debug)]
pub struct Breaking {
    breaks: Breaks,
    jitter: Jitter,
    control: Breaker,
    sign: Breaker,
}

impl Breaking {
    /// A guard that breaks so.
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

    /// Between half of the pause and the whole, so that replicas do not probe together, and none at once.
    fn pause(&self, failed_probes: u32, longest: Duration) -> Duration {
        let doubled = 1_u32.checked_shl(failed_probes).unwrap_or(u32::MAX);
        let pause = self.breaks.first_pause.saturating_mul(doubled);
        let half = pause.min(longest) / 2;
        half + self.jitter.up_to(half)
    }
}

/// One breaker. Clones of its states never leave it.
#[derive(Debug)]
struct Breaker {
    longest_pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// All calls are made.
    Closed { failures: u32 },
    /// None is made until the pause is over, and then one.
    Open { outage: Outage, probe_at: Instant },
    /// One is being made, and no other.
    Probing { outage: Outage },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

#[derive(Clone, Debug)]
struct Outage {
    /// Tells this outage from others: calls that began before it say nothing about it.
    began: Instant,
    failed_probes: u32,
    last: String,
}

/// Leave to make a call, as long as it is held.
enum Leave<'a> {
    Call,
    Probe(Probe<'a>),
}

/// The one probe. If it is dropped without an answer, the next caller after another pause is the probe.
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

    fn enter<'a>(&'a self, breaking: &'a Breaking, call: &Call<'_>) -> Result<Leave<'a>, ProviderError> {
        let mut state = self.state();
        let now = Instant::now();
        match &*state {
            State::Closed { .. } => Ok(Leave::Call),
            State::Open { outage, probe_at } if *probe_at <= now => {
                let outage = outage.clone();
                *state = State::Probing { outage: outage.clone() };
                Ok(Leave::Probe(Probe {
                    breaking,
                    breaker: self,
                    outage: Some(outage),
                }))
            }
            State::Open { outage, probe_at } => {
                let wait = *probe_at - now;
                let next = format!("one is made in {}", words::span(wait));
                Err(outage.refusal(call, now, wait, &next))
            }
            // How the probe ends is not known; this is when it makes sense to ask again.
            State::Probing { outage } => {
                let wait = breaking.breaks.first_pause;
                Err(outage.refusal(call, now, wait, "one is being made at this moment"))
            }
        }
    }

    /// A call ended that was made while the breaker was closed.
    fn ended(&self, breaking: &Breaking, failure: Option<&ProviderError>) {
        let mut state = self.state();
        // What began before the outage neither ends nor prolongs it.
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
                "the provider does not answer; its calls are held back until a probe is answered"
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
    fn ended(mut self, failure: Option<&ProviderError>) {
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
    fn refusal(&self, call: &Call<'_>, now: Instant, wait: Duration, next: &str) -> ProviderError {
        let text = format!(
            "{} has not answered for {}, so this call was not made; {next}, and all again once it is answered. The \
             last error was: {}",
            call.provider,
            words::span(now - self.began),
            self.last
        );
        let mut error = call.error(ErrorKind::Unavailable, text);
        error.retry_after = Some(wait);
        error
    }
}

/// The error, if it says that the provider is not there.
fn silence<T>(outcome: &Result<T, ProviderError>) -> Option<&ProviderError> {
    let is_silence = |error: &&ProviderError| matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut);
    outcome.as_ref().err().filter(is_silence)
}

impl Around for Breaking {
    async fn around<T, F, Fut>(&self, call: Call<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let breaker = self.breaker(call.operation);
        match breaker.enter(self, &call)? {
            Leave::Call => {
                let outcome = attempt().await;
                breaker.ended(self, silence(&outcome));
                outcome
            }
            Leave::Probe(probe) => {
                let outcome = attempt().await;
                probe.ended(silence(&outcome));
                outcome
            }
        }
    }
}
