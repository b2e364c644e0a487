//! Readiness: named conditions, each with the time since when it holds or does not. Liveness has no conditions, because
//! a provider that is down is no reason to restart.
//!
//! Where possible, that time is computed from the facts: a ring becomes too old at a time that follows from its last
//! reading and the policy. For other conditions, it is recorded: [`Readiness::watch`] checks once a second, even if
//! nobody asks. The time is never in the future, even after the wall clock was set, and never before the process began,
//! except for a reading that an earlier process made. `docs/operations.md` says what to do about each condition.

mod doubted;
mod issuers;
mod revocation;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use signet_base::{Clock, Moment, Outage, brief, rfc3339};
use signet_clock_watch::ClockWatch;
use signet_core::{Kid, Lapse, Phase, Policy, Timestamp};
use signet_edge::unix::{SocketFault, SocketFile};
use signet_issuers::Issuers;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::conditions::{
    ALSO_PUBLISH, CLOCK, Condition, Effect, ISSUERS, JWKS, LAST_GOOD, REVOCATION, RING, Report, SIGNING, SOCKET, State,
};
use crate::published::Published;
use crate::signing::Remote;
use crate::snapshot::{NoSigner, NoSignerCause, RefreshFailure, Signer, Signs, Snapshot};
use doubted::Doubted;
use issuers::IssuerFacts;
use revocation::Marks;
use words::put_off;

/// The time between two checks. Times are reported in whole seconds.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The facts from which the conditions follow.
#[derive(Clone, Debug)]
struct Facts {
    refreshed_at: Timestamp,
    refresh_failure: Option<RefreshFailure>,
    /// The key that signs, or why none does.
    signer: Result<String, NoSigner>,
    /// Why the provider does not sign, with remote custody.
    remote_failure: Option<Outage>,
    published: usize,
    /// The last time when the ring could not be read, if a pending key may sign later here because of it.
    lapse: Option<Lapse>,
    /// Why nothing is answered until the ring was read again.
    asleep: Option<Outage>,
    /// The problem with the socket's file, if there is one.
    socket: Result<(), SocketFault>,
    also_failures: Vec<(&'static str, Outage)>,
    issuers: Vec<IssuerFacts>,
    /// What cannot be written to disk for the next start, and why.
    unwritten: Vec<Outage>,
    /// The keys that were revoked, and when.
    revoked: Vec<(String, Timestamp)>,
    doubt: Option<Doubted>,
}

impl Facts {
    fn new(snapshot: &Snapshot, of: &Readiness, now: Timestamp) -> Self {
        let (steady, set_by) = (of.clock_watch.steady_now(), of.clock_watch.set_by());
        let by_wall = |outage: &Outage| Outage {
            since: outage.since.shifted(set_by),
            reason: outage.reason.clone(),
        };
        // Nobody requests a signature by a key that is no longer published.
        let is_published = |kid: &Kid| snapshot.published.contains_key(kid);
        let is_remote = matches!(
            snapshot.signer,
            Ok(Signer {
                signs: Signs::Remote,
                ..
            })
        );
        Self {
            refreshed_at: snapshot.refreshed_at,
            refresh_failure: snapshot.refresh_failure.clone(),
            signer: match &snapshot.signer {
                Ok(signer) => Ok(signer.public.kid().to_string()),
                Err(none) => Err(none.clone()),
            },
            remote_failure: of
                .remote
                .outage()
                .filter(|(kid, _)| is_remote && is_published(kid))
                .map(|(_, outage)| by_wall(&outage)),
            published: snapshot.published.len(),
            lapse: match snapshot.count(Phase::Pending) {
                0 => None,
                _ => snapshot.lapses.iter().last().copied(),
            },
            asleep: snapshot.asleep.clone(),
            socket: of.socket.check(),
            also_failures: snapshot.also_failures.clone(),
            issuers: of
                .issuers
                .iter()
                .filter_map(|trusted| IssuerFacts::of(trusted, steady, set_by))
                .collect(),
            unwritten: snapshot
                .unwritten
                .iter()
                .cloned()
                .chain(
                    of.issuers
                        .iter()
                        .filter_map(|trusted| trusted.unkept())
                        .map(|outage| by_wall(&outage)),
                )
                .collect(),
            revoked: snapshot.ring.revocations(),
            doubt: Doubted::new(of.clock_watch.doubt(), snapshot, now),
        }
    }
}

/// Judges the facts, and remembers since when the verdict holds.
#[derive(Debug)]
struct Memory {
    started: Moment,
    /// The age from which a ring is too old.
    bearable: Duration,
    /// How long after its revocation a key may still be accepted by services that verify with the JWKS.
    spread: Duration,
    /// When each revocation took effect.
    marks: Marks,
    /// The last reading, and the first reading of the series that it continues. A ring that became too old in between
    /// ends a series.
    readings: Option<(Moment, Moment)>,
    verdicts: HashMap<&'static str, (bool, Moment)>,
    ready: Option<(bool, Moment)>,
    /// The conditions that were not good at the last check, by name and subject, and since when.
    troubles: HashMap<(&'static str, String), (State, Moment)>,
}

impl Memory {
    /// The ring is too old once another replica may sign with a key that is not in it while what was served from it is still
    /// cached.
    fn new(policy: &Policy, started: Moment) -> Self {
        let durations = policy.durations();
        Self {
            started,
            bearable: durations.bearable_age(),
            spread: durations.least_lead(),
            marks: Marks::new(policy),
            readings: None,
            verdicts: HashMap::new(),
            ready: None,
            troubles: HashMap::new(),
        }
    }

