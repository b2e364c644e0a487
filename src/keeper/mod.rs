//! The control path: reads the providers, does what the schedule says is due, and publishes snapshots.
//!
//! The data path never waits for it, and its parts do not wait for each other. Each ring is read in a loop of its
//! own (`control.rs` for the signing ring, `watch.rs` for those that are also published). Another loop publishes
//! what they find, and what changes with time alone (`publisher.rs`). A provider that hangs therefore delays
//! neither an activation nor another ring. If a provider fails, its last ring continues by its schedule, also after
//! a restart (`remember.rs`).
//!
//! All loops are one future. Dropping it stops all of them.

mod control;
mod facts;
mod first;

mod pace;
mod publisher;
mod remember;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use signet_api::{ExpiredKeys, KeyProvider, ProviderError, dates};
use signet_base::{Clock, Jitter, http_date};
use signet_clock_watch::{ClockWatch, Tolerance};
use signet_core::algorithm::RsaBits;
use signet_core::{Issuer, Policy};
use tokio_util::sync::CancellationToken;

use self::control::Control;
use self::facts::SharedFacts;
use self::pace::Pace;
use self::publisher::Publisher;
use self::remember::Remember;
use self::watch::Watch;
use crate::last_good::Remembers;
use crate::nudge::Nudge;
use crate::published::Published;
use crate::telemetry::metrics::Metrics;

/// How long a replica with a ring from disk waits for the provider, before it starts with that ring. Also how long any
/// replica waits for the private key before it starts without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The settings of the keeper.
#[derive(Clone, Debug)]
pub struct RingSettings {
    /// The issuer of the ring.
    pub issuer: Issuer,
    /// The rotation policy.
    pub policy: Policy,
    /// The size of new RSA keys.
    pub rsa_bits: RsaBits,
    /// What to do with expired keys. `None` keeps them.
    pub expired_keys: Option<ExpiredKeys>,
}

/// Differences of the wall clock that are not suspicious, for this policy.
#[must_use]
pub fn tolerance(policy: &Policy) -> Tolerance {
    Tolerance {
        apart: policy.durations().clocks_apart(),
        forgotten_after: policy.durations().rotation_period,
    }
}

/// Starts to watch the wall clock, and compares it with the times in the answers of providers. Only one watch in a
/// process gets these times.
#[must_use]
pub fn watch_clock(clock: Arc<dyn Clock>, policy: &Policy) -> Arc<ClockWatch> {
    let clock_watch = Arc::new(ClockWatch::new(clock, tolerance(policy)));
    let watched = Arc::clone(&clock_watch);
    dates::listen(move |provider, date| {
        if let Some(date) = http_date(date) {
            watched.on_provider_time(provider, date);
        }
    });
    clock_watch
}

/// A ring's provider, and the name under which the ring is stored on disk.
#[derive(Clone, Debug)]
pub struct NamedRing {
    /// A name that distinguishes this ring from others of the same issuer.
    pub name: String,
    /// The provider of its keys.
    pub provider: Arc<dyn KeyProvider>,
}

/// What the keeper needs.
#[derive(Debug)]
pub struct Dependencies {
    /// The signing ring.
    pub ring: NamedRing,
    /// The rings that are also published.
    pub also: Vec<NamedRing>,
    /// The clock, and whether it is in doubt.
    pub clock_watch: Arc<ClockWatch>,
    /// The metrics to update.
    pub metrics: Arc<Metrics>,
    /// Random delays that spread the calls of replicas.
    pub jitter: Jitter,
    /// The storage of rings for the next start.
    pub memory: Option<Arc<dyn Remembers>>,
}

impl Dependencies {
    fn control(&self, settings: &RingSettings, shared: &Arc<SharedFacts>) -> Control {
        Control {
            provider: Arc::clone(&self.ring.provider),
            settings: settings.clone(),
            clock: self.clock_watch.steady(),
            clock_watch: Arc::clone(&self.clock_watch),
            shared: Arc::clone(shared),
            pace: self.pace(settings, shared.look(|facts| facts.ring.failure().is_some())),
        }
    }

    fn watches(&self, settings: &RingSettings, shared: &Arc<SharedFacts>) -> Vec<Watch> {
        let watch = |(index, ring): (usize, &NamedRing)| Watch {
            provider: Arc::clone(&ring.provider),
            index,
            policy: settings.policy,
            clock: self.clock_watch.steady(),
            pace: self.pace(settings, shared.look(|facts| facts.also[index].failure().is_some())),
            shared: Arc::clone(shared),
        };
        self.also.iter().enumerate().map(watch).collect()
    }

    /// Makes the pace at which a ring is read. After a failed reading, it is soon read again.
    fn pace(&self, settings: &RingSettings, failed: bool) -> Pace {
        let seed = self.jitter.up_to(Duration::from_nanos(u64::MAX)).as_nanos();
        let seed = Jitter::seeded(u64::try_from(seed).unwrap_or(0));
        let mut pace = Pace::new(settings.policy.durations().refresh_interval, seed);
        if failed {
            pace.on_failure();
        }
        pace
    }

