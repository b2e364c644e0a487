//! The control path: reads the providers, does what the schedule says is due, and publishes snapshots.
//!
//! Nothing on the data path waits for it, and its parts do not wait for each other: each ring is read in a loop of its own
//! (`control.rs` for the one that signs, `watch.rs` for those published beside it), and what they find is published, with
//! what the clock alone changes, in another (`publisher.rs`). So a provider that hangs holds up neither an activation nor
//! another ring. When a provider fails, its last ring goes on by its schedule, also after a restart (`remember.rs`).
//!
//! The loops are one future: whoever drops it has stopped all of them.

mod control;
mod first;
mod known;
mod pace;
mod publisher;
mod remember;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use signet_api::{Fate, KeyProvider, ProviderError, dates};
use signet_base::{Clock, Jitter, http_date};
use signet_clock_watch::{ClockWatch, Tolerance};
use signet_core::algorithm::RsaBits;
use signet_core::{Issuer, Policy};
use tokio_util::sync::CancellationToken;

use self::control::Control;
use self::known::Known;
use self::pace::Pace;
use self::publisher::Publisher;
use self::remember::Remember;
use self::watch::Watch;
use crate::last_good::Remembers;
use crate::nudge::Nudge;
use crate::published::Published;
use crate::telemetry::metrics::Metrics;

/// A replica that remembers a ring waits so long for the provider before it starts with what it remembers; and any replica for the
/// private key before it starts without.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the keeper keeps to.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The ring's issuer.
    pub issuer: Issuer,
    /// The rotation policy.
    pub policy: Policy,
    /// The modulus of new RSA keys.
    pub rsa_bits: RsaBits,
    /// What becomes of expired keys; `None` keeps them as they are.
    pub fate: Option<Fate>,
}

/// What the ring bears without a doubt of the wall clock.
#[must_use]
pub fn tolerance(policy: &Policy) -> Tolerance {
    Tolerance {
        apart: policy.durations().clocks_apart(),
        forgotten_after: policy.durations().rotation_period,
    }
}

/// Begins to watch the wall clock, and holds it against what the answers of providers show. One watch in a process hears these.
#[must_use]
pub fn watch_clock(clock: Arc<dyn Clock>, policy: &Policy) -> Arc<ClockWatch> {
    let clock_watch = Arc::new(ClockWatch::new(clock, tolerance(policy)));
    let watched = Arc::clone(&clock_watch);
    dates::listen(move |provider, date| {
        if let Some(date) = http_date(date) {
            watched.told(provider, date);
        }
    });
    clock_watch
}

/// A ring's provider, and the name under which the ring is remembered.
#[derive(Clone, Debug)]
pub struct Source {
    /// Tells this ring from others of the same issuer.
    pub name: String,
    /// Where its keys are.
    pub provider: Arc<dyn KeyProvider>,
}

/// What the keeper works with.
#[derive(Debug)]
pub struct Means {
    /// The ring that signs.
    pub ring: Source,
    /// The rings that are published beside it.
    pub also: Vec<Source>,
    /// The time, and whether it can be believed.
    pub clock_watch: Arc<ClockWatch>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What keeps replicas apart.
    pub jitter: Jitter,
    /// Where rings are remembered over a restart.
    pub memory: Option<Arc<dyn Remembers>>,
}

impl Means {
    fn control(&self, charge: &Charge, known: &Arc<Known>) -> Control {
        Control {
            provider: Arc::clone(&self.ring.provider),
            charge: charge.clone(),
            clock: self.clock_watch.steady(),
            clock_watch: Arc::clone(&self.clock_watch),
            known: Arc::clone(known),
            pace: self.pace(charge, known.look(|facts| facts.ring.failure().is_some())),
        }
    }

    fn watches(&self, charge: &Charge, known: &Arc<Known>) -> Vec<Watch> {
        let watch = |(index, source): (usize, &Source)| Watch {
            provider: Arc::clone(&source.provider),
            index,
            policy: charge.policy,
            clock: self.clock_watch.steady(),
            pace: self.pace(charge, known.look(|facts| facts.also[index].failure().is_some())),
            known: Arc::clone(known),
        };
        self.also.iter().enumerate().map(watch).collect()
    }

    /// A ring that could not be read is asked for again soon.
    fn pace(&self, charge: &Charge, failed: bool) -> Pace {
        let seed = self.jitter.up_to(Duration::from_nanos(u64::MAX)).as_nanos();
        let seed = Jitter::seeded(u64::try_from(seed).unwrap_or(0));
        let mut pace = Pace::new(charge.policy.durations().refresh_interval, seed);
        if failed {
            pace.failed();
        }
        pace
    }

