//! Whether the wall clock can be believed.
//!
//! Keys are dated, and a schedule is computed, by the wall clock. If somebody sets it a day ahead, every key has come to its
//! end: private keys would be erased that all others sign with. So it is held against what nobody sets, the time that the
//! machine has run since this process began to watch ([`Clock::running`]), and against what the provider shows. While it is in
//! doubt nothing is created, retired or erased in the ring, and no key that was published stops being published
//! (`docs/decisions/0017-clocks.md`).
//!
//! [`ClockWatch`] is the entry point. This crate knows no key and no provider; what doubt leads to is for others to decide.
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
//! A clock that was wrong before the process began shows by nothing here. The schedule bears that
//! ([`Schedule::from_the_future`](signet_core::Schedule)).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use signet_base::{Clock, brief, rfc3339};
use signet_core::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A timer that is later than this was held up by more than a busy machine.
const LATE: Duration = Duration::from_secs(5);
/// The longest that an answer of a provider is on its way.
const SLOW: Duration = Duration::from_secs(30);
/// Two clocks are read one after the other. If more time than this goes by, the process was held up between them.
const AT_ONCE: Duration = Duration::from_millis(50);

/// What both clocks showed at one moment.
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

/// What the wall clock was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The time that the machine has run.
    Running,
    /// The ring as this sidecar read it before it was started again.
    LastGood,
    /// The clock of a provider.
    Provider(&'static str),
}

/// A wall clock that cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// When it was first seen, as the wall clock would have shown it if nobody had set it.
    pub since: Timestamp,
    /// What it was held against.
    pub against: Against,
    /// How far it is off.
    pub off: Duration,
    /// Whether it is ahead, or behind.
    pub is_ahead: bool,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = Duration::from_secs((self.off + Duration::from_millis(500)).as_secs());
        let (off, direction) = (brief(rounded), if self.is_ahead { "ahead of" } else { "behind" });
        match self.against {
            Against::Running => write!(
                f,
                "the wall clock was set: it is {off} {direction} what it was when this process began to watch it, plus the time \
                 that this machine has run since"
            ),
            Against::LastGood => write!(
                f,
                "the wall clock is {off} {direction} the last reading of the ring, which this sidecar made before it was started \
                 again: it is behind now, or was ahead then"
            ),
            Against::Provider(provider) => write!(f, "the wall clock is {off} {direction} the clock of {provider}"),
        }
    }
}

impl Doubt {
    /// What helps. A restart begins to watch the clock anew, which settles nothing with a provider.
    #[must_use]
    pub fn advice(&self) -> String {
        const COMPARE: &str = "Compare `date -u` with a clock that is right. If this machine's is wrong, set it and see that NTP runs: \
                               all resumes by itself";
        match self.against {
            Against::Running | Against::LastGood => {
                format!(
                    "{COMPARE}. If it is right, restart this sidecar once /readyz shows nothing else that is wrong: it then begins to \
                     watch the clock anew"
                )
            }
            Against::Provider(provider) => format!(
                "{COMPARE}. If it is right, the clock of {provider} is wrong, or that of a proxy that answers for it: set that one. \
                 All resumes with the next answer that agrees, and a restart would change nothing"
            ),
        }
    }
}

#[derive(Debug)]
struct State {
    /// When this process began to watch, or ours was last known to be right.
    anchor: Moment,
    /// What a provider's clock showed last, and when.
    told: Option<(&'static str, Moment)>,
    /// The last reading of the ring before this process, while it lies in the future.
    last_good: Option<Timestamp>,
    doubt: Option<Doubt>,
}

/// What is no reason for doubt.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// How far apart clocks that are right may be.
    pub apart: Duration,
    /// After so long it is forgotten that the clock was set by less than that: a machine that is held up for seconds each night is
    /// not in doubt after a week.
    pub forgotten_after: Duration,
}

/// Holds the wall clock against others.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    tolerance: Tolerance,
    state: Mutex<State>,
    /// By how much the wall clock was set when it was last looked at.
    last_set_by: AtomicI64,
    jumps: watch::Sender<()>,
}

