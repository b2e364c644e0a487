mod since;

use signet_core::{Algorithm, Durations};
use signet_verify::NoKeys;

use super::*;

/// The maximum age of a reading: L − V − 2S with the default policy.
const BEARABLE: i64 = 38 * 60;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + seconds)
}

/// The same instant, by a wall clock that nobody has set.
fn moment(seconds: i64) -> Moment {
    Moment::new(at(seconds), running(seconds))
}

fn running(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(2_000_000 + seconds).expect("after the machine was started"))
}

fn memory() -> Memory {
    let policy = Policy::new(Durations::default(), Algorithm::ES256).expect("safe");
    Memory::new(&policy, moment(0))
}

fn outage(since: i64) -> Outage {
    Outage {
        since: at(since),
        reason: "the provider is down".to_owned(),
    }
}

fn no_signer(since: i64) -> NoSigner {
    NoSigner {
        cause: NoSignerCause::NoKey,
        outage: outage(since),
    }
}

fn unread(since: i64) -> RefreshFailure {
    RefreshFailure {
        was_read: false,
        outage: outage(since),
    }
}

fn good(refreshed_at: i64) -> Facts {
    Facts {
        issuers: Vec::new(),
        refreshed_at: at(refreshed_at),
        refresh_failure: None,
        signer: Ok("kid".to_owned()),
        remote_failure: None,
        published: 2,
        lapse: None,
        asleep: None,
        socket: Ok(()),
        also_failures: Vec::new(),
        revoked: Vec::new(),
        unwritten: Vec::new(),
        doubt: None,
    }
}

/// Whether a condition holds, and since when in seconds.
fn verdict(report: &Report, name: &str) -> (bool, i64) {
    let condition = report.conditions.iter().find(|condition| condition.name == name);
    let condition = condition.expect("a condition");
    (condition.ok, condition.since.as_secs() - 1_000_000)
}

#[test]
fn every_condition_says_since_when_it_holds() {
    let report = memory().judge(&good(0), moment(30));
    let names: Vec<&str> = report.conditions.iter().map(|condition| condition.name).collect();
    assert_eq!(names, [RING, SIGNING, JWKS, SOCKET]);
    for name in names {
        assert_eq!(verdict(&report, name), (true, 0), "{name}");
    }
    assert_eq!((report.ready, report.since), (true, at(0)));
}

#[test]
fn a_ring_is_too_old_at_the_instant_that_follows_from_the_policy_also_if_nobody_looked_then() {
    let mut memory = memory();
    let failing = Facts {
        refresh_failure: Some(unread(61)),
        ..good(0)
    };
    let report = memory.judge(&failing, moment(BEARABLE - 1));
    assert_eq!((verdict(&report, RING), report.ready), ((true, 0), true));
    assert_eq!(report.conditions[0].failing_since, Some(at(61)));
    assert!(
        report.conditions[0].detail.contains("safe for another 1s"),
        "{report:?}"
    );
    let report = memory.judge(&failing, moment(BEARABLE + 5000));
    assert_eq!((verdict(&report, RING), report.ready), ((false, BEARABLE), false));
    assert_eq!(report.since, at(BEARABLE));
    assert!(
        report.conditions[0].detail.contains("another replica may sign"),
        "{report:?}"
    );
    assert!(
        report.conditions[0].detail.contains("the provider is down"),
        "{report:?}"
    );
}

#[test]
fn a_ring_is_too_old_also_without_a_failure_as_after_a_pause_of_the_process() {
    let mut memory = memory();
    memory.judge(&good(0), moment(1));
    let report = memory.judge(&good(0), moment(3 * BEARABLE));
    assert_eq!(verdict(&report, RING), (false, BEARABLE));
}

#[test]
fn a_ring_that_was_too_old_between_two_looks_is_good_since_the_reading_that_mended_it() {
    let mut memory = memory();
    memory.judge(&good(0), moment(1));
    memory.judge(&good(60), moment(61));
    let report = memory.judge(&good(3 * BEARABLE), moment(3 * BEARABLE + 9));
    assert_eq!(verdict(&report, RING), (true, 3 * BEARABLE));
    let report = memory.judge(&good(3 * BEARABLE + 60), moment(3 * BEARABLE + 61));
    assert_eq!(verdict(&report, RING), (true, 3 * BEARABLE), "and stays so");
}