    fn remember(&self, charge: &Charge, known: &Arc<Known>) -> Option<Remember> {
        let memory = Arc::clone(self.memory.as_ref()?);
        let rings = std::iter::once(&self.ring).chain(&self.also);
        let names = rings.map(|source| source.name.clone()).collect();
        Some(Remember::new(memory, names, &charge.policy, Arc::clone(known)))
    }

    fn publisher(self, charge: Charge, known: &Arc<Known>) -> Publisher {
        Publisher {
            known: Arc::clone(known),
            charge,
            origin: self.ring.name,
            capabilities: self.ring.provider.capabilities(),
            clock: self.clock_watch.steady(),
            clock_watch: self.clock_watch,
            metrics: self.metrics,
            phases: None,
        }
    }
}

/// Why there is nothing to publish: no provider answered, and nothing is remembered.
#[derive(Debug)]
pub enum NoRing {
    /// The ring that signs.
    Signing(ProviderError),
    /// A ring that is published beside it. Without its keys this replica would refuse good tokens.
    Also(ProviderError),
}

/// The loops, ready to run.
#[derive(Debug)]
pub struct Keeper {
    control: Control,
    watches: Vec<Watch>,
    remember: Option<Remember>,
    known: Arc<Known>,
    published: Arc<Published>,
    nudge: Arc<Nudge>,
    clock_watch: Arc<ClockWatch>,
}

impl Keeper {
    /// Reads the rings for the first time, and creates the first key if there is none. What else is due is done by
    /// [`run`](Self::run): the ring that was read is published first. A ring that cannot be read now is the one that is
    /// remembered, if it is.
    ///
    /// # Errors
    /// [`NoRing`].
    pub async fn start(means: Means, charge: Charge) -> Result<Self, NoRing> {
        let known = Arc::new(Known::new(first::facts(&means, &charge.policy).await?));
        let control = means.control(&charge, &known);
        control.begin().await.map_err(NoRing::Signing)?;
        control.expect_news_in(charge.policy.durations().refresh_interval);
        let watches = means.watches(&charge, &known);
        let remember = means.remember(&charge, &known);
        let nudge = Arc::new(Nudge::new(charge.policy.durations().refresh_interval));
        let clock_watch = Arc::clone(&means.clock_watch);
        let mut publisher = means.publisher(charge, &known);
        let published = Published::new(Box::new(move || publisher.snapshot()), Arc::clone(&nudge));
        Ok(Self {
            control,
            watches,
            remember,
            known,
            published: Arc::new(published),
            nudge,
            clock_watch,
        })
    }

    /// Where the snapshots are.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// The way to a reading before its time.
    #[must_use]
    pub fn nudge(&self) -> Arc<Nudge> {
        Arc::clone(&self.nudge)
    }

    /// Runs until shutdown. A call that is cut off leaves a good ring behind (clause 10 of the contract), so that shutdown
    /// need not wait for it. Only what is not remembered yet is written, if the disk lets it.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            control,
            watches,
            mut remember,
            known,
            published,
            nudge,
            clock_watch,
        } = self;
        let interval = control.charge.policy.durations().refresh_interval;
        let watches = watches.into_iter().map(|watch| watch.run(nudge.follow()));
        let writes = async {
            if let Some(remember) = &mut remember {
                remember.run().await;
            }
        };
        let loops = async {
            tokio::join!(
                publish(&known, &published, &clock_watch, interval),
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

/// Publishes whenever something was found out, and whenever the clock alone changes something.
async fn publish(known: &Known, published: &Published, clock_watch: &ClockWatch, interval: Duration) {
    let mut changes = known.follow();
    loop {
        let now = clock_watch.wall();
        let left = published.latest().holds_until.map(|until| until.since(now));
        // The wall clock may be set while this waits: it is looked at again every now and then.
        let wait = left.map_or(interval, |left| left.min(interval));
        tokio::select! {
            biased;
            // The facts outlive their followers.
            _ = changes.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
        published.publish();
    }
}

/// A timer stands still while the machine is suspended, and knows nothing of a wall clock that is set.
async fn read_after_jumps(clock_watch: &ClockWatch, nudge: &Nudge) {
    let mut jumps = clock_watch.follow();
    while jumps.changed().await.is_ok() {
        nudge.now();
    }
}

#[cfg(test)]
mod tests;
