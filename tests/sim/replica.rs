//! A process: the real keeper with the real guards, connected to the simulated provider.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use signet::keeper::{Dependencies, Keeper, NamedRing, RingSettings, tolerance};
use signet::last_good::{LastGoodError, Remembered, Remembers};
use signet::readiness::Readiness;
use signet::signing::Remote;
use signet::telemetry::metered::Metered;
use signet::telemetry::metrics::Metrics;
use signet_api::KeyProvider;
use signet_base::{Clock, Jitter};
use signet_clock_watch::ClockWatch;
use signet_core::Issuer;
use signet_core::algorithm::RsaBits;
use signet_guards::{Breaking, Breaks, Checked, Deadlines, GuardExt as _, Pace, Paced, Retries, Retrying, TimeLimited};
use signet_sealed::Sealed;
use tokio_util::sync::CancellationToken;

use crate::cloud;
use crate::fleet::Place;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::seat::{Config, Opened, ProbeClock};
use crate::sky::{SkewedClock, Sun, span};
use crate::vault::{SimSealer, SimStore};
use crate::weather::{Caller, Weather, Wire};
use crate::witness::Witness;

pub(crate) const ISSUER: &str = "https://issuer.example";

/// What all processes share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) plan: Arc<Plan>,
    pub(crate) sun: Sun,
    pub(crate) weather: Arc<Weather>,
    pub(crate) witness: Arc<Witness>,
    pub(crate) places: [Place; 2],
    pub(crate) clocks: Vec<Arc<SkewedClock>>,
    pub(crate) disks: Vec<Arc<Disk>>,
    pub(crate) root: Rng,
}

impl Site {
    /// A random generator for one run of a process, for one purpose.
    fn chance(&self, caller: Caller, incarnation: u64, purpose: u64) -> Rng {
        let who = match caller {
            Caller::Replica(seat) => seat as u64,
            Caller::Operator => u64::MAX,
        };
        self.root.fork(who).fork(incarnation).fork(purpose)
    }

    fn jitter(&self, caller: Caller, incarnation: u64, purpose: u64) -> Jitter {
        Jitter::seeded(self.chance(caller, incarnation, purpose).next())
    }

    fn clock(&self, caller: Caller) -> Arc<SkewedClock> {
        match caller {
            Caller::Replica(seat) => Arc::clone(&self.clocks[seat]),
            Caller::Operator => Arc::clone(&self.clocks[0]),
        }
    }

    /// A handle to a ring with the guards in the order of `src/app.rs`.
    pub(crate) fn provider(&self, ring: usize, caller: Caller, incarnation: u64) -> Arc<dyn KeyProvider> {
        let name = ["sim-a", "sim-b"][ring];
        let purpose = 10 * (1 + ring as u64);
        let clock = self.clock(caller);
        let wire = Wire::new(
            name,
            caller,
            self.sun,
            Arc::clone(&self.weather),
            Arc::clone(&self.witness),
            self.chance(caller, incarnation, purpose),
        );
        let provider: Arc<dyn KeyProvider> = match &self.places[ring] {
            Place::Cloud(cloud) => Arc::new(cloud::Remote {
                cloud: Arc::clone(cloud),
                wire,
            }),
            Place::Shelf(shelf) => {
                let wire = Arc::new(wire);
                let store = SimStore {
                    shelf: Arc::clone(shelf),
                    wire: Arc::clone(&wire),
                };
                Arc::new(Sealed::new(
                    ISSUER,
                    name,
                    SimSealer(wire),
                    store,
                    Arc::clone(&clock) as _,
                ))
            }
        };
        let pace = |per_second: u32, burst: u32| Pace {
            per_second: per_second.try_into().expect("not 0"),
            burst: burst.try_into().expect("not 0"),
            patience: Duration::from_secs(10),
            setting: "SIGNET_REFRESH_INTERVAL",
        };
        let provider = provider
            .guarded(TimeLimited::new(Deadlines::default()))
            .guarded(Breaking::new(
                Breaks::default(),
                self.jitter(caller, incarnation, purpose + 1),
            ))
            .guarded(Paced::new(pace(10, 50), pace(500, 500)))
            .guarded(Retrying::new(
                Retries::default(),
                self.jitter(caller, incarnation, purpose + 2),
            ))
            .guarded(Metered::new(Arc::new(Metrics::default())));
        let skew = self.plan.policies[0].durations().clock_skew;
        Arc::new(Checked::new(provider, clock, skew))
    }
}

/// The process from start to end, as one future. Dropping it kills the process.
pub(crate) async fn life(
    site: Arc<Site>,
    seat: usize,
    incarnation: u64,
    config: Config,
    opened: Arc<OnceLock<Opened>>,
) {
    let caller = Caller::Replica(seat);
    let clock: Arc<dyn Clock> = Arc::clone(&site.clocks[seat]) as _;
    let policy = site.plan.policies[config.policy];
    let named = |ring: usize| NamedRing {
        name: ["sim-a", "sim-b"][ring].to_owned(),
        provider: site.provider(ring, caller, incarnation),
    };
    let ring = named(config.ring);
    let provider = Arc::clone(&ring.provider);
    let settings = RingSettings {
        issuer: Issuer::new(ISSUER),
        policy,
        rsa_bits: RsaBits::B2048,
        expired_keys: site.plan.expired_keys,
    };
    let clock_watch = Arc::new(ClockWatch::new(Arc::clone(&clock), tolerance(&policy)));
    let dependencies = Dependencies {
        ring,
        also: config.also.map(named).into_iter().collect(),
        clock_watch: Arc::clone(&clock_watch),
        metrics: Arc::new(Metrics::default()),
        jitter: site.jitter(caller, incarnation, 1),
        memory: Some(Arc::clone(&site.disks[seat]) as Arc<dyn Remembers>),
    };
    let Ok(keeper) = Keeper::start(dependencies, settings).await else {
        return exit().await;
    };
    let published = keeper.published();
    let remote = Arc::new(Remote::new(Arc::clone(&provider), 100, Duration::from_secs(2), clock));
    let probe = Arc::new(ProbeClock::default());
    probe.set(site.clocks[seat].at(site.sun.now()));
    let readiness = Readiness::new(
        Arc::clone(&published),
        remote,
        crate::socket().file().clone(),
        Arc::default(),
        &policy,
        Arc::clone(&probe) as _,
        clock_watch,
    );
    let handed_over = opened.set(Opened {
        published,
        provider,
        readiness,
        probe,
    });
    assert!(handed_over.is_ok(), "a process starts once");
    keeper.run(CancellationToken::new()).await;
}

/// The process ends with an error, and Kubernetes waits before it restarts it.
async fn exit() {
    tokio::time::sleep(span(10_000)).await;
}

/// What a replica's disk keeps from one process to the next.
#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<Option<Remembered>>);

#[async_trait]
impl Remembers for Disk {
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError> {
        Ok(self.0.lock().clone())
    }

    async fn remember(&self, remembered: Remembered) -> Result<(), LastGoodError> {
        *self.0.lock() = Some(remembered);
        Ok(())
    }
}
