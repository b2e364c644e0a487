//! Trouble between a replica and its provider, and the connection that it affects.

use std::sync::Arc;
use std::time::Duration;

use signet_api::{ErrorKind, Operation, ProviderError};
use tokio::time::sleep;

use crate::rng::{Rng, SharedRng};
use crate::sky::{HOUR, Ms, SECOND, Sun, span};
use crate::witness::Witness;

/// The maximum time of an answer without trouble.
pub(crate) const CALM: Ms = 400;

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Replica(usize),
    Operator,
}

/// A period of trouble.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) from: Ms,
    pub(crate) to: Ms,
    /// The only replica that is affected. `None` means all callers.
    pub(crate) only: Option<usize>,
    pub(crate) kind: Kind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Calls are refused at once.
    Down,
    /// Packets are lost, so there is no answer.
    Silent,
    /// The provider throttles, with this time to wait.
    Throttled(Ms),
    /// Answers take up to this time.
    Slow(Ms),
    /// Calls happen, but this percentage of the answers is lost.
    LosesAnswers(u64),
}

/// All troubles of a run.
#[derive(Debug, Default)]
pub(crate) struct Weather(pub(crate) Vec<Trouble>);

impl Weather {
    fn over(&self, caller: Caller, now: Ms) -> impl Iterator<Item = Kind> {
        let hits = move |trouble: &&Trouble| {
            let concerned = trouble.only.is_none_or(|only| caller == Caller::Replica(only));
            concerned && trouble.from <= now && now < trouble.to
        };
        self.0.iter().filter(hits).map(|trouble| trouble.kind)
    }

    /// Whether a replica had no trouble between these times.
    pub(crate) fn is_calm(&self, replica: usize, from: Ms, to: Ms) -> bool {
        !self
            .0
            .iter()
            .any(|trouble| trouble.only.is_none_or(|only| only == replica) && trouble.from <= to && from < trouble.to)
    }
}

/// The connection from one process to the provider.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) provider: &'static str,
    pub(crate) caller: Caller,
    pub(crate) sun: Sun,
    pub(crate) weather: Arc<Weather>,
    pub(crate) witness: Arc<Witness>,
    rng: SharedRng,
}

impl Wire {
    pub(crate) fn new(
        provider: &'static str,
        caller: Caller,
        sun: Sun,
        weather: Arc<Weather>,
        witness: Arc<Witness>,
        rng: Rng,
    ) -> Self {
        Self {
            provider,
            caller,
            sun,
            weather,
            witness,
            rng: SharedRng::new(rng),
        }
    }

    /// Makes a call. `effect` happens in the provider, if the request arrives there.
    pub(crate) async fn ask<T>(
        &self,
        operation: Operation,
        effect: impl FnOnce() -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        self.witness.call(operation);
        let (there, back) = self.pass(operation).await?;
        sleep(there).await;
        // The provider may have gone down while the request was on its way.
        self.pass(operation).await?;
        let outcome = effect();
        let lost = self.weather.over(self.caller, self.sun.now()).any(|kind| match kind {
            Kind::LosesAnswers(percent) => self.rng.draw(|rng| rng.percent(percent)),
            _ => false,
        });
        if lost {
            return self.silence(operation).await;
        }
        sleep(back).await;
        outcome
    }

    async fn pass(&self, operation: Operation) -> Result<(Duration, Duration), ProviderError> {
        let mut longest = if self.rng.draw(|rng| rng.percent(5)) { CALM } else { 80 };
        let kinds: Vec<Kind> = self.weather.over(self.caller, self.sun.now()).collect();
        for kind in kinds {
            match kind {
                Kind::Down => {
                    sleep(Duration::from_millis(5)).await;
                    return Err(self.error(operation, ErrorKind::Unavailable, "connection refused"));
                }
                Kind::Silent => return self.silence(operation).await,
                Kind::Throttled(after) => {
                    let mut error = self.error(operation, ErrorKind::Throttled, "too many requests");
                    error.retry_after = Some(span(after));
                    return Err(error);
                }
                Kind::Slow(most) => longest = most,
                Kind::LosesAnswers(_) => {}
            }
        }
        let [there, back] = [(); 2].map(|()| span(self.rng.draw(|rng| rng.between(1, longest / 2))));
        Ok((there, back))
    }

    /// Practically for ever, because the caller's deadline comes first.
    async fn silence<T>(&self, operation: Operation) -> Result<T, ProviderError> {
        sleep(span(HOUR + SECOND)).await;
        Err(self.error(operation, ErrorKind::Unavailable, "the connection was reset"))
    }

    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, text: &str) -> ProviderError {
        ProviderError::new(self.provider, operation, kind, text.to_owned())
    }
}
