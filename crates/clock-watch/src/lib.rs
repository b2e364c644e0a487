//! Detects that the wall clock is wrong.
//!
//! The dates of keys and the schedule depend on the wall clock. If somebody sets it a day ahead, all keys seem to have
//! expired, and private keys with which all other replicas still sign would be erased. So the clock is compared with
//! the time that the machine has run since the process started ([`Clock::running`]), which nobody can set, and with the
//! clock of the provider. While it is in doubt, nothing is created, retired or erased in the ring, and published keys
//! stay published (`docs/decisions/0017-clocks.md`).
//!
//! [`ClockWatch`] is the entry point. This crate knows no keys and no providers; its callers
//! decide what to do in doubt.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use signet_base::{Clock as _, ManualClock};
//! use signet_clock_watch::{ClockWatch, Tolerance};
//!
//! let tolerance = Tolerance {
//!     apart: Duration::from_secs(120),
//!     forgotten_after: Duration::from_secs(24 * 3600),
//! };
//! let clock = Arc::new(ManualClock::default());
//! let watch = ClockWatch::new(clock.clone(), tolerance);
//! assert!(watch.doubt().is_none());
//! clock.set(clock.now().plus(Duration::from_secs(3600)));
//! assert!(watch.doubt().expect("somebody set the clock").is_ahead);
//! ```
//!
//! A clock that was wrong before the process started cannot be detected here. The schedule tolerates that
//! ([`Schedule::from_the_future`](signet_core::Schedule)).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use signet_base::{Clock, brief};
use signet_core::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The time between two checks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A timer that is later than this was delayed by more than load: the process or machine was suspended.
const LATE: Duration = Duration::from_secs(5);
/// How long an answer of a provider may take.
const SLOW: Duration = Duration::from_secs(30);
/// The maximum time between reading the two clocks. If more passes, the process was interrupted in between.
const AT_ONCE: Duration = Duration::from_millis(50);

/// The readings of both clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: Timestamp,
    running: Duration,
}

impl Moment {
    fn now(clock: &dyn Clock) -> Self {
        let mut moment = Self {
            wall: clock.now(),
            running: clock.running(),
        };
        for _ in 0..8 {
            let running = clock.running();
            let wall = clock.now();
            let after = clock.running();
            moment = Self { wall, running };
            if after.saturating_sub(running) <= AT_ONCE {
                break;
            }
        }
        moment
    }

    /// What the wall clock would show at a later moment if nobody had set it.
    fn expected_at(self, later: Self) -> Timestamp {
        self.wall.plus(later.running.saturating_sub(self.running))
    }
}

/// What the wall clock was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The time that the machine has run.
    Running,
    /// The last reading of the ring by the previous process.
    LastGood,
    /// The clock of a provider.
    Provider(&'static str),
}

/// Why the wall clock is probably wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When it was first seen, by the wall clock as it is now.
    pub since: Timestamp,
    /// What the clock was compared with.
    pub against: Against,
    /// How far the clock is off.
    pub off: Duration,
    /// Whether the clock is ahead. If not, it is behind.
    pub is_ahead: bool,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = Duration::from_secs((self.off + Duration::from_millis(500)).as_secs());
        let (off, direction) = (brief(rounded), if self.is_ahead { "ahead of" } else { "behind" });
        match self.against {
            Against::Running => write!(
                f,
                "the wall clock was set: it is {off} {direction} its value when this process started, plus the time \
                 that has passed since then"
            ),
            Against::LastGood => write!(
                f,
                "the wall clock is {off} {direction} the time of the last reading of the ring before the restart: \
                 the clock is behind now, or was ahead then"
            ),
            Against::Provider(provider) => write!(f, "the wall clock is {off} {direction} the clock of {provider}"),
        }
    }
}

