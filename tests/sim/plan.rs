//! The plan of a run, made from its seed: the fleet, its policies, and all events.

use std::time::Duration;

use signet_api::{Claim, Custody, ExpiredKeys};
use signet_core::{Algorithm, Durations, Policy};

use crate::cloud::Habits;
use crate::rng::Rng;
use crate::seat::Config;
use crate::sky::{DAY, HOUR, MINUTE, Ms, SECOND, span};
use crate::weather::{Kind, Trouble};

/// An event in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// A process dies after this many polls of its future, and another is started a moment later.
    Crash {
        seat: usize,
        polls: u32,
    },
    /// A process is stopped after this many polls.
    Stop {
        seat: usize,
        polls: u32,
    },
    GoOn {
        seat: usize,
    },
    /// A replica is restarted with this configuration.
    Deploy {
        seat: usize,
        config: Config,
    },
    /// A replica is removed and comes back after this time.
    Away {
        seat: usize,
        length: Ms,
    },
    /// The clock of a replica is set.
    SetClock {
        seat: usize,
        offset: Ms,
    },
    /// An operator revokes the active key (0), the pending one (1) or an earlier one (2).
    Revoke {
        which: u8,
    },
    /// Somebody enables all keys of the provider again.
    EnableAll,
    /// An operator creates the first key of the second ring.
    FirstKeyOfB,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) custody: Custody,
    pub(crate) habits: Habits,
    pub(crate) policies: Vec<Policy>,
    pub(crate) expired_keys: Option<ExpiredKeys>,
    pub(crate) offsets: Vec<Ms>,
    pub(crate) provider_offset: Ms,
    /// All replicas start within this time; zero means at once.
    pub(crate) starts_within: Ms,
    pub(crate) verifiers: usize,
    pub(crate) tokens: usize,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) acts: Vec<(Ms, Act)>,
    /// There is no trouble from here on.
    pub(crate) calm_from: Ms,
    pub(crate) end: Ms,
}

/// The approximate number of readings in a run of the usual size, which determines its cost.
const TURNS: i64 = 500;

/// The size of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    /// A few replicas for a few rotations.
    Usual,
    /// A calm fleet with durations that leave no slack at all, to detect faults of a second.
    #[cfg_attr(
        not(feature = "faults"),
        expect(dead_code, reason = "healthy code needs no such search")
    )]
    Edge,
    /// Hundreds of replicas for three months.
    Quarter,
}

struct Spans {
    r: Ms,
    s: Ms,
    m: Ms,
    v: Ms,
    l: Ms,
    p: Ms,
    t: Ms,
}

impl Spans {
    fn drawn(rng: &mut Rng, size: Size) -> Self {
        if matches!(size, Size::Edge) {
            // A keeper leaves a twentieth of R to the provider, which is half a second here.
            let (r, s, m, v) = (10 * SECOND, 0, MINUTE, 5 * MINUTE);
            let l = r + v;
            return Self {
                r,
                s,
                m,
                v,
                l,
                p: 2 * l,
                t: v,
            };
        }
        let r = match size {
            Size::Quarter => 12 * HOUR,
            Size::Usual | Size::Edge => rng.pick(&[MINUTE, 5 * MINUTE, 15 * MINUTE, 15 * MINUTE, HOUR]),
        };
        let s = rng.pick(&[0, SECOND, 30 * SECOND, MINUTE]);
        let v = rng.pick(&[5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 20 * MINUTE]);
        let m = rng.pick(&[MINUTE, 5 * MINUTE, v]);
        let least = r + m.max(v) + 2 * s;
        // Faults appear most easily at the minimum.
        let l = least + if rng.percent(60) { 0 } else { rng.between(0, least) };
        let p = match size {
            Size::Quarter => 6 * DAY,
            Size::Usual | Size::Edge => l * rng.between(4, 10) / 2,
        };
        let t = rng.pick(&[5 * MINUTE, HOUR, p, 3 * p]) / SECOND * SECOND;
        Self { r, s, m, v, l, p, t }
    }

    fn policy(&self, algorithm: Algorithm) -> Policy {
        let durations = Durations {
            rotation_period: span(self.p),
            publish_lead: span(self.l),
            token_ttl: Duration::from_secs(300),
            token_max_ttl: span(self.t),
            refresh_interval: span(self.r),
            jwks_max_age: span(self.m),
            verifier_cache: span(self.v),
            clock_skew: span(self.s),
        };
        Policy::new(durations, algorithm).expect("a safe policy")
    }
}

