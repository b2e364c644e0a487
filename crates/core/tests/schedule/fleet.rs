//! A simulated fleet over many rotations. Each replica refreshes at its own times and has its own clock, the provider's
//! clock is off as well, keys are created late and twice, and verifiers keep a JWKS as long as they may. Every verifier
//! must accept every token at every moment of its life.

use proptest::prelude::*;
use signet_core::schedule::Due;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Phase, Policy, Schedule};

use crate::ring::{any_policy, at, config, public, revoked, successor_due};

/// The maximum number of keys in one run.
const POOL: usize = 96;

/// A SplitMix64 generator. Its seed determines the whole run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`. Each bound comes up in a quarter of all cases, because
    /// faults are most likely there.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        match self.roll() % 4 {
            0 => low,
            1 => high,
            _ => low + (self.roll() % u64::try_from(high - low + 1).expect("low is not above high")).cast_signed(),
        }
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll() % len as u64).expect("below len")
    }
}

/// A key, with the true times of its life.
struct Fact {
    record: KeyRecord,
    created: i64,
    revoked: Option<i64>,
    destroyed: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    policy: Policy,
    replicas: usize,
    /// Whether the provider can settle races by an atomic claim.
    claims: bool,
    /// Whether expired keys disappear from the list.
    destroys: bool,
    /// Whether the provider's record of a key names its predecessor.
    links: bool,
    /// Whether the algorithm changes during the run, one replica at a time.
    switches: bool,
    /// Whether keys that do not sign are revoked during the run.
    revokes: bool,
    seed: u64,
}

struct Fleet {
    plan: Plan,
    dice: Dice,
    keys: Vec<Fact>,
    /// The times at which each replica read the provider, in order.
    refreshes: Vec<Vec<i64>>,
    switch_at: Vec<i64>,
    skew: i64,
    refresh: i64,
    end: i64,
}

fn ms(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).expect("small")
}

impl Fleet {
    fn run(plan: Plan) -> Self {
        let d = *plan.policy.durations();
        let mut dice = Dice(plan.seed);
        let end = 6 * ms(d.rotation_period) + ms(d.token_max_ttl) + 4 * ms(d.clock_skew) + 2 * ms(d.refresh_interval);
        let middle = 2 * ms(d.rotation_period);
        let switch_at = (0..plan.replicas)
            .map(|_| middle + dice.between(0, ms(d.rotation_period)))
            .map(|when| if plan.switches { when } else { i64::MAX })
            .collect();
        let mut fleet = Self {
            plan,
            dice,
            keys: vec![],
            refreshes: vec![vec![]; plan.replicas],
            switch_at,
            skew: ms(d.clock_skew),
            refresh: ms(d.refresh_interval),
            end,
        };
        fleet.live();
        fleet
    }

    /// Lets each replica look and act until the end of the run.
    fn live(&mut self) {
        let replicas = self.plan.replicas;
        let mut wakes: Vec<i64> = (0..replicas).map(|_| self.dice.between(0, self.refresh)).collect();
        // The key that a replica has decided to create, and when its call reaches the provider.
        let mut calls: Vec<Option<(i64, Option<Kid>)>> = vec![None; replicas];
        loop {
            let next = |replica: &usize| calls[*replica].as_ref().map_or(wakes[*replica], |(when, _)| *when);
            let replica = (0..replicas).min_by_key(next).expect("at least one");
            let now = next(&replica);
            if now > self.end {
                break;
            }
            if let Some((_, of)) = calls[replica].take() {
                if !self.plan.claims || self.newest(now) == of {
                    self.create(replica, now, of);
                }
                wakes[replica] = wakes[replica].max(now);
                continue;
            }
            self.refreshes[replica].push(now);
            let offset = self.offset();
            let schedule = self.schedule(replica, now, now + offset);
            if let Some(Due::Successor { of, .. }) = successor_due(&schedule) {
                calls[replica] = Some((now + self.dice.between(0, self.refresh), of.clone()));
            }
            self.retire(&schedule, now);
            self.maybe_revoke(now);
            wakes[replica] = now
                + self
                    .dice
                    .between(1 + self.refresh / 2, self.refresh.max(1 + self.refresh / 2));
        }
    }

    fn newest(&self, now: i64) -> Option<Kid> {
        let listed = self
            .keys
            .iter()
            .filter(|key| key.destroyed.is_none_or(|when| when > now));
        let newest = listed.max_by_key(|key| (key.record.created_at, key.record.kid().clone()));
        newest.map(|key| key.record.kid().clone())
    }

