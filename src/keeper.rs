//! The control path: reads the provider, does what the schedule says is due, and publishes a snapshot.
//!
//! Nothing on the data path waits for it. When the provider fails, the last ring goes on by its schedule.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use signet_api::{Claim, Clock, Custody, Fate, KeyProvider, NewKey, ProviderError, chain};
use signet_core::algorithm::RsaBits;
use signet_core::ring::newest;
use signet_core::schedule::{Due, Reason};
use signet_core::{Issuer, KeyRecord, KeyState, Kid, Phase, Policy, Schedule, SigningKey, Timestamp, schedule};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::also::AlsoRing;
use crate::ring_view::{AlsoView, RingView};
use crate::snapshot::{Outage, Parts, Published, Signs, Snapshot};
use crate::telemetry::metrics::Metrics;

/// The first wait after a failure; it doubles up to the refresh interval.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest that a replica waits for others to be faster.
const LONGEST_JITTER: Duration = Duration::from_secs(5);

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

/// The loop's state: the last list, and the private keys that sign now or next.
#[derive(Debug)]
pub struct Keeper {
    provider: Arc<dyn KeyProvider>,
    charge: Charge,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    records: Vec<KeyRecord>,
    refreshed_at: Timestamp,
    refresh_failure: Option<Outage>,
    unsealed: HashMap<Kid, Arc<SigningKey>>,
    unseal_failure: Option<(Kid, Outage)>,
    phases: HashMap<Kid, Phase>,
    failures: u32,
    also: Vec<AlsoRing>,
}

impl Keeper {
    /// Reads the ring for the first time, and creates its first key if it has none. The other rings are published with
    /// it.
    ///
    /// # Errors
    /// [`ProviderError`] if the ring cannot be read or made.
    pub async fn start(
        provider: Arc<dyn KeyProvider>,
        also: Vec<AlsoRing>,
        charge: Charge,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Arc<Published>), ProviderError> {
        let mut keeper = Self {
            refreshed_at: clock.now(),
            records: provider.list().await?,
            provider,
            charge,
            clock,
            metrics,
            refresh_failure: None,
            unsealed: HashMap::new(),
            unseal_failure: None,
            phases: HashMap::new(),
            failures: 0,
            also,
        };
        let first = keeper.schedule();
        if keeper.carry_out(&first).await? {
            keeper.refresh().await?;
        }
        let snapshot = keeper.snapshot().await;
        Ok((keeper, Arc::new(Published::new(snapshot))))
    }