    /// Converts an instant of the facts to a moment, limited to the time from the start of this process until now.
    fn seen(&self, at: Timestamp, now: Moment) -> Moment {
        now.dated(at).or_later(self.started).or_earlier(now)
    }

    /// Since when something has been in this state. When the state is first seen, the instant in the facts is recorded.
    fn since(&mut self, name: &'static str, subject: &str, state: State, told: Timestamp, now: Moment) -> Timestamp {
        let seen = self.seen(told, now);
        let (known, since) = self.troubles.entry((name, subject.to_owned())).or_insert((state, seen));
        if *known != state {
            (*known, *since) = (state, seen);
        }
        since.date_at(now)
    }

    fn judge(&mut self, facts: &Facts, now: Moment) -> Report {
        let mut conditions = vec![
            self.ring(facts, now),
            self.signing(facts, now),
            self.jwks(facts, now),
            self.socket(facts, now),
        ];
        for (provider, outage) in &facts.also_failures {
            conditions.push(self.also_ring(provider, outage, now));
        }
        conditions.extend(facts.issuers.iter().map(|issuer| self.issuer(issuer, now)));
        conditions.extend(self.last_good(&facts.unwritten, now));
        if let Some(doubted) = &facts.doubt {
            let since = self.since(CLOCK, "", doubted.state, now.wall(), now);
            conditions.push(doubted.condition(self.started.date_at(now), since));
        }
        self.marks.look(&facts.revoked, self.ready.is_none(), now);
        conditions.extend(
            facts
                .revoked
                .iter()
                .filter_map(|(kid, at)| self.revocation(kid, *at, now)),
        );
        self.forget_what_is_over(&conditions, facts);
        let bad = conditions.iter().filter(|condition| !condition.ok);
        let ready = bad.clone().next().is_none();
        let since = match ready {
            true => conditions.iter().map(|condition| condition.since).max(),
            false => bad.map(|condition| condition.since).min(),
        };
        let since = match self.ready {
            // If one condition fails while another recovers, the report as a whole does not change.
            Some((before, since)) if before == ready => since,
            _ => since.map_or(now, |since| now.dated(since)),
        };
        self.ready = Some((ready, since));
        Report {
            ready,
            since: since.date_at(now),
            conditions,
        }
    }

    /// The last keys of that ring stay published, and no other replica depends on this one knowing newer keys.
    fn also_ring(&mut self, provider: &str, outage: &Outage, now: Moment) -> Condition {
        let state = State::AlsoRingUnread;
        Condition {
            name: ALSO_PUBLISH,
            state,
            ok: true,
            since: self.started.date_at(now),
            failing_since: Some(self.since(ALSO_PUBLISH, provider, state, outage.since, now)),
            detail: format!(
                "the ring of {provider} cannot be read, so its last keys stay in use: {}",
                outage.reason
            ),
        }
    }

