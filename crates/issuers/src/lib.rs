//! The issuers beside our own whose tokens are accepted: Auth0, Entra ID, Keycloak, Cognito and the like.
//!
//! Each has a task that fetches its keys ahead of their end, one fetch at a time. The data path finds the issuer by `iss`, and a
//! key in what was fetched last; it waits for nobody. Keys belong to their issuer: none is ever tried for a token of another.
//! A fetch that fails leaves the last keys in use, up to a stated age, also over a restart; beyond it, and before the first
//! success, there is no verdict on a token of that issuer.
//!
//! [`Issuers::follow`] is the entry point; [`IssuerKeys`] hands the keys of one to the verifier. This crate knows no ring, no
//! provider and no listener of ours, and not where the terms of an issuer are written down.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use signet_base::{Clock, SystemClock};
//! use signet_core::Timestamp;
//! use signet_core::Issuer;
//! use signet_issuers::{Issuers, Means, NoClient, Record, TrustedIssuer};
//! use tokio_util::sync::CancellationToken;
//! use tokio_util::task::TaskTracker;
//!
//! /// Counts nothing.
//! #[derive(Debug)]
//! struct Silent;
//!
//! impl Record for Silent {
//!     fn on_followed(&self, _: &Issuer) {}
//!     fn on_fetched(&self, _: &Issuer, _: bool) {}
//!     fn on_keys(&self, _: &Issuer, _: usize, _: Timestamp) {}
//! }
//!
//! async fn follow(trusted: &[TrustedIssuer], shutdown: &CancellationToken) -> Result<Issuers, NoClient> {
//!     let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//!     let record: Arc<dyn Record> = Arc::new(Silent);
//!     let means = Means {
//!         clock: &clock,
//!         record: &record,
//!         data_dir: Path::new("/var/lib/signet"),
//!         ahead: Duration::from_secs(120),
//!     };
//!     Issuers::follow(trusted, means, &TaskTracker::new(), shutdown).await
//! }
//! ```

#[cfg(test)]
mod example;
mod fetch;
mod follow;
mod freshness;
mod keep;
mod kept;
mod location;
mod own_address;
mod resolve;
mod terms;
mod tls;

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use signet_base::{Clock, Jitter, Outage};
use signet_clock_watch::ClockWatch;
use signet_core::verify::{Authentic, Refusal, Unproven};
use signet_core::{ForeignKeys, Issuer, Timestamp, VerifyingKey};
use signet_verify::{KeySource, Keys, NoKeys};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use fetch::FetchError;
pub use kept::DIRECTORY;
pub use location::Location;
pub use terms::{KeysAt, TrustedIssuer};
pub use tls::NoClient;

use fetch::Source;
use kept::Remembered;

/// Keys as they were fetched, and how long they are good for.
#[derive(Debug)]
pub struct Known {
    keys: ForeignKeys,
    /// The instant before they were asked for.
    fetched_at: Timestamp,
    /// How long the issuer said that they are good for.
    good_for: Duration,
    /// Until then they need not be fetched again.
    fresh_until: Timestamp,
    /// Until then they are believed, if they cannot be.
    usable_until: Timestamp,
    /// Whether an earlier process fetched them.
    is_from_disk: bool,
}

impl Known {
    fn new(remembered: Remembered, terms: &TrustedIssuer, is_from_disk: bool) -> Self {
        let Remembered {
            keys,
            fetched_at,
            good_for,
        } = remembered;
        let life = good_for.clamp(terms.min_refresh, terms.max_refresh);
        Self {
            keys,
            fetched_at,
            good_for,
            fresh_until: fetched_at.plus(life),
            usable_until: fetched_at.plus(life + terms.max_stale),
            is_from_disk,
        }
    }

    fn remembered(&self) -> Remembered {
        Remembered {
            keys: self.keys.clone(),
            fetched_at: self.fetched_at,
            good_for: self.good_for,
        }
    }

    /// The keys.
    #[must_use]
    pub const fn keys(&self) -> &ForeignKeys {
        &self.keys
    }
}

/// One issuer, with the keys that it had when they were last fetched.
#[derive(Debug)]
pub struct Trusted {
    terms: TrustedIssuer,
    known: ArcSwapOption<Known>,
    outage: ArcSwapOption<Outage>,
    was_tried: AtomicBool,
    /// A token was of a key that is not known.
    wish: Notify,
    /// An operator wants a fetch, whatever the pace.
    order: Notify,
}

impl Trusted {
    fn new(terms: TrustedIssuer) -> Self {
        Self {
            terms,
            known: ArcSwapOption::empty(),
            outage: ArcSwapOption::empty(),
            was_tried: AtomicBool::new(false),
            wish: Notify::new(),
            order: Notify::new(),
        }
    }

    /// What was agreed about it.
    #[must_use]
    pub const fn terms(&self) -> &TrustedIssuer {
        &self.terms
    }

