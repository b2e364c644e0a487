//! Combines the advice for one condition with the whole report: it promises only what no other condition prevents, and
//! recommends a restart only if no other condition forbids it.

use std::borrow::Cow;

use super::advice::{Advice, Restart};
use crate::conditions::{Condition, Effect, Report, State};

/// What to do before a restart that an error text advises.
const BEFORE_A_RESTART: &str = "The text above says when to restart: restart only for that reason, and only after the other steps. Before you \
     restart, run signet check with the new environment and as the sidecar's user until every row says yes, \
     because a restart loses the keys that are only in memory.";

/// The services that a sidecar offers to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Signing,
    Validation,
    Jwks,
    /// Verifying the tokens of all trusted issuers.
    EveryIssuer,
    /// Verifying the tokens of all issuers that no condition names.
    OtherIssuers,
    NewConnections,
}

use Work::{EveryIssuer, Jwks, NewConnections, OtherIssuers, Signing, Validation};

const ALL: [(Work, &str); 6] = [
    (Signing, "signing"),
    (Validation, "validation of this issuer's tokens"),
    (EveryIssuer, "validation of trusted issuers' tokens"),
    (OtherIssuers, "validation of the other trusted issuers' tokens"),
    (Jwks, "the JWKS"),
    (NewConnections, "new connections to the socket"),
];

/// What fails in a state, or may fail.
const fn fails_in(state: State) -> &'static [Work] {
    match state {
        State::Starting => &[Signing, Validation, EveryIssuer, OtherIssuers, Jwks, NewConnections],
        State::SigningAsleep
        | State::SigningWithoutKey
        | State::SigningKeyDisabled
        | State::SigningKeySealed
        | State::ProviderDoesNotSign => &[Signing],
        State::JwksAsleep => &[Validation, EveryIssuer, OtherIssuers, Jwks],
        State::JwksEmpty => &[Validation, Jwks],
        State::SocketGone | State::SocketReplaced | State::SocketHidden => &[NewConnections],
        State::IssuerNotAsked | State::IssuerNeverRead | State::IssuerTooOld => &[EveryIssuer],
        State::ClockInDoubt | State::KeyFromTheFuture => &[Signing, Validation, EveryIssuer, OtherIssuers],
        State::Good
        | State::RingUnread
        | State::RingWorkUndone
        | State::RingTooOld
        | State::AlsoRingUnread
        | State::IssuerFails
        | State::LastGoodUnwritten
        | State::RevocationSpreads => &[],
    }
}

/// What still works under this report, with the remark of the advice.
pub(super) fn still_works(report: &Report, advice: &Advice) -> String {
    let works = match report.effect() {
        Effect::Good | Effect::AtRisk => "Everything".to_owned(),
        _ => works(report),
    };
    match advice.remark {
        "" => format!("{works}."),
        remark => format!("{works}. {remark}"),
    }
}

fn works(report: &Report) -> String {
    let fails = |work: &Work| {
        let mut conditions = report.conditions.iter();
        conditions.any(|condition| fails_in(condition.state).contains(work))
    };
    let mut works: Vec<&str> = Vec::new();
    for (work, name) in &ALL {
        // Mention either all issuers, or those that no condition names.
        let is_said = *work == OtherIssuers && !fails(&EveryIssuer);
        if !fails(work) && !is_said {
            works.push(name);
        }
    }
    let mut text = match works.split_last() {
        None => "this page, /livez and /readyz".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    };
    // All these texts begin with an ASCII letter.
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// What to do next about one condition of the report.
pub(super) fn what_next(report: &Report, condition: &Condition, advice: &Advice) -> String {
    let asking = report.conditions.iter().find(|other| asks_for_a_restart(&other.detail));
    let restart: Cow<'_, str> = match (advice.restart, asking) {
        (Restart::Last { step, .. }, Some(asking)) => format!(
            "{step}. The error under {} asks for a restart too: one restart does both, after all steps there that \
             come before it.",
            asking.name
        )
        .into(),
        (_, Some(_)) if asks_for_a_restart(&condition.detail) => BEFORE_A_RESTART.into(),
        (Restart::Unneeded(_), Some(asking)) => format!(
            "The error under {} asks for a restart: read that one first.",
            asking.name
        )
        .into(),
        (Restart::NoWord, _) => "".into(),
        (Restart::Unneeded(text), None) => text.into(),
        (Restart::Last { step, guard }, None) => format!("{step}; {guard}.").into(),
    };
    format!("{} {restart}", advice.next).trim_end().to_owned()
}

/// Whether an error text advises a restart, as the text about a setting that is read only at start does.
fn asks_for_a_restart(detail: &str) -> bool {
    detail
        .match_indices("restart Signet")
        .any(|(at, _)| !detail[..at].ends_with("not "))
}

#[cfg(test)]
mod tests {
    use signet_core::Timestamp;

    use super::*;
    use crate::conditions::{CLOCK, ISSUERS, JWKS, RING, SIGNING, SOCKET};
    use crate::routes::admin::advice::advice;

    const DEAD_TOKEN: &str =
        "the token of VAULT_TOKEN has died: set a new one and restart Signet, or use a login with AppRole";

