//! Trusted issuers: issuers other than our own whose tokens are accepted, such as Auth0, Entra ID, Keycloak and
//! Cognito.
//!
//! Each issuer has a task that fetches its keys before they expire, one fetch at a time. The data path looks up the
//! issuer by `iss` and the key among the last fetched ones, without waiting. A key is used only for tokens of its own
//! issuer. If fetching fails, the last keys stay in use up to a configured age, also after a restart. Beyond that age,
//! and before the first success, tokens of that issuer cannot be judged.
//!
//! [`Issuers::follow`] is the entry point; [`IssuerKeys`] passes the keys of one issuer to the verifier. This crate
//! does not know the ring, the providers, the listeners, or where the settings of an issuer come from.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use signet_base::{Clock, SystemClock};
//! use signet_core::{Issuer, Timestamp};
//! use signet_issuers::{FollowOptions, Issuers, NoClient, Record, TrustedIssuer};
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
//!     let options = FollowOptions {
//!         clock: &clock,
//!         record: &record,
//!         data_dir: Path::new("/var/lib/signet"),
//!         ahead: Duration::from_secs(120),
//!     };
//!     Issuers::follow(trusted, options, &TaskTracker::new(), shutdown).await
//! }
//! ```

pub mod accepted;
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
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use fetch::FetchError;
pub use kept::DIRECTORY;
pub use location::Location;
pub use terms::{KeysAt, TrustedIssuer};
pub use tls::NoClient;

use fetch::Fetcher;
use kept::Remembered;

/// Fetched keys, and how long they may be used.
#[derive(Debug)]
pub struct CurrentKeys {
    keys: ForeignKeys,
    /// The time just before they were requested.
    fetched_at: Timestamp,
    /// How long the issuer said that they may be used.
    good_for: Duration,
    /// When they should be fetched again.
    fresh_until: Timestamp,
    /// When they stop being used if no fetch succeeds.
    usable_until: Timestamp,
    /// Whether an earlier process fetched them.
    is_from_disk: bool,
}

impl CurrentKeys {
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

    /// The keys themselves.
    #[must_use]
    pub const fn keys(&self) -> &ForeignKeys {
        &self.keys
    }
}

/// A trusted issuer, with the keys of the last successful fetch.
#[derive(Debug)]
pub struct Trusted {
    terms: TrustedIssuer,
    current: ArcSwapOption<CurrentKeys>,
    outage: ArcSwapOption<Outage>,
    /// Why the keys cannot be written to disk.
    unkept: ArcSwapOption<Outage>,
    /// The URL that the keys were last fetched from.
    fetched_from: ArcSwapOption<Location>,
    was_tried: AtomicBool,
    /// Requests a fetch because a token named an unknown key.
    wish: Notify,
    /// Requests a fetch at once, because an operator wants it.
    order: Notify,
    /// Whether fetching is stopped, because the keys come from elsewhere.
    is_held: watch::Sender<bool>,
}

impl Trusted {
    fn new(terms: TrustedIssuer) -> Self {
        Self {
            terms,
            current: ArcSwapOption::empty(),
            outage: ArcSwapOption::empty(),
            unkept: ArcSwapOption::empty(),
            fetched_from: ArcSwapOption::empty(),
            was_tried: AtomicBool::new(false),
            wish: Notify::new(),
            order: Notify::new(),
            is_held: watch::Sender::new(false),
        }
    }

    /// Stops or resumes fetching. A gateway stops it while its sidecar has the keys of this issuer. The last fetched keys
    /// stay until they are too old.
    pub fn hold(&self, is_held: bool) {
        let has_changed = self
            .is_held
            .send_if_modified(|held| std::mem::replace(held, is_held) != is_held);
        if has_changed && is_held {
            self.outage.store(None);
        }
    }

    /// Drops the keys, because newer keys are known elsewhere.
    pub fn forget(&self) {
        if self.current.load().is_some() {
            self.current.store(None);
        }
    }

