//! Lines of the log that anybody can cause with a request: the first at once, and then one in a while that says how many
//! were held back. Nobody fills a disk, or hides other lines, by repeating what fails.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter};

/// Between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);
/// The most kinds that are told apart at one place; those beyond share one bound.
const MOST_KINDS: usize = 64;
/// Lines that other people's code may log in a row from one of its places, and how often one more.
const BURST: u32 = 10;
const REFILL: Duration = Duration::from_secs(6);

/// The bound of the lines of one place in the code, by kind.
#[derive(Debug)]
pub struct Seldom<K>(LazyLock<Mutex<Kinds<K>>>);

#[derive(Debug)]
struct Kinds<K> {
    known: HashMap<K, Pace>,
    /// Of all kinds that are too many to be known.
    others: Pace,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: Option<Instant>,
    held_back: u64,
}

impl<K: Eq + Hash> Seldom<K> {
    /// Nothing was logged yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is made for statics alone")]
    pub const fn new() -> Self {
        Self(LazyLock::new(|| {
            Mutex::new(Kinds {
                known: HashMap::new(),
                others: Pace::default(),
            })
        }))
    }

    /// Whether a line of this kind may be logged now: if so, how many were held back since the last one.
    #[must_use]
    pub fn may_log(&self, kind: K) -> Option<u64> {
        self.may_log_at(kind, Instant::now())
    }

    fn may_log_at(&self, kind: K, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = kinds.known.len() < MOST_KINDS || kinds.known.contains_key(&kind);
        let pace = match is_room {
            true => kinds.known.entry(kind).or_default(),
            false => &mut kinds.others,
        };
        if pace.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            pace.held_back = pace.held_back.saturating_add(1);
            return None;
        }
        pace.last = Some(now);
        Some(std::mem::take(&mut pace.held_back))
    }
}

/// The bound of lines about failures, by kind, and of the line about their end: what fails every other time has its end
/// logged as seldom as its failures, and each failure that was logged has one.
#[derive(Debug)]
pub struct SeldomFailing<K> {
    failures: Seldom<K>,
    is_told: AtomicBool,
}

impl<K: Eq + Hash> SeldomFailing<K> {
    /// Nothing has failed yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "as with the other")]
    pub const fn new() -> Self {
        Self {
            failures: Seldom::new(),
            is_told: AtomicBool::new(false),
        }
    }

    /// Whether a failure of this kind may be logged now: if so, how many were held back since the last one.
    #[must_use]
    pub fn may_log(&self, kind: K) -> Option<u64> {
        let may = self.failures.may_log(kind);
        self.is_told.fetch_or(may.is_some(), Ordering::Relaxed);
        may
    }

    /// Whether it may be logged that nothing fails any more.
    #[must_use]
    pub fn may_log_end(&self) -> bool {
        self.is_told.swap(false, Ordering::Relaxed)
    }
}

/// Bounds what libraries log: some write a line for each odd frame that a peer sends. Our own code bounds its lines itself,
/// by their kind.
///
/// Where everything is logged from `info` on, that means our own lines: what a library tells at that level, such as which
/// credentials an SDK tries, is no event of Signet's. Its module can be named to have it.
#[derive(Debug)]
pub(super) struct OfLibraries {
    places: Mutex<HashMap<Identifier, Tokens>>,
    /// The most verbose level of those that are not named.
    unnamed: LevelFilter,
    named: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Tokens {
    left: u32,
    since: Instant,
}

impl OfLibraries {
    pub(super) fn new(targets: &Targets) -> Self {
        Self {
            places: Mutex::default(),
            unnamed: match targets.default_level() {
                Some(LevelFilter::INFO) => LevelFilter::WARN,
                _ => LevelFilter::TRACE,
            },
            named: targets.iter().map(|(name, _)| name.to_owned()).collect(),
        }
    }

