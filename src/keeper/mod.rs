//! The control path: reads the providers, does what the schedule says is due, and publishes snapshots.
//!
//! Nothing on the data path waits for it, and its parts do not wait for each other: each ring is read in a loop of its own
//! (`control.rs` for the one that signs, `watch.rs` for those published beside it), and what they find is published, with
//! what the clock alone changes, in another (`publisher.rs`). So a provider that hangs holds up neither an activation nor
//! another ring. When a provider fails, its last ring goes on by its schedule, also after a restart (`remember.rs`).
//!
//! The loops are one future: whoever drops it has stopped all of them.

mod control;
mod known;
mod pace;
mod publisher;
mod remember;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use signet_api::{ErrorKind, Fate, KeyProvider, ProviderError, dates};
use signet_base::{Clock, Jitter, http_date};
use signet_clock_watch::{ClockWatch, Tolerance};
use signet_core::algorithm::RsaBits;
use signet_core::{Issuer, Policy};
use tokio_util::sync::CancellationToken;

use self::control::Control;
use self::known::{Facts, Known};
use self::pace::Pace;
use self::publisher::Publisher;
use self::remember::Remember;
use self::watch::Watch;
use crate::last_good::{Remembered, Remembers};
use crate::nudge::Nudge;
use crate::published::Published;
use crate::reading::Reading;
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
        let Means {
            ring,
            also,
            clock_watch,
            metrics,
            jitter,
            memory,
        } = means;
        let clock = clock_watch.steady();
        let remembered = remember::recall(memory.as_deref(), &clock_watch, clock.now()).await;
        let (first, others) = tokio::join!(
            first_reading(&ring, &*clock, &remembered, &charge.policy),
            join_all(
                also.iter()
                    .map(|source| first_reading(source, &*clock, &remembered, &charge.policy))
            ),
        );
        let first = first.map_err(NoRing::Signing)?;
        let others = others
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(NoRing::Also)?;
        let known = Arc::new(Known::new(Facts {
            ring: first,
            also: others,
            unsealed: HashMap::new(),
            unseal_failures: HashMap::new(),
            news_by: clock.now(),
            expired: HashMap::new(),
        }));

        let interval = charge.policy.durations().refresh_interval;
        let seed =
            || Jitter::seeded(u64::try_from(jitter.up_to(Duration::from_nanos(u64::MAX)).as_nanos()).unwrap_or(0));
        // A ring that could not be read is asked for again soon.
        let pace = |failed: bool| {
            let mut pace = Pace::new(interval, seed());
            if failed {
                pace.failed();
            }
            pace
        };
        let control = Control {
            provider: Arc::clone(&ring.provider),
            charge: charge.clone(),
            clock: Arc::clone(&clock),
            clock_watch: Arc::clone(&clock_watch),
            known: Arc::clone(&known),
            pace: pace(known.look(|facts| facts.ring.failure().is_some())),
        };
        control.begin().await.map_err(NoRing::Signing)?;
        control.expect_news_in(interval);
        let watches = also.iter().enumerate().map(|(index, source)| Watch {
            provider: Arc::clone(&source.provider),
            index,
            policy: charge.policy,
            clock: Arc::clone(&clock),
            pace: pace(known.look(|facts| facts.also[index].failure().is_some())),
            known: Arc::clone(&known),
        });
        let watches = watches.collect();
        let names = [&ring]
            .into_iter()
            .chain(&also)
            .map(|source| source.name.clone())
            .collect();
        let remember = memory.map(|memory| Remember::new(memory, names, &charge.policy, Arc::clone(&known)));
        let mut publisher = Publisher {
            known: Arc::clone(&known),
            charge,
            origin: ring.name.clone(),
            capabilities: ring.provider.capabilities(),
            clock,
            clock_watch: Arc::clone(&clock_watch),
            metrics,
            phases: None,
        };
        let nudge = Arc::new(Nudge::new(interval));
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

/// The ring as its provider lists it; or as it is remembered, if the provider does not answer soon.
async fn first_reading(
    source: &Source,
    clock: &dyn Clock,
    remembered: &Option<Remembered>,
    policy: &Policy,
) -> Result<Reading, ProviderError> {
    let provider = &*source.provider;
    let asked_at = clock.now();
    let mut memory = remembered.iter().flat_map(|remembered| &remembered.rings);
    let Some(ring) = memory.find(|ring| ring.provider == source.name) else {
        return Reading::open(provider, clock).await;
    };
    let read_at = remembered
        .as_ref()
        .map_or(asked_at, |remembered| remembered.refreshed_at);
    let name = provider.capabilities().provider;
    let mut reading = Reading::new(name, ring.records.clone(), read_at.min(asked_at)).after(ring.lapses.clone());
    let failure = match tokio::time::timeout(PATIENCE, provider.list()).await {
        Ok(Ok(records)) => {
            reading.did_not_run(policy, asked_at);
            match reading.renew(records, asked_at, policy) {
                Ok(()) => return Ok(reading),
                Err(lost) => lost,
            }
        }
        // It could never be right: the operator must know at once.
        Ok(Err(failure)) if failure.kind == ErrorKind::InvalidConfig => return Err(failure),
        Ok(Err(failure)) => failure,
        Err(_) => {
            let text = format!("no answer within {}", humantime::format_duration(PATIENCE));
            ProviderError::new(name, signet_api::Operation::List, ErrorKind::TimedOut, text)
        }
    };
    reading.failed(&failure, asked_at);
    Ok(reading)
}

#[cfg(test)]
mod tests;