    fn create(&mut self, replica: usize, now: i64, of: Option<Kid>) {
        if self.keys.len() == POOL {
            return; // No fleet should create more keys than this; the tests count them.
        }
        let policy = self.policy(replica, now);
        // Some providers cannot store the predecessor.
        let predecessor = of.filter(|_| self.plan.links);
        let created_at = at(now + self.offset());
        self.keys.push(Fact {
            record: KeyRecord {
                public: public(self.keys.len(), policy.algorithm()),
                created_at,
                sequence: 0,
                predecessor,
                terms: Some(policy.terms()),
                state: KeyState::Enabled,
                revoked: None,
            },
            created: now,
            revoked: None,
            destroyed: None,
        });
    }

    fn retire(&mut self, schedule: &Schedule, now: i64) {
        for due in schedule.due.iter().filter(|_| self.plan.destroys) {
            let Due::Retire(kid) = due else { continue };
            let fact = self.keys.iter_mut().find(|key| key.record.kid() == kid).expect("known");
            fact.destroyed.get_or_insert(now);
        }
    }

    /// Revokes a key that does not sign now, by any clock and list, and will not sign before all replicas
    /// have read the revocation.
    fn maybe_revoke(&mut self, now: i64) {
        if !self.plan.revokes || self.keys.is_empty() || !self.dice.roll().is_multiple_of(64) {
            return;
        }
        let chosen = self.dice.index(self.keys.len());
        let kid = self.keys[chosen].record.kid().clone();
        let margin = 2 * self.refresh + 4 * self.skew;
        let idle = |instant: i64| {
            let all: Vec<KeyRecord> = self.keys.iter().map(|key| key.record.clone()).collect();
            let schedule = signet_core::schedule(&all, &self.plan.policy, at(instant));
            schedule.active().is_some_and(|key| key.kid != kid)
        };
        if self.keys[chosen].revoked.is_none() && (-1..=4).all(|step| idle(now + step * margin / 4)) {
            let offset = self.offset();
            self.keys[chosen].revoked = Some(now);
            self.keys[chosen].record = revoked(self.keys[chosen].record.clone(), now + offset);
        }
    }

    fn offset(&mut self) -> i64 {
        self.dice.between(-self.skew, self.skew)
    }

    fn policy(&self, replica: usize, now: i64) -> Policy {
        let algorithm = if now < self.switch_at[replica] {
            Algorithm::EdDSA
        } else {
            Algorithm::RS256
        };
        Policy::new(*self.plan.policy.durations(), algorithm).expect("as safe as before")
    }

    /// The schedule that a replica computes from its last reading, by its own clock.
    fn schedule(&self, replica: usize, now: i64, clock: i64) -> Schedule {
        let read = self.refreshes[replica].iter().rfind(|when| **when <= now);
        let list: Vec<KeyRecord> = self
            .keys
            .iter()
            .filter(|key| {
                read.is_some_and(|read| key.created <= *read && key.destroyed.is_none_or(|when| when > *read))
            })
            .map(|key| {
                let mut record = key.record.clone();
                if key.revoked > read.copied() {
                    record.revoked = None;
                }
                record
            })
            .collect();
        signet_core::schedule(&list, &self.policy(replica, now), at(clock))
    }