    /// Whether nothing is fetched now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        *self.is_held.borrow()
    }

    /// Waits until fetching is stopped, or resumed.
    async fn until_held(&self, is_held: bool) {
        // The sender is in `self`, so it is open.
        let _ = self.is_held.subscribe().wait_for(|held| *held == is_held).await;
    }

    /// The terms from the settings.
    #[must_use]
    pub const fn terms(&self) -> &TrustedIssuer {
        &self.terms
    }

    /// The keys, if they are recent enough.
    ///
    /// # Errors
    /// [`NoKeys`] if there are none, or they are too old.
    pub fn keys_at(&self, now: Timestamp) -> Result<Arc<CurrentKeys>, NoKeys> {
        let current: Guard<Option<Arc<CurrentKeys>>> = self.current.load();
        match current.as_ref() {
            None => Err(NoKeys::Never),
            Some(current) if now >= current.usable_until => Err(NoKeys::TooOld),
            Some(current) => Ok(Arc::clone(current)),
        }
    }

    /// The reason of the last failed fetch, and since when all fetches fail. `None` if the last fetch succeeded.
    #[must_use]
    pub fn outage(&self) -> Option<Arc<Outage>> {
        self.outage.load_full()
    }

    /// Why the last keys could not be written to disk, where a restart would find them, and since when.
    #[must_use]
    pub fn unkept(&self) -> Option<Arc<Outage>> {
        self.unkept.load_full()
    }

    /// The URL of the keys: from the settings, or found by discovery.
    #[must_use]
    pub fn jwks_url(&self) -> Option<Location> {
        match &self.terms.keys_at {
            KeysAt::Jwks(url) => Some(url.clone()),
            KeysAt::Discovery(_) => self.fetched_from.load().as_deref().cloned(),
        }
    }

    /// Until when the last keys may be used, if there are any.
    #[must_use]
    pub fn usable_until(&self) -> Option<Timestamp> {
        self.current.load().as_ref().map(|current| current.usable_until)
    }

    /// If the keys in use come from disk: when they were fetched, and how long they may be used. `None` once this
    /// process has fetched keys.
    #[must_use]
    pub fn kept(&self) -> Option<(Timestamp, Timestamp)> {
        let current = self.current.load();
        let kept = current.as_ref().filter(|current| current.is_from_disk);
        kept.map(|current| (current.fetched_at, current.usable_until))
    }

    /// Whether a fetch has succeeded or failed yet. Until then the replica is not ready.
    #[must_use]
    pub fn was_tried(&self) -> bool {
        self.was_tried.load(Ordering::Relaxed)
    }
}

impl Keys for CurrentKeys {
    fn find(&self, token: &Unproven<'_>) -> Option<&VerifyingKey> {
        self.keys.find(token.kid(), token.alg())
    }

    fn have_signed(&self, token: &Authentic) -> bool {
        self.keys.have_signed(token)
    }
}

/// A [`KeySource`] for the verifier with the keys of a trusted issuer.
#[derive(Debug)]
pub struct IssuerKeys {
    /// The issuer and its keys.
    pub trusted: Arc<Trusted>,
    /// The watch on the wall clock. It keeps the age of keys right if somebody sets the clock.
    pub clock_watch: Arc<ClockWatch>,
}

impl KeySource for IssuerKeys {
    fn keys_at(&self, now: Timestamp) -> Result<Arc<dyn Keys>, NoKeys> {
        let current = self.clock_watch.by_age(now, |at| self.trusted.keys_at(at))?;
        Ok(current)
    }

    /// Requests a fetch if the reason may be a new key. Other issuers may even reuse a kid for a key of another type.
    /// However many tokens are refused, keys are fetched at most once per cool-down.
    fn on_refused(&self, refusal: Refusal) {
        if matches!(
            refusal,
            Refusal::UnknownKey | Refusal::WrongAlgorithm | Refusal::BadSignature
        ) {
            self.trusted.wish.notify_one();
        }
    }
}

/// Counts the fetches of issuers' keys, for metrics.
pub trait Record: std::fmt::Debug + Send + Sync {
    /// Handles the start of following this issuer. Nothing was fetched yet.
    fn on_followed(&self, issuer: &Issuer);

