//! What `/readyz` says: whether the gateway serves, and the state of each source of keys.
//!
//! Another replica would not do better while an issuer is away, and endpoints without a validator work. A source without
//! keys is therefore reported, but takes no replica out of service. Only a process that has not yet tried to fetch its keys
//! once, or that is stopping, is not ready.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Serialize, Serializer};
use signet_base::{Moment, SystemClock, rfc3339};
use signet_clock_watch::ClockWatch;
use signet_core::Timestamp;
use signet_issuers::Trusted;
use signet_verify::{KeySource, NoKeys};

/// A source of keys that verify tokens.
pub trait SourceOfKeys: fmt::Debug + Send + Sync {
    /// The state of the source now.
    fn condition(&self) -> Condition;
}

/// The state of a source of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Fetching works, and the keys are recent.
    Good,
    /// The keys are being fetched for the first time in this process.
    NotFetched,
    /// The keys cannot be fetched, so the last ones stay in use for a limited time.
    Failing,
    /// The keys were never fetched. Tokens that need them are answered 503.
    NeverFetched,
    /// The keys are too old to be used. Tokens that need them are answered 503.
    TooOld,
}

impl State {
    /// The name in `/readyz`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::NotFetched => "not_fetched",
            Self::Failing => "failing",
            Self::NeverFetched => "never_fetched",
            Self::TooOld => "too_old",
        }
    }

    /// Whether requests fail because of it.
    #[must_use]
    pub const fn is_lost(self) -> bool {
        matches!(self, Self::NotFetched | Self::NeverFetched | Self::TooOld)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A named condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// The name in `/readyz`, such as `keys`.
    pub name: &'static str,
    /// The place of the keys, as the file names it.
    pub source: String,
    /// Whether this replica may serve. A failure that all replicas share counts as held, because no other would do better.
    pub ok: bool,
    /// The state of the source.
    pub state: State,
    /// Since when the state is not good.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_rfc3339_if_any")]
    pub since: Option<Timestamp>,
    /// An explanation for the operator.
    pub detail: String,
}

/// All conditions at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether this replica may serve.
    pub ready: bool,
    /// Why this replica does not serve, or `serving`.
    pub phase: Phase,
    /// Since when the process has run.
    #[serde(serialize_with = "as_rfc3339")]
    pub started: Timestamp,
    /// Each source of keys.
    pub conditions: Vec<Condition>,
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The keys are fetched for the first time.
    Starting,
    /// Requests are answered.
    Serving,
    /// The process was told to end, and requests in progress may finish.
    Stopping,
}

type Sources = Arc<[Arc<dyn SourceOfKeys>]>;

/// Knows what the gateway lacks. All parts of the gateway share it.
#[derive(Debug)]
pub struct Readiness {
    started: Moment,
    /// The sources of the plan that is served. `None` until there is one.
    sources: RwLock<Option<Sources>>,
    is_stopping: AtomicBool,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            started: Moment::now(&SystemClock),
            sources: RwLock::default(),
            is_stopping: AtomicBool::new(false),
        }
    }
}

impl Readiness {
    /// Handles the start of serving, and a new plan: these are its sources of keys.
    pub fn on_serving(&self, sources: Vec<Arc<dyn SourceOfKeys>>) {
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = Some(sources.into());
    }

    /// Handles the signal to end.
    pub fn on_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// The report of this instant.
    #[must_use]
    pub fn report(&self) -> Report {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner).clone();
        let phase = match &sources {
            _ if self.is_stopping.load(Ordering::Relaxed) => Phase::Stopping,
            None => Phase::Starting,
            Some(_) => Phase::Serving,
        };
        let mut conditions: Vec<Condition> = sources
            .iter()
            .flat_map(|sources| sources.iter())
            .map(|source| source.condition())
            .collect();
        conditions.sort_by(|one, other| one.source.cmp(&other.source));
        Report {
            ready: phase == Phase::Serving && conditions.iter().all(|condition| condition.ok),
            phase,
            started: self.started.date_at(Moment::now(&SystemClock)),
            conditions,
        }
    }
}

/// A place of keys that the gateway follows itself, unless the sidecar has the keys.
#[derive(Debug)]
pub struct FollowedKeys {
    /// The keys of the gateway's own fetches.
    pub trusted: Arc<Trusted>,
    /// The watch on the wall clock.
    pub clock_watch: Arc<ClockWatch>,
    /// What the validators of the place use.
    pub used: Vec<Arc<dyn KeySource>>,
}

impl SourceOfKeys for FollowedKeys {
    fn condition(&self) -> Condition {
        let outage = self.trusted.outage();
        let reason = outage.as_ref().map_or("it is being tried", |outage| &outage.reason);
        let now = self.clock_watch.wall();
        let lost = self.used.iter().find_map(|keys| keys.keys_at(now).err());
        let (state, detail) = match (&outage, lost) {
            (_, None) if self.trusted.is_held() => (State::Good, "the keys come from the sidecar".to_owned()),
            (None, None) => (State::Good, "the keys are recent".to_owned()),
            (None, Some(NoKeys::Never)) => (
                State::NotFetched,
                "the keys are being fetched for the first time".to_owned(),
            ),
            (Some(_), Some(NoKeys::Never)) => (
                State::NeverFetched,
                format!("the keys were never fetched, so requests with a token get 503: {reason}"),
            ),
            (Some(_), None) => (
                State::Failing,
                format!("the keys cannot be fetched, so the last ones stay in use: {reason}"),
            ),
            (_, Some(NoKeys::TooOld)) => (
                State::TooOld,
                format!("the keys are too old to be used, so requests with a token get 503: {reason}"),
            ),
        };
        // The age of keys is measured by a clock that nobody sets. People read the wall clock.
        let since = match state {
            State::Good | State::NotFetched => None,
            State::TooOld => self.trusted.usable_until(),
            State::Failing | State::NeverFetched => outage.map(|outage| outage.since),
        };
        Condition {
            name: "keys",
            source: self.trusted.terms().issuer.to_string(),
            ok: state != State::NotFetched,
            state,
            since: since.map(|at| at.shifted(self.clock_watch.set_by())),
            detail,
        }
    }
}

fn as_rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

fn as_rfc3339_if_any<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}
