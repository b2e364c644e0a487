//! The advice of the status page: what each bad state means, what still works, and what to do. It is written for an
//! operator who was just woken up.
//!
//! Advice must never make things worse. A restart loses the keys that are only in memory.

use crate::conditions::State;

/// What a restart does in a state.
#[derive(Clone, Copy, Debug)]
pub(super) enum Restart {
    /// The advice does not mention a restart.
    NoWord,
    /// A restart is not needed and does harm. The text says so, unless an error text advises a restart.
    Unneeded(&'static str),
    /// A restart is the last step.
    Last {
        /// What the restart does, as the beginning of a sentence.
        step: &'static str,
        /// What must be true first. The text says so, unless an error text advises a restart.
        guard: &'static str,
    },
}

/// The texts of the status page for one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Advice {
    /// The problem, in the few words of a headline.
    pub(super) headline: &'static str,
    /// What the state means, in one sentence.
    pub(super) means: &'static str,
    /// What to know about the things that still work. Empty if there is nothing to say. It must be
    /// true whatever else is wrong.
    pub(super) remark: &'static str,
    /// What to do next. It must be true whatever else is wrong.
    pub(super) next: &'static str,
    /// Whether a restart is part of the advice.
    pub(super) restart: Restart,
    /// The heading in `docs/operations.md` with more information.
    pub(super) section: &'static str,
}

