//! What a revocation changes, and what it must not change.

use proptest::prelude::*;
use signet_core::schedule::Phase::{Active, Expired, Pending, Retiring, Revoked};
use signet_core::schedule::{Due, Reason};
use signet_core::{KeyRecord, KeyState, Phase};

use crate::any_ring::any_ring;
use crate::ring::{HOUR, LEAD, PERIOD, at, config, key, look, phases, revoked, with_lead};

#[test]
fn when_the_active_key_is_revoked_the_pending_one_signs_at_once() {
    let ring = [revoked(key(0, 0), PERIOD - 30), key(1, PERIOD - LEAD)];
    let schedule = look(&ring, PERIOD - 30);
    assert_eq!(phases(&schedule), [Revoked, Active]);
    assert_eq!(schedule.keys[1].activates_at, Some(at(PERIOD - 30)));
    assert_eq!(schedule.due, []);
}

#[test]
fn the_successor_of_a_revoked_key_created_afterwards_signs_from_its_creation() {
    let ring = [revoked(key(0, 0), HOUR), key(1, HOUR + 5)];
    let schedule = look(&ring, HOUR + 5);
    assert_eq!(phases(&schedule), [Revoked, Active]);
    assert_eq!(schedule.keys[1].activates_at, Some(at(HOUR + 5)));
    assert_eq!(
        phases(&look(&ring, HOUR)),
        [Revoked, Active],
        "also by a clock that is behind"
    );
}

#[test]
fn only_the_next_key_takes_over_at_once_and_the_one_after_it_keeps_its_lead() {
    let ring = [revoked(key(0, 0), HOUR), key(1, HOUR + 5), key(2, HOUR + 6)];
    assert_eq!(phases(&look(&ring, HOUR + 10)), [Revoked, Active, Pending]);
    assert_eq!(phases(&look(&ring, HOUR + 6 + LEAD)), [Revoked, Retiring, Active]);
}

#[test]
fn a_chain_of_revocations_hands_on_to_the_next_key_each_time() {
    let ring = [
        revoked(key(0, 0), HOUR),
        revoked(key(1, HOUR + 5), 2 * HOUR),
        revoked(key(2, HOUR + 6), 2 * HOUR + 1),
        key(3, 2 * HOUR + 2),
    ];
    let schedule = look(&ring, 2 * HOUR + 2);
    assert_eq!(phases(&schedule), [Revoked, Revoked, Revoked, Active]);
}

#[test]
fn with_every_key_revoked_nobody_signs_and_a_new_one_is_due() {
    let ring = [revoked(key(0, 0), HOUR), revoked(key(1, HOUR), HOUR)];
    let schedule = look(&ring, 2 * HOUR);
    assert_eq!(phases(&schedule), [Revoked, Revoked]);
    assert!(schedule.active().is_none());
    let of = Some(ring[1].kid().clone());
    assert_eq!(
        schedule.due,
        [Due::Successor {
            of,
            reason: Reason::Revoked
        }]
    );
}

#[test]
fn a_retiring_key_does_not_sign_again_when_its_successor_is_revoked() {
    let ring = [key(0, 0), revoked(key(1, HOUR), HOUR + LEAD)];
    let schedule = look(&ring, HOUR + LEAD);
    assert_eq!(phases(&schedule), [Retiring, Revoked]);
    assert!(schedule.active().is_none());
}

#[test]
fn a_key_revoked_before_it_signed_leaves_the_active_one_in_place() {
    let ring = [key(0, 0), revoked(key(1, HOUR), HOUR + LEAD - 1)];
    for now in [HOUR + LEAD - 1, HOUR + LEAD, 3 * PERIOD] {
        let schedule = look(&ring, now);
        assert_eq!(phases(&schedule), [Active, Revoked]);
        assert_eq!(schedule.keys[0].expires_at, None);
        assert_eq!(schedule.keys[1].activates_at, None);
    }
}

