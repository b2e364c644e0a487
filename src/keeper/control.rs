//! The loop of the ring that signs: reads it, does what is due, and unseals the private keys that sign now or next.

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

use super::known::Known;
use super::pace::Pace;
use super::{Charge, PATIENCE};
use crate::reading::Reading;

/// The longest that a replica waits for others to be faster.
const LONGEST_JITTER: Duration = Duration::from_secs(5);
/// How late a process that runs may be.
const LATE: Duration = Duration::from_secs(1);
/// While a reading is under way, so often it is seen that this process runs.
const BEAT: Duration = Duration::from_millis(500);
/// So long a new list waits for the private keys of its keys, so that a key that signs at once is not published alone.
const UNSEALING: Duration = Duration::from_millis(500);

/// What the loop works with.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) provider: Arc<dyn KeyProvider>,
    pub(super) charge: Charge,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clock_watch: Arc<ClockWatch>,
    pub(super) known: Arc<Known>,
    pub(super) pace: Pace,
}

/// The ring that signs, with what followed from it when it was looked at. One look serves a whole turn.
#[derive(Debug)]
struct Look {
    ring: Reading,
    schedule: Schedule,
}

/// Whether the ring is read before what is due in it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    First,
    /// It was read a moment ago.
    Not,
}

impl Control {
    /// Runs for ever. Cancelled anywhere, it leaves a good ring behind (clause 10 of the contract).
    pub(super) async fn run(mut self, mut nudged: watch::Receiver<()>) {
        if self.known.look(|facts| facts.ring.failure().is_none()) {
            // The ring was just read.
            self.pace.asks();
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
            self.pace.asks();
            // If this process was stopped meanwhile, the answer may be as old as that.
            while !self.turn(Reads::First).await {}
        }
    }

    /// What a start waits for: without a key there is nothing to start for. With one, what else is due is done by
    /// [`run`](Self::run): a provider that lets itself be read, but hangs or fails when it is written, delays no start.
    pub(super) async fn begin(&self) -> Result<(), ProviderError> {
        if self.known.look(|facts| facts.ring.failure().is_some()) {
            return Ok(());
        }
        let mut look = self.look();
        if look.ring.records().is_empty() {
            look = self.carry_out_and_read(look).await?;
        }
        // Without the private key this replica still validates and publishes.
        let _ = timeout(PATIENCE, self.unseal(&look)).await;
        Ok(())
    }

    /// Whether this process ran all the while.
    async fn turn(&mut self, reads: Reads) -> bool {
        let asked_at = self.clock.now();
        // If this comes too late, nothing is answered until it is known what was missed.
        self.still_runs(asked_at);
        let (outcome, ran) = self.watched(self.work(reads)).await;
        if ran {
            self.expect_news_in(BEAT);
        }
        let look = match outcome {
            Ok(look) => {
                self.pace.succeeded();
                // A ring that was read is published already. Most turns change nothing else.
                if self.known.look(|facts| facts.ring.failure().is_some()) {
                    self.known.change(|facts| facts.ring.succeeded());
                }
                look
            }
            Err(failure) => {
                self.pace.failed();
                self.known.change(|facts| facts.ring.failed(&failure, asked_at));
                self.look()
            }
        };
        let ((), ran_on) = self.watched(self.unseal(&look)).await;
        ran && ran_on
    }

    /// Does the work, and looks every now and then whether this process runs: a provider may take its time, but one who
    /// was stopped must not believe what it knew before. Whether it ran all the while.
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

    /// Puts off the instant from which this process counts as stopped, unless that has come.
    fn still_runs(&self, now: Timestamp) {
        self.known.change_silently(|facts| {
            if now <= facts.news_by {
                facts.news_by = facts.news_by.max(now.plus(BEAT + self.late()));
            }
        });
    }

    /// How late a process that runs may be, by a clock that may be set meanwhile from one end of what it may be off to the other.
    fn late(&self) -> Duration {
        LATE + self.charge.policy.durations().clock_skew * 2
    }

    pub(super) fn expect_news_in(&self, span: Duration) {
        let news_by = self.clock.now().plus(span + self.late());
        self.known.change_silently(|facts| facts.news_by = news_by);
    }

    async fn work(&self, reads: Reads) -> Result<Look, ProviderError> {
        let look = match reads {
            Reads::First => self.read().await?,
            Reads::Not => self.look(),
        };
        self.carry_out_and_read(look).await
    }

    /// A provider that is slow to make a key keeps no revocation from being read: the ring is read on meanwhile.
    async fn carry_out_and_read(&self, look: Look) -> Result<Look, ProviderError> {
        let done = tokio::select! {
            biased;
            done = self.carry_out(&look.schedule) => done?,
            never = self.read_on() => match never {},
        };
        let is_read_since = self.known.look(|facts| facts.ring.at()) != look.ring.at();
        match done {
            true => self.read().await,
            false if is_read_since => Ok(self.look()),
            false => Ok(look),
        }
    }

    /// Reads once in every refresh interval. A failure is told by the next turn, if it lasts.
    async fn read_on(&self) -> Infallible {
        loop {
            sleep(self.charge.policy.durations().refresh_interval).await;
            let _ = self.read().await;
        }
    }