    fn remember(&self, settings: &RingSettings, shared: &Arc<SharedFacts>) -> Option<Remember> {
        let memory = Arc::clone(self.memory.as_ref()?);
        let rings = std::iter::once(&self.ring).chain(&self.also);
        let names = rings.map(|ring| ring.name.clone()).collect();
        Some(Remember::new(
            memory,
            names,
            &settings.policy,
            Arc::clone(shared),
            self.clock_watch.steady(),
        ))
    }

    fn publisher(self, settings: RingSettings, shared: &Arc<SharedFacts>) -> Publisher {
        Publisher {
            shared: Arc::clone(shared),
            settings,
            origin: self.ring.name,
            capabilities: self.ring.provider.capabilities(),
            clock: self.clock_watch.steady(),
            clock_watch: self.clock_watch,
            metrics: self.metrics,
            unsigned: None,
            phases: None,
        }
    }
}

/// Why there is nothing to publish: the provider did not answer, and no ring is stored.
#[derive(Debug)]
pub enum NoRing {
    /// The signing ring could not be read.
    Signing(ProviderError),
    /// A ring that is also published could not be read. Without its keys, this replica would refuse good tokens.
    Also(ProviderError),
}

/// The loops, ready to run.
#[derive(Debug)]
pub struct Keeper {
    control: Control,
    watches: Vec<Watch>,
    remember: Option<Remember>,
    shared: Arc<SharedFacts>,
    published: Arc<Published>,
    nudge: Arc<Nudge>,
    clock_watch: Arc<ClockWatch>,
}

impl Keeper {
    /// Reads the rings for the first time, and creates the first key if there is none.
    ///
    /// A ring that cannot be read is taken from disk, if it is stored there. [`run`](Self::run) does everything else
    /// that is due; the ring is published before that.
    ///
    /// # Errors
    /// [`NoRing`] if a ring can neither be read nor is stored.
    pub async fn start(dependencies: Dependencies, settings: RingSettings) -> Result<Self, NoRing> {
        let shared = Arc::new(SharedFacts::new(first::facts(&dependencies, &settings.policy).await?));
        let control = dependencies.control(&settings, &shared);
        control.begin().await.map_err(NoRing::Signing)?;
        control.expect_news_in(settings.policy.durations().refresh_interval);
        let watches = dependencies.watches(&settings, &shared);
        let remember = dependencies.remember(&settings, &shared);
        let nudge = Arc::new(Nudge::new(settings.policy.durations().refresh_interval));
        let clock_watch = Arc::clone(&dependencies.clock_watch);
        let mut publisher = dependencies.publisher(settings, &shared);
        let published = Published::new(Box::new(move || publisher.snapshot()), Arc::clone(&nudge));
        Ok(Self {
            control,
            watches,
            remember,
            shared,
            published: Arc::new(published),
            nudge,
            clock_watch,
        })
    }

    /// The snapshots that the keeper publishes.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The means to cause an early reading.
    #[must_use]
    pub fn nudge(&self) -> Arc<Nudge> {
        Arc::clone(&self.nudge)
    }

    /// Runs until shutdown.
    ///
    /// Shutdown need not wait for a call in progress, because a cancelled call leaves a valid ring (clause 10 of the
    /// contract). Only rings that are not stored yet are written to disk, if that is possible quickly.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            control,
            watches,
            mut remember,
            shared,
            published,
            nudge,
            clock_watch,
        } = self;
        let interval = control.settings.policy.durations().refresh_interval;
        let watches = watches.into_iter().map(|watch| watch.run(nudge.follow()));
        let writes = async {
            if let Some(remember) = &mut remember {
                remember.run().await;
            }
        };
        let loops = async {
            tokio::join!(
                publish(&shared, &published, &clock_watch, interval),
                control.run(nudge.follow()),
                join_all(watches),
                writes,
                read_after_jumps(&clock_watch, &nudge),
            )
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            _ = loops => {}
        }
        if let Some(remember) = &mut remember {
            remember.finish().await;
        }
    }
}

/// Publishes a snapshot whenever the facts change, and whenever time alone changes something.
async fn publish(shared: &SharedFacts, published: &Published, clock_watch: &ClockWatch, interval: Duration) {
    let mut changes = shared.follow();
    loop {
        let now = clock_watch.wall();
        let left = published.latest().holds_until.map(|until| until.since(now));
        // The wall clock may be set during this wait, so it is checked at least once in each interval.
        let wait = left.map_or(interval, |left| left.min(interval));
        tokio::select! {
            biased;
            // This cannot fail, because the facts live longer than their followers.
            _ = changes.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
        published.publish();
    }
}

/// Reads the ring after the clock was set or the machine was suspended, which timers do not notice.
async fn read_after_jumps(clock_watch: &ClockWatch, nudge: &Nudge) {
    let mut jumps = clock_watch.follow();
    while jumps.changed().await.is_ok() {
        nudge.now();
    }
}

#[cfg(test)]
mod tests;
