//! Readiness: named conditions, each with the time since when it holds or does not. Liveness has no conditions, because
//! a provider that is down is no reason to restart.
//!
//! Where possible, that time is computed from the facts: a ring becomes too old at a time that follows from its last
//! reading and the policy. For other conditions, it is recorded: [`Readiness::watch`] checks once a second, even if
//! nobody asks. `docs/operations.md` says what to do about each condition.

mod doubted;
mod revocation;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use signet_base::{Clock, Outage};
use signet_base::{brief, rfc3339};
use signet_clock_watch::ClockWatch;
use signet_core::{Lapse, Phase, Policy, Timestamp};
use signet_edge::unix::{SocketFault, SocketFile};
use signet_issuers::{Issuers, Trusted};
use signet_verify::NoKeys;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::conditions::{
    ALSO_PUBLISH, Condition, Effect, ISSUERS, JWKS, REVOCATION, RING, Report, SIGNING, SOCKET, State,
};
use crate::published::Published;
use crate::signing::Remote;
use crate::snapshot::{NoSigner, NoSignerCause, RefreshFailure, Signer, Signs, Snapshot};
use doubted::Doubted;
use revocation::Marks;
use words::{from_disk, put_off};

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
    /// The revoked keys, and when they were revoked.
    revoked: Vec<(String, Timestamp)>,
    doubt: Option<Doubted>,
}

/// A trusted issuer with a problem.
#[derive(Clone, Debug)]
struct IssuerFacts {
    name: String,
    /// Why its keys cannot be fetched. `None` if no fetch was tried yet.
    outage: Option<Outage>,
    /// Why its tokens cannot be judged, if so.
    lost: Option<NoKeys>,
    /// When its keys were fetched, if they come from disk.
    kept: Option<Timestamp>,
}

impl IssuerFacts {
    fn of(trusted: &Trusted, now: Timestamp) -> Option<Self> {
        let outage = trusted.outage().map(|outage| Outage::clone(&outage));
        let lost = trusted.keys_at(now).err();
        (outage.is_some() || lost.is_some() || !trusted.was_tried()).then(|| Self {
            name: trusted.terms().issuer.to_string(),
            outage,
            lost,
            kept: trusted.kept().map(|(fetched_at, _)| fetched_at),
        })
    }
}

impl Facts {
    fn new(snapshot: &Snapshot, of: &Readiness, now: Timestamp) -> Self {
        let steady = of.clock_watch.steady_now();
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
            remote_failure: of.remote.outage().filter(|_| is_remote),
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
                .filter_map(|trusted| IssuerFacts::of(trusted, steady))
                .collect(),
            revoked: snapshot.ring.revocations(),
            doubt: Doubted::new(of.clock_watch.doubt(), snapshot, now),
        }
    }
}

/// Since when a condition is as it is.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// The time follows from the facts.
    At(Timestamp),
    /// The condition was in this state at this time at the latest.
    ByNow(Timestamp),
}

/// Judges the facts, and remembers since when each verdict holds.
#[derive(Debug)]
struct Memory {
    started_at: Timestamp,
    /// The age from which a ring is too old.
    bearable: Duration,
    /// How long after its revocation a key may still be accepted by services that verify with the JWKS.
    spread: Duration,
    /// When each revocation took effect.
    marks: Marks,
    /// The last reading, and the first one of the unbroken series that it belongs to.
    readings: Option<(Timestamp, Timestamp)>,
    verdicts: HashMap<&'static str, (bool, Timestamp)>,
    ready: Option<(bool, Timestamp)>,
    doubted_since: Option<Timestamp>,
    too_old_since: HashMap<String, Timestamp>,
}

impl Memory {
    /// The ring is too old once another replica may sign with a key that is not in it, while a JWKS
    /// served from it is still cached.
    fn new(policy: &Policy, started_at: Timestamp) -> Self {
        let durations = policy.durations();
        Self {
            started_at,
            bearable: durations.bearable_age(),
            spread: durations.least_lead(),
            marks: Marks::new(policy),
            readings: None,
            verdicts: HashMap::new(),
            ready: None,
            doubted_since: None,
            too_old_since: HashMap::new(),
        }
    }

