//! When keys are fetched: a little before they expire, with jitter; after a failure again, with growing waits; and
//! early, if a token names an unknown key, but no sooner than one cool-down after the last fetch.
//!
//! Tokens with random kids or signatures therefore cause at most one fetch per cool-down. After a failure they
//! cause none, because the retries follow their own waits. A failed fetch never starts a cool-down that a good
//! key would have to wait for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use signet_base::{Clock, Jitter, Outage, brief, chain, rfc3339};
use signet_core::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::fetch::{FetchError, Fetched, Fetcher};
use super::kept::{Remembered, Worth};
use super::{CurrentKeys, Trusted};
use crate::Record;

/// The first wait after a failure. Each further wait is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The maximum wait while the last keys are still in use.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// The maximum wait while there are no keys and good tokens are refused.
const LONGEST_RETRY_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// The task that follows one issuer.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) trusted: Arc<Trusted>,
    pub(super) fetcher: Fetcher,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) record: Arc<dyn Record>,
    pub(super) jitter: Jitter,
    /// Keys that an earlier process fetched. They are used if the first fetch fails.
    pub(super) stale: Option<CurrentKeys>,
    /// Wakes the task that stores fetched keys on disk.
    pub(super) fetched: Arc<Notify>,
    /// Is notified when keys come into use.
    pub(super) changes: Arc<watch::Sender<()>>,
}

impl Follower {
    /// Fetches the keys until the process stops.
    pub(super) async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            self.trusted.until_held(false).await;
            let (asked_at, asked) = (self.clock.now(), Instant::now());
            let fetched = self.fetcher.fetch().await;
            self.record.on_fetched(&self.trusted.terms.issuer, fetched.is_ok());
            let wait = match fetched {
                Ok(fetched) => {
                    failures = 0;
                    let life = self.keep(fetched, asked_at);
                    // Drop a request that was made before these keys were in use, because this fetch answers it. A
                    // token of an even newer key makes a new request.
                    let _ = self.trusted.wish.notified().now_or_never();
                    let longest = (life - life / 20).saturating_sub(asked.elapsed());
                    longest - self.jitter.up_to(longest / 10)
                }
                Err(error) => {
                    self.fall_back();
                    self.note(&error, asked_at);
                    let longest = longest_wait(&self.trusted, failures, self.clock.now());
                    failures = failures.saturating_add(1);
                    longest - self.jitter.up_to(longest / 2)
                }
            };
            self.trusted.was_tried.store(true, Ordering::Relaxed);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.trusted.order.notified() => {}
                () = self.trusted.until_held(true) => {}
                () = self.wait_for_wish(asked), if failures == 0 => {}
            }
        }
    }

    /// Waits until a fetch is requested and allowed. All replicas see a new key at the same moment, so
    /// jitter spreads their fetches.
    async fn wait_for_wish(&self, asked: Instant) {
        let cool_down = self.trusted.terms.cool_down;
        self.trusted.wish.notified().await;
        sleep_until(asked + cool_down).await;
        sleep(self.jitter.up_to(cool_down / 10)).await;
    }

    /// Starts to use the keys, and returns how long they may be used.
    fn keep(&mut self, fetched: Fetched, asked_at: Timestamp) -> Duration {
        let terms = &self.trusted.terms;
        self.trusted.fetched_from.store(Some(Arc::new(fetched.url)));
        let current = CurrentKeys::new(
            Remembered {
                keys: fetched.keys,
                fetched_at: asked_at,
                good_for: fetched.life,
            },
            terms,
            false,
        );
        let before = self.trusted.current.load();
        let left_out = current.keys.left_out();
        let news = before
            .as_ref()
            .is_none_or(|current| current.keys.left_out() != left_out);
        if news {
            // Log all of them, in lines of readable length.
            for some in left_out.chunks(16) {
                let shown: Vec<String> = some.iter().map(ToString::to_string).collect();
                warn!(issuer = %terms.issuer, count = left_out.len(), "keys of a trusted issuer are not used: {}", shown.join(", "));
            }
        }
        if let Some(outage) = self.trusted.outage.swap(None) {
            let after = brief(asked_at.since(outage.since));
            info!(issuer = %terms.issuer, %after, "the keys of a trusted issuer can be fetched again");
        } else if before.is_none() {
            info!(
                issuer = %terms.issuer,
                keys = current.keys.len(),
                "fetched the keys of a trusted issuer for the first time"
            );
        }
        let life = current.fresh_until.since(asked_at);
        self.serve(current);
        self.stale = None;
        self.fetched.notify_one();
        life
    }

    fn serve(&self, current: CurrentKeys) {
        self.record
            .on_keys(&self.trusted.terms.issuer, current.keys.len(), current.fetched_at);
        self.trusted.current.store(Some(Arc::new(current)));
        self.changes.send_replace(());
    }

    /// Restores keys of an earlier process. If they are still fresh, they are used at once, as they would be without
    /// the restart. Otherwise they are used only if a fetch fails.
    pub(super) fn recall(&mut self, remembered: Remembered) {
        let fetched_at = rfc3339(remembered.fetched_at);
        let issuer = &self.trusted.terms.issuer;
        self.fetcher.recall(&remembered.keys);
        match remembered.worth(&self.trusted.terms, self.clock.now()) {
            Worth::Fresh(current) => {
                info!(%issuer, fetched_at, "using the keys of a trusted issuer from disk until they are fetched");
                self.serve(current);
            }
            Worth::Stale(current) => self.stale = Some(current),
            Worth::Nothing => info!(
                %issuer,
                fetched_at,
                "the keys of a trusted issuer on disk are too old, and are not used"
            ),
        }
    }

    /// Starts to use the keys from disk, because fetching failed. Without the restart they would be in use as well.
    fn fall_back(&mut self) {
        if let Some(current) = self.stale.take() {
            info!(
                issuer = %self.trusted.terms.issuer,
                fetched_at = %rfc3339(current.fetched_at),
                "using the keys of a trusted issuer from disk, because they cannot be fetched"
            );
            self.serve(current);
        }
    }

    /// Logs a failure once for each reason, not once for each attempt.
    fn note(&self, error: &FetchError, asked_at: Timestamp) {
        let trusted = &self.trusted;
        let reason = chain(error);
        let before = trusted.outage();
        if before.as_ref().is_none_or(|outage| outage.reason != reason) {
            let current = trusted.current.load();
            let until = current.as_ref().map(|current| rfc3339(current.usable_until));
            let left = until.map_or_else(
                || "until they are fetched, requests with its tokens get 503".to_owned(),
                |until| format!("the last keys stay in use until {until}"),
            );
            warn!(issuer = %trusted.terms.issuer, "the keys of a trusted issuer cannot be fetched; {left}: {reason}");
        }
        let since = before.map_or(asked_at, |outage| outage.since);
        trusted.outage.store(Some(Arc::new(Outage { since, reason })));
    }
}