    async fn read(&self) -> Result<Look, ProviderError> {
        let asked_at = self.clock.now();
        let records = self.provider.list().await?;
        let (mut ring, news_by) = self.known.look(|facts| (facts.ring.clone(), facts.news_by));
        if news_by < asked_at {
            ring.did_not_run(&self.charge.policy, asked_at);
        }
        ring.renew(records, asked_at, &self.charge.policy)?;
        let look = self.look_at(ring);
        // A key that signs as soon as it is listed should be able to.
        let _ = timeout(UNSEALING, self.unseal_keys_of(&look)).await;
        self.known.change(|facts| {
            facts.ring = look.ring.clone();
            // Whoever came too late knows by now what was missed, however long what is due in it may take.
            facts.news_by = facts.news_by.max(asked_at.plus(BEAT + self.late()));
        });
        Ok(look)
    }

    fn look(&self) -> Look {
        self.look_at(self.known.look(|facts| facts.ring.clone()))
    }

    fn look_at(&self, ring: Reading) -> Look {
        let schedule = ring.schedule(&self.charge.policy, self.clock.now());
        Look { ring, schedule }
    }

    /// Does what is due; whether anything was done.
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
                    let new = NewKey::under(&self.charge.policy, self.charge.rsa_bits, of.clone());
                    let key = self.provider.create(&new).await?;
                    info!(kid = %key.kid(), alg = %key.public.algorithm(), ?reason, "a new key is in the ring");
                    done = true;
                }
                Due::Retire(kid) => {
                    let Some(fate) = self.charge.fate.filter(|_| self.has_surely_expired(kid)) else {
                        continue;
                    };
                    self.provider.retire(kid, fate).await?;
                    info!(%kid, ?fate, "an expired key was taken out of use");
                    done = true;
                }
            }
        }
        Ok(done)
    }

    /// Notes which keys have expired. What was seen by a clock that is in doubt was not seen.
    fn see_what_expired(&self, schedule: &Schedule) {
        let (running, doubt) = (self.clock.running(), self.clock_watch.doubt());
        self.known.change_silently(|facts| {
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

    /// A private key that is gone does not come back, so one look at a clock is not enough: a machine that has just started may
    /// show any time until somebody sets its clock. This process must have seen the key expired for a while.
    fn has_surely_expired(&self, kid: &Kid) -> bool {
        let (running, patience) = (self.clock.running(), self.charge.policy.durations().least_lead());
        let seen = self.known.look(|facts| facts.expired.get(kid).copied());
        self.clock_watch.doubt().is_none() && seen.is_some_and(|seen| running.saturating_sub(seen) >= patience)
    }

    /// Where nothing in the provider settles a race, replicas that find a successor due at the same time would each make
    /// one. That is borne, but every key costs: each waits for a moment of its own and looks again. `true`: somebody
    /// else was faster.
    async fn is_outrun(&self, of: Option<&Kid>, reason: Reason) -> Result<bool, ProviderError> {
        // The first key of a ring has time: nobody waits for it yet.
        let is_urgent = reason.is_urgent() && reason != Reason::Empty;
        if is_urgent || faults::has("nobody waits in a race") || self.provider.capabilities().claim == Claim::Atomic {
            return Ok(false);
        }
        let interval = self.charge.policy.durations().refresh_interval;
        sleep(self.pace.apart((interval / 2).min(LONGEST_JITTER))).await;
        Ok(newest(&self.provider.list().await?).map(KeyRecord::kid) != of)
    }

    /// Private keys are unsealed also for keys that wait, so that an activation needs no provider.
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
            if self.known.look(|facts| facts.unsealed.contains_key(kid)) {
                continue;
            }
            match self.provider.unseal(kid).await {
                Ok(Some(key)) => self.known.change(|facts| {
                    facts.unsealed.insert(kid.clone(), Arc::new(key));
                    facts.unseal_failures.remove(kid);
                }),
                Ok(None) => self.not_unsealed(kid, "the provider keeps this private key to itself".to_owned()),
                Err(failure) => self.not_unsealed(kid, chain(&failure)),
            }
        }
    }

    /// What neither signs nor waits is wiped from memory.
    fn forget(&self, look: &Look) {
        let wanted = signing_now_or_next(&look.schedule);
        self.known.change_silently(|facts| {
            facts.unsealed.retain(|kid, _| wanted.contains(kid));
            facts.unseal_failures.retain(|kid, _| wanted.contains(kid));
        });
    }

    fn not_unsealed(&self, kid: &Kid, reason: String) {
        let now = self.clock.now();
        self.known.change(|facts| {
            let known = facts.unseal_failures.get(kid);
            if known.is_none_or(|outage| outage.reason != reason) {
                error!(%kid, "a private key could not be unsealed: {reason}");
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

/// Whether the provider would sign with it.
pub(super) fn is_enabled(records: &[KeyRecord], kid: &Kid) -> bool {
    let key = records.iter().find(|key| key.kid() == kid);
    key.is_some_and(|key| key.state == KeyState::Enabled)
}