    fn judge(&mut self, facts: &Facts, now: Timestamp) -> Report {
        let mut conditions = vec![
            self.ring(facts, now),
            self.signing(facts, now),
            self.jwks(facts, now),
            self.socket(facts, now),
        ];
        conditions.extend(facts.also_failures.iter().map(|(provider, outage)| Condition {
            name: ALSO_PUBLISH,
            state: State::AlsoRingUnread,
            // Its last keys stay published, and for now no other promise depends on newer ones.
            ok: true,
            since: self.started_at,
            failing_since: Some(outage.since),
            detail: format!(
                "the ring of {provider} cannot be read, so its last keys stay in use: {}",
                outage.reason
            ),
        }));
        conditions.extend(facts.issuers.iter().map(|issuer| self.issuer(issuer, now)));
        let lost: Vec<&String> = facts
            .issuers
            .iter()
            .filter(|issuer| issuer.lost.is_some())
            .map(|issuer| &issuer.name)
            .collect();
        self.too_old_since.retain(|name, _| lost.contains(&name));
        self.doubted_since = facts.doubt.as_ref().map(|_| self.doubted_since.unwrap_or(now));
        let doubt = facts.doubt.iter().zip(self.doubted_since);
        conditions.extend(doubt.map(|(doubted, since)| doubted.condition(self.started_at, since)));
        self.marks.look(&facts.revoked, self.ready.is_none(), now);
        conditions.extend(
            facts
                .revoked
                .iter()
                .filter_map(|(kid, at)| self.revocation(kid, *at, now)),
        );
        let bad = conditions.iter().filter(|condition| !condition.ok);
        let ready = bad.clone().next().is_none();
        let since = match ready {
            true => conditions.iter().map(|condition| condition.since).max(),
            false => bad.map(|condition| condition.since).min(),
        };
        let since = since.unwrap_or(now);
        let since = match self.ready {
            // If one condition fails while another recovers, the report as a whole does not change.
            Some((before, since)) if before == ready => since,
            _ => since,
        };
        self.ready = Some((ready, since));
        Report {
            ready,
            since,
            conditions,
        }
    }

    fn ring(&mut self, facts: &Facts, now: Timestamp) -> Condition {
        let read_at = facts.refreshed_at;
        let first = match self.readings {
            // Between these two readings the ring was too old, even if nobody checked: the process may have
            // been stopped for an hour.
            Some((last, _)) if read_at >= last.plus(self.bearable) => read_at,
            Some((_, first)) => first,
            None => read_at,
        };
        self.readings = Some((read_at, first));
        let too_old_at = read_at.plus(self.bearable);
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
        let since = Since::At(if ok { first } else { too_old_at });
        self.condition(RING, state, since, failure.map(|failure| failure.outage.since), detail)
    }

    fn signing(&mut self, facts: &Facts, now: Timestamp) -> Condition {
        match (&facts.signer, &facts.remote_failure) {
            (Err(NoSigner { cause, outage }), _) => {
                let state = match cause {
                    NoSignerCause::Asleep => State::SigningAsleep,
                    NoSignerCause::NoKey => State::SigningWithoutKey,
                    NoSignerCause::Disabled => State::SigningKeyDisabled,
                    NoSignerCause::Sealed => State::SigningKeySealed,
                };
                let since = Since::ByNow(outage.since.min(now));
                self.condition(SIGNING, state, since, None, outage.reason.clone())
            }
            // All replicas share the provider, so no other would do better, and the rest still works.
            // This replica stays ready.
            (Ok(_), Some(outage)) => {
                let detail = format!("the last request to sign failed at the provider: {}", outage.reason);
                let state = State::ProviderDoesNotSign;
                self.condition(SIGNING, state, Since::ByNow(now), Some(outage.since), detail)
            }
            (Ok(kid), None) => {
                let detail = format!("key {kid} signs{}", put_off(facts.lapse));
                self.condition(SIGNING, State::Good, Since::ByNow(now), None, detail)
            }
        }
    }

