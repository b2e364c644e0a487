//! The witness sees everything: what every provider stores, and what every replica publishes and signs with. It
//! checks the promises at every change, not only for the verifiers of the run but for any cache that may still
//! hold what a replica served.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Arguments;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use signet::snapshot::Snapshot;
use signet_api::{Claim, Custody, ExpiredKeys, Operation};
use signet_core::{KeyRecord, Kid};

use crate::figures::Figures;
use crate::seat::{Live, Past, Seat, View};
use crate::sky::{Ms, Sun};
use crate::trace::Trace;
use crate::weather::{Caller, Weather};

/// A broken promise.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The check that detected it.
    pub(crate) check: &'static str,
    pub(crate) at: Ms,
    pub(crate) text: String,
}

/// A new key, as its provider saw it.
pub(crate) struct Born {
    pub(crate) record: KeyRecord,
    /// The ring just before.
    pub(crate) before: Vec<KeyRecord>,
    pub(crate) successor_of: Option<Kid>,
}

/// The truth about a key.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) ring: usize,
    pub(crate) born: Ms,
    pub(crate) lead: Ms,
    pub(crate) successor_of: Option<Kid>,
    /// Whether it may sign before all have it: the first of its ring, or the successor of a revoked key.
    pub(crate) at_once: bool,
    pub(crate) signed: bool,
    /// Until when one of its tokens may be good somewhere.
    pub(crate) dies: Ms,
    pub(crate) revoked: Option<Ms>,
    pub(crate) retired: bool,
    pub(crate) gone: bool,
}

/// The parameters of the whole run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) custody: Custody,
    pub(crate) claim: Claim,
    pub(crate) keeps_terms: bool,
    /// S: the clock skew.
    pub(crate) skew: Ms,
    /// R: the refresh interval.
    pub(crate) refresh: Ms,
    /// The longer of M and V.
    pub(crate) hold: Ms,
    /// How long the provider may take to show a key to all.
    pub(crate) lag: Ms,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) trace: Trace,
    pub(crate) keys: Vec<Truth>,
    pub(crate) names: HashMap<Kid, usize>,
    pub(crate) seats: Vec<Seat>,
    pub(crate) figures: Figures,
    pub(crate) violations: Vec<Violation>,
    pub(crate) terms: Terms,
    pub(crate) weather: Arc<Weather>,
    documents: BTreeMap<Vec<u8>, Arc<[usize]>>,
    pub(crate) agreed: BTreeMap<String, Vec<Option<String>>>,
}

#[derive(Debug)]
pub(crate) struct Witness {
    sun: Sun,
    state: Mutex<State>,
}

