//! Properties of the schedule for any list that a provider could return.

use proptest::prelude::*;
use signet_core::schedule::{Due, ScheduledKey};
use signet_core::{
    Algorithm, Durations, KeyRecord, KeyState, Kid, Phase, Policy, Revocation, Schedule, Terms, Timestamp,
};

use crate::ring::{any_policy, at, config, millis, phase_of, public, published, successor_due};

fn any_record(number: usize) -> impl Strategy<Value = KeyRecord> {
    let created = prop_oneof![0..1_000_000i64, (0..5i64).prop_map(|step| step * 200_000)];
    let terms = prop_oneof![
        Just(None),
        (0..300_000i64, 1..600i64, 0..600_000i64).prop_map(|(lead, ttl, retention)| Some(Terms::new(
            millis(lead),
            millis(ttl * 1000),
            millis(retention)
        ))),
    ];
    let state = prop_oneof![4 => Just(KeyState::Enabled), 1 => Just(KeyState::Disabled)];
    let revoked = prop_oneof![3 => Just(None), 1 => (-50_000..1_300_000i64).prop_map(Some)];
    let algorithm = prop_oneof![4 => Just(Algorithm::EdDSA), 1 => Just(Algorithm::RS256)];
    let predecessor = prop::option::of(0..16usize);
    let record = (created, predecessor, terms, state, revoked, algorithm);
    record.prop_map(
        move |(created, predecessor, terms, state, revoked, algorithm)| KeyRecord {
            public: public(number, algorithm),
            created_at: at(created),
            sequence: 0,
            // A predecessor that is in the list, or one that is no longer there.
            predecessor: predecessor.map(|number| public(number, Algorithm::EdDSA).kid().clone()),
            terms,
            state,
            revoked: revoked.map(|when| Revocation {
                at: at(when),
                reason: String::new(),
            }),
        },
    )
}

pub(crate) fn any_ring() -> impl Strategy<Value = (Vec<KeyRecord>, Policy)> {
    let records = (1..8usize).prop_flat_map(|len| (0..len).map(any_record).collect::<Vec<_>>());
    (records, any_policy())
}

/// A ring without any revocation.
fn intact_ring() -> impl Strategy<Value = (Vec<KeyRecord>, Policy)> {
    any_ring().prop_map(|(mut ring, policy)| {
        ring.iter_mut().for_each(|key| key.revoked = None);
        (ring, policy)
    })
}

fn actives(schedule: &Schedule) -> usize {
    schedule.keys.iter().filter(|key| key.phase == Phase::Active).count()
}