    /// Nothing fails as long as this process runs.
    fn last_good(&mut self, unwritten: &[Outage], now: Moment) -> Option<Condition> {
        let first = unwritten.iter().map(|outage| outage.since).min()?;
        let state = State::LastGoodUnwritten;
        let mut reasons: Vec<&str> = unwritten.iter().map(|outage| outage.reason.as_str()).collect();
        reasons.dedup();
        Some(Condition {
            name: LAST_GOOD,
            state,
            ok: true,
            since: self.started.date_at(now),
            failing_since: Some(self.since(LAST_GOOD, "", state, first, now)),
            detail: reasons.join("; "),
        })
    }

    /// Only conditions that are not good are remembered.
    fn forget_what_is_over(&mut self, conditions: &[Condition], facts: &Facts) {
        self.troubles.retain(|(name, subject), (state, _)| {
            let is_there = conditions
                .iter()
                .any(|condition| condition.name == *name && condition.state == *state);
            is_there
                && match *name {
                    ISSUERS => facts.issuers.iter().any(|issuer| issuer.name == *subject),
                    ALSO_PUBLISH => facts.also_failures.iter().any(|(provider, _)| provider == subject),
                    _ => true,
                }
        });
    }

    fn ring(&mut self, facts: &Facts, now: Moment) -> Condition {
        let read_at = facts.refreshed_at;
        let read = now.dated(read_at);
        let first = match self.readings {
            // Between these two readings the ring was too old, even if nobody checked: the process may have been
            // stopped for an hour.
            Some((last, _)) if read.since(last) >= self.bearable => read,
            Some((_, first)) => first,
            None => read,
        };
        self.readings = Some((read, first));
        let too_old = read.after(self.bearable);
        let too_old_at = read_at.plus(self.bearable);
        let (looked, now) = (now, now.wall());
        let ok = now < too_old_at;
        let age = brief(now.since(read_at));
        let failure = facts.refresh_failure.as_ref();
        let detail = match failure {
            _ if !ok => format!(
                "read {age} ago, but only an age of up to {} is safe: another replica may sign with a key that this \
                 one does not have. {}",
                brief(self.bearable),
                failure.map_or("No reading has finished since then", |failure| &failure.outage.reason)
            ),
            None => format!("read {age} ago"),
            Some(RefreshFailure { was_read: true, outage }) => format!(
                "the ring was read {age} ago, but the change that is due cannot be made: {}",
                outage.reason
            ),
            Some(RefreshFailure {
                was_read: false,
                outage,
            }) => format!(
                "the provider fails, so the ring read {age} ago stays in use, which is safe for another {}: {}",
                brief(too_old_at.since(now)),
                outage.reason
            ),
        };
        let state = match failure {
            _ if !ok => State::RingTooOld,
            None => State::Good,
            Some(RefreshFailure { was_read: true, .. }) => State::RingWorkUndone,
            Some(RefreshFailure { was_read: false, .. }) => State::RingUnread,
        };
        let since = if ok { first } else { too_old };
        self.condition(
            RING,
            state,
            since,
            failure.map(|failure| failure.outage.since),
            detail,
            looked,
        )
    }

    fn signing(&mut self, facts: &Facts, now: Moment) -> Condition {
        match (&facts.signer, &facts.remote_failure) {
            (Err(NoSigner { cause, outage }), _) => {
                let state = match cause {
                    NoSignerCause::Asleep => State::SigningAsleep,
                    NoSignerCause::NoKey => State::SigningWithoutKey,
                    NoSignerCause::Disabled => State::SigningKeyDisabled,
                    NoSignerCause::Sealed => State::SigningKeySealed,
                };
                let since = self.by_now(SIGNING, state, outage.since, now);
                self.condition(SIGNING, state, since, None, outage.reason.clone(), now)
            }
            // All replicas share the provider, so no other would do better, and the rest still works.
            // This replica stays ready.
            (Ok(_), Some(outage)) => {
                let detail = format!("the last request to sign failed at the provider: {}", outage.reason);
                let state = State::ProviderDoesNotSign;
                let since = self.by_now(SIGNING, state, now.wall(), now);
                self.condition(SIGNING, state, since, Some(outage.since), detail, now)
            }
            (Ok(kid), None) => {
                let detail = format!("key {kid} signs{}", put_off(facts.lapse));
                let since = self.by_now(SIGNING, State::Good, now.wall(), now);
                self.condition(SIGNING, State::Good, since, None, detail, now)
            }
        }
    }

