//! When a successor is due, when an expired key is to be retired, and when to look again.

use signet_core::schedule::{Due, Reason};
use signet_core::{Algorithm, Durations, KeyRecord, KeyState, Phase, Policy};

use crate::ring::{
    HOUR, LEAD, MIN, PERIOD, RETENTION, at, disabled, key, look, phases, policy, public, revoked, successor_due,
};

fn due(of: Option<&KeyRecord>, reason: Reason) -> Vec<Due> {
    let of = of.map(|key| key.kid().clone());
    vec![Due::Successor { of, reason }]
}

#[test]
fn an_empty_ring_wants_its_first_key() {
    let schedule = look(&[], 0);
    assert_eq!(schedule.due, due(None, Reason::Empty));
    assert_eq!((schedule.next_look, schedule.set_changes_at), (None, None));
    assert!(schedule.active().is_none());
}

#[test]
fn the_successor_falls_due_when_the_active_key_has_been_active_for_the_period_less_the_lead() {
    let first = [key(0, 0)];
    let falls_due = PERIOD - LEAD;
    for now in [0, falls_due - 1] {
        let schedule = look(&first, now);
        assert_eq!(schedule.due, []);
        assert_eq!(schedule.next_look, Some(at(falls_due)));
        assert_eq!(schedule.set_changes_at, Some(at(falls_due)));
    }
    assert_eq!(look(&first, falls_due).due, due(Some(&first[0]), Reason::Period));

    // The second key's period counts from its activation, not from its creation.
    let second = [key(0, 0), key(1, falls_due)];
    let falls_due = PERIOD + PERIOD - LEAD;
    assert_eq!(successor_due(&look(&second, falls_due - 1)), None);
    assert_eq!(
        successor_due(&look(&second, falls_due)),
        due(Some(&second[1]), Reason::Period).first()
    );
}

#[test]
fn no_successor_is_due_while_one_is_pending_whatever_the_reason() {
    let pending = key(1, HOUR);
    let other_algorithm = {
        let mut key = key(0, 0);
        key.public = public(0, Algorithm::RS256);
        key
    };
    for active in [key(0, -PERIOD), disabled(key(0, 0)), other_algorithm] {
        assert!(successor_due(&look(std::slice::from_ref(&active), HOUR)).is_some());
        let signs = active.state == KeyState::Enabled;
        let schedule = look(&[active, pending.clone()], HOUR);
        // A key that cannot sign is replaced at once.
        let expected = match signs {
            true => [Phase::Active, Phase::Pending],
            false => [Phase::Retiring, Phase::Active],
        };
        assert_eq!(phases(&schedule), expected);
        assert_eq!(schedule.due, []);
        assert_eq!(schedule.next_look, Some(at(HOUR + LEAD)));
    }
}

#[test]
fn another_algorithm_asks_for_a_successor_at_once() {
    let rs256 = Policy::new(Durations::default(), Algorithm::RS256).expect("safe");
    let ring = [key(0, 0)];
    let schedule = signet_core::schedule(&ring, &rs256, at(1));
    assert_eq!(schedule.due, due(Some(&ring[0]), Reason::Algorithm));
    assert_eq!(phases(&schedule), [Phase::Active], "it signs on until then");
}

#[test]
fn a_key_disabled_by_somebody_else_asks_for_a_successor_at_once() {
    let ring = [disabled(key(0, 0))];
    assert_eq!(look(&ring, 1).due, due(Some(&ring[0]), Reason::Disabled));
    let ring = [disabled(key(0, 0)), key(1, HOUR)];
    assert_eq!(
        successor_due(&look(&ring, 10 * HOUR)),
        None,
        "a retiring key may be disabled"
    );
}

#[test]
fn a_revoked_active_key_asks_for_a_successor_at_once() {
    let ring = [revoked(key(0, 0), HOUR)];
    assert_eq!(look(&ring, HOUR).due, due(Some(&ring[0]), Reason::Revoked));
    let ring = [key(0, 0), revoked(key(1, HOUR), 5 * HOUR)];
    assert_eq!(
        look(&ring, 5 * HOUR).due,
        [
            due(Some(&ring[1]), Reason::Revoked),
            vec![Due::Retire(ring[0].kid().clone())]
        ]
        .concat()
    );
}