impl ClockWatch {
    /// Begins to watch.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tolerance: Tolerance) -> Self {
        let anchor = Moment::now(&*clock);
        Self {
            clock,
            tolerance,
            state: Mutex::new(State {
                anchor,
                told: None,
                last_good: None,
                doubt: None,
            }),
            last_set_by: AtomicI64::new(0),
            jumps: watch::Sender::new(()),
        }
    }

    /// Why the wall clock cannot be believed at this moment, if so.
    pub fn doubt(&self) -> Option<Doubt> {
        self.look(|_, _| {}).0
    }

    /// What the wall clock shows, right or wrong.
    pub fn wall(&self) -> Timestamp {
        self.clock.now()
    }

    /// What [`Steady`] shows.
    pub fn steady_now(&self) -> Timestamp {
        let set_by = self.set_by();
        self.clock.now().shifted(-set_by)
    }

    /// The time by which ages are counted: [`Steady`].
    pub fn steady(self: &Arc<Self>) -> Arc<dyn Clock> {
        Arc::new(Steady(Arc::clone(self)))
    }

    /// Asks what depends on the age of something, at this instant of the wall clock. If that was set a moment ago, and the answer
    /// is no for it, it is asked again: this is for requests, which do not look at three clocks each.
    pub fn by_age<T, E>(&self, now: Timestamp, ask: impl Fn(Timestamp) -> Result<T, E>) -> Result<T, E> {
        let known = now.shifted(-self.last_set_by.load(Ordering::Relaxed));
        ask(known).or_else(|_| ask(now.shifted(-self.set_by())))
    }

    /// How far the wall clock was set forward since it was last right, in milliseconds; negative if it was set back, and zero if
    /// it was set by no more than clocks may be apart.
    pub fn set_by(&self) -> i64 {
        self.look(|_, _| {}).1
    }

    /// The provider whose clock was seen last, if any was.
    #[must_use]
    pub fn heard_of(&self) -> Option<&'static str> {
        self.state.lock().told.map(|(provider, _)| provider)
    }

    /// A provider's clock showed this a moment ago. If ours agrees, it is right, whoever set it meanwhile.
    pub fn told(&self, provider: &'static str, at: Timestamp) {
        self.look(|state, now| {
            let ahead = now.wall.millis_after(at);
            // An answer may have been long on its way: so much is not held against it.
            let slow = i64::try_from(SLOW.as_millis()).unwrap_or(i64::MAX);
            let wall = if (0..=slow).contains(&ahead) { now.wall } else { at };
            state.told = Some((provider, Moment { wall, ..now }));
            if self.off(now.wall.millis_after(wall)).is_none() {
                state.anchor = now;
                state.last_good = None;
            }
        });
    }

    /// The ring was last read at this instant, by the wall clock as it was before this process began.
    pub fn was_read(&self, at: Timestamp) {
        self.look(|state, _| state.last_good = Some(at));
    }

    /// Hears of each moment at which the wall clock was set or the machine was suspended: what is due by any clock may be due
    /// now.
    pub fn follow(&self) -> watch::Receiver<()> {
        self.jumps.subscribe()
    }

    /// Looks once a second until shutdown.
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
                    "the machine was suspended or its clock was set: rings and issuers are read again"
                );
                self.jumps.send_replace(());
            }
            let _ = self.doubt();
            before = now;
        }
    }

    /// Whether this is more than clocks that are right may be apart, and whether ours is ahead.
    fn off(&self, ahead: i64) -> Option<(Duration, bool)> {
        let off = Duration::from_millis(ahead.unsigned_abs());
        (off > self.tolerance.apart).then_some((off, ahead > 0))
    }

    /// Looks at the clocks after a change of what is known. The doubt, and how far the wall clock was set.
    fn look(&self, change: impl FnOnce(&mut State, Moment)) -> (Option<Doubt>, i64) {
        let mut state = self.state.lock();
        let now = Moment::now(&*self.clock);
        change(&mut state, now);
        let set_by = now.wall.millis_after(state.anchor.expected_at(now));
        let was_set = self.off(set_by).map(|off| (Against::Running, off));
        if was_set.is_none() && now.running.saturating_sub(state.anchor.running) >= self.tolerance.forgotten_after {
            state.anchor = now;
        }
        let against_told = state.told.and_then(|(provider, then)| {
            let off = self.off(now.wall.millis_after(then.expected_at(now)))?;
            Some((Against::Provider(provider), off))
        });
        let behind = |at| self.off(now.wall.millis_after(at)).filter(|(_, is_ahead)| !is_ahead);
        let against_last_good = state.last_good.and_then(behind).map(|off| (Against::LastGood, off));
        if against_last_good.is_none() {
            state.last_good = None;
        }
        let found = was_set.or(against_told).or(against_last_good);
        let right = now.wall.shifted(if was_set.is_some() { -set_by } else { 0 });
        let doubt = found.map(|(against, (off, is_ahead))| Doubt {
            since: state.doubt.map_or(right, |doubt| doubt.since),
            against,
            off,
            is_ahead,
        });
        match (state.doubt, doubt) {
            (None, Some(doubt)) => warn!(
                "{doubt}. Until that is settled no key is created, retired, disabled or erased. {}",
                doubt.advice()
            ),
            (Some(doubt), None) => info!(since = %rfc3339(doubt.since), "the wall clock agrees with the others again"),
            _ => {}
        }
        state.doubt = doubt;
        let set_by = if was_set.is_some() { set_by } else { 0 };
        self.last_set_by.store(set_by, Ordering::Relaxed);
        (doubt, set_by)
    }
}

/// The time as the wall clock would show it if nobody had set it by more than clocks may be apart: what tells how old a reading of
/// the ring is, and what keys are to do.
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
