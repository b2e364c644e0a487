//! What a condition that is not good means, what still works, and what to do: for whoever was just woken up.

use crate::readiness::{ALSO_PUBLISH, Condition, JWKS, RING, SIGNING};

/// Advice on one condition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Advice {
    /// What is wrong, in the few words of a headline.
    pub(super) headline: &'static str,
    /// What it means, in one sentence.
    pub(super) means: &'static str,
    /// What goes on all the same.
    pub(super) still_works: &'static str,
    /// What to do next.
    pub(super) next: &'static str,
    /// The heading in `docs/operations.md` that says more.
    pub(super) section: &'static str,
}

/// Whether there is anything to do about it.
pub(super) fn is_good(condition: &Condition) -> bool {
    condition.ok && condition.failing_since.is_none()
}

/// The advice on a condition that is lost, or that bears a failure.
pub(super) fn advice(condition: &Condition) -> Advice {
    match (condition.name, condition.ok) {
        (RING, false) => Advice {
            headline: "The ring is too old to be safe",
            means: "The ring is too old to be safe: another replica may sign with a key that this one does not know yet.",
            still_works: "Signing, validation and the JWKS go on with the last good ring.",
            next: "Bring the provider back; the reason above says what it answers. This replica recovers by itself, and a \
                   restart does not help. Keep traffic away from it until then.",
            section: "RingTooOld",
        },
        (RING, true) => Advice {
            headline: "The provider fails",
            means: "The provider cannot be read, or what is due in it cannot be done.",
            still_works: "Everything. Keys change their phases by the clock, as the last good ring says.",
            next: "Nothing is lost yet, and the text above says for how long. Run signet check with this sidecar's \
                   environment: it tries each permission and names the one that is missing.",
            section: "RingStale",
        },
        (SIGNING, false) => Advice {
            headline: "No key can sign",
            means: "No key can sign: POST /v1/sign answers 503.",
            still_works: "Validation and the JWKS go on, so tokens that exist stay good.",
            next: "Bring the provider back if it is down. If the active key is disabled there, enable it again if it is \
                   good. If all keys were revoked, see that the provider lets a new one be made. Signing resumes by itself.",
            section: "SigningUnavailable",
        },
        (SIGNING, true) => Advice {
            headline: "The provider does not sign",
            means: "The provider does not compute signatures: requests to sign fail. Every replica is in the same plight, \
                    so this one stays ready.",
            still_works: "Validation and the JWKS go on, so tokens that exist stay good.",
            next: "Look at the error kind in the log: the provider's quota, its latency, a permission, or an outage. \
                   signet check tries each permission.",
            section: "ProviderDoesNotSign",
        },
        (JWKS, _) => Advice {
            headline: "Nothing can be validated",
            means: "No key is published, or none may be until the ring was read again: no token is accepted.",
            still_works: "Nothing that needs a key.",
            next: "If this process was stopped for a while, bring the provider back: it reads the ring by itself. If all keys were revoked, a new one must be made: run signet keys rotate, or see in the log why the \
                   sidecar cannot. Otherwise somebody emptied the ring: restore it from a backup.",
            section: "JwksEmpty",
        },
        (ALSO_PUBLISH, _) => Advice {
            headline: "A ring that is also published cannot be read",
            means: "The ring of another provider, which is published beside the one that signs, cannot be read.",
            still_works: "Everything. Its last keys stay published and accepted; new ones and revocations are not seen.",
            next: "Bring that provider back before the next step of the switch. If a key of it was revoked meanwhile, \
                   this replica still accepts it.",
            section: "AlsoRingUnread",
        },
        // The socket, the only one left.
        _ => Advice {
            headline: "The gateway cannot connect to the socket",
            means: "The file of the local socket is gone or replaced: the gateway cannot connect any more.",
            still_works: "Connections that are open already, and the public listener with the JWKS.",
            next: "Restart this sidecar: it makes the file anew. Then find who removed it, such as a clean-up of the \
                   directory or a second container with the same path.",
            section: "SocketGone",
        },
    }
}

#[cfg(test)]
mod tests {
    use signet_core::Timestamp;

    use super::*;
    use crate::readiness::SOCKET;

    #[test]
    fn every_condition_has_advice_whose_section_is_in_the_runbook() {
        let runbook = include_str!("../../../docs/operations.md");
        for name in [RING, SIGNING, JWKS, SOCKET, ALSO_PUBLISH] {
            for ok in [true, false] {
                let advice = advice(&Condition {
                    name,
                    ok,
                    since: Timestamp::from_secs(0),
                    failing_since: None,
                    detail: String::new(),
                });
                let heading = format!("\n### {}\n", advice.section);
                assert!(runbook.contains(&heading), "{name}: no heading {heading:?}");
            }
        }
    }
}
