//! The loop of the signing ring. It reads the ring, does what is due, and unseals the private
//! keys that sign now or next.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use signet_api::{Claim, Custody, KeyProvider, NewKey, ProviderError};
use signet_base::{Clock, Outage, chain};
use signet_clock_watch::ClockWatch;
use signet_core::ring::newest;
use signet_core::schedule::{Due, Reason};
use signet_core::{KeyRecord, KeyState, Kid, Phase, Schedule, Timestamp, faults};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::facts::SharedFacts;
use super::pace::Pace;
use super::{PATIENCE, RingSettings};
use crate::reading::Reading;

/// How long a replica waits at most, to let another replica act first.
const LONGEST_JITTER: Duration = Duration::from_secs(5);
/// How late a timer of a running process may be.
const LATE: Duration = Duration::from_secs(1);
/// How often the loop records that the process is running, while it waits for a reading.
const BEAT: Duration = Duration::from_millis(500);
/// How long a new list waits for private keys to be unsealed. Without this, a key that signs at once would be
/// published before it can sign.
const UNSEALING: Duration = Duration::from_millis(500);

/// The state of the loop.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) provider: Arc<dyn KeyProvider>,
    pub(super) settings: RingSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clock_watch: Arc<ClockWatch>,
    pub(super) shared: Arc<SharedFacts>,
    pub(super) pace: Pace,
}

/// The signing ring with its schedule at one moment. It is computed once and used for a whole turn.
#[derive(Debug)]
struct Look {
    ring: Reading,
    schedule: Schedule,
}

/// Whether to read the ring before doing what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    First,
    /// The ring was read a moment ago.
    Not,
}

impl Control {
    /// Runs for ever. If it is cancelled at any point, the ring stays valid (clause 10 of the contract).
    pub(super) async fn run(mut self, mut nudged: watch::Receiver<()>) {
        if self.shared.look(|facts| facts.ring.failure().is_none()) {
            // The ring was just read.
            self.pace.on_attempt();
            let mut ran = self.turn(Reads::Not).await;
            while !ran {
                ran = self.turn(Reads::First).await;
            }
        }
        loop {
            let wait = self.pace.wait();
            self.expect_news_in(wait);
            tokio::select! {
                biased;
                _ = nudged.changed() => {}
                () = sleep(wait) => {}
            }
            self.pace.on_attempt();
            // If this process was stopped during the reading, the answer may be old, so the ring is read again.
            while !self.turn(Reads::First).await {}
        }
    }

    /// The part of the work for which a start waits: creating the first key if there is none.
    ///
    /// [`run`](Self::run) does everything else that is due. A provider that can be read but hangs or fails on writes
    /// therefore does not delay a start.
    pub(super) async fn begin(&self) -> Result<(), ProviderError> {
        if self.shared.look(|facts| facts.ring.failure().is_some()) {
            return Ok(());
        }
        let mut look = self.look();
        if look.ring.records().is_empty() {
            look = self.carry_out_and_read(look).await?;
        }
        // Without the private key, this replica still verifies tokens and publishes keys.
        let _ = timeout(PATIENCE, self.unseal(&look)).await;
        Ok(())
    }

    /// Runs one turn. Returns whether this process ran all the time.
    async fn turn(&mut self, reads: Reads) -> bool {
        let asked_at = self.clock.now();
        // If the turn starts too late, nothing is answered until the ring was read again.
        self.still_runs(asked_at);
        let (outcome, ran) = self.watched(self.work(reads)).await;
        if ran {
            self.expect_news_in(BEAT);
        }
        let look = match outcome {
            Ok(look) => {
                self.pace.on_success();
                // The ring was already published when it was read. Most turns change nothing else.
                if self.shared.look(|facts| facts.ring.failure().is_some()) {
                    self.shared.change(|facts| facts.ring.on_success(asked_at));
                }
                look
            }
            Err(failure) => {
                self.pace.on_failure();
                self.shared.change(|facts| facts.ring.on_failure(&failure, asked_at));
                self.look()
            }
        };
        let ((), ran_on) = self.watched(self.unseal(&look)).await;
        ran && ran_on
    }

    /// Does the work, and checks regularly that this process is running.
    ///
    /// A provider may take its time. But a process that was stopped must not rely on what it knew before. Returns
    /// whether the process ran all the time.
    async fn watched<T>(&self, work: impl Future<Output = T>) -> (T, bool) {
        let mut work = pin!(work);
        let mut ran = true;
        loop {
            let looked_at = self.clock.now();
            let done = timeout(BEAT, &mut work).await;
            let now = self.clock.now();
            ran &= now <= looked_at.plus(BEAT + self.late());
            if ran {
                self.still_runs(now);
            }
            if let Ok(done) = done {
                return (done, ran);
            }
        }
    }

