//! Keys with a creation time in the future: a clock was ahead, or ours is behind.

use proptest::prelude::*;
use signet_core::Phase::{Active, Expired, Pending, Retiring, Revoked};
use signet_core::ring::{in_order, newest};
use signet_core::schedule::{Due, Reason};
use signet_core::{KeyRecord, Kid, Schedule};

use crate::any_ring::any_ring;
use crate::ring::{HOUR, LEAD, MIN, PERIOD, RETENTION, SEC, at, config, disabled, key, look, phases, revoked};

/// How far apart clocks may be: 2S plus one second, with the default policy.
const APART: i64 = 2 * MIN + SEC;

fn after(mut key: KeyRecord, predecessor: &KeyRecord) -> KeyRecord {
    key.predecessor = Some(predecessor.kid().clone());
    key
}

/// The ring after a clock was 25 h ahead for five hours, from the second hour on. The second key
/// has a date in the future.
fn ring() -> [KeyRecord; 2] {
    let first = key(0, 0);
    let second = after(key(1, 26 * HOUR), &first);
    [first, second]
}

#[test]
fn the_key_that_signs_goes_on_while_the_newest_lies_in_the_future() {
    let ring = ring();
    for now in [6 * HOUR, PERIOD, 26 * HOUR - APART - 1] {
        let schedule = look(&ring, now);
        assert_eq!(
            (phases(&schedule), &schedule.due),
            (vec![Active, Pending], &vec![]),
            "at {now}"
        );
        assert_eq!(schedule.from_the_future.as_ref(), Some(ring[1].kid()));
    }
    assert_eq!(look(&ring, 6 * HOUR).next_look, Some(at(26 * HOUR - APART)));
    let come = look(&ring, 26 * HOUR - APART);
    assert_eq!((come.from_the_future, come.due), (None, vec![]));
    assert_eq!(phases(&look(&ring, 26 * HOUR + LEAD)), [Retiring, Active]);
}

#[test]
fn if_the_key_that_signed_is_gone_one_of_the_future_signs_at_once_and_for_good() {
    let [first, second] = ring();
    let ring = [disabled(first), second];
    for now in [6 * HOUR, 26 * HOUR - APART, 26 * HOUR, 26 * HOUR + LEAD] {
        let schedule = look(&ring, now);
        assert_eq!(
            (phases(&schedule), schedule.due),
            (vec![Retiring, Active], vec![]),
            "at {now}"
        );
    }
    // The result is the same if the first key was destroyed and the second is alone.
    assert_eq!(phases(&look(&ring[1..], 6 * HOUR)), [Active]);
}

#[test]
fn nothing_is_created_or_retired_while_the_newest_key_lies_in_the_future() {
    let mut ring = vec![key(0, 0), key(1, 2 * HOUR), key(2, 90 * HOUR)];
    let now = 2 * PERIOD;
    assert_eq!(
        (phases(&look(&ring, now)), look(&ring, now).due),
        (vec![Expired, Active, Pending], vec![])
    );
    // Without the second key, the first one would not stay published.
    ring.pop();
    assert!(look(&ring, now).due.contains(&Due::Retire(ring[0].kid().clone())));
    assert!(
        look(&ring, now)
            .due
            .iter()
            .any(|due| matches!(due, Due::Successor { .. }))
    );
}

#[test]
fn a_ring_in_which_nothing_can_sign_gets_a_key_whenever_its_newest_was_created() {
    let [first, second] = ring();
    let due = |ring: &[KeyRecord], now| look(ring, now).due;
    let successor = || {
        let of = Some(second.kid().clone());
        let reason = Reason::Disabled;
        vec![Due::Successor { of, reason }]
    };
    assert_eq!(due(&[disabled(second.clone())], 6 * HOUR), successor());
    // A pending key that can never sign is not waited for.
    let dead = [disabled(first.clone()), disabled(second.clone())];
    for now in [6 * HOUR, 26 * HOUR + LEAD - APART, 26 * HOUR + LEAD] {
        assert_eq!(due(&dead, now), successor(), "at {now}");
    }
    // Recovery from a clock that ran ahead for several periods. The operator gives up the key that could sign. The next
    // key then signs at once, although a dead key still has a later date.
    let living = after(key(2, 20 * HOUR), &first);
    let given_up = [disabled(first), revoked(living, 6 * HOUR), disabled(second.clone())];
    assert_eq!(due(&given_up, 6 * HOUR), successor());
    let [first, living, second] = given_up;
    let made = after(key(3, 6 * HOUR + 5), &second);
    let schedule = look(&[first, made.clone(), living, second], 6 * HOUR + 5);
    assert_eq!(schedule.active().map(|key| &key.kid), Some(made.kid()), "{schedule:?}");
    assert_eq!(schedule.due, []);
}