    /// Runs until shutdown. `nudge` asks for a reading before its time.
    pub async fn run(mut self, published: Arc<Published>, nudge: Arc<Notify>, shutdown: CancellationToken) {
        loop {
            let wait = self.wait();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = nudge.notified() => {}
            }
            // A cancelled call leaves a good ring behind (clause 10 of the contract), so shutdown need not wait for it.
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.turn(&published) => {}
            }
        }
    }

    /// Reads, does what is due, publishes. The snapshot is published also when the provider fails: phases move on.
    async fn turn(&mut self, published: &Published) {
        let outcome = self.refresh_and_carry_out().await;
        for ring in &mut self.also {
            ring.refresh(self.clock.now()).await;
        }
        match outcome {
            Ok(()) => {
                if let Some(outage) = self.refresh_failure.take() {
                    info!(since = %crate::clock::rfc3339(outage.since), "the provider answers again");
                }
                self.failures = 0;
            }
            Err(failure) => {
                self.failures = self.failures.saturating_add(1);
                let reason = chain(&failure);
                let since = self
                    .refresh_failure
                    .as_ref()
                    .map_or_else(|| self.clock.now(), |outage| outage.since);
                if self
                    .refresh_failure
                    .as_ref()
                    .is_none_or(|outage| outage.reason != reason)
                {
                    error!(
                        kind = failure.kind.as_str(),
                        "the last good ring stays in use: {reason}"
                    );
                }
                self.refresh_failure = Some(Outage { since, reason });
            }
        }
        published.store(self.snapshot().await);
    }

    async fn refresh_and_carry_out(&mut self) -> Result<(), ProviderError> {
        self.refresh().await?;
        let due = self.schedule();
        if self.carry_out(&due).await? {
            self.refresh().await?;
        }
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), ProviderError> {
        // The instant before the call: what changes while it runs may not be in the answer.
        let asked_at = self.clock.now();
        self.records = self.provider.list().await?;
        self.refreshed_at = asked_at;
        Ok(())
    }

    fn schedule(&self) -> Schedule {
        schedule(&self.records, &self.charge.policy, self.clock.now())
    }

    /// Does what is due; whether anything was done.
    async fn carry_out(&self, schedule: &Schedule) -> Result<bool, ProviderError> {
        let mut done = false;
        for due in &schedule.due {
            match due {
                Due::Successor { of, reason } => {
                    if self.is_outrun(of.as_ref(), *reason).await? {
                        done = true;
                        continue;
                    }
                    let new = NewKey::under(&self.charge.policy, self.charge.rsa_bits, of.clone());
                    let key = self.provider.create(&new).await?;
                    info!(kid = %key.kid(), alg = %key.public.algorithm(), ?reason, "a new key is in the ring");
                    done = true;
                }
                Due::Retire(kid) => {
                    let Some(fate) = self.charge.fate else { continue };
                    self.provider.retire(kid, fate).await?;
                    info!(%kid, ?fate, "an expired key was taken out of use");
                    done = true;
                }
            }
        }
        Ok(done)
    }

    /// Where nothing in the provider settles a race, replicas that find a successor due at the same time would each make
    /// one. That is borne, but every key costs: each waits for a moment of its own and looks again. `true`: somebody
    /// else was faster.
    async fn is_outrun(&self, of: Option<&Kid>, reason: Reason) -> Result<bool, ProviderError> {
        let is_urgent = matches!(reason, Reason::Revoked | Reason::Disabled);
        if is_urgent || self.provider.capabilities().claim == Claim::Atomic {
            return Ok(false);
        }
        let interval = self.charge.policy.durations().refresh_interval;
        tokio::time::sleep((interval / 2).min(LONGEST_JITTER).mul_f64(fraction())).await;
        Ok(newest(&self.provider.list().await?).map(KeyRecord::kid) != of)
    }

    /// How long until there is something to do: the next reading, or the next change of a phase.
    fn wait(&self) -> Duration {
        let interval = self.charge.policy.durations().refresh_interval;
        let refresh = match self.failures {
            // Only ever earlier than the interval: the lead is computed from it.
            0 => interval.mul_f64(0.9 + 0.1 * fraction()),
            failures => FIRST_RETRY
                .saturating_mul(1 << (failures - 1).min(16))
                .min(interval)
                .mul_f64(0.5 + 0.5 * fraction()),
        };
        let now = self.clock.now();
        let also = self.also.iter().map(|ring| ring.schedule(&self.charge.policy, now));
        let changes = also.chain([self.schedule()]).filter_map(|schedule| schedule.next_look);
        changes.min().map_or(refresh, |at| refresh.min(at.since(now)))
    }

    async fn snapshot(&mut self) -> Snapshot {
        let schedule = self.schedule();
        self.log_phases(&schedule);
        let signer = self.signer(&schedule).await;
        let now = self.clock.now();
        let policy = &self.charge.policy;
        let also: Vec<_> = self
            .also
            .iter()
            .map(|ring| (ring, ring.schedule(policy, now)))
            .collect();
        let mut view = RingView::new(&self.charge.issuer, policy, &self.records, &schedule);
        view.also = also
            .iter()
            .map(|(ring, schedule)| AlsoView::new(ring.name(), ring.records(), schedule))
            .collect();
        let snapshot = Snapshot::new(Parts {
            records: &self.records,
            schedule: &schedule,
            policy,
            view,
            signer,
            longest_message: self.provider.capabilities().longest_message,
            also: &also,
            refreshed_at: self.refreshed_at,
            refresh_failure: self.refresh_failure.clone(),
        });
        self.metrics.ring(&snapshot);
        snapshot
    }

    /// The active key, and who signs with it. Private keys are unsealed also for keys that wait, so that an activation
    /// needs no provider.
    async fn signer(&mut self, schedule: &Schedule) -> Result<(Kid, Signs), Outage> {
        let custody = self.provider.capabilities().custody;
        if custody == Custody::Sealed {
            self.unseal(schedule).await;
        }
        let now = self.clock.now();
        let outage = |reason| Outage { since: now, reason };
        let active = schedule
            .active()
            .map(|key| key.kid.clone())
            .ok_or_else(|| outage("no key of the ring is active".to_owned()))?;
        match (custody, self.unsealed.get(&active), &self.unseal_failure) {
            (Custody::Remote, ..) if self.is_enabled(&active) => Ok((active, Signs::Remote)),
            (Custody::Sealed, Some(key), _) => {
                let signs = Signs::Here(Arc::clone(key));
                self.unseal_failure = None;
                Ok((active, signs))
            }
            (Custody::Sealed, None, Some((kid, failure))) if *kid == active => Err(failure.clone()),
            _ => Err(outage(format!("the active key {active} is disabled"))),
        }
    }

    async fn unseal(&mut self, schedule: &Schedule) {
        let wanted: Vec<Kid> = schedule
            .keys
            .iter()
            .filter(|key| matches!(key.phase, Phase::Active | Phase::Pending))
            .map(|key| key.kid.clone())
            .collect();
        self.unsealed.retain(|kid, _| wanted.contains(kid));
        for kid in wanted {
            if !self.is_enabled(&kid) || self.unsealed.contains_key(&kid) {
                continue;
            }
            match self.provider.unseal(&kid).await {
                Ok(Some(key)) => {
                    self.unsealed.insert(kid, Arc::new(key));
                }
                Ok(None) => self.unseal_failed(&kid, "the provider keeps this private key to itself".to_owned()),
                Err(failure) => self.unseal_failed(&kid, chain(&failure)),
            }
        }
    }

    fn is_enabled(&self, kid: &Kid) -> bool {
        let key = self.records.iter().find(|key| key.kid() == kid);
        key.is_some_and(|key| key.state == KeyState::Enabled)
    }

    fn unseal_failed(&mut self, kid: &Kid, reason: String) {
        let known = self.unseal_failure.as_ref().filter(|(known, _)| known == kid);
        if known.is_none_or(|(_, outage)| outage.reason != reason) {
            error!(%kid, "a private key could not be unsealed: {reason}");
        }
        let since = known.map_or_else(|| self.clock.now(), |(_, outage)| outage.since);
        self.unseal_failure = Some((kid.clone(), Outage { since, reason }));
    }

    fn log_phases(&mut self, schedule: &Schedule) {
        for key in &schedule.keys {
            let before = self.phases.insert(key.kid.clone(), key.phase);
            if before == Some(key.phase) {
                continue;
            }
            let was = before.map_or("unseen", Phase::as_str);
            if key.phase == Phase::Revoked {
                warn!(kid = %key.kid, was, "a key is revoked: its tokens are refused from now on");
            } else {
                info!(kid = %key.kid, was, phase = key.phase.as_str(), "a key changed its phase");
            }
        }
        self.phases
            .retain(|kid, _| schedule.keys.iter().any(|key| key.kid == *kid));
    }
}

/// A number in [0, 1) to spread replicas with; nothing secret depends on it.
fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let fraction = bits as f64 / (1_u64 << 53) as f64;
    fraction
}