    /// Moves the time from which this process counts as stopped, unless that time has already come.
    fn still_runs(&self, now: Timestamp) {
        self.shared.change_silently(|facts| {
            if now <= facts.news_by {
                facts.news_by = facts.news_by.max(now.plus(BEAT + self.late()));
            }
        });
    }

    /// How late a running process may be, if its clock moves from one end of the allowed skew to the other.
    fn late(&self) -> Duration {
        LATE + self.settings.policy.durations().clock_skew * 2
    }

    pub(super) fn expect_news_in(&self, span: Duration) {
        let news_by = self.clock.now().plus(span + self.late());
        self.shared.change_silently(|facts| facts.news_by = news_by);
    }

    async fn work(&self, reads: Reads) -> Result<Look, ProviderError> {
        let look = match reads {
            Reads::First => self.read().await?,
            Reads::Not => self.look(),
        };
        self.carry_out_and_read(look).await
    }

    /// The ring is read regularly while a slow provider creates a key. Otherwise a revocation
    /// would be noticed too late.
    async fn carry_out_and_read(&self, look: Look) -> Result<Look, ProviderError> {
        let done = tokio::select! {
            biased;
            done = self.carry_out(&look.schedule) => done?,
            never = self.read_on() => match never {},
        };
        let is_read_since = self.shared.look(|facts| facts.ring.at()) != look.ring.at();
        match done {
            true => self.read().await,
            false if is_read_since => Ok(self.look()),
            false => Ok(look),
        }
    }

    /// Reads the ring once in every refresh interval. If a failure lasts, the next turn reports it.
    async fn read_on(&self) -> Infallible {
        loop {
            sleep(self.settings.policy.durations().refresh_interval).await;
            let _ = self.read().await;
        }
    }

    async fn read(&self) -> Result<Look, ProviderError> {
        let asked_at = self.clock.now();
        let records = self.provider.list().await?;
        let (mut ring, news_by) = self.shared.look(|facts| (facts.ring.clone(), facts.news_by));
        if news_by < asked_at {
            ring.on_pause(&self.settings.policy, asked_at);
        }
        ring.renew(records, asked_at, &self.settings.policy)?;
        let look = self.look_at(ring);
        // A key that signs as soon as it is listed should be unsealed first.
        let _ = timeout(UNSEALING, self.unseal_keys_of(&look)).await;
        self.shared.change(|facts| {
            facts.ring = look.ring.clone();
            // A process that was late has now caught up, however long the actions that are due may take.
            facts.news_by = facts.news_by.max(asked_at.plus(BEAT + self.late()));
        });
        Ok(look)
    }

    fn look(&self) -> Look {
        self.look_at(self.shared.look(|facts| facts.ring.clone()))
    }

    fn look_at(&self, ring: Reading) -> Look {
        let schedule = ring.schedule(&self.settings.policy, self.clock.now());
        Look { ring, schedule }
    }

    /// Does what is due. Returns whether anything was done.
    async fn carry_out(&self, schedule: &Schedule) -> Result<bool, ProviderError> {
        self.see_what_expired(schedule);
        let mut done = false;
        for due in &schedule.due {
            match due {
                Due::Successor { of, reason } => {
                    if self.is_outrun(of.as_ref(), *reason).await? {
                        done = true;
                        continue;
                    }
                    if !reason.is_urgent() && self.clock_watch.doubt().is_some() {
                        continue;
                    }
                    let new = NewKey::under(&self.settings.policy, self.settings.rsa_bits, of.clone());
                    let key = self.provider.create(&new).await?;
                    info!(
                        kid = %key.kid(),
                        alg = %key.public.algorithm(),
                        reason = reason.as_str(),
                        "created a new key"
                    );
                    done = true;
                }
                Due::Retire(kid) => {
                    let Some(action) = self.settings.expired_keys.filter(|_| self.has_surely_expired(kid)) else {
                        continue;
                    };
                    self.provider.retire(kid, action).await?;
                    info!(%kid, action = action.as_str(), "retired an expired key");
                    done = true;
                }
            }
        }
        Ok(done)
    }