    fn may_log_at(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        let target = metadata.target();
        if target == "audit" || target.starts_with("signet") {
            return true;
        }
        let is_named = || self.named.iter().any(|name| target.starts_with(name.as_str()));
        if *metadata.level() > self.unnamed && !is_named() {
            return false;
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = places.entry(metadata.callsite()).or_insert(Tokens {
            left: BURST,
            since: now,
        });
        let more = now.duration_since(tokens.since).as_secs() / REFILL.as_secs();
        if more > 0 {
            tokens.left = tokens
                .left
                .saturating_add(u32::try_from(more).unwrap_or(BURST))
                .min(BURST);
            tokens.since = now;
        }
        let may = tokens.left > 0;
        tokens.left = tokens.left.saturating_sub(1);
        may
    }
}

impl<S: Subscriber> Filter<S> for OfLibraries {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.may_log_at(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::{Layer, SubscriberExt as _};

    use super::*;

    #[test]
    fn of_lines_of_one_kind_the_first_is_logged_and_then_one_in_a_while() {
        let (seldom, now) = (Seldom::new(), Instant::now());
        assert_eq!(seldom.may_log_at("a", now), Some(0));
        for millis in 0..5000 {
            assert_eq!(seldom.may_log_at("a", now + Duration::from_millis(millis)), None);
        }
        assert_eq!(seldom.may_log_at("b", now), Some(0), "another kind is not hidden");
        assert_eq!(seldom.may_log_at("a", now + PAUSE), Some(5000));
        assert_eq!(seldom.may_log_at("a", now + PAUSE), None);
        assert_eq!(seldom.may_log_at("a", now + PAUSE * 2), Some(1));
    }

    #[test]
    fn kinds_without_number_are_logged_no_more_often() {
        let (seldom, now) = (Seldom::new(), Instant::now());
        let logged = (0..10_000)
            .filter(|kind| seldom.may_log_at(*kind, now).is_some())
            .count();
        assert_eq!(logged, MOST_KINDS + 1);
        assert_eq!(seldom.may_log_at(5, now), None);
        assert_eq!(
            seldom.may_log_at(5, now + PAUSE),
            Some(1),
            "those that are known stay known"
        );
    }

    #[test]
    fn what_fails_every_other_time_is_logged_no_more_often() {
        let seldom = SeldomFailing::new();
        let (mut failures, mut ends) = (0, 0);
        for _ in 0..10_000 {
            failures += usize::from(seldom.may_log("timeout").is_some());
            ends += usize::from(seldom.may_log_end());
        }
        assert_eq!((failures, ends), (1, 1));
        assert_eq!(seldom.may_log("refused"), Some(0));
        assert!(seldom.may_log_end(), "each failure that was logged has an end");
        assert!(!seldom.may_log_end());
    }

    /// Counts the events that reach it.
    #[derive(Clone, Default)]
    struct Counting(Arc<Mutex<usize>>);

    impl<S: Subscriber> Layer<S> for Counting {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock().expect("no panic") += 1;
        }
    }

    #[test]
    fn a_library_logs_no_more_than_its_share_and_signet_what_it_wants() {
        let count = Counting::default();
        let subscriber =
            tracing_subscriber::registry().with(count.clone().with_filter(OfLibraries::new(&Targets::new())));
        let logged = || std::mem::take(&mut *count.0.lock().expect("no panic"));
        tracing::subscriber::with_default(subscriber, || {
            (0..1000).for_each(|_| tracing::warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent"));
            assert_eq!(logged(), 10);
            tracing::warn!(target: "h2::proto::ping_pong", "from another place");
            assert_eq!(logged(), 1);
            (0..1000).for_each(|_| tracing::info!(target: "audit", "audit"));
            (0..1000).for_each(|_| tracing::info!("of Signet itself"));
            assert_eq!(logged(), 2000);
        });
    }

    #[test]
    fn a_library_is_not_heard_at_info_unless_it_is_named() {
        for (targets, heard) in [
            ("info", 1),
            ("info,azure_core=info", 2),
            ("info,azure_identity=info", 1),
            ("debug", 2),
            ("warn", 2),
        ] {
            let count = Counting::default();
            let libraries = OfLibraries::new(&targets.parse().expect("targets"));
            let subscriber = tracing_subscriber::registry().with(count.clone().with_filter(libraries));
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(target: "azure_core::http", "which credentials it tries");
                tracing::warn!(target: "azure_core::http", "something is odd");
            });
            assert_eq!(*count.0.lock().expect("no panic"), heard, "{targets}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_library_may_log_again_after_a_while() {
        let count = Counting::default();
        let subscriber =
            tracing_subscriber::registry().with(count.clone().with_filter(OfLibraries::new(&Targets::new())));
        let _guard = tracing::subscriber::set_default(subscriber);
        for (after, logged) in [(0, 10), (5, 0), (1, 1), (24, 4), (3600, 10)] {
            tokio::time::advance(Duration::from_secs(after)).await;
            (0..100).for_each(|_| tracing::warn!(target: "h2", "an odd frame"));
            assert_eq!(
                std::mem::take(&mut *count.0.lock().expect("no panic")),
                logged,
                "{after}"
            );
        }
    }
}