impl Plan {
    pub(crate) fn drawn(seed: u64, size: Size) -> Self {
        let root = Rng::new(seed);
        let mut rng = root.fork(1);
        let spans = Spans::drawn(&mut rng, size);
        let rotations = rng.between(5, 12);
        let calm_from = match size {
            Size::Quarter => 77 * DAY,
            Size::Usual => spans.p * rotations,
            Size::Edge => spans.p * 60,
        };
        let end = match size {
            Size::Quarter => 90 * DAY,
            Size::Usual | Size::Edge => calm_from + 2 * spans.p + spans.t + 2 * spans.r,
        };
        let turns = end / spans.r + 6 * rotations;
        let custody = if rng.percent(50) {
            Custody::Sealed
        } else {
            Custody::Remote
        };
        let claim = match custody {
            Custody::Remote if rng.percent(50) => Claim::Tolerated,
            _ => Claim::Atomic,
        };
        let replicas = match size {
            Size::Usual => usize::try_from((TURNS / turns).clamp(2, 40)).unwrap_or(2),
            Size::Edge => 40,
            Size::Quarter => 300,
        };
        // If the record has whole seconds and appears late, this counts as an error of the provider's clock.
        let sealed = custody == Custody::Sealed;
        let whole_seconds = !sealed && spans.s >= SECOND && rng.percent(30);
        let lag = if sealed || spans.s < 30 * SECOND {
            0
        } else {
            rng.pick(&[0, SECOND, 5 * SECOND])
        };
        let early = Ms::from(whole_seconds) * SECOND + lag;
        let habits = Habits {
            claim,
            whole_seconds,
            keeps_terms: sealed || rng.percent(80),
            lag,
        };
        let offset = |rng: &mut Rng| match rng.below(3) {
            0 => spans.s,
            1 => -spans.s,
            _ => rng.between(-spans.s, spans.s),
        };
        let mut plan = Self {
            seed,
            custody,
            habits,
            policies: vec![spans.policy(Algorithm::EdDSA)],
            expired_keys: rng.pick(&[None, Some(ExpiredKeys::Disable), Some(ExpiredKeys::Destroy)]),
            offsets: (0..replicas).map(|_| offset(&mut rng)).collect(),
            provider_offset: offset(&mut rng).max(early - spans.s),
            starts_within: if rng.percent(50) { 0 } else { rng.between(0, spans.r) },
            verifiers: 4 + rng.index(20),
            tokens: 200,
            troubles: Vec::new(),
            acts: Vec::new(),
            calm_from,
            end,
        };
        if matches!(size, Size::Edge) {
            return plan;
        }
        plan.draw_troubles(&mut root.fork(2), &spans);
        if rng.percent(12) && !matches!(size, Size::Quarter) {
            plan.draw_switch(&mut root.fork(4), &spans);
        } else {
            plan.draw_rollouts(&mut root.fork(5), &spans);
        }
        plan.draw_acts(&mut root.fork(3), &spans);
        let calm_from = plan.calm_from;
        plan.acts.retain(|(at, _)| *at < calm_from);
        plan.acts
            .extend((0..replicas).map(|seat| (calm_from, Act::GoOn { seat })));
        plan.acts.sort_by_key(|(at, _)| *at);
        plan
    }

    fn draw_troubles(&mut self, rng: &mut Rng, spans: &Spans) {
        for _ in 0..rng.below(9) {
            let from = rng.between(0, self.calm_from);
            let length = match rng.below(4) {
                0 => rng.between(SECOND, MINUTE),
                1 => rng.between(SECOND, spans.l),
                2 => rng.between(spans.l, spans.p),
                _ => rng.between(spans.p, 3 * spans.p),
            };
            let kind = match rng.below(6) {
                0 => Kind::Down,
                1 | 2 => Kind::Silent,
                3 => Kind::Throttled(rng.between(SECOND, MINUTE)),
                4 => Kind::Slow(rng.between(SECOND, 5 * SECOND)),
                _ => Kind::LosesAnswers(rng.pick(&[10, 50])),
            };
            let only = rng.percent(50).then(|| rng.index(self.offsets.len()));
            self.troubles.push(Trouble {
                from,
                to: (from + length).min(self.calm_from),
                only,
                kind,
            });
        }
    }

