//! A replica that could not read its provider: which activations it puts off and for how long, and
//! that no token is refused.

use proptest::prelude::*;
use signet_core::lapse::{Lapse, Lapses, sure_retention};
use signet_core::schedule::Phase::{Active, Expired, Pending, Retiring};
use signet_core::{KeyRecord, Phase, Policy, Schedule, schedule_after};

use crate::any_ring::any_ring;
use crate::ring::{
    HOUR, LEAD, MIN, RETENTION, any_policy, at, config, disabled, key, look, phases, policy, published, revoked,
};

/// When the second key was created, and when it would normally sign.
const CREATED: i64 = 24 * HOUR;
const DUE: i64 = CREATED + LEAD;
/// The maximum age of a reading: L − max(M, V) − 2S with the default policy.
const BEARABLE: i64 = 38 * MIN;
/// The minimum lead: R + max(M, V) + 2S.
const LEAST_LEAD: i64 = 23 * MIN;
/// How long after the next activation the previous key can sign a token of the default lifetime:
/// T + R − default lifetime.
const USABLE: i64 = 56 * MIN;

fn lapses<const N: usize>(spans: [(i64, Option<i64>); N]) -> Lapses {
    let lapse = |(from, to): (i64, Option<i64>)| Lapse {
        from: at(from),
        to: to.map(at),
    };
    Lapses::new(spans.map(lapse).into())
}

fn look_after(lapses: &Lapses, keys: &[KeyRecord], now: i64) -> Schedule {
    schedule_after(lapses, keys, &policy(), at(now))
}

#[test]
fn a_key_that_others_may_lack_signs_once_their_caches_have_it_or_the_one_before_cannot() {
    let ring = [key(0, 0), key(1, CREATED)];
    let before = CREATED - MIN;
    let cases = [
        ("back, and the caches go in time", before, DUE - LEAST_LEAD, DUE),
        ("back just before it was due", before, DUE - MIN, DUE - MIN + LEAST_LEAD),
        ("back after that", before, DUE + HOUR / 2, DUE + HOUR / 2 + LEAST_LEAD),
        ("back late", before, DUE + 40 * MIN, DUE + USABLE),
        (
            "back when the one before has gone elsewhere",
            before,
            DUE + 5 * HOUR,
            DUE + 5 * HOUR,
        ),
        ("it was read in time", DUE - BEARABLE, DUE + MIN, DUE),
        (
            "a millisecond before that",
            DUE - BEARABLE - 1,
            DUE + MIN,
            DUE + MIN + LEAST_LEAD,
        ),
    ];
    for (name, from, to, signs_at) in cases {
        let lapses = lapses([(from, Some(to))]);
        assert_eq!(
            phases(&look_after(&lapses, &ring, signs_at - 1)),
            [Active, Pending],
            "{name}"
        );
        let schedule = look_after(&lapses, &ring, signs_at);
        assert_eq!(phases(&schedule), [Retiring, Active], "{name}");
        assert_eq!(schedule.keys[1].activates_at, Some(at(signs_at)), "{name}");
        // A token that the first key signs here until then is accepted here for its whole life.
        assert_eq!(schedule.keys[0].expires_at, Some(at(signs_at + RETENTION)), "{name}");
    }
}

#[test]
fn while_it_lasts_no_key_that_others_may_lack_begins_to_sign() {
    let ring = [key(0, 0), key(1, CREATED)];
    for now in [DUE - 1, DUE, DUE + 1000 * HOUR] {
        let schedule = look_after(&lapses([(CREATED - MIN, None)]), &ring, now);
        assert_eq!(phases(&schedule), [Active, Pending], "at {now}");
        assert_eq!(schedule.keys[1].activates_at, None);
        assert_eq!(
            (schedule.keys[0].superseded_at, schedule.keys[0].expires_at),
            (None, None)
        );
        assert_eq!(schedule.due, [], "no third key is due");
    }
    let read_in_time = &lapses([(DUE - BEARABLE, None)]);
    assert_eq!(look_after(read_in_time, &ring, DUE).keys, look(&ring, DUE).keys);
}