impl Doubt {
    /// What the operator should do. After a restart, the clock is compared only with the time since that restart. A
    /// restart does not resolve a difference from a provider's clock.
    #[must_use]
    pub fn advice(&self) -> String {
        const COMPARE: &str = "Compare `date -u` with a correct clock. If the clock of this machine is wrong, set it and check that \
             NTP runs: Signet then resumes by itself";
        match self.against {
            Against::Running | Against::LastGood => {
                format!(
                    "{COMPARE}. If this clock is right, restart this sidecar as soon as /readyz shows no other \
                     problem: it then compares the clock from a new start"
                )
            }
            Against::Provider(provider) => format!(
                "{COMPARE}. If this clock is right, the clock of {provider} or of a proxy in front of it is wrong: set \
                 that clock. Signet resumes as soon as an answer of {provider} agrees with this clock; a restart does \
                 not help"
            ),
        }
    }
}

#[derive(Debug)]
struct State {
    /// When this process started, or when the wall clock was last known to be right.
    anchor: Moment,
    /// The time that a provider's clock last showed, and when we saw it.
    provider_time: Option<(&'static str, Moment)>,
    /// The last reading of the ring by the previous process, while it is in the future.
    last_good: Option<Timestamp>,
    doubt: Option<Doubt>,
    /// How long the machine had run when the doubt was first seen.
    doubted_at: Option<Duration>,
}

/// The differences between clocks that are not suspicious.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// How far two correct clocks may differ.
    pub apart: Duration,
    /// After this time, smaller changes of the clock are forgotten. Otherwise a machine that is paused for some seconds
    /// each night would be in doubt after a week.
    pub forgotten_after: Duration,
}

/// Compares the wall clock with other clocks.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    tolerance: Tolerance,
    state: Mutex<State>,
    /// How far the wall clock had been set at the last check, in milliseconds.
    last_set_by: AtomicI64,
    jumps: watch::Sender<()>,
}