    /// Signs a token on some replica, and shows it to a verifier at some time during its life.
    fn try_one_token(&mut self) -> Result<(), TestCaseError> {
        let d = *self.plan.policy.durations();
        let ring_settled = self.keys[0].created + ms(d.publish_lead) + 2 * self.refresh + 2 * self.skew;
        let last = self.end - ms(d.token_max_ttl) - 4 * self.skew;
        let mut signed = self.dice.between(ring_settled, last);
        if self.dice.roll().is_multiple_of(2) {
            // Prefer times near a handover, where faults are most likely.
            let key = self.dice.index(self.keys.len());
            let handover = self.keys[key].record.created_at.plus(d.publish_lead).as_millis();
            signed = (handover + self.dice.between(-2 * self.skew - 2, 2 * self.skew + 2)).clamp(ring_settled, last);
        }
        let signer = self.dice.index(self.plan.replicas);
        let clock = signed + self.offset();
        let schedule = self.schedule(signer, signed, clock);
        let Some(active) = schedule.active() else {
            return Err(TestCaseError::fail(format!("nobody signs at {signed}: {schedule:?}")));
        };
        let fact = self
            .keys
            .iter()
            .find(|key| *key.record.kid() == active.kid)
            .expect("known");
        if fact.revoked.is_some() {
            return Ok(());
        }
        let created = fact.created;
        let longest = ms(fact.record.terms.expect("terms").token_max_ttl) / 1000;
        let exp = (clock.div_euclid(1000) + self.dice.between(1, longest)) * 1000;

        let verifier_clock = self.offset();
        let shown = self.dice.between(signed, (exp - verifier_clock - 1).max(signed));
        if shown + verifier_clock >= exp {
            return Ok(());
        }
        let oldest = shown - (ms(d.jwks_max_age.max(d.verifier_cache)) - 1).max(0);
        let mut fetched = self.dice.between(oldest, shown);
        let mut server = self.dice.index(self.plan.replicas);
        if self.dice.roll().is_multiple_of(2) {
            // Uses the replica that was the last to read the key, just before it did.
            let first_read = |replica: &usize| self.refreshes[*replica].iter().find(|when| **when >= created);
            server = (0..self.plan.replicas).max_by_key(&first_read).expect("at least one");
            fetched = first_read(&server)
                .map_or(fetched, |when| when - 1)
                .clamp(oldest, shown);
        }
        let offset = self.offset();
        let jwks = self.schedule(server, fetched, fetched + offset);
        let known = jwks
            .keys
            .iter()
            .any(|key| key.kid == active.kid && key.phase.is_published());
        prop_assert!(
            known,
            "token of {} signed at {signed} (clock {clock}) with exp {exp}, shown at {shown} to a verifier that \
             fetched at {fetched} (clock {offset:+}):\nsigner {schedule:#?}\nserver {jwks:#?}",
            active.kid,
        );
        Ok(())
    }
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let flags = prop::array::uniform5(any::<bool>());
    let plan = (any_policy(), 1..4usize, flags, any::<u64>());
    plan.prop_filter_map("too many keys or refreshes", |(policy, replicas, flags, seed)| {
        let [claims, destroys, links, switches, revokes] = flags;
        let d = policy.durations();
        let small = d.token_max_ttl <= 5 * d.rotation_period && d.rotation_period <= 400 * d.refresh_interval;
        small.then_some(Plan {
            policy,
            replicas,
            claims,
            destroys,
            links,
            switches,
            revokes,
            seed,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config(192) })]

    #[test]
    fn no_token_of_any_replica_is_refused_by_any_verifier_at_any_moment_of_its_life(plan in any_plan()) {
        let mut fleet = Fleet::run(plan);
        let most = if plan.claims { 30 } else { POOL - 1 };
        prop_assert!((6..=most).contains(&fleet.keys.len()), "{} keys", fleet.keys.len());
        for _ in 0..300 {
            fleet.try_one_token()?;
        }
    }

    /// Races leave no key behind, and a key whose predecessor was destroyed signs as long as any other.
    #[test]
    fn with_an_atomic_claim_a_fleet_makes_one_key_per_period(plan in any_plan()) {
        let plan = Plan { claims: true, links: true, switches: false, revokes: false, ..plan };
        let fleet = Fleet::run(plan);
        let period = plan.policy.durations().rotation_period;
        let slack = fleet.skew * 2 + 1;
        for pair in fleet.keys.windows(2).skip(1) {
            prop_assert!(pair[1].created - pair[0].created >= ms(period) - slack);
        }
    }

    #[test]
    fn replicas_with_the_same_list_and_the_same_instant_agree(plan in any_plan(), now in 0..1_000_000i64) {
        let fleet = Fleet::run(Plan { switches: false, ..plan });
        let list: Vec<KeyRecord> = fleet.keys.iter().map(|key| key.record.clone()).collect();
        let reversed: Vec<KeyRecord> = list.iter().rev().cloned().collect();
        let (one, other) = (fleet.policy(0, now), fleet.policy(plan.replicas - 1, now));
        let schedule = signet_core::schedule(&list, &one, at(now));
        prop_assert!(schedule.keys.iter().filter(|key| key.phase == Phase::Active).count() <= 1);
        prop_assert_eq!(schedule, signet_core::schedule(&reversed, &other, at(now)));
    }
}