    fn report(states: &[(&'static str, State, &str)]) -> Report {
        let conditions = states.iter().map(|(name, state, detail)| Condition {
            name,
            ok: state.effect() != Effect::LostHere,
            state: *state,
            since: Timestamp::from_secs(0),
            failing_since: None,
            detail: (*detail).to_owned(),
        });
        Report {
            ready: false,
            since: Timestamp::from_secs(0),
            conditions: conditions.collect(),
        }
    }

    /// What still works and what to do next, as the page says for each condition.
    fn told(states: &[(&'static str, State, &str)]) -> Vec<[String; 2]> {
        let report = report(states);
        let conditions = report.conditions.iter();
        conditions
            .map(|condition| {
                let advice = advice(condition.state).expect("advice");
                [still_works(&report, &advice), what_next(&report, condition, &advice)]
            })
            .collect()
    }

    #[test]
    fn everything_works_only_if_no_condition_takes_anything_away() {
        let alone = told(&[(RING, State::RingWorkUndone, "")]);
        assert!(alone[0][0].starts_with("Everything. "), "{alone:?}");
        for (state, gone) in [
            (State::SigningWithoutKey, "Signing"),
            (State::ProviderDoesNotSign, "Signing"),
            (State::ClockInDoubt, "Signing"),
            (State::JwksEmpty, "the JWKS"),
            (State::SocketGone, "new connections"),
        ] {
            for beside in [
                State::RingUnread,
                State::RingWorkUndone,
                State::IssuerFails,
                State::RevocationSpreads,
            ] {
                for [works, _] in told(&[(RING, beside, ""), (SIGNING, state, "")]) {
                    assert!(!works.contains("Everything"), "{beside:?} beside {state:?}: {works}");
                    assert!(!works.contains(gone), "{beside:?} beside {state:?}: {works}");
                }
            }
        }
    }

    #[test]
    fn what_still_works_is_what_no_condition_of_the_report_takes_away() {
        let works = |states: &[State]| {
            let states: Vec<_> = states.iter().map(|state| (SIGNING, *state, "")).collect();
            works(&report(&states))
        };
        assert_eq!(
            works(&[State::SigningWithoutKey]),
            "Validation of this issuer's tokens, validation of trusted issuers' tokens, the JWKS and new connections to the socket"
        );
        assert_eq!(
            works(&[State::SigningWithoutKey, State::JwksEmpty, State::IssuerNeverRead]),
            "Validation of the other trusted issuers' tokens and new connections to the socket"
        );
        assert_eq!(
            works(&[State::JwksAsleep, State::SigningAsleep, State::SocketGone]),
            works(&[State::Starting])
        );
        assert_eq!(works(&[State::Starting]), "This page, /livez and /readyz");
    }

    #[test]
    fn no_advice_speaks_against_a_restart_that_the_text_of_an_error_asks_for() {
        let all = [
            (RING, State::RingUnread, DEAD_TOKEN),
            (SIGNING, State::SigningWithoutKey, ""),
            (ISSUERS, State::IssuerFails, ""),
            (SOCKET, State::SocketGone, ""),
            (CLOCK, State::ClockInDoubt, ""),
        ];
        let told = told(&all);
        for ([_, next], (name, ..)) in told.iter().zip(all) {
            for against in [
                "not restart",
                "reads the ring again",
                "by itself",
                "conditions are good",
            ] {
                assert!(!next.contains(against), "{name}: {next}");
            }
        }
        assert!(
            told[0][1].contains("run signet check with the new environment"),
            "{told:?}"
        );
        assert!(
            told[2][1].contains("The error under ring asks for a restart"),
            "{told:?}"
        );
        assert!(told[3][1].contains("creates the file again"), "{told:?}");
        assert!(
            told[4][1].contains("never restart while the clock is wrong"),
            "{told:?}"
        );
    }

    #[test]
    fn without_such_a_text_a_restart_is_advised_against_while_it_does_harm() {
        let told = told(&[
            (RING, State::RingUnread, "restore it. Do not restart Signet before that"),
            (SOCKET, State::SocketGone, ""),
        ]);
        assert!(
            told[0][1].contains("Do not restart the sidecar while this lasts"),
            "{told:?}"
        );
        assert!(
            told[1][1].contains("but only when the other conditions are good"),
            "{told:?}"
        );
    }

    /// This text is recognised by words that the providers write.
    #[test]
    fn the_texts_of_providers_that_ask_for_a_restart_are_known_as_such() {
        for text in [
            include_str!("../../../providers/vault/src/client/session.rs"),
            include_str!("../../../providers/vault/src/handle.rs"),
            include_str!("../../../providers/sealed/src/ring.rs"),
        ] {
            let text = text.split("\\\n").map(str::trim_start).collect::<String>();
            assert!(asks_for_a_restart(&text));
        }
    }

    #[test]
    fn a_state_that_takes_something_away_has_an_effect_that_says_so() {
        for state in State::ALL {
            let is_lost = state.effect() >= Effect::MayBeLost;
            // In these states, only tokens with keys that are unknown here fail, and remote signing if the provider is down.
            let is_partial = matches!(
                state,
                State::AlsoRingUnread | State::IssuerFails | State::RingTooOld | State::RingUnread
            );
            assert_eq!(!fails_in(*state).is_empty(), is_lost && !is_partial, "{state:?}");
        }
        assert!(fails_in(State::JwksEmpty).contains(&Jwks), "{JWKS}");
    }
}