#[test]
fn signing_is_lost_since_its_outage_and_not_since_the_last_time_it_was_told() {
    let mut memory = memory();
    memory.judge(&good(0), moment(1));
    let lost = |since| Facts {
        signer: Err(no_signer(since)),
        ..good(0)
    };
    assert_eq!(verdict(&memory.judge(&lost(20), moment(25)), SIGNING), (false, 20));
    assert_eq!(verdict(&memory.judge(&lost(80), moment(85)), SIGNING), (false, 20));
    let report = memory.judge(&good(80), moment(100));
    assert_eq!(verdict(&report, SIGNING), (true, 100));
    assert_eq!((report.ready, report.since), (true, at(100)));
}

#[test]
fn it_is_told_that_a_key_may_begin_to_sign_later_here_and_why() {
    let detail = |to: Option<i64>| {
        let facts = Facts {
            lapse: Some(Lapse {
                from: at(0),
                to: to.map(at),
            }),
            ..good(3600)
        };
        let report = memory().judge(&facts, moment(3600));
        assert_eq!(verdict(&report, SIGNING), (true, 0));
        report.conditions[1].detail.clone()
    };
    assert_eq!(
        detail(None),
        "key kid signs; a new key starts to sign only after the ring was read again, because other replicas may not have it"
    );
    assert_eq!(
        detail(Some(3600)),
        "key kid signs; the ring was not read from 1970-01-12T13:46:40Z to 1970-01-12T14:46:40Z, so a key that other \
         replicas may not have yet starts to sign later here"
    );
}

#[test]
fn a_start_without_the_provider_is_not_ready_for_signing_alone() {
    let mut memory = memory();
    let facts = Facts {
        signer: Err(no_signer(0)),
        refresh_failure: Some(unread(0)),
        ..good(-600)
    };
    let report = memory.judge(&facts, moment(30));
    assert_eq!(verdict(&report, RING), (true, -600));
    assert_eq!(verdict(&report, SIGNING), (false, 0));
    assert_eq!(
        (verdict(&report, JWKS), verdict(&report, SOCKET)),
        ((true, 0), (true, 0))
    );
    assert_eq!((report.ready, report.since), (false, at(0)));
}

#[test]
fn what_the_facts_do_not_date_is_remembered() {
    let mut memory = memory();
    memory.judge(&good(0), moment(1));
    let lost = Facts {
        socket: Err(SocketFault::Gone("/run/signet.sock".to_owned())),
        published: 0,
        ..good(0)
    };
    memory.judge(&lost, moment(10));
    let report = memory.judge(&lost, moment(50));
    assert_eq!(
        (verdict(&report, SOCKET), verdict(&report, JWKS)),
        ((false, 10), (false, 10))
    );
    // The socket is repaired while signing fails, so the replica was not ready all the time.
    let other = Facts {
        signer: Err(no_signer(40)),
        ..good(0)
    };
    let report = memory.judge(&other, moment(60));
    assert_eq!(verdict(&report, SOCKET), (true, 60));
    assert_eq!((report.ready, report.since), (false, at(10)));
}

#[test]
fn a_process_that_was_stopped_says_so_of_all_that_it_does_not_answer() {
    let mut memory = memory();
    memory.judge(&good(0), moment(1));
    let facts = Facts {
        signer: Err(no_signer(70)),
        asleep: Some(outage(70)),
        ..good(0)
    };
    let report = memory.judge(&facts, moment(2 * BEARABLE));
    assert_eq!(
        (verdict(&report, JWKS), verdict(&report, SIGNING)),
        ((false, 70), (false, 70))
    );
    assert_eq!(verdict(&report, RING), (false, BEARABLE));
    assert_eq!((report.ready, report.since), (false, at(70)));
}

#[test]
fn what_all_replicas_lack_is_told_and_takes_no_traffic_away() {
    let facts = Facts {
        remote_failure: Some(outage(7)),
        also_failures: vec![("local", outage(8))],
        ..good(0)
    };
    let report = memory().judge(&facts, moment(9));
    assert!(report.ready, "{report:?}");
    let failing: Vec<_> = report
        .conditions
        .iter()
        .map(|condition| condition.failing_since)
        .collect();
    assert_eq!(failing, [None, Some(at(7)), None, None, Some(at(8))]);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["conditions"][0]["since"], "1970-01-12T13:46:40Z");
    assert_eq!(json["conditions"][1]["failing_since"], "1970-01-12T13:46:47Z");
    assert!(json["conditions"][0].get("failing_since").is_none(), "{json}");
}