impl ClockWatch {
    /// Starts to watch this clock. There is no doubt about it at first.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tolerance: Tolerance) -> Self {
        let anchor = Moment::now(&*clock);
        Self {
            clock,
            tolerance,
            state: Mutex::new(State {
                anchor,
                provider_time: None,
                last_good: None,
                doubt: None,
                doubted_at: None,
            }),
            last_set_by: AtomicI64::new(0),
            jumps: watch::Sender::new(()),
        }
    }

    /// Checks the wall clock now. Returns the doubt, if there is one.
    pub fn doubt(&self) -> Option<Doubt> {
        self.look(|_, _| {}).0
    }

    /// The time of the wall clock, right or wrong.
    pub fn wall(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time of the [`Steady`] clock.
    pub fn steady_now(&self) -> Timestamp {
        let set_by = self.set_by();
        self.clock.now().shifted(-set_by)
    }

    /// The [`Steady`] clock. Use it to measure age.
    pub fn steady(self: &Arc<Self>) -> Arc<dyn Clock> {
        Arc::new(Steady(Arc::clone(self)))
    }

    /// Answers a question that depends on age, at this time of the wall clock.
    ///
    /// It is meant for requests: it reads no clock unless the answer is an error. In that case it checks whether the
    /// clock was just set, and repeats the question with the corrected time.
    pub fn by_age<T, E>(&self, now: Timestamp, ask: impl Fn(Timestamp) -> Result<T, E>) -> Result<T, E> {
        let known = now.shifted(-self.last_set_by.load(Ordering::Relaxed));
        ask(known).or_else(|_| ask(now.shifted(-self.set_by())))
    }

    /// How far the wall clock was set forward since it was last right, in milliseconds. Negative if it was set back;
    /// zero if the change is no more than correct clocks may differ.
    pub fn set_by(&self) -> i64 {
        self.look(|_, _| {}).1
    }

    /// The provider whose clock was seen last, if any.
    #[must_use]
    pub fn heard_of(&self) -> Option<&'static str> {
        self.state.lock().provider_time.map(|(provider, _)| provider)
    }

    /// Records the time that a provider's clock showed a moment ago. If ours agrees, ours is
    /// right, even if somebody set it.
    pub fn on_provider_time(&self, provider: &'static str, at: Timestamp) {
        self.look(|state, now| {
            let ahead = now.wall.millis_after(at);
            // The answer may have been on its way for some time. That much is not counted as a difference.
            let slow = i64::try_from(SLOW.as_millis()).unwrap_or(i64::MAX);
            let wall = if (0..=slow).contains(&ahead) { now.wall } else { at };
            state.provider_time = Some((provider, Moment { wall, ..now }));
            if self.off(now.wall.millis_after(wall)).is_none() {
                state.anchor = now;
                state.last_good = None;
            }
        });
    }

    /// Records when the previous process last read the ring, by the wall clock at that time.
    pub fn on_earlier_reading(&self, at: Timestamp) {
        self.look(|state, _| state.last_good = Some(at));
    }

    /// Notifies the receiver whenever the wall clock was set or the machine was suspended. Timers of
    /// any clock may be due then.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.jumps.subscribe()
    }

    /// Checks the clock once a second until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut before = (Moment::now(&*self.clock), Instant::now());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let now = (Moment::now(&*self.clock), Instant::now());
            let suspended = (now.0.running.saturating_sub(before.0.running)).saturating_sub(now.1 - before.1);
            let set_by = now.0.wall.millis_after(before.0.expected_at(now.0));
            if suspended > LATE || Duration::from_millis(set_by.unsigned_abs()) > LATE {
                info!(
                    suspended_seconds = suspended.as_secs(),
                    set_by_seconds = set_by / 1000,
                    "the machine was suspended or its clock was set; reading the rings and fetching the keys of \
                     issuers again"
                );
                self.jumps.send_replace(());
            }
            let _ = self.doubt();
            before = now;
        }
    }

    /// The difference, if it is more than correct clocks may have, and whether our clock is ahead.
    fn off(&self, ahead: i64) -> Option<(Duration, bool)> {
        let off = Duration::from_millis(ahead.unsigned_abs());
        (off > self.tolerance.apart).then_some((off, ahead > 0))
    }

    /// Checks the clocks after `change` has updated what is known. Returns the doubt, and how
    /// far the wall clock was set.
    fn look(&self, change: impl FnOnce(&mut State, Moment)) -> (Option<Doubt>, i64) {
        let mut state = self.state.lock();
        let now = Moment::now(&*self.clock);
        change(&mut state, now);
        let set_by = now.wall.millis_after(state.anchor.expected_at(now));
        let was_set = self.off(set_by).map(|off| (Against::Running, off));
        if was_set.is_none() && now.running.saturating_sub(state.anchor.running) >= self.tolerance.forgotten_after {
            state.anchor = now;
        }
        let against_provider = state.provider_time.and_then(|(provider, then)| {
            let off = self.off(now.wall.millis_after(then.expected_at(now)))?;
            Some((Against::Provider(provider), off))
        });
        let behind = |at| self.off(now.wall.millis_after(at)).filter(|(_, is_ahead)| !is_ahead);
        let against_last_good = state.last_good.and_then(behind).map(|off| (Against::LastGood, off));
        if against_last_good.is_none() {
            state.last_good = None;
        }
        let found = was_set.or(against_provider).or(against_last_good);
        let doubted_at = state.doubted_at.unwrap_or(now.running);
        state.doubted_at = found.map(|_| doubted_at);
        let doubt = found.map(|(against, (off, is_ahead))| Doubt {
            since: now.wall.minus(now.running.saturating_sub(doubted_at)),
            against,
            off,
            is_ahead,
        });
        match (state.doubt, doubt) {
            (None, Some(doubt)) => warn!(
                "{doubt}. Until this is resolved, no key is created, retired, disabled or erased. {}",
                doubt.advice()
            ),
            (Some(_), None) => info!(
                after = %brief(now.running.saturating_sub(doubted_at)),
                "the wall clock agrees with the other clocks again"
            ),
            _ => {}
        }
        state.doubt = doubt;
        let set_by = if was_set.is_some() { set_by } else { 0 };
        self.last_set_by.store(set_by, Ordering::Relaxed);
        (doubt, set_by)
    }
}

/// The time that the wall clock would show if nobody had set it by more than correct clocks may differ.
///
/// The age of a reading of the ring and the schedule are computed with it.
#[derive(Clone, Debug)]
pub struct Steady(Arc<ClockWatch>);

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        self.0.steady_now()
    }

    fn running(&self) -> Duration {
        self.0.clock.running()
    }
}

#[cfg(test)]
mod tests;
