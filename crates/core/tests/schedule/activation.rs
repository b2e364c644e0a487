//! When a key begins to sign, when it stops, and how long it stays published.

use proptest::prelude::*;
use signet_core::schedule::Phase::{Active, Expired, Pending, Retiring};
use signet_core::{KeyRecord, Phase};

use crate::ring::{
    HOUR, LEAD, MIN, PERIOD, RETENTION, any_policy, at, config, key, look, millis, phases, published, with_lead,
};

#[test]
fn the_first_key_of_a_ring_signs_at_once() {
    let schedule = look(&[key(0, 0)], 0);
    assert_eq!(phases(&schedule), [Active]);
    assert_eq!(schedule.keys[0].activates_at, Some(at(0)));
    assert_eq!(schedule.keys[0].superseded_at, None);
    assert_eq!(schedule.keys[0].expires_at, None);
}

#[test]
fn the_first_key_signs_at_once_even_if_the_provider_dates_it_in_our_future() {
    assert_eq!(phases(&look(&[key(0, MIN)], 0)), [Active]);
    let two = [key(0, MIN), key(1, MIN + 5)];
    assert_eq!(phases(&look(&two, 0)), [Active, Pending]);
}

#[test]
fn a_successor_takes_over_at_its_creation_plus_its_lead_and_not_a_millisecond_earlier() {
    let ring = [key(0, 0), key(1, 23 * HOUR)];
    let cases: [(i64, [Phase; 2]); 6] = [
        (23 * HOUR, [Active, Pending]),
        (PERIOD - 1, [Active, Pending]),
        (PERIOD, [Retiring, Active]),
        (PERIOD + RETENTION - 1, [Retiring, Active]),
        (PERIOD + RETENTION, [Expired, Active]),
        (PERIOD * 1000, [Expired, Active]),
    ];
    for (now, expected) in cases {
        assert_eq!(phases(&look(&ring, now)), expected, "at {now}");
    }
    let schedule = look(&ring, 0);
    assert_eq!(schedule.keys[1].activates_at, Some(at(PERIOD)));
    assert_eq!(schedule.keys[0].superseded_at, Some(at(PERIOD)));
    assert_eq!(schedule.keys[0].expires_at, Some(at(PERIOD + RETENTION)));
}

#[test]
fn a_key_keeps_the_lead_of_its_own_terms_when_the_policy_changes() {
    let ring = [key(0, 0), with_lead(key(1, HOUR), 7 * MIN)];
    assert_eq!(look(&ring, HOUR).keys[1].activates_at, Some(at(HOUR + 7 * MIN)));
    let ring = [key(0, 0), with_lead(key(1, HOUR), 5 * HOUR)];
    assert_eq!(look(&ring, HOUR).keys[1].activates_at, Some(at(6 * HOUR)));
}

#[test]
fn a_key_without_terms_follows_the_policy() {
    let mut second = key(1, HOUR);
    second.terms = None;
    let mut first = key(0, 0);
    first.terms = None;
    let schedule = look(&[first, second], HOUR);
    assert_eq!(schedule.keys[1].activates_at, Some(at(HOUR + LEAD)));
    assert_eq!(schedule.keys[0].expires_at, Some(at(HOUR + LEAD + RETENTION)));
}

#[test]
fn the_longer_of_the_keys_and_the_policys_retention_holds() {
    for (own, expected) in [(MIN, RETENTION), (RETENTION, RETENTION), (10 * HOUR, 10 * HOUR)] {
        let mut first = key(0, 0);
        first.terms.as_mut().expect("terms").retention = millis(own);
        let schedule = look(&[first, key(1, HOUR)], 0);
        assert_eq!(schedule.keys[0].expires_at, Some(at(HOUR + LEAD + expected)));
    }
}

#[test]
fn a_key_overtaken_by_a_later_one_with_a_shorter_lead_never_signs() {
    let ring = [key(0, 0), with_lead(key(1, 10), 100), with_lead(key(2, 20), 20)];
    let cases: [(i64, [Phase; 3]); 4] = [
        (39, [Active, Pending, Pending]),
        (40, [Retiring, Retiring, Active]),
        (110, [Retiring, Retiring, Active]),
        (40 + RETENTION, [Expired, Expired, Active]),
    ];
    for (now, expected) in cases {
        assert_eq!(phases(&look(&ring, now)), expected, "at {now}");
    }
}