#[test]
fn it_is_told_that_the_keys_of_an_issuer_come_from_disk_and_since_when() {
    let detail = |kept: Option<i64>| {
        let issuer = IssuerFacts {
            name: "https://login.example.com/".to_owned(),
            outage: Some(outage(5)),
            lost: None,
            kept: kept.map(at),
            too_old_at: None,
        };
        let report = memory().judge(
            &Facts {
                issuers: vec![issuer],
                ..good(0)
            },
            moment(9),
        );
        assert!(report.ready, "{report:?}");
        report.conditions.last().expect("a condition").detail.clone()
    };
    assert!(detail(None).contains("so the last ones stay in use: the provider is down"));
    let kept = detail(Some(0));
    assert!(
        kept.contains("the last ones, which were read from disk and fetched at 1970-01-12T13:46:40Z, stay"),
        "{kept}"
    );
}

/// Each kind of fact has a state, and is the only one that is not good.
#[test]
fn every_fact_has_a_state_of_its_own_and_every_state_has_its_facts() {
    let signer = |cause| Facts {
        signer: Err(NoSigner {
            cause,
            outage: outage(0),
        }),
        ..good(0)
    };
    let socket = |fault| Facts {
        socket: Err(fault),
        ..good(0)
    };
    let issuer = |outage: Option<Outage>, lost| Facts {
        issuers: vec![IssuerFacts {
            name: "https://login.example.com".to_owned(),
            outage,
            lost,
            kept: None,
            too_old_at: None,
        }],
        ..good(0)
    };
    let path = || "/run/signet.sock".to_owned();
    let facts_of = |state| match state {
        State::Good | State::Starting => good(0),
        State::RingUnread => Facts {
            refresh_failure: Some(unread(5)),
            ..good(0)
        },
        State::RingWorkUndone => Facts {
            refresh_failure: Some(RefreshFailure {
                was_read: true,
                outage: outage(5),
            }),
            ..good(0)
        },
        State::RingTooOld => good(-2 * BEARABLE),
        State::SigningAsleep => signer(NoSignerCause::Asleep),
        State::SigningWithoutKey => signer(NoSignerCause::NoKey),
        State::SigningKeyDisabled => signer(NoSignerCause::Disabled),
        State::SigningKeySealed => signer(NoSignerCause::Sealed),
        State::ProviderDoesNotSign => Facts {
            remote_failure: Some(outage(5)),
            ..good(0)
        },
        State::JwksAsleep => Facts {
            asleep: Some(outage(5)),
            ..good(0)
        },
        State::JwksEmpty => Facts {
            published: 0,
            ..good(0)
        },
        State::SocketGone => socket(SocketFault::Gone(path())),
        State::SocketReplaced => socket(SocketFault::Replaced(path())),
        State::SocketHidden => socket(SocketFault::Hidden {
            path: path(),
            reason: "permission denied".to_owned(),
        }),
        State::AlsoRingUnread => Facts {
            also_failures: vec![("local", outage(5))],
            ..good(0)
        },
        State::IssuerNotAsked => issuer(None, Some(NoKeys::Never)),
        State::IssuerFails => issuer(Some(outage(5)), None),
        State::IssuerNeverRead => issuer(Some(outage(5)), Some(NoKeys::Never)),
        State::IssuerTooOld => issuer(Some(outage(5)), Some(NoKeys::TooOld)),
        state @ (State::ClockInDoubt | State::KeyFromTheFuture) => Facts {
            doubt: Some(Doubted {
                state,
                reason: "the wall clock was set".to_owned(),
            }),
            ..good(0)
        },
        State::LastGoodUnwritten => Facts {
            unwritten: vec![outage(5)],
            ..good(0)
        },
        State::RevocationSpreads => Facts {
            revoked: vec![("kid".to_owned(), at(5))],
            ..good(0)
        },
    };
    for state in State::ALL {
        let report = match state {
            // This state has no facts yet.
            State::Starting => Report::starting("vault", at(5)),
            state => memory().judge(&facts_of(*state), moment(10)),
        };
        let found: Vec<State> = report.conditions.iter().map(|condition| condition.state).collect();
        let troubled: Vec<State> = found.into_iter().filter(|state| *state != State::Good).collect();
        match state {
            State::Good => assert_eq!(troubled, []),
            state => assert_eq!(troubled, [*state]),
        }
        assert_eq!(report.ready, state.effect() != Effect::LostHere, "{state:?}");
        assert_eq!(report.effect(), state.effect());
    }
}