#[test]
fn the_successor_is_of_the_newest_key_even_if_that_one_is_revoked() {
    let ring = [key(0, 0), revoked(key(1, HOUR), HOUR + 1)];
    assert_eq!(look(&ring, PERIOD).due, due(Some(&ring[1]), Reason::Period));
}

#[test]
fn only_an_expired_key_that_is_still_enabled_is_to_be_retired() {
    let ring = [key(0, 0), key(1, HOUR)];
    let expires = HOUR + LEAD + RETENTION;
    assert_eq!(look(&ring, expires - 1).due, []);
    assert_eq!(look(&ring, expires).due, [Due::Retire(ring[0].kid().clone())]);
    let ring = [disabled(key(0, 0)), key(1, HOUR)];
    assert_eq!(look(&ring, expires).due, []);
    let ring = [revoked(key(0, 0), 5 * HOUR), key(1, HOUR)];
    assert_eq!(
        look(&ring, 6 * HOUR).due,
        [],
        "revoking is not the schedule's to carry out"
    );
}

#[test]
fn the_next_look_is_the_earliest_of_everything_that_changes() {
    let ring = [key(0, 0), key(1, 23 * HOUR)];
    let cases = [
        // A replica may see the second key as early as 2S and one second before its creation time.
        (0, 23 * HOUR - 2 * MIN - 1000, PERIOD + RETENTION),
        (23 * HOUR, PERIOD, PERIOD + RETENTION),
        (PERIOD, PERIOD + RETENTION, PERIOD + RETENTION),
        (PERIOD + RETENTION, PERIOD + 23 * HOUR, PERIOD + 23 * HOUR),
    ];
    for (now, next_look, set_changes_at) in cases {
        let schedule = look(&ring, now);
        assert_eq!(schedule.next_look, Some(at(next_look)), "at {now}");
        assert_eq!(schedule.set_changes_at, Some(at(set_changes_at)), "at {now}");
    }
    let overdue = look(&ring, 10 * PERIOD);
    assert_eq!((overdue.next_look, overdue.set_changes_at), (None, None));
}

/// Both replicas act on the same current list one after the other, which models the provider's atomic claim.
#[test]
fn two_replicas_that_disagree_on_the_algorithm_create_at_most_one_key_per_lead() {
    let eddsa = policy();
    let rs256 = Policy::new(Durations::default(), Algorithm::RS256).expect("safe");
    let mut ring: Vec<KeyRecord> = vec![];
    let end = 2 * PERIOD;
    for now in (0..end).step_by(usize::try_from(MIN).expect("small")) {
        for mine in [&eddsa, &rs256] {
            if successor_due(&signet_core::schedule(&ring, mine, at(now))).is_some() {
                ring.push(KeyRecord {
                    public: public(ring.len(), mine.algorithm()),
                    created_at: at(now),
                    sequence: 0,
                    predecessor: None,
                    terms: Some(mine.terms()),
                    state: KeyState::Enabled,
                    revoked: None,
                });
            }
        }
    }
    let most = usize::try_from(end / LEAD).expect("small") + 1;
    assert!(ring.len() <= most, "{} keys in {} leads", ring.len(), end / LEAD);
    assert!(ring.len() > 10, "they do disagree");
    let created: Vec<i64> = ring.iter().map(|key| key.created_at.as_millis()).collect();
    assert!(created[1..].windows(2).all(|pair| pair[1] - pair[0] >= LEAD));
}

#[test]
fn a_ring_left_alone_for_years_goes_on_signing_with_its_last_key() {
    let ring = [key(0, 0), key(1, HOUR)];
    let schedule = look(&ring, 1000 * PERIOD);
    assert_eq!(phases(&schedule), [Phase::Expired, Phase::Active]);
    assert!(successor_due(&schedule).is_some());
}