    /// Handles the end of a fetch.
    fn on_fetched(&self, issuer: &Issuer, is_ok: bool);

    /// Handles new keys: their number, and when they were requested.
    fn on_keys(&self, issuer: &Issuer, count: usize, asked_at: Timestamp);
}

/// What [`Issuers::follow`] needs besides the settings.
#[derive(Clone, Copy, Debug)]
pub struct FollowOptions<'a> {
    /// The machine's clock.
    pub clock: &'a Arc<dyn Clock>,
    /// Counts fetches and keys.
    pub record: &'a Arc<dyn Record>,
    /// The directory in which keys are stored for the next start.
    pub data_dir: &'a Path,
    /// How far the clock of another process that writes to `data_dir` may be ahead of ours.
    pub ahead: Duration,
}

/// All trusted issuers. [`Issuers::follow`] starts the tasks that keep their keys up to date.
#[derive(Debug, Default)]
pub struct Issuers {
    all: HashMap<Issuer, Arc<Trusted>>,
    changes: Arc<watch::Sender<()>>,
}

impl Issuers {
    /// Follows the issuers of the settings until shutdown. If stored keys are fresh, they are in use when this returns.
    ///
    /// # Errors
    /// [`NoClient`] if the certificate authorities of an issuer cannot be read.
    pub async fn follow(
        terms: &[TrustedIssuer],
        options: FollowOptions<'_>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, NoClient> {
        Self::start(terms, options, tasks, shutdown, false).await
    }

    /// Like [`follow`](Self::follow), but fetches nothing until [`Trusted::hold`] says so.
    ///
    /// # Errors
    /// [`NoClient`] if the certificate authorities of an issuer cannot be read.
    pub async fn follow_held(
        terms: &[TrustedIssuer],
        options: FollowOptions<'_>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, NoClient> {
        Self::start(terms, options, tasks, shutdown, true).await
    }

    async fn start(
        terms: &[TrustedIssuer],
        options: FollowOptions<'_>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
        is_held: bool,
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
        let changes = Arc::new(watch::Sender::new(()));
        let mut kept = keep::recall(options.data_dir, terms, options.clock.now(), options.ahead).await;
        let mut issuers = HashMap::new();
        for terms in terms {
            let fetcher = Fetcher::new(terms)?;
            options.record.on_followed(&terms.issuer);
            let trusted = Arc::new(Trusted::new(terms.clone()));
            trusted.hold(is_held);
            issuers.insert(terms.issuer.clone(), Arc::clone(&trusted));
            let mut follower = follow::Follower {
                trusted,
                fetcher,
                clock: Arc::clone(options.clock),
                record: Arc::clone(options.record),
                jitter: Jitter::default(),
                stale: None,
                fetched: Arc::clone(&fetched),
                changes: Arc::clone(&changes),
            };
            if let Some(remembered) = kept.remove(&terms.issuer) {
                follower.recall(remembered);
            }
            until_shutdown(Box::pin(follower.run()));
        }
        if !issuers.is_empty() {
            let all = issuers.values().cloned().collect();
            until_shutdown(Box::pin(
                keep::Keep::new(options.data_dir, all, fetched, Arc::clone(options.clock)).run(),
            ));
        }
        Ok(Self { all: issuers, changes })
    }

    /// Notifies the receiver whenever keys of any issuer were fetched, or are used from disk.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The issuers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Trusted>> {
        self.all.values()
    }

    /// Starts a fetch of the keys of all issuers, and does not wait for it.
    pub fn fetch_now(&self) {
        self.iter().for_each(|trusted| trusted.order.notify_one());
    }
}

/// Fetches an issuer's keys once, with discovery if needed. `signet check` uses it.
///
/// # Errors
/// The reason why no keys could be fetched.
pub async fn try_once(terms: &TrustedIssuer) -> Result<ForeignKeys, Box<dyn std::error::Error + Send + Sync>> {
    let mut fetcher = Fetcher::new(terms)?;
    Ok(fetcher.fetch().await?.keys)
}