    /// The keys, unless they are too old to be believed.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub fn keys_at(&self, now: Timestamp) -> Result<Arc<Known>, NoKeys> {
        let known: Guard<Option<Arc<Known>>> = self.known.load();
        match known.as_ref() {
            None => Err(NoKeys::Never),
            Some(known) if now >= known.usable_until => Err(NoKeys::TooOld),
            Some(known) => Ok(Arc::clone(known)),
        }
    }

    /// Why the last fetch failed, if it did, and since when all do.
    #[must_use]
    pub fn outage(&self) -> Option<Arc<Outage>> {
        self.outage.load_full()
    }

    /// If the keys that serve come from disk, as this process has fetched none yet: when they were fetched, and until when
    /// they are believed.
    #[must_use]
    pub fn kept(&self) -> Option<(Timestamp, Timestamp)> {
        let known = self.known.load();
        let kept = known.as_ref().filter(|known| known.is_from_disk);
        kept.map(|known| (known.fetched_at, known.usable_until))
    }

    /// Whether its keys were fetched, or could not be. Until then a replica is not ready.
    #[must_use]
    pub fn was_tried(&self) -> bool {
        self.was_tried.load(Ordering::Relaxed)
    }
}

impl Keys for Known {
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
        self.keys.find(token.kid(), token.alg())
    }

    fn have_signed(&self, token: &Authentic) -> bool {
        self.keys.have_signed(token)
    }
}

/// A trusted issuer as a source of keys for the verifier.
#[derive(Debug)]
pub struct IssuerKeys {
    /// The issuer.
    pub trusted: Arc<Trusted>,
    /// Whether the wall clock can be believed: the age of keys is not what somebody sets.
    pub clock_watch: Arc<ClockWatch>,
}

impl KeySource for IssuerKeys {
    fn keys_at(&self, now: Timestamp) -> Result<Arc<dyn Keys>, NoKeys> {
        let known = self.clock_watch.by_age(now, |at| self.trusted.keys_at(at))?;
        Ok(known)
    }

    /// Other issuers may give a new key, also one of another type, the kid of the last. However many tokens are refused, the keys
    /// are fetched no sooner and no more often than once in a cool-down.
    fn on_refused(&self, refusal: Refusal) {
        if matches!(
            refusal,
            Refusal::UnknownKey | Refusal::WrongAlgorithm | Refusal::BadSignature
        ) {
            self.trusted.wish.notify_one();
        }
    }
}

/// Is told what happens, to count it.
pub trait Record: std::fmt::Debug + Send + Sync {
    /// This issuer is followed from now on. Nothing was fetched yet.
    fn on_followed(&self, issuer: &Issuer);

    /// A fetch of its keys ended.
    fn on_fetched(&self, issuer: &Issuer, is_ok: bool);

    /// It has so many keys from now on, which were asked for at this instant.
    fn on_keys(&self, issuer: &Issuer, count: usize, asked_at: Timestamp);
}

/// What following issuers takes.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// The machine's clock.
    pub clock: &'a Arc<dyn Clock>,
    /// Where fetches are counted.
    pub record: &'a Arc<dyn Record>,
    /// Where keys are kept over a restart.
    pub data_dir: &'a Path,
    /// How far the clock of another process that writes to `data_dir` may be ahead of this one's.
    pub ahead: Duration,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Issuers(HashMap<Issuer, Arc<Trusted>>);

impl Issuers {
    /// Those of the settings; each is followed until the shutdown. Keys that an earlier process kept serve when this
    /// returns, if they are fresh.
    ///
    /// # Errors
    /// [`NoClient`] if the certificate authorities of one cannot be read.
    pub async fn follow(
        terms: &[TrustedIssuer],
        means: Means<'_>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, NoClient> {
        let until_shutdown = |task: Pin<Box<dyn Future<Output = ()> + Send>>| {
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = task => {}
                }
            });
        };
        let fetched = Arc::new(Notify::new());
        let mut kept = keep::recall(means.data_dir, terms, means.clock.now(), means.ahead).await;
        let mut issuers = HashMap::new();
        for terms in terms {
            let source = Source::new(terms)?;
            means.record.on_followed(&terms.issuer);
            let trusted = Arc::new(Trusted::new(terms.clone()));
            issuers.insert(terms.issuer.clone(), Arc::clone(&trusted));
            let mut follower = follow::Follower {
                trusted,
                source,
                clock: Arc::clone(means.clock),
                record: Arc::clone(means.record),
                jitter: Jitter::default(),
                stale: None,
                fetched: Arc::clone(&fetched),
            };
            if let Some(remembered) = kept.remove(&terms.issuer) {
                follower.recall(remembered);
            }
            until_shutdown(Box::pin(follower.run()));
        }
        if !issuers.is_empty() {
            let all = issuers.values().cloned().collect();
            until_shutdown(Box::pin(keep::Keep::new(means.data_dir, all, fetched).run()));
        }
        Ok(Self(issuers))
    }

    /// Each of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Trusted>> {
        self.0.values()
    }

    /// Fetches all keys now.
    pub fn fetch_now(&self) {
        self.iter().for_each(|trusted| trusted.order.notify_one());
    }
}

/// Asks once where an issuer's keys are, and for them: what `signet check` shows.
///
/// # Errors
/// Why there are none.
pub async fn try_once(terms: &TrustedIssuer) -> Result<ForeignKeys, Box<dyn std::error::Error + Send + Sync>> {
    let mut source = Source::new(terms)?;
    Ok(source.fetch().await?.keys)
}
