//! The place of one replica in the fleet: its current process, and what earlier ones served.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use signet::published::Published;
use signet::readiness::Readiness;
use signet::snapshot::Snapshot;
use signet_api::KeyProvider;
use signet_base::Clock;
use signet_core::{Policy, Timestamp};

use crate::gate::Gate;
use crate::sky::{Ms, SkewedClock};

/// The configuration of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The policy, by its number in the plan.
    pub(crate) policy: usize,
    /// The ring that signs.
    pub(crate) ring: usize,
    /// The ring that is also published.
    pub(crate) also: Option<usize>,
}

/// One run of a process.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) policy: Policy,
    pub(crate) started: Ms,
    pub(crate) gate: Arc<Gate>,
    pub(crate) opened: Arc<OnceLock<Opened>>,
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    pub(crate) view: Option<View>,
    pub(crate) last_active: Option<usize>,
}

/// The parts of a process once it serves.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) published: Arc<Published>,
    pub(crate) provider: Arc<dyn KeyProvider>,
    pub(crate) readiness: Readiness,
    pub(crate) probe: Arc<ProbeClock>,
}

/// The clock for checks of readiness, which can be made for any time.
#[derive(Debug, Default)]
pub(crate) struct ProbeClock(AtomicI64);

impl Clock for ProbeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// A check for one time does not depend on earlier checks.
    fn running(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

impl ProbeClock {
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }
}

/// What a replica serves and signs with, since its last change.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) names: Arc<[usize]>,
    pub(crate) active: Option<usize>,
    pub(crate) from: Ms,
}

/// What it served before, and until when somebody may have fetched it.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) names: Arc<[usize]>,
    pub(crate) served_until: Ms,
}

#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) clock: Arc<SkewedClock>,
    pub(crate) live: Option<Live>,
    pub(crate) past: Vec<Past>,
    /// When its process last continued after a stop, or its clock was set.
    pub(crate) resumed: Option<Ms>,
}

impl Seat {
    pub(crate) fn new(clock: Arc<SkewedClock>) -> Self {
        Self {
            clock,
            live: None,
            past: Vec::new(),
            resumed: None,
        }
    }

    /// The latest snapshot that its process has published.
    pub(crate) fn latest(&self) -> Option<Arc<Snapshot>> {
        Some(self.opened()?.published.latest())
    }

    /// The snapshot from which its process would answer now.
    pub(crate) fn answer(&self, now: Ms) -> Option<Arc<Snapshot>> {
        Some(Arc::clone(&self.opened()?.published.at(self.clock.at(now))))
    }

    pub(crate) fn opened(&self) -> Option<&Opened> {
        self.live.as_ref()?.opened.get()
    }

    /// Whether the replica gets requests: it runs and reports that it is ready.
    pub(crate) fn is_ready(&self, at: Ms) -> bool {
        let runs = self
            .live
            .as_ref()
            .is_some_and(|live| !live.gate.is_stopped() && live.view.is_some());
        runs && self.said_ready(at)
    }

    fn said_ready(&self, at: Ms) -> bool {
        let snapshot = self.live.as_ref().and_then(|live| live.snapshot.as_ref());
        let Some((opened, snapshot)) = self.opened().zip(snapshot) else {
            return false;
        };
        opened.probe.set(self.clock.at(at));
        opened.readiness.report_on(snapshot).ready
    }

    /// The last time between these two at which it was ready. `None` if it never was.
    pub(crate) fn served_until(&self, from: Ms, now: Ms) -> Option<Ms> {
        if self.said_ready(now) {
            return Some(now);
        }
        if !self.said_ready(from) {
            return None;
        }
        let (mut ready, mut not) = (from, now);
        while not - ready > 1 {
            let middle = ready + (not - ready) / 2;
            if self.said_ready(middle) {
                ready = middle;
            } else {
                not = middle;
            }
        }
        Some(ready)
    }
}
