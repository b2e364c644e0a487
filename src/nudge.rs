//! Asking for a reading of the rings before its time: at once when somebody learns that what is known is not all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use signet_core::Kid;
use tokio::sync::watch;
use tokio::time::Instant;

/// Tokens of unknown keys bring forward one reading in so many refresh intervals at most, whatever they are.
const COOL_DOWN: u32 = 5;

/// Asks for a reading before its time.
#[derive(Debug)]
pub struct Nudge {
    asks: watch::Sender<()>,
    interval: Duration,
    cool_down: Duration,
    /// In milliseconds that the machine has run: the wall clock may be set meanwhile.
    cool_at: AtomicU64,
    /// The key that the provider last refused to sign with, and when that brought a reading forward.
    refused: Mutex<Option<(Kid, Instant)>>,
}

impl Nudge {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            asks: watch::Sender::new(()),
            interval,
            cool_down: interval * COOL_DOWN,
            cool_at: AtomicU64::new(0),
            refused: Mutex::default(),
        }
    }

    /// All rings are read now.
    pub fn now(&self) {
        self.asks.send_replace(());
    }

    /// A token names a key that is in no ring. Perhaps it was created since the last reading, so the rings are read again;
    /// but whoever sends random names can cause one reading per cool-down, all of them together, and none is sooner or
    /// later refused for it: a good key is found by the next regular reading anyway.
    pub fn unknown_key(&self, running: Duration) {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let cool_at = self.cool_at.load(Ordering::Relaxed);
        if millis(running) < cool_at {
            return;
        }
        let next = millis(running.saturating_add(self.cool_down));
        let won = self
            .cool_at
            .compare_exchange(cool_at, next, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_ok() {
            self.now();
        }
    }

    /// The provider does not sign with a key that signs by the last reading. Most likely it was revoked since, so the ring is
    /// read at once; but not again for the same key before the next regular reading, which would learn no more.
    pub fn refused_to_sign(&self, kid: &Kid) {
        let mut refused = self.refused.lock();
        let is_known = |(known, at): &(Kid, Instant)| known == kid && at.elapsed() < self.interval;
        if refused.as_ref().is_some_and(is_known) {
            return;
        }
        *refused = Some((kid.clone(), Instant::now()));
        drop(refused);
        self.now();
    }

    pub(crate) fn follow(&self) -> watch::Receiver<()> {
        self.asks.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_bring_one_reading_per_cool_down_however_many_they_are() {
        let nudge = Nudge::new(Duration::from_secs(60));
        let mut asks = nudge.follow();
        let mut readings = 0;
        // 100,000 a minute for half an hour, which is six cool-downs.
        for token in 0..3_000_000_u64 {
            nudge.unknown_key(Duration::from_millis(token * 600 / 1000));
            if asks.has_changed().expect("open") {
                asks.mark_unchanged();
                readings += 1;
            }
        }
        assert_eq!(readings, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_the_provider_refuses_brings_one_reading_per_interval_and_another_key_one_of_its_own() {
        let interval = Duration::from_secs(60);
        let nudge = Nudge::new(interval);
        let mut asks = nudge.follow();
        let mut readings = |kid: &str| {
            (0..100).for_each(|_| nudge.refused_to_sign(&Kid::new(kid)));
            let asked = asks.has_changed().expect("open");
            asks.mark_unchanged();
            asked
        };
        assert!(readings("a"));
        assert!(!readings("a"));
        assert!(readings("b"));
        tokio::time::advance(interval).await;
        assert!(readings("b"));
    }
}