proptest! {
    #![proptest_config(config(2048))]

    #[test]
    fn the_order_of_the_list_never_matters(
        ((ring, policy), shuffled) in any_ring().prop_flat_map(|(ring, policy)| {
            (Just((ring.clone(), policy)), Just(ring).prop_shuffle())
        }),
        now in -100_000..2_000_000i64,
    ) {
        let now = at(now);
        prop_assert_eq!(signet_core::schedule(&ring, &policy, now), signet_core::schedule(&shuffled, &policy, now));
    }

    #[test]
    fn never_two_keys_are_active_and_none_only_after_a_revocation((ring, policy) in any_ring(), now in -100_000..2_000_000i64) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        prop_assert_eq!(schedule.keys.len(), ring.len());
        prop_assert!(actives(&schedule) <= 1);
        if actives(&schedule) == 0 {
            prop_assert!(ring.iter().any(|key| key.revoked.is_some()));
            for key in schedule.keys.iter().filter(|key| key.phase != Phase::Revoked) {
                prop_assert!(key.superseded_at.is_some_and(|then| then <= at(now)), "{:?} could sign", key);
            }
            prop_assert!(successor_due(&schedule).is_some());
        }
    }

    #[test]
    fn exactly_one_key_is_active_in_every_intact_ring((ring, policy) in intact_ring(), now in -100_000..2_000_000i64) {
        prop_assert_eq!(actives(&signet_core::schedule(&ring, &policy, at(now))), 1);
    }

    #[test]
    fn no_key_signs_before_its_lead_but_the_first_and_the_one_after_a_signer_that_cannot(
        (ring, policy) in any_ring(),
        now in -100_000..2_000_000i64,
    ) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        let Some(index) = schedule.keys.iter().position(|key| key.phase == Phase::Active) else { return Ok(()) };
        let record = ring.iter().find(|key| *key.kid() == schedule.keys[index].kid).expect("listed");
        let lead = policy.terms_of(record).lead;
        if at(now) < record.created_at.plus(lead) {
            let signer = schedule.keys[..index].iter().rfind(|key| key.activates_at.is_some());
            let is_disabled = |kid: &Kid| ring.iter().any(|key| key.kid() == kid && key.state == KeyState::Disabled);
            let cannot_sign = |key: &ScheduledKey| key.phase == Phase::Revoked || is_disabled(&key.kid);
            prop_assert!(signer.is_none_or(cannot_sign), "{:?} in {:?}", record, schedule);
        }
    }

    #[test]
    fn between_now_and_the_next_look_nothing_changes(
        (ring, policy) in any_ring(),
        now in -100_000..2_000_000i64,
        fraction in 0.0..1.0f64,
    ) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        let until = schedule.next_look.map_or(now + 10_000_000, |next| next.as_millis());
        prop_assert!(until > now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a fraction of a small span")]
        let between = now + ((until - now) as f64 * fraction) as i64;
        for then in [between, until - 1] {
            prop_assert_eq!(&schedule, &signet_core::schedule(&ring, &policy, at(then)));
        }
    }

    /// Looking only at `next_look` is enough to see every change: no phase is skipped.
    #[test]
    fn whoever_looks_when_told_to_misses_nothing((ring, policy) in any_ring(), moments in prop::collection::vec(-100_000..3_000_000i64, 10)) {
        let mut looks = vec![(-100_000, signet_core::schedule(&ring, &policy, at(-100_000)))];
        while let Some(next) = looks.last().and_then(|(_, schedule)| schedule.next_look) {
            looks.push((next.as_millis(), signet_core::schedule(&ring, &policy, next)));
            prop_assert!(looks.len() <= 4 * ring.len() + 3, "it never comes to rest");
        }
        for now in moments {
            let seen = looks.iter().rfind(|(when, _)| *when <= now).map(|(_, schedule)| schedule);
            prop_assert_eq!(seen, Some(&signet_core::schedule(&ring, &policy, at(now))));
        }
    }

    #[test]
    fn until_the_set_changes_the_published_set_stays(
        (ring, policy) in any_ring(),
        now in -100_000..2_000_000i64,
        fraction in 0.0..1.0f64,
    ) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        let until = schedule.set_changes_at.map_or(now + 10_000_000, |next| next.as_millis());
        prop_assert!(until > now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a fraction of a small span")]
        let between = now + ((until - now) as f64 * fraction) as i64;
        for then in [between, until - 1] {
            let then = signet_core::schedule(&ring, &policy, at(then));
            prop_assert_eq!(published(&schedule), published(&then));
        }
    }

    #[test]
    fn left_alone_a_key_only_ever_moves_on(
        (ring, policy) in any_ring(),
        mut moments in prop::collection::vec(-100_000..3_000_000i64, 10),
    ) {
        moments.sort_unstable();
        let schedules: Vec<Schedule> =
            moments.iter().map(|now| signet_core::schedule(&ring, &policy, at(*now))).collect();
        for pair in schedules.windows(2) {
            for (earlier, later) in pair[0].keys.iter().zip(&pair[1].keys) {
                prop_assert!(earlier.phase <= later.phase, "{:?} became {:?}", earlier, later);
            }
        }
    }

    #[test]
    fn exactly_the_expired_and_enabled_keys_are_to_be_retired((ring, policy) in any_ring(), now in -100_000..3_000_000i64) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        for key in &ring {
            let expired = phase_of(&schedule, key.kid()) == Phase::Expired;
            let due = schedule.due.contains(&Due::Retire(key.kid().clone()));
            prop_assert_eq!(due, expired && key.state == KeyState::Enabled && schedule.from_the_future.is_none());
        }
    }

    #[test]
    fn no_successor_is_due_while_one_is_pending((ring, policy) in any_ring(), now in -100_000..2_000_000i64) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        // A disabled key is never waited for.
        let can_sign = |kid: &Kid| ring.iter().any(|key| key.kid() == kid && key.state == KeyState::Enabled);
        let pending = schedule.keys.iter().any(|key| key.phase == Phase::Pending && can_sign(&key.kid));
        prop_assert!(!pending || successor_due(&schedule).is_none());
        let successors = schedule.due.iter().filter(|due| matches!(due, Due::Successor { .. })).count();
        prop_assert!(successors <= 1);
    }

    /// Two replicas one refresh apart agree about all keys that both know.
    #[test]
    fn a_new_key_changes_nothing_for_the_others_before_it_signs(
        (ring, policy) in intact_ring(),
        after in 0..500_000i64,
        fraction in 0.0..1.0f64,
    ) {
        let created = ring.iter().map(|key| key.created_at.as_millis()).max().expect("not empty") + after;
        let mut new = ring[0].clone();
        new.public = public(50, Algorithm::EdDSA);
        new.created_at = at(created);
        new.terms = Some(policy.terms());
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a small span")]
        let now = created + (policy.terms().lead.as_millis() as f64 * fraction) as i64;
        let with = signet_core::schedule(&[ring.clone(), vec![new.clone()]].concat(), &policy, at(now));
        let without = signet_core::schedule(&ring, &policy, at(now));
        let signer = without.active().and_then(|active| ring.iter().find(|key| *key.kid() == active.kid));
        // A signer that cannot sign is replaced at once.
        prop_assume!(signer.is_some_and(|key| key.state == KeyState::Enabled));
        for key in &without.keys {
            prop_assert_eq!(phase_of(&with, &key.kid), key.phase);
        }
        prop_assert_eq!(phase_of(&with, new.kid()), Phase::Pending);
    }

    #[test]
    fn extremes_neither_panic_nor_leave_two_signers(
        (ring, policy) in any_ring(),
        instants in prop::collection::vec(extreme(), 24),
        spans in prop::collection::vec(prop_oneof![Just(0u64), Just(u64::MAX), any::<u64>()], 16),
    ) {
        let mut ring = ring;
        for (index, key) in ring.iter_mut().enumerate() {
            key.created_at = instants[index];
            if let Some(terms) = &mut key.terms {
                terms.lead = std::time::Duration::from_millis(spans[index]);
                terms.retention = std::time::Duration::from_secs(spans[index + 8]);
            }
            if let Some(revocation) = &mut key.revoked {
                revocation.at = instants[index + 8];
            }
        }
        for now in &instants[16..] {
            let schedule = signet_core::schedule(&ring, &policy, *now);
            prop_assert!(actives(&schedule) <= 1);
            prop_assert!(actives(&schedule) == 1 || ring.iter().any(|key| key.revoked.is_some()));
            prop_assert!(schedule.next_look.is_none_or(|next| next > *now));
        }
    }
}

fn extreme() -> impl Strategy<Value = Timestamp> {
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    prop_oneof![prop::sample::select(edges.to_vec()), any::<i64>()].prop_map(Timestamp::from_millis)
}

#[test]
fn the_longest_policy_and_the_last_instant_do_not_overflow() {
    let years = std::time::Duration::from_secs(10 * 365 * 24 * 3600);
    let durations = Durations {
        rotation_period: years,
        publish_lead: years / 2,
        token_max_ttl: years,
        ..Durations::default()
    };
    let policy = Policy::new(durations, Algorithm::EdDSA).expect("safe, if slow");
    for now in [i64::MIN, 0, i64::MAX] {
        for created in [i64::MIN, i64::MAX] {
            let mut key = crate::ring::key(0, created);
            key.terms = Some(policy.terms());
            let schedule = signet_core::schedule(&[key], &policy, at(now));
            assert_eq!(actives(&schedule), 1);
        }
    }
}
