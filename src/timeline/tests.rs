use std::time::Duration;

use signet_base::rfc3339;
use signet_core::policy::Durations;
use signet_core::{Algorithm, Phase, Policy, Timestamp};

use super::{Timeline, brief, text};
use crate::ring_view::{AlsoView, KeyView, RevokedView};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// The instant 2026-11-24T12:00:00Z.
const NOON: i64 = 1_795_521_600;

fn policy() -> Policy {
    Policy::new(Durations::default(), Algorithm::ES256).expect("safe")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// A key that signs for a day from this time on, with the other times by the default policy.
fn key(kid: &str, phase: Phase, signs_from: i64, is_superseded: bool) -> KeyView {
    let superseded = is_superseded.then_some(signs_from + DAY);
    KeyView {
        kid: format!("{kid}-and-the-rest-of-the-thumbprint"),
        alg: "ES256",
        phase,
        created_at: rfc3339(at(signs_from - HOUR)),
        activates_at: Some(rfc3339(at(signs_from))),
        superseded_at: superseded.map(|s| rfc3339(at(s))),
        expires_at: superseded.map(|s| rfc3339(at(s + HOUR + 180))),
        revoked: None,
    }
}

/// Keys in all three phases: one took over half an hour ago, and its successor was created early.
fn ring() -> Vec<KeyView> {
    let signs = NOON - HOUR / 2;
    let mut active = key("bbbbbbbb", Phase::Active, signs, true);
    active.superseded_at = Some(rfc3339(at(NOON + HOUR)));
    active.expires_at = Some(rfc3339(at(NOON + 2 * HOUR + 180)));
    let mut pending = key("cccccccc", Phase::Pending, NOON + HOUR, false);
    pending.created_at = rfc3339(at(NOON));
    vec![key("aaaaaaaa", Phase::Retiring, signs - DAY, true), active, pending]
}

fn timeline(keys: &[KeyView], also: &[AlsoView]) -> Timeline {
    Timeline::of_rings("vault", keys, also, &policy(), at(NOON))
}

#[test]
fn the_default_policy_is_drawn_to_the_character() {
    let drawn = text::draw(&Timeline::of_policy(&policy()), false);
    assert_eq!(drawn, POLICY, "\n{drawn}");
}

#[test]
fn a_live_ring_is_drawn_to_the_character() {
    let drawn = text::draw(&timeline(&ring(), &[]), true);
    assert_eq!(drawn, LIVE, "\n{drawn}");
}

#[test]
fn no_line_is_wider_than_a_terminal_whatever_the_policy() {
    for (period, lead, ttl) in [
        (2 * HOUR, HOUR, HOUR),
        (DAY, HOUR, 7 * DAY),
        (90 * DAY, 2 * HOUR, 300),
        (3 * 365 * DAY, HOUR, 30 * DAY),
    ] {
        let seconds = |n: i64| Duration::from_secs(u64::try_from(n).expect("positive"));
        let durations = Durations {
            rotation_period: seconds(period),
            publish_lead: seconds(lead),
            token_max_ttl: seconds(ttl),
            ..Durations::default()
        };
        let policy = Policy::new(durations, Algorithm::ES256).expect("safe");
        let of_policy = text::draw(&Timeline::of_policy(&policy), false);
        let of_ring = text::draw(&Timeline::of_rings("vault", &ring(), &[], &policy, at(NOON)), true);
        for drawn in [of_policy, of_ring] {
            let widest = drawn.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{widest:?}\n{drawn}");
            for character in ['·', '█', '▒', '▼', '▲'] {
                let bars = drawn.split("pending: published").next().unwrap_or_default();
                assert!(bars.contains(character), "no {character} in\n{drawn}");
            }
        }
    }
}

#[test]
fn what_comes_is_told_soonest_first() {
    let told: Vec<(i64, String)> = timeline(&ring(), &[])
        .coming
        .into_iter()
        .map(|coming| (coming.at.as_secs() - NOON, coming.what))
        .collect();
    let expected = [
        (HOUR / 2 + 180, "aaaaaaaa leaves the JWKS"),
        (HOUR, "cccccccc signs, bbbbbbbb retires"),
        (2 * HOUR + 180, "bbbbbbbb leaves the JWKS"),
        (DAY, "next key is created and published"),
        (DAY + HOUR, "next key signs, cccccccc retires"),
    ];
    let expected: Vec<(i64, String)> = expected.map(|(at, what)| (at, what.to_owned())).into();
    assert_eq!(told[..5], expected);
}

#[test]
fn a_revoked_key_ends_with_a_mark_and_does_nothing_any_more() {
    let mut keys = ring();
    keys[0].phase = Phase::Revoked;
    keys[0].expires_at = None;
    keys[0].revoked = Some(RevokedView {
        at: rfc3339(at(NOON - HOUR)),
        reason: "lost laptop".to_owned(),
    });
    let timeline = timeline(&keys, &[]);
    let bar = &timeline.lanes[0].bars[0];
    assert_eq!(bar.stretches.last().map(|stretch| stretch.to), Some(at(NOON - HOUR)));
    assert!(!timeline.coming.iter().any(|coming| coming.what.contains("aaaaaaaa")));
    let drawn = text::draw(&timeline, true);
    let line = drawn.lines().find(|line| line.starts_with("revoked")).expect("a line");
    assert!(line.contains("█x"), "{line}");
}

#[test]
fn a_ring_that_nobody_rotates_does_not_squeeze_the_other_into_a_corner() {
    let mut forgotten = key("dddddddd", Phase::Active, NOON - 400 * DAY, false);
    forgotten.expires_at = None;
    let also = AlsoView {
        provider: "local",
        keys: vec![forgotten],
    };
    let timeline = timeline(&ring(), &[also]);
    assert!(timeline.from >= at(NOON - 2 * DAY), "{}", rfc3339(timeline.from));
    assert_eq!(
        timeline.lanes.iter().map(|lane| lane.provider).collect::<Vec<_>>(),
        [Some("vault"), Some("local")]
    );
    let bar = &timeline.lanes[1].bars[0];
    assert_eq!(
        (bar.stretches[0].from, bar.stretches[0].to),
        (timeline.from, timeline.to)
    );
    assert_eq!(bar.stretches.len(), 1, "nobody makes its successor: {bar:?}");
}

#[test]
fn an_overdue_successor_and_an_empty_ring_are_drawn_with_what_would_come() {
    let overdue = [key("aaaaaaaa", Phase::Active, NOON - 3 * DAY, false)];
    let drawn = timeline(&overdue, &[]);
    let planned = drawn.lanes[0].bars[1].stretches.iter().map(|stretch| stretch.from);
    assert_eq!(
        planned.collect::<Vec<_>>()[..2],
        [at(NOON), at(NOON + HOUR)],
        "the lead is kept"
    );
    let coming = timeline(&[], &[]).coming;
    assert_eq!((coming[0].at, coming[0].is_due), (at(NOON), true));
}

#[test]
fn what_is_overdue_is_told_with_since_when_and_does_not_move_on_with_every_look() {
    let overdue = [key("aaaaaaaa", Phase::Active, NOON - 3 * DAY, false)];
    // The time P − L after the key started to sign.
    let due = NOON - 3 * DAY + 23 * HOUR;
    let mut revoked = key("bbbbbbbb", Phase::Revoked, NOON - DAY, false);
    revoked.revoked = Some(RevokedView {
        at: rfc3339(at(NOON - HOUR)),
        reason: "a drill".to_owned(),
    });
    for (keys, since) in [(overdue, due), ([revoked], NOON - HOUR)] {
        for later in [0, 600] {
            let timeline = Timeline::of_rings("vault", &keys, &[], &policy(), at(NOON + later));
            let [coming] = &timeline.coming[..] else {
                panic!("the instants of what follows are not known: {:?}", timeline.coming)
            };
            assert_eq!((coming.at, coming.is_due), (at(since), true));
            let late = Duration::from_secs(u64::try_from(NOON + later - since).expect("past"));
            assert_eq!(timeline.when(coming), format!("due for {}", brief(late)));
            assert_eq!(
                coming.what,
                "next key is created and published as soon as the provider allows it"
            );
            let drawn = text::draw(&timeline, true);
            assert!(
                !drawn.lines().any(|line| line.trim_start().starts_with("now  ")),
                "{drawn}"
            );
        }
    }
}

#[test]
fn a_key_of_another_algorithm_than_the_policys_is_due_as_soon_as_the_one_before_signs() {
    let mut ring = vec![key("aaaaaaaa", Phase::Active, NOON - HOUR, false)];
    ring[0].alg = "RS256";
    let timeline = timeline(&ring, &[]);
    assert_eq!(
        (timeline.coming[0].is_due, timeline.when(&timeline.coming[0])),
        (true, "due".to_owned())
    );
    ring.push(key("bbbbbbbb", Phase::Pending, NOON + HOUR, false));
    ring[1].alg = "RS256";
    let coming = self::timeline(&ring, &[]).coming;
    let created = coming
        .iter()
        .find(|coming| coming.what == "next key is created and published");
    assert_eq!(
        created.map(|coming| (coming.at, coming.is_due)),
        Some((at(NOON + HOUR), false))
    );
}

const POLICY: &str = "       ▼ now
key 1  │███████████████████████████████████▒
key 2  │                                 ··███████████████████████████████████▒▒
key 3  │                                                                     ·██
       ▲─────────────────┬─────────────────┬─────────────────┬────────────────┬─
       now             +12h               +1d             +1d 12h            +2d

· pending: published, not signing   █ active: signs   ▒ retiring: verifies only

What comes next:
  now       key 1 is created and published
  now       key 1 signs
  in 23h    key 2 is created and published
  in 1d     key 2 signs, key 1 retires
  in 1d 1h  key 1 leaves the JWKS
";

const LIVE: &str = "                                                 ▼ now
retiring aaaaaaaa  ·████████████████████████████▒▒
active   bbbbbbbb                              ·██▒
pending  cccccccc                                ·█████████████████████████████▒
planned  next key                                │                            ·█
                   ─┬──────────────┬─────────────▲─────────────┬──────────────┬─
                   -1d           -12h           now          +12h            +1d

· pending: published, not signing   █ active: signs   ▒ retiring: verifies only

What comes next:
  in 33m    2026-11-24T12:33:00Z  aaaaaaaa leaves the JWKS
  in 1h     2026-11-24T13:00:00Z  cccccccc signs, bbbbbbbb retires
  in 2h 3m  2026-11-24T14:03:00Z  bbbbbbbb leaves the JWKS
  in 1d     2026-11-25T12:00:00Z  next key is created and published
  in 1d 1h  2026-11-25T13:00:00Z  next key signs, cccccccc retires
";
