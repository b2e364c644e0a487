//! A run: the fleet is set up by the plan, and all planned events happen, in true time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use signet_api::NewKey;
use signet_base::Clock;
use signet_core::algorithm::RsaBits;
use signet_core::ring::newest;
use signet_core::{KeyRecord, Revocation};
use tokio::sync::Notify;

use crate::cloud::Cloud;
use crate::figures::Figures;
use crate::gate::{Gate, gated};
use crate::plan::{Act, Plan};
use crate::replica::{Site, life};
use crate::rng::Rng;
use crate::seat::{Config, Live, Seat};
use crate::sky::{MINUTE, Ms, SECOND, SkewedClock, Sun, ms};
use crate::traffic::Traffic;
use crate::vault::Shelf;
use crate::weather::{CALM, Caller, Weather};
use crate::witness::{Terms, Violation, Witness};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    pub(crate) figures: Figures,
    pub(crate) violation: Option<Violation>,
    pub(crate) hash: String,
    pub(crate) lines: u64,
    pub(crate) text: String,
    pub(crate) reached: Ms,
}

/// Runs a plan in its own runtime with virtual time.
pub(crate) fn run(plan: Plan, keeps_text: bool) -> Outcome {
    // The socket has a runtime of its own, which cannot be made inside this one.
    let _ = crate::socket();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(async { Fleet::new(plan, keeps_text).run().await })
}

/// Where the two rings are.
#[derive(Debug)]
pub(crate) enum Place {
    Cloud(Arc<Mutex<Cloud>>),
    Shelf(Arc<Mutex<Shelf>>),
}

/// The instructions to a supervisor.
#[derive(Debug)]
struct Orders {
    config: Mutex<Option<Config>>,
    /// Whether the replica is stopped for now.
    away: AtomicBool,
    changed: Notify,
}

enum Event {
    Act(Act),
    Return {
        seat: usize,
    },
    Mint,
    Check(usize),
    /// A check that a revoked key is gone by now.
    Gone {
        name: usize,
    },
}

struct Fleet {
    plan: Arc<Plan>,
    sun: Sun,
    site: Arc<Site>,
    witness: Arc<Witness>,
    orders: Vec<Arc<Orders>>,
    traffic: Traffic,
    rng: Rng,
    queue: BinaryHeap<Reverse<(Ms, u64)>>,
    events: std::collections::HashMap<u64, Event>,
    count: u64,
}

impl Fleet {
    fn new(plan: Plan, keeps_text: bool) -> Self {
        let plan = Arc::new(plan);
        let sun = Sun::risen();
        let root = Rng::new(plan.seed).fork(7);
        let weather = Arc::new(Weather(plan.troubles.clone()));
        let seats: Vec<Seat> = plan
            .offsets
            .iter()
            .map(|offset| Seat::new(SkewedClock::new(sun, *offset)))
            .collect();
        let clocks = seats.iter().map(|seat| Arc::clone(&seat.clock)).collect();
        let durations = *plan.policies[0].durations();
        let terms = Terms {
            custody: plan.custody,
            claim: plan.habits.claim,
            keeps_terms: plan.habits.keeps_terms || plan.custody == signet_api::Custody::Sealed,
            skew: ms(durations.clock_skew),
            refresh: ms(durations.refresh_interval),
            hold: ms(durations.verifier_cache.max(durations.jwks_max_age)),
            lag: plan.habits.lag,
        };
        let witness = Witness::new(sun, terms, seats, Arc::clone(&weather), keeps_text);
        let provider_clock = SkewedClock::new(sun, plan.provider_offset);
        let places = [0, 1].map(|ring| match plan.custody {
            signet_api::Custody::Sealed => Place::Shelf(Shelf::new(ring)),
            signet_api::Custody::Remote => Place::Cloud(Cloud::new(
                ring,
                plan.habits,
                Arc::clone(&provider_clock),
                root.fork(100 + ring as u64),
            )),
        });
        let site = Arc::new(Site {
            plan: Arc::clone(&plan),
            sun,
            weather,
            witness: Arc::clone(&witness),
            places,
            clocks,
            disks: plan.offsets.iter().map(|_| Arc::default()).collect(),
            root: root.clone(),
        });
        let orders = plan.offsets.iter().map(|_| {
            Arc::new(Orders {
                config: Mutex::new(None),
                away: AtomicBool::new(false),
                changed: Notify::new(),
            })
        });
        let mut fleet = Self {
            orders: orders.collect(),
            traffic: Traffic::new(&plan, &mut root.fork(8), terms),
            rng: root.fork(9),
            queue: BinaryHeap::new(),
            events: std::collections::HashMap::new(),
            count: 0,
            plan,
            sun,
            site,
            witness,
        };
        fleet.schedule_all();
        fleet
    }