    fn jwks(&mut self, facts: &Facts, now: Moment) -> Condition {
        if let Some(outage) = &facts.asleep {
            let since = self.by_now(JWKS, State::JwksAsleep, outage.since, now);
            return self.condition(JWKS, State::JwksAsleep, since, None, outage.reason.clone(), now);
        }
        let (state, detail) = match facts.published {
            0 => (
                State::JwksEmpty,
                "no key is published, so every token is refused".to_owned(),
            ),
            1 => (State::Good, "1 key is published".to_owned()),
            count => (State::Good, format!("{count} keys are published")),
        };
        let since = self.by_now(JWKS, state, now.wall(), now);
        self.condition(JWKS, state, since, None, detail, now)
    }

    fn socket(&mut self, facts: &Facts, now: Moment) -> Condition {
        let (state, detail) = match &facts.socket {
            Ok(()) => (
                State::Good,
                "the socket's file is the one that this process created".to_owned(),
            ),
            Err(fault) => {
                let state = match fault {
                    SocketFault::Gone(_) => State::SocketGone,
                    SocketFault::Replaced(_) => State::SocketReplaced,
                    SocketFault::Hidden { .. } => State::SocketHidden,
                };
                (state, fault.to_string())
            }
        };
        let since = self.by_now(SOCKET, state, now.wall(), now);
        self.condition(SOCKET, state, since, None, detail, now)
    }

    /// Since when a condition has held or failed. `at` is the latest instant at which that can have begun.
    fn by_now(&self, name: &'static str, state: State, at: Timestamp, now: Moment) -> Moment {
        let ok = state.effect() != Effect::LostHere;
        let since = self.seen(at, now);
        match self.verdicts.get(name) {
            Some((was_ok, known)) if *was_ok == ok => known.or_earlier(since),
            // What held at the first check has held since the start of the process.
            None if ok => self.started,
            _ => since,
        }
    }

    fn condition(
        &mut self,
        name: &'static str,
        state: State,
        since: Moment,
        failing_since: Option<Timestamp>,
        detail: String,
        now: Moment,
    ) -> Condition {
        let ok = state.effect() != Effect::LostHere;
        let before = self.verdicts.insert(name, (ok, since));
        let since = since.date_at(now);
        let failing_since = failing_since.map(|at| self.since(name, "", state, at, now));
        match before {
            Some((was_ok, _)) if was_ok == ok => {}
            None if ok => {}
            _ if ok => info!(condition = name, "a condition of readiness is good again"),
            _ => warn!(condition = name, since = %rfc3339(since), "a condition of readiness failed: {detail}"),
        }
        Condition {
            name,
            ok,
            state,
            since,
            failing_since,
            detail,
        }
    }
}

/// Whether this replica should get traffic, and since when.
#[derive(Debug)]
pub struct Readiness {
    published: Arc<Published>,
    remote: Arc<Remote>,
    socket: SocketFile,
    issuers: Arc<Issuers>,
    clock: Arc<dyn Clock>,
    clock_watch: Arc<ClockWatch>,
    memory: Mutex<Memory>,
}

impl Readiness {
    /// Starts to record the conditions.
    #[must_use]
    pub fn new(
        published: Arc<Published>,
        remote: Arc<Remote>,
        socket: SocketFile,
        issuers: Arc<Issuers>,
        policy: &Policy,
        clock: Arc<dyn Clock>,
        clock_watch: Arc<ClockWatch>,
    ) -> Self {
        let memory = Mutex::new(Memory::new(policy, Moment::now(&*clock)));
        Self {
            published,
            remote,
            socket,
            issuers,
            clock,
            clock_watch,
            memory,
        }
    }

    /// The conditions now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report_on(&self.published.at(self.clock.now()))
    }

    /// The conditions now, for a snapshot that the caller shows together with them.
    #[must_use]
    pub fn report_on(&self, snapshot: &Snapshot) -> Report {
        let now = Moment::now(&*self.clock);
        let facts = Facts::new(snapshot, self, now.wall());
        let mut memory = self.memory.lock();
        memory.judge(&facts, now)
    }

    /// Checks once a second until shutdown, to record changes to the second.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let _ = self.report();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
