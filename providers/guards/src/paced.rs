//! [`Paced`]: this process never asks the provider for more than it was given.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex as StdMutex;
use signet_api::{ErrorKind, Operation, ProviderError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::around::{Around, Call};
use crate::words;

/// A pace that calls keep.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Calls a second in the long run.
    pub per_second: NonZeroU32,
    /// Calls that may be made at once after a rest.
    pub burst: NonZeroU32,
    /// The longest that a caller waits for its turn.
    pub patience: Duration,
    /// The setting that the operator raises, for the text of the error.
    pub setting: &'static str,
}

/// Two token buckets over the calls of this process: one for `sign`, one for all others, so that neither starves the
/// other. Callers come to their turn in the order in which they asked. One who leaves the queue frees its place.
///
/// If the provider throttles and says for how long, nobody of that bucket calls it before then.
#[derive(Debug)]
pub struct Paced {
    control: Bucket,
    sign: Bucket,
}

impl Paced {
    /// A guard that keeps these paces.
    #[must_use]
    pub fn new(control: Pace, sign: Pace) -> Self {
        Self {
            control: Bucket::new(control),
            sign: Bucket::new(sign),
        }
    }

    fn bucket(&self, operation: Operation) -> &Bucket {
        match operation {
            Operation::Sign => &self.sign,
            _ => &self.control,
        }
    }
}

/// A token bucket as one instant (GCRA): when it will be full again.
#[derive(Debug)]
struct Bucket {
    pace: Pace,
    /// The time in which one token comes.
    interval: Duration,
    /// Whoever is at the head of the queue holds it until its turn, and takes the token then: what was not used by a
    /// caller that left is not lost, and never used twice.
    full_at: Mutex<Option<Instant>>,
    /// No call before this instant, as the provider said.
    held: StdMutex<Option<Instant>>,
    waiting: AtomicU32,
}

impl Bucket {
    fn new(pace: Pace) -> Self {
        Self {
            interval: Duration::from_secs(1) / pace.per_second.get(),
            pace,
            full_at: Mutex::new(None),
            held: StdMutex::new(None),
            waiting: AtomicU32::new(0),
        }
    }

    /// Waits for a token and takes it.
    async fn turn(&self, call: &Call<'_>) -> Result<(), ProviderError> {
        let place = Place::take(&self.waiting);
        let now = Instant::now();
        let held = self.held(now).saturating_duration_since(now);
        if held > self.pace.patience {
            return Err(self.still_held(call, held));
        }
        // Who is so far back that it cannot be its turn in time is told at once.
        let at_best = self
            .interval
            .saturating_mul(place.ahead.saturating_sub(self.pace.burst.get()));
        if at_best > self.pace.patience {
            return Err(self.refusal(call, at_best));
        }
        let turn = async {
            let mut full_at = self.full_at.lock().await;
            loop {
                let now = Instant::now();
                let room = self.interval * (self.pace.burst.get() - 1);
                let next = full_at.map_or(now, |full| full.max(now));
                // One token is there when the bucket lacks no more than all others.
                let ready = next.checked_sub(room).unwrap_or(now).max(self.held(now));
                if ready <= now {
                    *full_at = Some(next + self.interval);
                    return;
                }
                sleep_until(ready).await;
            }
        };
        timeout(self.pace.patience, turn)
            .await
            .map_err(|_| self.refusal(call, self.interval))
    }

    /// Until when the provider wants no call; `now` if it does not care.
    fn held(&self, now: Instant) -> Instant {
        let held = self.held.lock();
        held.unwrap_or(now)
    }

    fn hold(&self, span: Duration) {
        /// A provider that asks for more than this is asked again nevertheless.
        const LONGEST: Duration = Duration::from_secs(60);
        let until = Instant::now() + span.min(LONGEST);
        let mut held = self.held.lock();
        *held = Some(held.map_or(until, |held| held.max(until)));
    }

    fn still_held(&self, call: &Call<'_>, wait: Duration) -> ProviderError {
        let text = format!(
            "{} asked for fewer calls, so none is made for another {}. Wait; if it comes again, ask the provider for a \
             higher quota, or raise SIGNET_REFRESH_INTERVAL",
            call.provider,
            words::span(wait)
        );
        let mut error = call.error(ErrorKind::Throttled, text);
        error.retry_after = Some(wait);
        error
    }

    fn refusal(&self, call: &Call<'_>, wait: Duration) -> ProviderError {
        let text = format!(
            "this process held the call back for {}: it makes no more than {} calls a second to {}, {} at once. \
             Ask for less, or raise {} if the provider's quota allows it",
            words::span(self.pace.patience),
            self.pace.per_second,
            call.provider,
            self.pace.burst,
            self.pace.setting
        );
        let mut error = call.error(ErrorKind::Throttled, text);
        error.retry_after = Some(wait);
        error
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a> {
    waiting: &'a AtomicU32,
    ahead: u32,
}

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicU32) -> Self {
        let ahead = waiting.fetch_add(1, Ordering::SeqCst);
        Self { waiting, ahead }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Around for Paced {
    async fn around<T, F, Fut>(&self, call: Call<'_>, attempt: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, ProviderError>> + Send,
    {
        let bucket = self.bucket(call.operation);
        bucket.turn(&call).await?;
        let outcome = attempt().await;
        if let Err(error) = &outcome
            && error.kind == ErrorKind::Throttled
            && let Some(span) = error.retry_after
        {
            bucket.hold(span);
        }
        outcome
    }
}