#[test]
fn of_two_keys_created_at_once_by_racing_replicas_both_keep_their_lead() {
    let ring = [key(0, 0), key(1, HOUR), key(2, HOUR + 3)];
    assert_eq!(
        phases(&look(&ring, HOUR + LEAD - 1)),
        [Active, Pending, Pending],
        "neither is early"
    );
    assert_eq!(phases(&look(&ring, HOUR + LEAD + 2)), [Retiring, Active, Pending]);
    assert_eq!(phases(&look(&ring, HOUR + LEAD + 3)), [Retiring, Retiring, Active]);
}

#[test]
fn keys_of_one_millisecond_are_ordered_by_their_kid() {
    let (lesser, greater) = (key(3, HOUR), key(4, HOUR));
    assert!(lesser.kid() < greater.kid());
    let first = key(0, 0);
    let schedule = look(&[greater.clone(), first, lesser.clone()], HOUR + LEAD);
    assert_eq!(schedule.keys[1].kid, *lesser.kid());
    assert_eq!(schedule.keys[2].kid, *greater.kid());
    assert_eq!(phases(&schedule), [Retiring, Retiring, Active]);
}

#[test]
fn a_hundred_equal_instants_leave_exactly_one_signer() {
    let ring: Vec<KeyRecord> = (0..96).map(|number| key(number, 0)).collect();
    for now in [-1, 0, LEAD - 1, LEAD, LEAD + RETENTION, PERIOD * 10] {
        let schedule = look(&ring, now);
        assert_eq!(phases(&schedule).iter().filter(|phase| **phase == Active).count(), 1);
    }
    assert_eq!(look(&ring, LEAD).active().expect("one signs").kid, *ring[95].kid());
}

proptest! {
    #![proptest_config(config(512))]

    /// A ring that grows normally: no key is created before the previous one was activated.
    #[test]
    fn every_key_is_published_from_its_creation_until_its_tokens_have_died(
        policy in any_policy(),
        gaps in prop::collection::vec(0..500_000i64, 1..8),
        moments in prop::collection::vec(0..3_000_000i64, 20),
    ) {
        let d = *policy.durations();
        let mut created = 0;
        let mut ring = vec![];
        for (number, gap) in gaps.iter().enumerate() {
            let mut record = key(number, created);
            record.terms = Some(policy.terms());
            ring.push(record);
            created += gap + i64::try_from(d.publish_lead.as_millis()).expect("small");
        }
        for now in moments {
            let seen: Vec<KeyRecord> = ring.iter().filter(|key| key.created_at <= at(now)).cloned().collect();
            let schedule = signet_core::schedule(&seen, &policy, at(now));
            let set = published(&schedule);
            for (index, record) in seen.iter().enumerate() {
                let stops = seen.get(index + 1).map(|next| next.created_at.plus(d.publish_lead));
                let gone = stops.map(|stops| {
                    stops.plus(d.token_max_ttl).plus(d.refresh_interval).plus(d.clock_skew).plus(d.clock_skew)
                });
                prop_assert_eq!(set.contains(&record.kid()), gone.is_none_or(|gone| at(now) < gone));
                let starts = if index == 0 { record.created_at } else { record.created_at.plus(d.publish_lead) };
                let signs = starts <= at(now) && stops.is_none_or(|stops| at(now) < stops);
                prop_assert_eq!(schedule.active().map(|key| &key.kid) == Some(record.kid()), signs);
            }
        }
    }
}

#[test]
fn a_key_whose_predecessor_was_destroyed_is_not_taken_for_the_first_of_its_ring() {
    let first = key(0, 0);
    let mut second = key(1, PERIOD - LEAD);
    second.predecessor = Some(first.kid().clone());
    let now = PERIOD + RETENTION;
    let (with, without) = (look(&[first, second.clone()], now), look(&[second], now));
    assert_eq!(without.keys[0], with.keys[1]);
    assert_eq!(without.keys[0].activates_at, Some(at(PERIOD)));
    assert_eq!(without.next_look, with.next_look);
}