    fn jwks(&mut self, facts: &Facts, now: Timestamp) -> Condition {
        if let Some(outage) = &facts.asleep {
            let since = Since::ByNow(outage.since.min(now));
            return self.condition(JWKS, State::JwksAsleep, since, None, outage.reason.clone());
        }
        let (state, detail) = match facts.published {
            0 => (
                State::JwksEmpty,
                "no key is published, so every token is refused".to_owned(),
            ),
            1 => (State::Good, "1 key is published".to_owned()),
            count => (State::Good, format!("{count} keys are published")),
        };
        self.condition(JWKS, state, Since::ByNow(now), None, detail)
    }

    fn socket(&mut self, facts: &Facts, now: Timestamp) -> Condition {
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
        self.condition(SOCKET, state, Since::ByNow(now), None, detail)
    }

    /// The condition of a trusted issuer.
    ///
    /// All replicas share the issuer, so no other would do better, and all other tokens are good. A failure is
    /// therefore reported without making the replica unready. Only a new process is unready until it has tried once, so
    /// its first requests find the keys.
    fn issuer(&mut self, issuer: &IssuerFacts, now: Timestamp) -> Condition {
        let name = &issuer.name;
        let (state, detail) = match (&issuer.outage, issuer.lost) {
            (None, Some(NoKeys::TooOld)) => (
                State::IssuerTooOld,
                format!(
                    "the keys of {name} are older than max_stale, so requests with its tokens get 503; they are \
                     being fetched now"
                ),
            ),
            (None, _) => (
                State::IssuerNotAsked,
                format!("the keys of {name} are being fetched for the first time"),
            ),
            (Some(outage), None) => (
                State::IssuerFails,
                format!(
                    "the keys of {name} cannot be fetched, so the last ones{} stay in use: {}",
                    from_disk(issuer.kept),
                    outage.reason
                ),
            ),
            (Some(outage), Some(NoKeys::Never)) => (
                State::IssuerNeverRead,
                format!(
                    "the keys of {name} were never fetched, so requests with its tokens get 503: {}",
                    outage.reason
                ),
            ),
            (Some(outage), Some(NoKeys::TooOld)) => (
                State::IssuerTooOld,
                format!(
                    "the keys of {name} are older than max_stale, so requests with its tokens get 503: {}",
                    outage.reason
                ),
            ),
        };
        Condition {
            name: ISSUERS,
            ok: state.effect() != Effect::LostHere,
            state,
            since: self.started_at.min(now),
            failing_since: match (&issuer.outage, issuer.lost) {
                (Some(outage), _) => Some(outage.since),
                (None, Some(NoKeys::TooOld)) => Some(*self.too_old_since.entry(issuer.name.clone()).or_insert(now)),
                (None, _) => None,
            },
            detail,
        }
    }

    fn condition(
        &mut self,
        name: &'static str,
        state: State,
        since: Since,
        failing_since: Option<Timestamp>,
        detail: String,
    ) -> Condition {
        let ok = state.effect() != Effect::LostHere;
        let before = self.verdicts.get(name).copied();
        let since = match (since, before) {
            (Since::At(since), _) => since,
            (Since::ByNow(since), Some((was_ok, known))) if was_ok == ok => known.min(since),
            // If the condition held when the process started to check, it counts as held since the start.
            (Since::ByNow(since), None) if ok => self.started_at.min(since),
            (Since::ByNow(since), _) => since,
        };
        match before {
            Some((was_ok, _)) if was_ok == ok => {}
            None if ok => {}
            _ if ok => info!(condition = name, "a condition of readiness is good again"),
            _ => warn!(condition = name, since = %rfc3339(since), "a condition of readiness failed: {detail}"),
        }
        self.verdicts.insert(name, (ok, since));
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
        let memory = Mutex::new(Memory::new(policy, clock.now()));
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
        let now = self.clock.now();
        let facts = Facts::new(snapshot, self, now);
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