/// The maximum wait before the next try, after this many failures. It is shorter if the keys
/// would expire during the wait.
fn longest_wait(trusted: &Trusted, failures: u32, now: Timestamp) -> Duration {
    let wait = FIRST_RETRY
        .saturating_mul(1 << failures.min(8))
        .min(LONGEST_RETRY)
        .min(trusted.terms.max_refresh);
    match trusted.keys_at(now.plus(wait)) {
        Ok(_) => wait,
        Err(_) => wait.min(LONGEST_RETRY_WITHOUT_KEYS),
    }
}

#[cfg(test)]
mod tests {
    use signet_core::{Algorithm, ForeignKeys};

    use super::*;
    use crate::TrustedIssuer;
    use crate::example;

    /// RFC 8037, appendix A.2.
    const JWKS: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    /// An issuer whose keys may be used for this many seconds from now, or an issuer without keys.
    fn trusted(max_refresh: u64, usable_for: Option<u64>) -> Trusted {
        let trusted = Trusted::new(TrustedIssuer {
            max_refresh: Duration::from_secs(max_refresh),
            ..example::trusted("https://login.example.com/jwks")
        });
        trusted.current.store(usable_for.map(|seconds| {
            let remembered = Remembered {
                keys: ForeignKeys::parse(JWKS.as_bytes(), &[Algorithm::EdDSA]).expect("a key"),
                fetched_at: NOW,
                good_for: Duration::ZERO,
            };
            let usable_until = NOW.plus(Duration::from_secs(seconds));
            let current = CurrentKeys::new(remembered, &trusted.terms, false);
            Arc::new(CurrentKeys {
                usable_until,
                ..current
            })
        }));
        trusted
    }

    fn waits(trusted: &Trusted) -> [u64; 8] {
        std::array::from_fn(|failures| {
            let failures = u32::try_from(failures).expect("small");
            longest_wait(trusted, failures, NOW).as_secs()
        })
    }

    #[test]
    fn waits_grow_to_half_a_minute_while_the_last_keys_serve() {
        assert_eq!(waits(&trusted(3600, Some(3600))), [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(longest_wait(&trusted(3600, Some(3600)), u32::MAX, NOW).as_secs(), 30);
        assert_eq!(waits(&trusted(3, Some(3600))), [1, 2, 3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn an_issuer_whose_tokens_are_turned_away_is_asked_again_within_seconds() {
        let without = [1, 2, 4, 5, 5, 5, 5, 5];
        assert_eq!(waits(&trusted(3600, None)), without);
        assert_eq!(waits(&trusted(3600, Some(0))), without);
        assert_eq!(waits(&trusted(3, None)), [1, 2, 3, 3, 3, 3, 3, 3]);
        // The keys are usable now, but not until the end of a wait of 16 s.
        assert_eq!(waits(&trusted(3600, Some(12))), [1, 2, 4, 8, 5, 5, 5, 5]);
    }
}
