//! When a condition entered its state, and how last good keys that cannot be written are reported.

use super::*;

/// Name, state and since when it is in it.
fn trouble(report: &Report, name: &str) -> (State, Option<Timestamp>) {
    let condition = report.conditions.iter().find(|condition| condition.name == name);
    let condition = condition.expect("a condition");
    (condition.state, condition.failing_since)
}

#[test]
fn keys_of_an_issuer_are_too_old_since_they_are_and_not_since_the_first_fetch_that_failed() {
    let failing = |lost| Facts {
        issuers: vec![IssuerFacts {
            name: "https://login.example.com".to_owned(),
            outage: Some(outage(10)),
            lost,
            kept: None,
            too_old_at: Some(at(100)),
        }],
        ..good(0)
    };
    let mut memory = memory();
    let report = memory.judge(&failing(None), moment(99));
    assert_eq!(trouble(&report, ISSUERS), (State::IssuerFails, Some(at(10))));
    let report = memory.judge(&failing(Some(NoKeys::TooOld)), moment(130));
    assert_eq!(trouble(&report, ISSUERS), (State::IssuerTooOld, Some(at(100))));
}

#[test]
fn a_state_begins_when_it_is_entered_and_not_with_the_one_before() {
    let undone = |since| Facts {
        refresh_failure: Some(RefreshFailure {
            was_read: true,
            outage: outage(since),
        }),
        ..good(0)
    };
    let unread = |since| Facts {
        refresh_failure: Some(unread(since)),
        ..good(0)
    };
    let mut memory = memory();
    let report = memory.judge(&undone(5), moment(6));
    assert_eq!(trouble(&report, RING), (State::RingWorkUndone, Some(at(5))));
    let report = memory.judge(&unread(50), moment(51));
    assert_eq!(trouble(&report, RING), (State::RingUnread, Some(at(50))));
    memory.judge(&good(60), moment(60));
    let report = memory.judge(&unread(70), moment(71));
    assert_eq!(trouble(&report, RING), (State::RingUnread, Some(at(70))));
}

/// The wall clock is set by a day and an hour, forward or back, while things fail.
#[test]
fn no_instant_is_told_that_lies_in_the_future_or_before_the_process_began_also_after_the_clock_was_set() {
    for step in [-90_000, -3, 3, 90_000] {
        let failing = |shift: i64| Facts {
            refresh_failure: Some(unread(20 + shift)),
            remote_failure: Some(outage(21 + shift)),
            also_failures: vec![("local", outage(22 + shift))],
            unwritten: vec![outage(23 + shift)],
            socket: Err(SocketFault::Gone("/run/signet.sock".to_owned())),
            issuers: vec![IssuerFacts {
                name: "https://login.example.com".to_owned(),
                outage: Some(outage(24 + shift)),
                lost: None,
                kept: None,
                too_old_at: None,
            }],
            revoked: vec![("kid-of-the-key".to_owned(), at(25))],
            doubt: Some(Doubted {
                state: State::ClockInDoubt,
                reason: "the wall clock was set".to_owned(),
            }),
            ..good(shift)
        };
        let mut memory = memory();
        memory.judge(&failing(0), moment(30));
        // The facts have dates by the old clock in one round, and by the new clock in the other.
        for dated in [0, step] {
            let now = Moment::new(at(40 + step), running(40));
            let report = memory.judge(&failing(dated), now);
            let began = moment(0).date_at(now);
            for condition in &report.conditions {
                let all = [Some(condition.since), condition.failing_since];
                for since in all.into_iter().flatten() {
                    assert!(since <= now.wall(), "{step}: {condition:?}");
                    assert!(condition.name == RING || since >= began, "{step}: {condition:?}");
                }
            }
            let (_, since) = trouble(&report, SIGNING);
            let off = since.expect("it fails").millis_after(at(21 + step)).abs();
            assert!(off <= 5_000, "{step}: {off}");
            assert!(
                report.since <= now.wall() && report.since >= began,
                "{step}: {report:?}"
            );
        }
    }
}

#[test]
fn last_good_keys_that_cannot_be_written_take_no_readiness_away() {
    let facts = Facts {
        unwritten: vec![outage(8), outage(6)],
        ..good(0)
    };
    let report = memory().judge(&facts, moment(9));
    assert!(report.ready, "{report:?}");
    assert_eq!(trouble(&report, LAST_GOOD), (State::LastGoodUnwritten, Some(at(6))));
    assert_eq!(report.effect(), Effect::AtRisk);
    assert_eq!(
        report.conditions.last().expect("it is told").detail,
        "the provider is down"
    );
}
