//! Limits what libraries log.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter};

/// How many lines one place in a library's code may log in a row, and after which time it may log one more.
const BURST: u32 = 10;
const REFILL: Duration = Duration::from_secs(6);

/// Limits what libraries log, because some write a line for each odd frame that a peer sends. Our own
/// code limits its lines itself.
///
/// A general level of `info` or more means our own lines only. What a library logs at that level, such as the
/// credentials that an SDK tries, is not an event of Signet. To see it, name the library's module in the setting.
#[derive(Debug)]
pub(super) struct OfLibraries {
    places: Mutex<HashMap<Identifier, Tokens>>,
    /// The most verbose level for modules that are not named.
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
        let mut places = self.places.lock();
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

    /// Counts the events that reach it.
    #[derive(Clone, Default)]
    struct Counting(Arc<Mutex<usize>>);

    impl<S: Subscriber> Layer<S> for Counting {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            *self.0.lock() += 1;
        }
    }

    #[test]
    fn a_library_logs_no_more_than_its_share_and_signet_what_it_wants() {
        let count = Counting::default();
        let subscriber =
            tracing_subscriber::registry().with(count.clone().with_filter(OfLibraries::new(&Targets::new())));
        let logged = || std::mem::take(&mut *count.0.lock());
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
            assert_eq!(*count.0.lock(), heard, "{targets}");
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
            assert_eq!(std::mem::take(&mut *count.0.lock()), logged, "{after}");
        }
    }
}