impl Witness {
    pub(crate) fn new(sun: Sun, terms: Terms, seats: Vec<Seat>, weather: Arc<Weather>, keeps_text: bool) -> Arc<Self> {
        Arc::new(Self {
            sun,
            state: Mutex::new(State {
                trace: Trace::new(keeps_text),
                keys: Vec::new(),
                names: HashMap::new(),
                seats,
                figures: Figures::default(),
                violations: Vec::new(),
                terms,
                weather,
                documents: BTreeMap::new(),
                agreed: BTreeMap::new(),
            }),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn note(&self, what: Arguments<'_>) {
        self.state().trace.line(self.sun.now(), what);
    }

    pub(crate) fn call(&self, operation: Operation) {
        self.state().figures.call(operation);
    }

    pub(crate) fn born(&self, ring: usize, by: Caller, born: Born) {
        self.state().born(self.sun.now(), ring, by, born);
    }

    pub(crate) fn revoked(&self, ring: usize, kid: &Kid) {
        let now = self.sun.now();
        let mut state = self.state();
        let name = state.names[kid];
        state.keys[name].revoked.get_or_insert(now);
        state.figures.revoked += 1;
        state.trace.line(now, format_args!("ring {ring}: k{name} is revoked"));
    }

    pub(crate) fn retired(&self, ring: usize, kid: &Kid, action: ExpiredKeys) {
        let now = self.sun.now();
        let mut state = self.state();
        let name = state.names[kid];
        state.keys[name].retired = true;
        state.keys[name].gone = action == ExpiredKeys::Destroy;
        state.trace.line(now, format_args!("ring {ring}: k{name} is retired"));
    }

    /// Handles a poll of a replica: checks everything that the replica has published since the last poll.
    pub(crate) fn polled(&self, seat: usize, stopped: bool) {
        let now = self.sun.now();
        let mut state = self.state();
        let Some(snapshot) = state.seats[seat].latest() else {
            return;
        };
        state.take(now, seat, snapshot);
        if stopped {
            state.trace.line(now, format_args!("replica {seat}: stops"));
            state.leave_view(now, seat);
        }
    }

    /// Handles a replica that continues after a stop, with what it published before.
    pub(crate) fn goes_on(&self, seat: usize) {
        let now = self.sun.now();
        let mut state = self.state();
        state.trace.line(now, format_args!("replica {seat}: goes on"));
        state.seats[seat].resumed = Some(now);
        if let Some(snapshot) = state.seats[seat].answer(now) {
            state.enter_view(now, seat, snapshot);
        }
    }

    pub(crate) fn begins(&self, seat: usize, live: Live) {
        let mut state = self.state();
        state.trace.line(
            self.sun.now(),
            format_args!(
                "replica {seat}: starts under policy {} on ring {}",
                live.config.policy, live.config.ring
            ),
        );
        state.seats[seat].live = Some(live);
    }

    pub(crate) fn ends(&self, seat: usize) {
        let now = self.sun.now();
        let mut state = self.state();
        state.leave_view(now, seat);
        state.trace.line(now, format_args!("replica {seat}: is gone"));
        state.seats[seat].live = None;
    }
}

impl State {
    pub(crate) fn broken(&mut self, at: Ms, check: &'static str, text: String) {
        self.trace.line(at, format_args!("BROKEN {check}: {text}"));
        self.violations.push(Violation { check, at, text });
    }

    fn born(&mut self, now: Ms, ring: usize, by: Caller, born: Born) {
        let name = self.keys.len();
        let of = born.successor_of.as_ref().map(|kid| self.names[kid]);
        let twins = self
            .keys
            .iter()
            .filter(|key| key.ring == ring && key.successor_of == born.successor_of)
            .count();
        let newest = born.before.iter().max_by(|a, b| a.creation_order(b));
        let follows_revoked = newest.is_some_and(|key| key.revoked.is_some());
        let policy_lead = match by {
            Caller::Replica(seat) => self.seats[seat].live.as_ref().map(|live| live.policy.terms().lead),
            Caller::Operator => None,
        };
        let lead = born
            .record
            .terms
            .map(|terms| terms.lead)
            .or(policy_lead)
            .map_or(0, crate::sky::ms);
        self.trace.line(
            now,
            format_args!(
                "ring {ring}: k{name} after {of:?} by {by:?}, {}",
                born.record.public.algorithm()
            ),
        );
        self.figures.created += 1;
        let at_once = !self.keys.iter().any(|key| key.ring == ring) || twins > 0 && of.is_none() || follows_revoked;
        if twins > 0 {
            self.figures.twins += 1;
            self.figures.most_twins = self.figures.most_twins.max(twins as u64);
            if self.terms.claim == Claim::Atomic {
                self.broken(
                    now,
                    "7 one key per claim",
                    format!("k{name} is not the only successor of {of:?}"),
                );
            } else if twins > self.most_twins() {
                let text = format!("{} keys were made as successors of {of:?}", twins + 1);
                self.broken(now, "7 a race makes few keys", text);
            }
        } else if let Caller::Replica(seat) = by
            && self.terms.claim == Claim::Atomic
            && let Some(live) = &self.seats[seat].live
        {
            use signet_core::schedule::Due;
            let shown = self.seats[seat].clock.at(now);
            let due = signet_core::schedule(&born.before, &live.policy, shown).due;
            if !due.iter().any(|due| matches!(due, Due::Successor { .. })) {
                self.broken(
                    now,
                    "7 no key that is not due",
                    format!("k{name} was not due for replica {seat}"),
                );
            }
        }
        self.names.insert(born.record.kid().clone(), name);
        self.keys.push(Truth {
            ring,
            born: now,
            lead,
            successor_of: born.successor_of,
            at_once,
            signed: false,
            dies: 0,
            revoked: None,
            retired: false,
            gone: false,
        });
    }

    /// Asks a replica, which may find that its last snapshot no longer holds.
    pub(crate) fn look(&mut self, now: Ms, seat: usize) {
        let stopped = self.seats[seat].live.as_ref().is_none_or(|live| live.gate.is_stopped());
        if let Some(snapshot) = self.seats[seat].answer(now).filter(|_| !stopped) {
            self.take(now, seat, snapshot);
        }
    }

    fn take(&mut self, now: Ms, seat: usize, snapshot: Arc<Snapshot>) {
        let same = |live: &Live| {
            live.snapshot
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, &snapshot))
        };
        if !self.seats[seat].live.as_ref().is_some_and(same) {
            self.published(now, seat, snapshot);
        }
    }

    /// The number of duplicates that a race may create. A replica that cannot see what others created makes its own.
    fn most_twins(&self) -> usize {
        match self.terms.lag {
            0 => self.seats.len() / 4 + 1,
            _ => self.seats.len() - 1,
        }
    }

    fn published(&mut self, now: Ms, seat: usize, snapshot: Arc<Snapshot>) {
        let active = self.active(&snapshot);
        let live = self.seats[seat].live.as_mut().expect("it published");
        let unchanged = live.view.as_ref().is_some_and(|view| {
            view.active == active
                && live
                    .snapshot
                    .as_ref()
                    .is_some_and(|known| known.ring_json == snapshot.ring_json)
        });
        if unchanged {
            live.snapshot = Some(snapshot);
            return;
        }
        self.leave_view(now, seat);
        self.enter_view(now, seat, snapshot);
    }

    fn active(&self, snapshot: &Snapshot) -> Option<usize> {
        let signer = snapshot.signer.as_ref().ok()?;
        self.names.get(signer.public.kid()).copied()
    }

    /// The names of the keys in the published document, in order.
    fn document(&mut self, now: Ms, snapshot: &Snapshot) -> Arc<[usize]> {
        let tag = snapshot.jwks.etag.as_bytes().to_vec();
        if let Some(known) = self.documents.get(&tag) {
            return Arc::clone(known);
        }
        let set: serde_json::Value = serde_json::from_slice(&snapshot.jwks.body).expect("a JWKS");
        let mut names = Vec::new();
        for key in set["keys"].as_array().expect("its keys") {
            match self.names.get(key["kid"].as_str().expect("a kid")) {
                Some(name) => names.push(*name),
                None => self.broken(
                    now,
                    "9 no foreign key",
                    "a key that no provider made is published".to_owned(),
                ),
            }
        }
        names.sort_unstable();
        let names: Arc<[usize]> = names.into();
        self.documents.insert(tag, Arc::clone(&names));
        names
    }

    /// Records what the replica serves and signs with from now on.
    fn enter_view(&mut self, now: Ms, seat: usize, snapshot: Arc<Snapshot>) {
        let names = self.document(now, &snapshot);
        let active = self.active(&snapshot);
        let before = {
            let live = self.seats[seat].live.as_mut().expect("it lives");
            live.snapshot = Some(Arc::clone(&snapshot));
            let before = live.last_active;
            live.last_active = active;
            live.view = Some(View {
                names: Arc::clone(&names),
                active,
                from: now,
            });
            before
        };
        let ready = self.seats[seat].is_ready(now);
        self.trace.line(
            now,
            format_args!(
                "replica {seat}: publishes {names:?}, signs with {active:?}, {}",
                if ready { "ready" } else { "not ready" }
            ),
        );
        self.figures.most_published = self.figures.most_published.max(names.len() as u64);
        if names.len() > 32 {
            self.broken(
                now,
                "4 at most 32 keys",
                format!("replica {seat} publishes {} keys", names.len()),
            );
        }
        self.judge_form(now, seat, &snapshot, &names);
        self.judge_revoked(now, seat, &snapshot, &names, active);
        self.judge_agreement(now, seat, &snapshot);
        self.judge_custody(now, seat, &snapshot, before);
        if !ready {
            return;
        }
        if let Some(name) = active {
            self.judge_lead(now, seat, name);
        }
        self.judge_retention(now, seat, &names);
    }

    fn leave_view(&mut self, now: Ms, seat: usize) {
        let Some(view) = self.seats[seat].live.as_mut().and_then(|live| live.view.take()) else {
            return;
        };
        let Some(served_until) = self.seats[seat].served_until(view.from, now) else {
            return;
        };
        let seat = &mut self.seats[seat];
        if let (Some(name), Some(live)) = (view.active, &seat.live)
            && let Some(Ok(signer)) = live.snapshot.as_ref().map(|snapshot| snapshot.signer.as_ref())
        {
            let longest = signer.longest_at(seat.clock.at(served_until));
            let longest = longest.min(live.policy.durations().token_max_ttl);
            let dies = served_until + seat.clock.offset() + crate::sky::ms(longest) + self.terms.skew;
            let key = &mut self.keys[name];
            key.dies = key.dies.max(dies);
        }
        let hold = self.terms.hold;
        seat.past.retain(|past| past.served_until + hold >= now);
        seat.past.push(Past {
            names: view.names,
            served_until,
        });
    }

    /// Whether a key may sign before all have it, for as long as its lead would have been.
    pub(crate) fn is_excused(&self, name: usize, now: Ms) -> bool {
        let key = &self.keys[name];
        let follows_revoked = |key: &Truth| {
            let older = self
                .keys
                .iter()
                .filter(|old| old.ring == key.ring && old.born < key.born);
            older
                .max_by_key(|old| old.born)
                .is_some_and(|old| old.revoked.is_some())
        };
        now < key.born + key.lead && (key.at_once || follows_revoked(key))
    }

    pub(crate) fn is_excused_or_revoked(&self, name: usize, now: Ms) -> bool {
        self.keys[name].revoked.is_some() || self.is_excused(name, now)
    }
}