#[test]
fn a_revoked_key_of_the_future_makes_way_for_one_of_today_that_signs_at_once() {
    let [first, second] = ring();
    let second = revoked(second, 6 * HOUR);
    let third = after(key(2, 6 * HOUR + 5), &second);
    let gone = [disabled(first.clone()), second.clone()];
    assert!(
        look(&gone, 6 * HOUR)
            .due
            .iter()
            .any(|due| matches!(due, Due::Successor { .. }))
    );
    let ring = [disabled(first.clone()), second.clone(), third.clone()];
    assert_eq!(newest(&ring).map(KeyRecord::kid), Some(third.kid()));
    let schedule = look(&ring, 6 * HOUR + 5);
    assert_eq!(
        (phases(&schedule), &schedule.due),
        (vec![Retiring, Revoked, Active], &vec![])
    );
    assert_eq!(schedule.from_the_future, None);
    // From then on, the ring is like any other.
    let falls_due = 6 * HOUR + 5 + LEAD + PERIOD - LEAD;
    let of = Some(third.kid().clone());
    let reason = Reason::Period;
    assert!(look(&ring, falls_due).due.contains(&Due::Successor { of, reason }));
    // The key that can still sign continues until the new one has been published for its lead.
    let ring = [first, second, third];
    assert_eq!(
        phases(&look(&ring, 6 * HOUR + 5 + LEAD - 1)),
        [Active, Revoked, Pending]
    );
    assert_eq!(phases(&look(&ring, 6 * HOUR + 5 + LEAD)), [Retiring, Revoked, Active]);
}

#[test]
fn while_the_clock_was_set_nothing_stops_being_published_and_the_signer_goes_on_where_all_have_it() {
    let pending = [key(0, 0), key(1, 23 * HOUR)];
    let single = [key(0, 0)];
    let cases: [(&[KeyRecord], i64, i64, &[signet_core::Phase]); 7] = [
        // The clock is an hour ahead, ten minutes after the next key was created. Others do not have that key yet.
        (&pending, 23 * HOUR + 10 * MIN, HOUR, &[Active, Pending]),
        // The clock is so far ahead that others would have dropped the first key. Both are published, and
        // the key that all have signs.
        (&pending, 23 * HOUR + 10 * MIN, 25 * HOUR, &[Retiring, Active]),
        // The clock went back. The next key has taken over, whatever the clock says.
        (&pending, PERIOD + 10 * MIN, -25 * HOUR, &[Retiring, Active]),
        // By the correct clock the first key has just expired; by this one it has not.
        (&pending, PERIOD + RETENTION, -HOUR, &[Retiring, Active]),
        (&pending, PERIOD + RETENTION, 5 * HOUR, &[Expired, Active]),
        (&single, HOUR, 25 * HOUR, &[Active]),
        (&single, HOUR, -25 * HOUR, &[Active]),
    ];
    for (ring, now, set_by, expected) in cases {
        let bridged = look(ring, now).bridged(&look(ring, now + set_by), set_by);
        assert_eq!(phases(&bridged), expected, "at {now}, set by {set_by}");
    }
}

fn published(schedule: &Schedule) -> Vec<&Kid> {
    crate::ring::published(schedule)
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn a_bridge_publishes_what_either_side_does_and_one_key_signs(
        (ring, policy) in any_ring(),
        now in -100_000..2_000_000i64,
        set_by in -2_000_000..2_000_000i64,
    ) {
        let [steady, wall] = [now, now + set_by].map(|now| signet_core::schedule(&ring, &policy, at(now)));
        let bridged = steady.clone().bridged(&wall, set_by);
        for kid in published(&steady).into_iter().chain(published(&wall)) {
            prop_assert!(published(&bridged).contains(&kid));
        }
        let signers = bridged.keys.iter().filter(|key| key.phase == Active).count();
        prop_assert_eq!(signers, usize::from(steady.active().or(wall.active()).is_some()));
    }

    /// This holds whatever predecessors the provider reports.
    #[test]
    fn only_revoked_keys_are_out_of_the_order_of_their_instants((ring, _) in any_ring()) {
        let ordered = in_order(&ring);
        prop_assert_eq!(ordered.len(), ring.len());
        let used: Vec<&&KeyRecord> = ordered.iter().filter(|key| key.revoked.is_none()).collect();
        prop_assert!(used.is_sorted_by(|a, b| a.creation_order(b).is_lt()));
    }

    #[test]
    fn while_the_newest_key_lies_in_the_future_only_what_can_sign_at_all_is_due(
        (ring, policy) in any_ring(),
        now in -1_000_000..1_000_000i64,
    ) {
        let schedule = signet_core::schedule(&ring, &policy, at(now));
        let apart = policy.durations().clocks_apart();
        let created = ring.iter().filter(|key| key.revoked.is_none()).map(|key| key.created_at).max();
        let is_future = created.is_some_and(|created| created > at(now).plus(apart));
        prop_assert_eq!(schedule.from_the_future.is_some(), is_future);
        let is_borne = |due: &Due| matches!(due, Due::Successor { reason, .. } if reason.is_urgent());
        prop_assert!(!is_future || schedule.due.iter().all(is_borne));
    }
}