    fn at(&mut self, at: Ms, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count)));
        self.events.insert(self.count, event);
    }

    fn schedule_all(&mut self) {
        let plan = Arc::clone(&self.plan);
        let first = Config {
            policy: 0,
            ring: 0,
            also: None,
        };
        for seat in 0..plan.offsets.len() {
            let at = self.rng.between(0, plan.starts_within);
            self.at(at, Event::Act(Act::Deploy { seat, config: first }));
        }
        for (at, act) in &plan.acts {
            self.at(*at, Event::Act(*act));
        }
        for _ in 0..plan.tokens {
            let at = self.rng.between(SECOND, plan.end - MINUTE);
            self.at(at, Event::Mint);
        }
    }

    async fn run(mut self) -> Outcome {
        let mut supervisors = tokio::task::JoinSet::new();
        for seat in 0..self.orders.len() {
            supervisors.spawn(supervise(seat, Arc::clone(&self.orders[seat]), Arc::clone(&self.site)));
        }
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > self.plan.end || !self.witness.state().violations.is_empty() {
                break;
            }
            self.sun.reaches(at).await;
            if let Some(event) = self.events.remove(&number) {
                self.happens(event).await;
            }
        }
        if self.witness.state().violations.is_empty() {
            self.sun.reaches(self.plan.end).await;
            crate::last::judge(&self.witness, self.sun.now(), &self.plan);
        }
        let reached = self.sun.now();
        supervisors.abort_all();
        while let Some(ended) = supervisors.join_next().await {
            assert!(!ended.is_err_and(|error| error.is_panic()), "a replica panicked");
        }
        let state = self.witness.state();
        Outcome {
            plan: (*self.plan).clone(),
            figures: state.figures.clone(),
            violation: state.violations.first().cloned(),
            hash: state.trace.hash(),
            lines: state.trace.lines(),
            text: state.trace.text().to_owned(),
            reached,
        }
    }

    async fn happens(&mut self, event: Event) {
        let now = self.sun.now();
        match event {
            Event::Act(act) => self.act(now, act).await,
            Event::Return { seat } => {
                self.orders[seat].away.store(false, Ordering::Relaxed);
                self.orders[seat].changed.notify_one();
            }
            Event::Mint => {
                let token = self.traffic.mint(now, &self.witness, &self.site).await;
                if let Some(number) = token {
                    for at in self.traffic.when_to_check(number) {
                        self.at(at, Event::Check(number));
                    }
                }
            }
            Event::Check(number) => self.traffic.check(now, number, &self.witness),
            Event::Gone { name } => crate::last::judge_gone(&self.witness, now, name),
        }
    }

    fn gate(&self, seat: usize) -> Option<Arc<Gate>> {
        let state = self.witness.state();
        state.seats[seat].live.as_ref().map(|live| Arc::clone(&live.gate))
    }

    fn kill(&self, seat: usize, polls: u32) {
        if let Some(gate) = self.gate(seat) {
            gate.kill_in(polls);
        }
    }

    async fn act(&mut self, now: Ms, act: Act) {
        self.witness.note(format_args!("{act:?}"));
        match act {
            Act::Crash { seat, polls } => self.kill(seat, polls),
            Act::Stop { seat, polls } => {
                if let Some(gate) = self.gate(seat) {
                    gate.stop_in(polls);
                    if gate.is_stopped() {
                        self.witness.polled(seat, true);
                    }
                }
            }
            Act::GoOn { seat } => {
                if self.gate(seat).is_some_and(|gate| gate.let_on()) {
                    self.witness.goes_on(seat);
                }
            }
            Act::Deploy { seat, config } => {
                *self.orders[seat].config.lock() = Some(config);
                self.kill(seat, 0);
                self.orders[seat].changed.notify_one();
            }
            Act::Away { seat, length } => {
                self.orders[seat].away.store(true, Ordering::Relaxed);
                self.kill(seat, 0);
                self.at(now + length, Event::Return { seat });
            }
            Act::SetClock { seat, offset } => {
                self.site.clocks[seat].set_offset(offset);
                let mut state = self.witness.state();
                state.seats[seat].resumed = Some(now);
                state.look(now, seat);
            }
            Act::Revoke { which } => self.revoke(which).await,
            Act::EnableAll => {
                for place in &self.site.places {
                    if let Place::Cloud(cloud) = place {
                        cloud.lock().enable_all();
                    }
                }
            }
            Act::FirstKeyOfB => {
                let provider = self.site.provider(1, Caller::Operator, 0);
                let new = NewKey::under(&self.plan.policies[0], RsaBits::B2048, None);
                while provider.create(&new).await.is_err() {
                    self.sun.reaches(self.sun.now() + MINUTE).await;
                }
            }
        }
    }

    async fn revoke(&mut self, which: u8) {
        let provider = self.site.provider(0, Caller::Operator, 0);
        let Ok(keys) = provider.list().await else { return };
        let Some(kid) = self.chosen(&keys, which) else { return };
        let at = self.site.clocks[0].now();
        let revocation = Revocation {
            at,
            reason: "it was stolen".to_owned(),
        };
        if provider.revoke(&kid, &revocation).await.is_err() {
            return;
        }
        let state = self.witness.state();
        let name = state.names[&kid];
        let (effect, terms) = (state.keys[name].revoked.unwrap_or(self.sun.now()), state.terms);
        drop(state);
        let bound = effect + terms.refresh + terms.skew + terms.lag + 2 * CALM;
        self.at(bound, Event::Gone { name });
    }

    /// The key that an operator would name, based on what the replicas sign with.
    fn chosen(&self, keys: &[KeyRecord], which: u8) -> Option<signet_core::Kid> {
        let state = self.witness.state();
        let active = state
            .seats
            .iter()
            .find_map(|seat| seat.live.as_ref()?.view.as_ref()?.active);
        let named = |name: usize| keys.iter().find(|key| state.names[key.kid()] == name);
        let key = match which {
            0 => named(active?)?,
            1 => newest(keys)?,
            _ => named(active?.checked_sub(1)?)?,
        };
        Some(key.kid().clone())
    }
}

/// Starts the process of one seat again and again, by its instructions.
async fn supervise(seat: usize, orders: Arc<Orders>, site: Arc<Site>) {
    let mut incarnation = 0;
    loop {
        let config = *orders.config.lock();
        let config = config.filter(|_| !orders.away.load(Ordering::Relaxed));
        let Some(config) = config else {
            orders.changed.notified().await;
            continue;
        };
        incarnation += 1;
        let gate = Arc::new(Gate::default());
        let opened = Arc::new(std::sync::OnceLock::new());
        site.witness.begins(
            seat,
            Live {
                config,
                policy: site.plan.policies[config.policy],
                started: site.sun.now(),
                gate: Arc::clone(&gate),
                opened: Arc::clone(&opened),
                snapshot: None,
                view: None,
                last_active: None,
            },
        );
        let witness = Arc::clone(&site.witness);
        let process = life(Arc::clone(&site), seat, incarnation, config, opened);
        gated(gate, process, move |stopped| witness.polled(seat, stopped)).await;
        site.witness.ends(seat);
        // Kubernetes takes this long to restart a process.
        tokio::time::sleep(crate::sky::span(SECOND)).await;
    }
}