/// The advice for a state. `None` if there is nothing to do.
#[expect(clippy::too_many_lines, reason = "a table: one entry for each state")]
pub(super) const fn advice(state: State) -> Option<Advice> {
    Some(match state {
        State::Good => return None,
        State::Starting => Advice {
            headline: "The sidecar is starting",
            means: "The ring is being read for the first time: nothing is signed, validated or published here yet.",
            remark: "",
            next: "Wait some seconds. If this lasts, the provider does not answer: bring it back, or correct its \
                 address in the settings. Run signet check with this sidecar's environment and as \
                 its user: it tries each permission.",
            restart: Restart::NoWord,
            section: "NotStarted",
        },
        State::RingUnread => Advice {
            headline: "The provider cannot be read",
            means: "The ring cannot be read, so this replica does not see new keys or revocations. A token with a key \
                    that it does not know is refused, and with remote custody the provider may not sign either.",
            remark: "The last good ring stays in use for as long as the text above says. Its keys still change their \
                     phases on time.",
            next: "Bring the provider back; the text above has the provider's answer. Run signet check with this \
                   sidecar's environment and as its user: it tries each permission. If the kind is bad_answer, \
                   treat it as an attack until you know the cause.",
            restart: Restart::Unneeded(
                "Do not restart the sidecar while this lasts: it tries to read the ring again by itself.",
            ),
            section: "RingStale",
        },
        State::RingWorkUndone => Advice {
            headline: "The provider can be read, but not changed",
            means: "The ring can be read, but the next key cannot be created, or an expired key cannot be retired.",
            remark: "The active key keeps signing until its successor can be created.",
            next: "Grant the permission or free the space that the text above names. Run signet check with this sidecar's \
                   environment and as its user: it tries each permission.",
            restart: Restart::Unneeded("The sidecar tries again by itself."),
            section: "KeeperFailing",
        },
        State::RingTooOld => Advice {
            headline: "The ring is too old to be safe",
            means: "Another replica may sign with a key that this one does not know yet.",
            remark: "The last good ring stays in use, but may lack a key of another replica.",
            next: "Bring the provider back; the text above has the provider's answer. Keep traffic away from this \
                   replica until then.",
            restart: Restart::Unneeded(
                "Do not restart this replica: it recovers by itself, and with sealed custody a restart \
                                        would lose its private key until the provider is back.",
            ),
            section: "RingTooOld",
        },
        State::SigningAsleep => Advice {
            headline: "The process was suspended, and reads its ring before it signs",
            means: "This process was suspended for a while, so the ring may have changed: POST /v1/sign answers 503.",
            remark: "GET /v1/ring shows the ring as it was last read.",
            next: "Wait: this ends as soon as the ring has been read once. If it lasts, bring the provider back. Then \
                   find out what suspended the process: a suspended machine, SIGSTOP, or a CPU limit that is too low.",
            restart: Restart::NoWord,
            section: "Asleep",
        },
        State::SigningWithoutKey => Advice {
            headline: "No key can sign",
            means: "No key of the ring is active: POST /v1/sign answers 503.",
            remark: "",
            next: "The sidecar creates a key as soon as the provider allows it. If it does not, the condition ring or \
                 the log has the error: grant the permission that it names.",
            restart: Restart::Unneeded("Signing then begins by itself."),
            section: "SigningUnavailable",
        },
        State::SigningKeyDisabled => Advice {
            headline: "The active key is disabled in the provider",
            means: "Somebody disabled the active key in the provider without signet: POST /v1/sign answers 503.",
            remark: "",
            next: "If the key is good, enable it in the provider again: signing resumes with the next reading. If it \
                 leaked, run signet keys revoke with its kid: its successor then signs at once. If \
                 you do neither, its successor signs as soon as it is created.",
            restart: Restart::NoWord,
            section: "SigningUnavailable",
        },
        State::SigningKeySealed => Advice {
            headline: "The active key cannot be unsealed",
            means: "The provider does not decrypt the private key of the active key: POST /v1/sign answers 503.",
            remark: "",
            next: "Bring the provider back, or grant the permission to unwrap; the text above has the provider's \
                   answer. Keep the replicas that still sign running: they have the key in memory. This one signs as \
                 soon as it has the key.",
            restart: Restart::NoWord,
            section: "SigningUnavailable",
        },
        State::ProviderDoesNotSign => Advice {
            headline: "The provider does not sign",
            means: "Requests to sign fail. This replica stays ready, because other replicas most likely have the same \
                 problem: compare their /readyz.",
            remark: "",
            next: "The text above says why: the provider's quota, its latency, a permission, or an outage. Run signet check \
                   with this sidecar's environment and as its user: it tries each permission. The first signature that \
                   succeeds ends this state.",
            restart: Restart::NoWord,
            section: "ProviderDoesNotSign",
        },
        State::JwksAsleep => Advice {
            headline: "The process was suspended, and reads its ring before it answers",
            means: "This process was suspended for a while, so the ring may have changed: no token is verified, and the \
                 JWKS is not served.",
            remark: "GET /v1/ring shows the ring as it was last read.",
            next: "Wait: this ends as soon as the ring has been read once. If it lasts, bring the provider back. Keep \
                   traffic away from this replica until then.",
            restart: Restart::NoWord,
            section: "Asleep",
        },
        State::JwksEmpty => Advice {
            headline: "No key is published",
            means: "The ring has no key that may be used: no token of this issuer is accepted.",
            remark: "",
            next: "If all keys were revoked, the sidecar creates a new one as soon as the provider allows it; the \
                 condition ring or the log has the error if it does not. If nobody revoked them, \
                 somebody emptied the ring: restore it from a backup before you create a key.",
            restart: Restart::NoWord,
            section: "JwksEmpty",
        },
        State::SocketGone => Advice {
            headline: "The socket's file is gone",
            means: "Somebody removed the file of the local socket: no gateway can make a new connection.",
            remark: "Connections that are already open, and the public listener, do not depend on this file.",
            next: "First find out what removed it, for example a clean-up of the directory.",
            restart: Restart::Last {
                step: "Then restart this sidecar, which creates the file again",
                guard: "but only when the other conditions are good, because a restart loses the keys that are only in \
                     memory",
            },
            section: "SocketGone",
        },
        State::SocketReplaced => Advice {
            headline: "Another file has replaced the socket",
            means: "A gateway that connects now reaches another process, or none. It would send its tokens there.",
            remark: "Connections that are already open, and the public listener, do not depend on this file.",
            next: "Find out whose file it is (ls -l, fuser); if nobody in your team created it, treat it as an attack. \
                 Stop that process and remove its file.",
            restart: Restart::Last {
                step: "Then restart this sidecar, which does not start while the other process uses the path",
                guard: "but only when the other conditions are good",
            },
            section: "SocketGone",
        },
        State::SocketHidden => Advice {
            headline: "The socket's file cannot be checked",
            means: "The system does not let this process see the socket's file, so gateways may not reach it either.",
            remark: "Connections that are already open, and the public listener, do not depend on this file.",
            next: "Let the sidecar's user enter the directory of the socket again; the text above has the path and the \
                 error. No restart is needed.",
            restart: Restart::NoWord,
            section: "SocketGone",
        },
        State::AlsoRingUnread => Advice {
            headline: "A ring that is also published cannot be read",
            means: "The ring of another provider, which is published beside the one that signs, cannot be read.",
            remark: "The last keys of that ring stay in use. Tokens of a newer key are refused, and a revocation there \
                 is not seen.",
            next: "Bring that provider back before the next step of the switch. If one of its keys was revoked \
                   meanwhile, this replica still accepts that key.",
            restart: Restart::NoWord,
            section: "AlsoRingUnread",
        },
        State::IssuerNotAsked => Advice {
            headline: "The keys of a trusted issuer are being fetched",
            means: "This process has just started, and fetches the keys of a trusted issuer for the first time.",
            remark: "",
            next: "Wait some seconds: the replica is ready when the issuer has answered or the attempt has failed.",
            restart: Restart::NoWord,
            section: "IssuerUnread",
        },
        State::IssuerFails => Advice {
            headline: "The keys of a trusted issuer cannot be fetched",
            means: "The keys of a trusted issuer cannot be fetched, so this replica does not see a new key or the \
                 removal of one.",
            remark: "The last keys of that issuer stay in use until they are too old (max_stale). Tokens of a newer key \
                 are refused.",
            next: "Restore the issuer or the network path to it; the text above has the URL and the error. signet \
                 check fetches the keys of each issuer once.",
            restart: Restart::Unneeded("Do not restart the sidecar while this lasts: it tries again by itself."),
            section: "IssuerUnread",
        },
        State::IssuerNeverRead => Advice {
            headline: "The keys of a trusted issuer were never fetched",
            means: "This replica has no keys of a trusted issuer, so requests with its tokens get 503. It stays ready, \
                 because other replicas most likely have the same problem: compare their /readyz.",
            remark: "",
            next: "Correct the address or the certificate authority if the text above says so; otherwise restore the \
                 issuer or the network path to it. Keep replicas that still have its keys running.",
            restart: Restart::Unneeded("The sidecar tries again by itself every few seconds."),
            section: "IssuerUnread",
        },
        State::IssuerTooOld => Advice {
            headline: "The keys of a trusted issuer are too old",
            means: "The keys of a trusted issuer could not be fetched for longer than max_stale, so requests with its \
                 tokens get 503. This replica stays ready, because other replicas most likely have \
                 the same problem: compare their /readyz.",
            remark: "",
            next: "Restore the issuer or the network path to it; the text above has the URL and the error. A longer max_stale \
                   also means that a key which the issuer revoked is accepted for longer.",
            restart: Restart::Unneeded("The sidecar tries again by itself every few seconds."),
            section: "IssuerUnread",
        },
        State::ClockInDoubt => Advice {
            headline: "The clock is in doubt",
            means: "The wall clock was set, or disagrees with a provider or with an earlier reading. If it is wrong, \
                 valid tokens are refused here, expired ones are accepted, or tokens that are signed \
                 here are refused elsewhere. No key is created, retired or erased until this is \
                 resolved.",
            remark: "Tokens are still signed and verified by this clock, so the results are as correct as the clock.",
            next: "Compare date -u with a correct clock. If the clock of this machine is wrong, set it and check that \
                 NTP runs: Signet then resumes. If this clock is right and the text above names a provider, the clock \
                 of the provider or of a proxy on the way is wrong: set that clock.",
            restart: Restart::Last {
                step: "If the clock is right and the text above names no provider, restart this sidecar, which then \
                       compares the clock from a new start; never restart while the clock is wrong",
                guard: "restart only when the other conditions are good",
            },
            section: "ClockInDoubt",
        },
        State::KeyFromTheFuture => Advice {
            headline: "The newest key was created in the future",
            means: "A clock was ahead when the newest key was created, or the clock of this machine is behind. If this \
                 clock is wrong, expired tokens are accepted here, and tokens that are signed here \
                 may be refused elsewhere. No key is created, retired or erased until the creation \
                 time of that key has come.",
            remark: "Tokens are still signed and verified by this clock, so the results are as correct as the clock.",
            next: "Check the clocks of all machines, and set those that are wrong. Then wait until the time that the \
                 text above names. If that is too far away, run signet keys revoke with the kid \
                 above: tokens of that key are then refused. Until then the previous key signs as long as it can, and \
                 after that the key from the future.",
            restart: Restart::NoWord,
            section: "ClockInDoubt",
        },
        State::LastGoodUnwritten => Advice {
            headline: "The last good keys cannot be written to disk",
            means: "A sidecar that starts while its provider or an issuer is down uses the keys on disk. Those are now \
                    old or missing, so after a restart during an outage the sidecar would refuse good tokens.",
            remark: "",
            next: "Free disk space or restore the permission; the text above has the path and the error. Signet \
                   retries every minute.",
            restart: Restart::Unneeded("Do not restart the sidecar while this lasts and its provider is down."),
            section: "LastGoodUnwritten",
        },
        State::RevocationSpreads => Advice {
            headline: "A revoked key may still be accepted elsewhere",
            means: "A key was revoked. Sidecars refuse it, but a service that verifies with the JWKS accepts its tokens \
                 until its cache of the JWKS expires.",
            remark: "This sidecar refuses the key and its tokens.",
            next: "If you cannot wait until the time above, restart the services that verify with the JWKS. If the \
                 active key was revoked, they refuse tokens of the new key until then. If nobody in \
                 your team revoked it, treat it as an attack.",
            restart: Restart::NoWord,
            section: "KeyRevoked",
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::conditions::Effect;

    const RUNBOOK: &str = include_str!("../../../docs/operations.md");

    fn all() -> impl Iterator<Item = (State, Advice)> {
        State::ALL.iter().filter_map(|state| Some((*state, advice(*state)?)))
    }

    #[test]
    fn every_state_that_is_not_good_has_advice_whose_section_is_in_the_runbook() {
        for state in State::ALL {
            let is_good = state.effect() == Effect::Good;
            assert_eq!(advice(*state).is_none(), is_good, "{state:?}");
            let Some(advice) = advice(*state) else { continue };
            let heading = format!("\n### {}\n", advice.section);
            assert!(RUNBOOK.contains(&heading), "{state:?}: no heading {heading:?}");
            let word = format!("`{}`", state.as_str());
            assert!(RUNBOOK.contains(&word), "{word} is not in the runbook");
        }
    }

    #[test]
    fn no_two_states_share_their_advice() {
        for text in [
            |advice: Advice| advice.headline,
            |advice: Advice| advice.means,
            |advice: Advice| advice.next,
        ] {
            let mut seen = HashSet::new();
            for (state, advice) in all() {
                assert!(
                    seen.insert(text(advice)),
                    "{state:?} has the text of another: {}",
                    text(advice)
                );
            }
        }
    }

    /// A restart recreates the socket's file. It repairs nothing else, and loses the keys that are only in memory.
    #[test]
    fn a_restart_of_the_sidecar_is_advised_for_its_socket_alone_and_not_while_something_else_fails() {
        for (state, advice) in all() {
            // What a corrected clock was compared with is lost when the process ends.
            let is_cured = matches!(state, State::SocketGone | State::SocketReplaced | State::ClockInDoubt);
            match advice.restart {
                Restart::Last { step, guard } => {
                    assert!(is_cured, "{state:?}: {step}");
                    assert!(step.contains("restart this sidecar"), "{state:?}: {step}");
                    assert!(guard.contains("other conditions are good"), "{state:?}: {guard}");
                }
                _ => assert!(!is_cured, "{state:?}"),
            }
            for harmful in [
                "estart this sidecar",
                "restart it.",
                "SIGNET_DATA_DIR",
                "chown",
                "remove the ring",
            ] {
                assert!(
                    !advice.next.contains(harmful),
                    "{state:?} advises {harmful}: {}",
                    advice.next
                );
            }
        }
    }

    /// Another condition may fail at the same time, and an error text may advise a restart.
    #[test]
    fn no_advice_on_one_state_speaks_for_the_others() {
        for (state, advice) in all() {
            for text in [advice.means, advice.remark, advice.next] {
                for claim in [
                    "Everything",
                    "goes on signing",
                    "stay good",
                    "by itself",
                    "not restart",
                    "very replica",
                ] {
                    assert!(!text.contains(claim), "{state:?} claims {claim:?}: {text}");
                }
            }
        }
    }
}