    /// Changes period, lead, maximum lifetime or algorithm, one replica after the other.
    fn draw_rollouts(&mut self, rng: &mut Rng, spans: &Spans) {
        for _ in 0..rng.below(3) {
            let mut next = Spans { ..*spans };
            let mut algorithm = Algorithm::EdDSA;
            // If the provider's record has no terms, a change of these two would affect existing keys.
            let choice = if self.habits.keeps_terms {
                rng.below(4)
            } else {
                rng.pick(&[0, 3])
            };
            match choice {
                0 => next.p = spans.p * rng.between(2, 4) / 2,
                1 => {
                    next.l = spans.l + rng.between(0, spans.l);
                    next.p = spans.p.max(2 * next.l);
                }
                2 => next.t = rng.pick(&[5 * MINUTE, HOUR, spans.p]) / SECOND * SECOND,
                _ => algorithm = Algorithm::ES256,
            }
            let policy = self.policies.len();
            self.policies.push(next.policy(algorithm));
            let config = Config {
                policy,
                ring: 0,
                also: None,
            };
            let from = rng.between(0, self.calm_from);
            self.roll_out(rng, from, spans.p, config);
        }
    }

    /// Deploys to each replica in turn. Returns when the last one was deployed.
    fn roll_out(&mut self, rng: &mut Rng, from: Ms, within: Ms, config: Config) -> Ms {
        let mut at = from;
        let count = Ms::try_from(self.offsets.len()).unwrap_or(1);
        for seat in 0..self.offsets.len() {
            self.acts.push((at, Act::Deploy { seat, config }));
            at += rng.between(SECOND, within / count + SECOND);
        }
        at
    }

    /// Switches from one ring to another, by the steps of `docs/operations.md`.
    fn draw_switch(&mut self, rng: &mut Rng, spans: &Spans) {
        // People who follow the runbook check that each step is complete. Long troubles have their own seeds.
        self.troubles.retain(|trouble| trouble.to - trouble.from < MINUTE);
        let step = |ring, also| Config { policy: 0, ring, also };
        let began = rng.between(spans.p, 2 * spans.p);
        self.acts.push((began, Act::FirstKeyOfB));
        let start = MINUTE;
        let one = self.roll_out(rng, began + spans.r, spans.r, step(0, Some(1))) + start;
        let wait = spans.r + spans.m.max(spans.v) + 2 * spans.s;
        let two = self.roll_out(rng, one + wait, spans.r, step(1, Some(0))) + start;
        let wait = spans.t + spans.r + 2 * spans.s;
        let last = self.roll_out(rng, two + wait, spans.r, step(1, None));
        self.calm_from = self.calm_from.max(last + spans.p);
        self.end = self.end.max(self.calm_from + 2 * spans.p + spans.t + 2 * spans.r);
    }

    fn draw_acts(&mut self, rng: &mut Rng, spans: &Spans) {
        let seats = self.offsets.len();
        let switches = self.acts.iter().any(|(_, act)| matches!(act, Act::FirstKeyOfB));
        for _ in 0..rng.below(16) {
            let (at, seat) = (rng.between(0, self.calm_from), rng.index(seats));
            let polls = u32::try_from(rng.below(14)).unwrap_or(0);
            match rng.below(6) {
                0 | 1 => self.acts.push((at, Act::Crash { seat, polls })),
                2 => {
                    let length = rng.pick(&[MINUTE, spans.l, spans.p, 2 * spans.p]);
                    let length = rng.between(SECOND, length);
                    self.acts.push((at, Act::Stop { seat, polls }));
                    let until = (at + length).min(self.calm_from - 1);
                    self.acts.push((until, Act::GoOn { seat }));
                }
                3 => self.acts.push((
                    at,
                    Act::Away {
                        seat,
                        length: rng.between(SECOND, spans.p),
                    },
                )),
                4 => {
                    let offset = rng.between(-spans.s, spans.s);
                    self.acts.push((at, Act::SetClock { seat, offset }));
                }
                // A crash loop.
                _ => {
                    for round in 0..20 {
                        let polls = u32::try_from(rng.below(14)).unwrap_or(0);
                        self.acts.push((at + round * 3 * SECOND, Act::Crash { seat, polls }));
                    }
                }
            }
        }
        if !switches && rng.percent(50) {
            let at = rng.between(spans.p, self.calm_from);
            let which = u8::try_from(rng.below(3)).unwrap_or(0);
            self.acts.push((at, Act::Revoke { which }));
            self.acts.push((at + rng.between(spans.r, 2 * spans.p), Act::EnableAll));
        }
    }
}
