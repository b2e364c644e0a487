//! All states of the conditions of readiness. The status page has advice for each, `/readyz` names it, and the metric
//! `signet_condition` counts it.

use serde::{Serialize, Serializer};

/// What a state means for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Everything works, as far as this condition shows.
    Good,
    /// Something is wrong, but no request fails because of it yet.
    AtRisk,
    /// Requests may fail because of it, here or elsewhere. This process cannot tell.
    MayBeLost,
    /// Requests fail, and most likely would on every other replica. This replica stays ready.
    LostEverywhere,
    /// Requests fail here, and may succeed on another replica. This replica is not ready.
    LostHere,
}

/// Declares [`State`] together with the list of all states, which keeps the list complete.
macro_rules! states {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $effect:ident;)+) => {
        /// The state of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum State {
            $($(#[doc = $doc])+ $name,)+
        }

        impl State {
            /// All states, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in `/readyz` and in metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// What the state means for requests.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self {
                    $(Self::$name => Effect::$effect,)+
                }
            }
        }
    };
}

states! {
    /// The condition holds, and nothing fails.
    Good = "good", Good;
    /// The ring is being opened and read for the first time in this process.
    Starting = "starting", LostHere;
    /// The provider cannot be read. The last good ring is still recent enough, but tokens of keys that are not in it fail here.
    RingUnread = "ring_unread", MayBeLost;
    /// The provider was read, but an action that is due in it fails.
    RingWorkUndone = "ring_work_undone", AtRisk;
    /// The ring was not read for so long that others may sign with a key that is not in it.
    RingTooOld = "ring_too_old", LostHere;
    /// The process was stopped for a while, and reads its ring before it signs.
    SigningAsleep = "signing_asleep", LostHere;
    /// No key of the ring is active.
    SigningWithoutKey = "signing_without_key", LostHere;
    /// Somebody disabled the active key in the provider.
    SigningKeyDisabled = "signing_key_disabled", LostHere;
    /// The private half of the active key cannot be unsealed.
    SigningKeySealed = "signing_key_sealed", LostHere;
    /// Remote custody: the provider did not sign when Signet last called it.
    ProviderDoesNotSign = "provider_does_not_sign", LostEverywhere;
    /// The process was stopped for a while, and reads its ring before it answers.
    JwksAsleep = "jwks_asleep", LostHere;
    /// No key is published.
    JwksEmpty = "jwks_empty", LostHere;
    /// The file of the socket was removed.
    SocketGone = "socket_gone", LostHere;
    /// Another file is in the place of the socket.
    SocketReplaced = "socket_replaced", LostHere;
    /// The system does not let this process look at the socket's file.
    SocketHidden = "socket_hidden", LostHere;
    /// A ring that is also published cannot be read.
    AlsoRingUnread = "also_ring_unread", MayBeLost;
    /// The keys of a trusted issuer were not requested yet.
    IssuerNotAsked = "issuer_not_asked", LostHere;
    /// The keys of a trusted issuer cannot be fetched. The last ones are still in use.
    IssuerFails = "issuer_fails", MayBeLost;
    /// The keys of a trusted issuer were never fetched: its tokens get 503.
    IssuerNeverRead = "issuer_never_read", LostEverywhere;
    /// The keys of a trusted issuer are too old to be used: its tokens get 503.
    IssuerTooOld = "issuer_too_old", LostEverywhere;
    /// The wall clock differs from other clocks, so nothing is created or erased in the ring.
    ClockInDoubt = "clock_in_doubt", MayBeLost;
    /// The newest key was created in the future, so nothing is created or erased in the ring.
    KeyFromTheFuture = "key_from_the_future", MayBeLost;
    /// The last good keys cannot be written to disk, so a restart while the provider or an issuer is down does not find them.
    LastGoodUnwritten = "last_good_unwritten", AtRisk;
    /// A key was revoked so recently that services which verify with the JWKS may still accept it.
    RevocationSpreads = "revocation_spreads", AtRisk;
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