#[test]
fn revoking_a_retiring_key_changes_nothing_for_the_others() {
    let ring = [key(0, 0), key(1, HOUR), key(2, PERIOD)];
    let without = [revoked(key(0, 0), 2 * HOUR + 1), key(1, HOUR), key(2, PERIOD)];
    for now in [2 * HOUR + 1, PERIOD, PERIOD + LEAD, 3 * PERIOD] {
        let (before, after) = (look(&ring, now), look(&without, now));
        assert_eq!(before.keys[1..], after.keys[1..], "at {now}");
        assert_eq!(after.keys[0].phase, Revoked);
    }
}

#[test]
fn a_revoked_key_that_somebody_enables_again_stays_revoked() {
    let ring = [revoked(key(0, 0), HOUR), key(1, HOUR)];
    for now in [0, HOUR, 100 * PERIOD] {
        assert_eq!(look(&ring, now).keys[0].phase, Revoked, "at {now}");
    }
}

/// The operator's clock is ahead: the revocation has a time at which the key would already have signed.
#[test]
fn the_next_look_also_covers_the_activation_of_a_key_whose_revocation_is_dated_in_the_future() {
    let ring = [key(0, 0), revoked(with_lead(key(1, 100), 100), 205)];
    assert_eq!(phases(&look(&ring, 190)), [Active, Revoked]);
    assert_eq!(phases(&look(&ring, 200)), [Retiring, Revoked]);
    assert_eq!(look(&ring, 190).next_look, Some(at(200)));
}

fn gone(phase: Phase) -> bool {
    matches!(phase, Retiring | Expired | Revoked)
}

proptest! {
    #![proptest_config(config(1024))]

    /// This holds for any key that is revoked, at any time.
    #[test]
    fn a_key_that_stopped_signing_never_signs_again(
        (ring, policy) in any_ring(),
        now in -100_000..1_500_000i64,
        revocations in prop::collection::vec((0..8usize, 0..400_000i64), 0..5),
        later in prop::collection::vec(0..1_000_000i64, 8),
    ) {
        let before = signet_core::schedule(&ring, &policy, at(now));
        let mut ring = ring;
        let mut last = now;
        for (index, after) in revocations {
            last = last.max(now + after);
            if let Some(key) = ring.get_mut(index).filter(|key| key.revoked.is_none()) {
                *key = revoked(key.clone(), now + after);
            }
        }
        for later in later {
            let after = signet_core::schedule(&ring, &policy, at(last + later));
            for before in &before.keys {
                let after = after.keys.iter().find(|key| key.kid == before.kid).expect("listed");
                let cannot = ring.iter().any(|key| *key.kid() == before.kid && key.state == KeyState::Disabled);
                prop_assert!(!gone(before.phase) || gone(after.phase) || cannot, "{:?} became {:?}", before, after);
            }
        }
    }

    /// The other keys have the schedule that they would have if the revoked key had never been created.
    #[test]
    fn a_key_revoked_before_it_signed_changes_nothing_for_the_others(
        (ring, policy) in any_ring(),
        chosen in any::<prop::sample::Index>(),
        early in 1..200_000i64,
        moments in prop::collection::vec(-100_000..2_000_000i64, 12),
    ) {
        let schedule = signet_core::schedule(&ring, &policy, at(0));
        let chosen = chosen.get(&schedule.keys);
        let Some(activation) = chosen.activates_at else { return Ok(()) };
        let with: Vec<KeyRecord> = ring
            .iter()
            .cloned()
            .map(|key| match *key.kid() == chosen.kid {
                true => revoked(key, activation.as_millis() - early),
                false => key,
            })
            .collect();
        let without: Vec<KeyRecord> = ring.into_iter().filter(|key| *key.kid() != chosen.kid).collect();
        for now in moments {
            let mut with = signet_core::schedule(&with, &policy, at(now));
            let mine = with.keys.iter().position(|key| key.kid == chosen.kid).expect("listed");
            prop_assert_eq!(with.keys.remove(mine).phase, Revoked);
            let mut without = signet_core::schedule(&without, &policy, at(now));
            // The relative order of revoked keys has no meaning.
            for schedule in [&mut with, &mut without] {
                schedule.keys.retain(|key| key.phase != Revoked);
            }
            prop_assert_eq!(&with.keys, &without.keys);
            prop_assert_eq!(with.due.len(), without.due.len());
        }
    }
}
