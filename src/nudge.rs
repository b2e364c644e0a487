//! Early readings of the rings, when something shows that the known rings may be out of date.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use signet_core::Kid;
use tokio::sync::watch;
use tokio::time::Instant;

/// Tokens with unknown keys cause at most one early reading in this many refresh intervals.
const COOL_DOWN: u32 = 5;

/// Causes early readings of the rings.
#[derive(Debug)]
pub struct Nudge {
    asks: watch::Sender<()>,
    interval: Duration,
    cool_down: Duration,
    /// The end of the cool-down, as uptime of the machine in milliseconds. The wall clock may be set meanwhile.
    cool_at: AtomicU64,
    /// The key that the provider last refused to sign with, and when that caused an early reading.
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

    /// Causes all rings to be read now.
    pub fn now(&self) {
        self.asks.send_replace(());
    }

    /// Handles a token whose key is in no ring.
    ///
    /// The key may have been created since the last reading, so the rings are read again. All tokens with random
    /// kids together cause at most one such reading per cool-down. A good key never depends on it: the next
    /// regular reading finds it anyway.
    pub fn on_unknown_key(&self, running: Duration) {
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

    /// Handles the provider's refusal to sign with a key.
    ///
    /// Most likely the key was revoked since the last reading, so the ring is read at once. For the same key this
    /// happens only once until the next regular reading.
    pub fn on_refused_to_sign(&self, kid: &Kid) {
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
        // 100,000 tokens per minute for half an hour, which is six cool-downs.
        for token in 0..3_000_000_u64 {
            nudge.on_unknown_key(Duration::from_millis(token * 600 / 1000));
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
            (0..100).for_each(|_| nudge.on_refused_to_sign(&Kid::new(kid)));
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