#[test]
fn keys_that_came_and_went_elsewhere_meanwhile_do_not_come_back() {
    let ring = [
        key(0, 0),
        key(1, CREATED),
        key(2, CREATED + 24 * HOUR),
        key(3, CREATED + 48 * HOUR),
    ];
    let back = CREATED + 60 * HOUR;
    let after = look_after(&lapses([(CREATED - MIN, Some(back))]), &ring, back);
    assert_eq!(phases(&look(&ring, back)), [Expired, Expired, Expired, Active]);
    assert_eq!(phases(&after), [Expired, Expired, Expired, Active]);
}

#[test]
fn nothing_is_put_off_for_a_key_that_cannot_go_on() {
    let during = &lapses([(CREATED - MIN, None)]);
    for first in [disabled(key(0, 0)), revoked(key(0, 0), CREATED)] {
        let ring = [first, key(1, CREATED)];
        for now in [CREATED, DUE - 1, DUE, DUE + USABLE] {
            assert_eq!(look_after(during, &ring, now).keys, look(&ring, now).keys, "at {now}");
        }
    }
    assert_eq!(phases(&look_after(during, &[key(0, CREATED)], CREATED)), [Active]);
    // Others saw that this key signed.
    let ring = [key(0, 0), revoked(key(1, CREATED), DUE + MIN), key(2, DUE + MIN)];
    assert_eq!(
        look_after(during, &ring, DUE + 2 * MIN).keys,
        look(&ring, DUE + 2 * MIN).keys
    );
}

#[test]
fn a_second_lapse_puts_off_again_what_the_first_did_but_stops_no_key_that_signs() {
    let ring = [key(0, 0), key(1, CREATED)];
    let first = (CREATED - MIN, Some(DUE));
    let begun = DUE + LEAST_LEAD;
    let signs_at = |second| look_after(&lapses([first, second]), &ring, DUE).keys[1].activates_at;
    // The last reading is recent enough that the second key starts to sign before the second lapse begins.
    assert_eq!(signs_at((begun - BEARABLE, None)), Some(at(begun)));
    // With a reading one millisecond older, the lapse begins first.
    let second = begun - BEARABLE - 1;
    assert_eq!(signs_at((second, None)), None);
    assert_eq!(
        signs_at((second, Some(DUE + HOUR / 2))),
        Some(at(DUE + HOUR / 2 + LEAST_LEAD))
    );
    // The first key never signs longer than its tokens are accepted everywhere.
    assert_eq!(signs_at((second, Some(DUE + 50 * MIN))), Some(at(DUE + USABLE)));
}

#[test]
fn a_lapse_begins_when_a_reading_is_too_old_and_counts_until_nothing_depends_on_it() {
    let none = lapses([]);
    let earlier = lapses([(0, Some(5 * HOUR))]);
    let (over, gone) = (5 * HOUR + LEAST_LEAD, 5 * HOUR + LEAST_LEAD + RETENTION);
    let put_off = 2 * HOUR;
    let cases = [
        ("all is well", &none, 0, HOUR, HOUR + BEARABLE - 1, lapses([])),
        ("too old", &none, 0, HOUR, HOUR + BEARABLE, lapses([(HOUR, None)])),
        ("the one before", &earlier, -HOUR, over - 1, over - 1, earlier.clone()),
        ("nothing is put off", &earlier, -HOUR, over, over, lapses([])),
        ("something is", &earlier, put_off, gone - 1, gone - 1, earlier.clone()),
        ("no more", &earlier, put_off, gone, gone, lapses([])),
        (
            "both",
            &earlier,
            put_off,
            over,
            over + BEARABLE,
            lapses([(0, Some(5 * HOUR)), (over, None)]),
        ),
    ];
    for (name, earlier, created, read_at, now, expected) in cases {
        let ring = [key(0, -24 * HOUR), key(1, created)];
        assert_eq!(earlier.at(&ring, at(read_at), &policy(), at(now)), expected, "{name}");
    }
    let brief = |n| Lapse {
        from: at(n),
        to: Some(at(n)),
    };
    let newest = Lapses::new((0..100).map(brief).collect()).at(&[key(0, 0)], at(99), &policy(), at(100));
    assert_eq!(newest, Lapses::new((68..100).map(brief).collect()));
    assert_eq!(lapses([(1, None)]).ended(at(7)), lapses([(1, Some(7))]));
    assert_eq!(lapses([(1, Some(2))]).ended(at(7)), lapses([(1, Some(2))]));
}

