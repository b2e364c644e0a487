//! [`Paced`]: limits how often this process calls the provider.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex as StdMutex;
use signet_api::{ErrorKind, Operation, ProviderError};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::guard::{Guard, Invocation};
use crate::words;

/// The limit of a token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The number of calls per second in the long run.
    pub per_second: NonZeroU32,
    /// The number of calls that may be made at once after a pause.
    pub burst: NonZeroU32,
    /// The maximum time that a caller waits for its turn.
    pub patience: Duration,
    /// The setting that raises the limit, for the text of the error.
    pub setting: &'static str,
}

/// A guard with two token buckets, one for `sign` and one for all other calls, so neither can starve the other. Callers
/// get their turn in the order in which they asked. A caller that gives up frees its place in the queue.
///
/// If the provider throttles and gives a time, no call of that bucket is made before that time has passed.
#[derive(Debug)]
pub struct Paced {
    control: Bucket,
    sign: Bucket,
}

impl Paced {
    /// Makes a guard with these limits.
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

/// A token bucket, stored as the time when it will be full again (GCRA).
#[derive(Debug)]
struct Bucket {
    pace: Pace,
    /// The time after which the bucket gets one more token.
    interval: Duration,
    /// When the bucket will be full. The caller at the head of the queue holds this lock until its turn and then takes
    /// a token. A token of a caller that gave up is therefore neither lost nor used twice.
    full_at: Mutex<Option<Instant>>,
    /// No call may be made before this time, because the provider said so.
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
    async fn turn(&self, call: &Invocation<'_>) -> Result<(), ProviderError> {
        let ticket = QueueTicket::take(&self.waiting);
        let now = Instant::now();
        let held = self.held(now).saturating_duration_since(now);
        if held > self.pace.patience {
            return Err(self.still_held(call, held));
        }
        // A caller that cannot get its turn in time fails at once.
        let at_best = self
            .interval
            .saturating_mul(ticket.ahead.saturating_sub(self.pace.burst.get()));
        if at_best > self.pace.patience {
            return Err(self.refusal(call, at_best));
        }
        let turn = async {
            let mut full_at = self.full_at.lock().await;
            loop {
                let now = Instant::now();
                let room = self.interval * (self.pace.burst.get() - 1);
                let next = full_at.map_or(now, |full| full.max(now));
                // A token is available unless the bucket is empty.
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

    /// Until when the provider wants no calls. `now` if the provider has not said anything.
    fn held(&self, now: Instant) -> Instant {
        let held = self.held.lock();
        held.unwrap_or(now)
    }

    fn hold(&self, span: Duration) {
        /// If a provider demands a longer pause than this, it is called again after this time anyway.
        const LONGEST: Duration = Duration::from_secs(60);
        let until = Instant::now() + span.min(LONGEST);
        let mut held = self.held.lock();
        *held = Some(held.map_or(until, |held| held.max(until)));
    }

    fn still_held(&self, call: &Invocation<'_>, wait: Duration) -> ProviderError {
        let text = format!(
            "{} asked for fewer calls, so Signet makes no calls for another {}. Wait. If this repeats, request a \
             higher quota from the provider, or raise SIGNET_REFRESH_INTERVAL",
            call.provider,
            words::span(wait)
        );
        let mut error = call.error(ErrorKind::Throttled, text);
        error.retry_after = Some(wait);
        error
    }

    fn refusal(&self, call: &Invocation<'_>, wait: Duration) -> ProviderError {
        let text = format!(
            "this process delayed the call for {}, because it makes at most {} calls a second to {}, {} at once. \
             Send fewer requests, or raise {} if the provider's quota allows it",
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

/// A place in the queue, released when dropped.
struct QueueTicket<'a> {
    waiting: &'a AtomicU32,
    ahead: u32,
}

impl<'a> QueueTicket<'a> {
    fn take(waiting: &'a AtomicU32) -> Self {
        let ahead = waiting.fetch_add(1, Ordering::SeqCst);
        Self { waiting, ahead }
    }
}

impl Drop for QueueTicket<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Guard for Paced {
    async fn run<T, F, Fut>(&self, call: Invocation<'_>, attempt: F) -> Result<T, ProviderError>
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