    /// Records which keys have expired, unless the clock is in doubt.
    fn see_what_expired(&self, schedule: &Schedule) {
        let (running, doubt) = (self.clock.running(), self.clock_watch.doubt());
        self.shared.change_silently(|facts| {
            let retired = |kid: &Kid| schedule.due.contains(&Due::Retire(kid.clone()));
            facts.expired.retain(|kid, _| doubt.is_none() && retired(kid));
            if doubt.is_none() {
                for due in &schedule.due {
                    if let Due::Retire(kid) = due {
                        facts.expired.entry(kid.clone()).or_insert(running);
                    }
                }
            }
        });
    }

    /// Whether this process has seen for a while that the key is expired.
    ///
    /// A deleted private key cannot be restored, so one look at the clock is not enough: a machine that has just
    /// started may show any time until its clock is set.
    fn has_surely_expired(&self, kid: &Kid) -> bool {
        let (running, patience) = (self.clock.running(), self.settings.policy.durations().least_lead());
        let seen = self.shared.look(|facts| facts.expired.get(kid).copied());
        self.clock_watch.doubt().is_none() && seen.is_some_and(|seen| running.saturating_sub(seen) >= patience)
    }

    /// Waits for a random moment and reads the ring again, if no atomic claim settles races.
    ///
    /// Replicas that find a successor due at the same time would each create one. That is harmless, but every key costs
    /// money. Returns `true` if another replica was faster.
    async fn is_outrun(&self, of: Option<&Kid>, reason: Reason) -> Result<bool, ProviderError> {
        // The first key of a ring is not urgent, because nobody is waiting for it yet.
        let is_urgent = reason.is_urgent() && reason != Reason::Empty;
        if is_urgent || faults::has("nobody waits in a race") || self.provider.capabilities().claim == Claim::Atomic {
            return Ok(false);
        }
        let interval = self.settings.policy.durations().refresh_interval;
        sleep(self.pace.apart((interval / 2).min(LONGEST_JITTER))).await;
        Ok(newest(&self.provider.list().await?).map(KeyRecord::kid) != of)
    }

    /// Unseals the private keys of the active and the pending keys. An activation then needs no call to the provider.
    async fn unseal(&self, look: &Look) {
        self.unseal_keys_of(look).await;
        self.forget(look);
    }

    async fn unseal_keys_of(&self, look: &Look) {
        if self.provider.capabilities().custody != Custody::Sealed {
            return;
        }
        let wanted = signing_now_or_next(&look.schedule);
        let is_enabled = |kid: &&Kid| is_enabled(look.ring.records(), kid);
        for kid in wanted.iter().filter(is_enabled) {
            if self.shared.look(|facts| facts.unsealed.contains_key(kid)) {
                continue;
            }
            match self.provider.unseal(kid).await {
                Ok(Some(key)) => self.shared.change(|facts| {
                    facts.unsealed.insert(kid.clone(), Arc::new(key));
                    facts.unseal_failures.remove(kid);
                }),
                Ok(None) => self.on_unseal_failure(kid, "the provider does not release this private key".to_owned()),
                Err(failure) => self.on_unseal_failure(kid, chain(&failure)),
            }
        }
    }

    /// Wipes private keys from memory that neither sign now nor next.
    fn forget(&self, look: &Look) {
        let wanted = signing_now_or_next(&look.schedule);
        self.shared.change_silently(|facts| {
            facts.unsealed.retain(|kid, _| wanted.contains(kid));
            facts.unseal_failures.retain(|kid, _| wanted.contains(kid));
        });
    }

    fn on_unseal_failure(&self, kid: &Kid, reason: String) {
        let now = self.clock.now();
        self.shared.change(|facts| {
            let known = facts.unseal_failures.get(kid);
            if known.is_none_or(|outage| outage.reason != reason) {
                error!(%kid, "a private key cannot be unsealed: {reason}");
            }
            let since = known.map_or(now, |outage| outage.since);
            facts.unseal_failures.insert(kid.clone(), Outage { since, reason });
        });
    }
}

fn signing_now_or_next(schedule: &Schedule) -> Vec<Kid> {
    let ahead = !faults::has("keys are unsealed when they sign");
    let signs = |phase| matches!(phase, Phase::Active) || ahead && matches!(phase, Phase::Pending);
    let keys = schedule.keys.iter().filter(|key| signs(key.phase));
    keys.map(|key| key.kid.clone()).collect()
}

/// Whether the provider can sign with this key.
pub(super) fn is_enabled(records: &[KeyRecord], kid: &Kid) -> bool {
    let key = records.iter().find(|key| key.kid() == kid);
    key.is_some_and(|key| key.state == KeyState::Enabled)
}