/// Keys as replicas create them: one after the other, all under one policy.
fn any_history() -> impl Strategy<Value = (Vec<KeyRecord>, Policy)> {
    (any_policy(), prop::collection::vec(0..400_000i64, 1..7)).prop_map(|(policy, gaps)| {
        let mut created = 0;
        let keys = gaps.iter().enumerate().map(|(number, gap)| {
            created += gap;
            KeyRecord {
                terms: Some(policy.terms()),
                ..key(number, created)
            }
        });
        (keys.collect(), policy)
    })
}

/// Lapses one after the other. The last one may still be open.
fn any_lapses() -> impl Strategy<Value = Lapses> {
    let spans = prop::collection::vec((0..600_000i64, 0..900_000i64), 0..3);
    (spans, prop::bool::ANY).prop_map(|(spans, lasts)| {
        let (mut now, count) = (-100_000, spans.len());
        let lapses = spans.into_iter().enumerate().map(|(index, (pause, span))| {
            let from = now + pause;
            now = from + span;
            Lapse {
                from: at(from),
                to: (index + 1 < count || !lasts).then_some(at(now)),
            }
        });
        Lapses::new(lapses.collect())
    })
}

proptest! {
    #![proptest_config(config(2048))]

    #[test]
    fn a_lapse_takes_no_key_out_of_the_published_set((ring, policy) in any_ring(), lapses in any_lapses(), now in -100_000..3_000_000i64) {
        let (usual, after) =
            (signet_core::schedule(&ring, &policy, at(now)), schedule_after(&lapses, &ring, &policy, at(now)));
        let kept = published(&after);
        for kid in published(&usual) {
            prop_assert!(kept.contains(&kid), "{kid} in {after:?}");
        }
    }

    #[test]
    fn what_signs_after_a_lapse_is_good_elsewhere_for_the_usual_life((ring, policy) in any_history(), lapses in any_lapses()) {
        let instants = schedule_after(&lapses, &ring, &policy, at(0)).keys;
        // During a lapse nobody knows what is accepted elsewhere, and a replica does not judge the past.
        let Some(to) = lapses.iter().last().and_then(|lapse| lapse.to) else { return Ok(()) };
        // The last moment of each key as signer.
        let last = instants.iter().filter_map(|key| Some(at(key.activates_at?.as_millis() - 1)));
        for now in last.filter(|now| to <= *now) {
            let usual = signet_core::schedule(&ring, &policy, now);
            let after = schedule_after(&lapses, &ring, &policy, now);
            prop_assert_eq!(after.keys.iter().filter(|key| key.phase == Active).count(), 1);
            let signs = after.active().expect("one is");
            let elsewhere = usual.keys.iter().find(|key| key.kid == signs.kid).expect("the same keys");
            if elsewhere.phase == Active {
                continue;
            }
            let record = ring.iter().find(|key| *key.kid() == signs.kid).expect("the same keys");
            let superseded = elsewhere.superseded_at.expect("another key signs elsewhere");
            let good_until = superseded.plus(sure_retention(record, &policy));
            prop_assert!(now.plus(policy.durations().token_ttl) <= good_until, "{signs:?}, elsewhere {elsewhere:?}");
        }
    }

    /// This holds however often the ring is read and at whatever times the schedule is computed.
    #[test]
    fn a_key_only_ever_moves_on_through_lapses(
        (ring, policy) in any_history(),
        mut looks in prop::collection::vec((0..2_500_000i64, prop::bool::weighted(0.3)), 1..60),
    ) {
        looks.sort_unstable();
        let (mut lapses, mut known, mut read_at) = (Lapses::default(), &ring[..1], at(0));
        let mut before: Vec<Phase> = Vec::new();
        for (now, reads) in looks {
            let now = at(now);
            let current = lapses.at(known, read_at, &policy, now);
            if reads {
                lapses = current.ended(now);
                known = &ring[..ring.partition_point(|key| key.created_at <= now).max(1)];
                read_at = now;
            }
            let schedule = schedule_after(&lapses.at(known, read_at, &policy, now), known, &policy, now);
            let after = phases(&schedule);
            for (earlier, later) in before.iter().zip(&after) {
                prop_assert!(earlier <= later, "{before:?} became {after:?} at {now:?} after {lapses:?}");
            }
            before = after;
        }
    }
}