/// The time is R + max(M, V) + 2S with the default policy.
#[test]
fn a_revoked_key_is_told_until_no_cache_can_have_it_any_more() {
    let facts = Facts {
        revoked: vec![("kid-of-the-key".to_owned(), at(100))],
        ..good(100)
    };
    let report = memory().judge(&facts, moment(100 + 7 * 60));
    let condition = report.conditions.last().expect("a condition");
    assert_eq!((condition.name, condition.ok, report.ready), (REVOCATION, true, true));
    assert_eq!(condition.failing_since, Some(at(100)));
    assert!(
        condition.detail.contains("until 1970-01-12T14:11:20Z"),
        "{}",
        condition.detail
    );
    let over = 100 + 23 * 60;
    for (now, effect) in [(over - 1, Effect::AtRisk), (over, Effect::Good)] {
        assert_eq!(memory().judge(&facts, moment(now)).effect(), effect, "at {now}");
    }
}

/// The date of a revocation comes from its author's clock. This process accepted the key until it read the
/// revocation, whatever that date says.
#[test]
fn a_revocation_that_was_dated_by_a_wrong_clock_is_told_from_when_it_was_read() {
    for (dated, from) in [(-900_000, 100), (40, 40), (900_000, 100)] {
        let mut memory = memory();
        memory.judge(&good(0), moment(50));
        let facts = Facts {
            revoked: vec![("kid-of-the-key".to_owned(), at(dated))],
            ..good(100)
        };
        let report = memory.judge(&facts, moment(100));
        let condition = report.conditions.last().expect("a condition");
        assert_eq!((condition.name, condition.failing_since), (REVOCATION, Some(at(from))));
        let told = format!("until {}", rfc3339(at(from + 23 * 60)));
        assert!(condition.detail.contains(&told), "{}", condition.detail);
        for (now, effect) in [(23 * 60 - 1, Effect::AtRisk), (23 * 60, Effect::Good)] {
            assert_eq!(
                memory.judge(&facts, moment(from + now)).effect(),
                effect,
                "dated {dated}"
            );
        }
    }
    // A revocation that existed when the process started may have any date except one in the future.
    for (dated, effect) in [(-900_000, Effect::Good), (900_000, Effect::AtRisk)] {
        let facts = Facts {
            revoked: vec![("kid-of-the-key".to_owned(), at(dated))],
            ..good(100)
        };
        let mut memory = memory();
        assert_eq!(memory.judge(&facts, moment(100)).effect(), effect);
        assert_eq!(memory.judge(&facts, moment(100 + 23 * 60)).effect(), Effect::Good);
    }
}

#[test]
fn keys_that_are_too_old_while_nothing_failed_are_told_with_since_when() {
    let mut memory = memory();
    let suspended = Facts {
        issuers: vec![IssuerFacts {
            name: "https://login.example.com".to_owned(),
            outage: None,
            lost: Some(NoKeys::TooOld),
            kept: None,
            too_old_at: None,
        }],
        ..good(0)
    };
    for now in [10, 11, 12] {
        let report = memory.judge(&suspended, moment(now));
        let condition = report.conditions.iter().find(|condition| condition.name == ISSUERS);
        let condition = condition.expect("it is told");
        assert_eq!((condition.state, condition.ok), (State::IssuerTooOld, true));
        assert_eq!(condition.failing_since, Some(at(10)), "it does not slide");
    }
    memory.judge(&good(13), moment(13));
    let report = memory.judge(&suspended, moment(20));
    let condition = report.conditions.iter().find(|condition| condition.name == ISSUERS);
    assert_eq!(condition.expect("it is told").failing_since, Some(at(20)));
}
