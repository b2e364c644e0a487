//! Every state that a condition of readiness can be in. The status page has advice of its own for each, `/readyz` names it,
//! and `signet_condition` counts it.

use serde::{Serialize, Serializer};

/// What a state means for those who send requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing is wrong.
    Good,
    /// Something is wrong, and no request fails because of it yet.
    AtRisk,
    /// Requests may fail because of it, here or elsewhere. This process cannot tell whether they do.
    MayBeLost,
    /// Requests fail, and most likely would on every other replica too: this one stays ready.
    LostEverywhere,
    /// Requests fail here, and another replica may do better: this one is not ready.
    LostHere,
}

/// Declares [`State`] and the list of all of them, so that none can be left out of it.
macro_rules! states {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal, $effect:ident;)+) => {
        /// The state of a condition.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum State {
            $($(#[doc = $doc])+ $name,)+
        }

        impl State {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for it in `/readyz` and in metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// What it means for requests.
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
    /// The ring is opened and read for the first time since the process began.
    Starting = "starting", LostHere;
    /// The provider cannot be read. The last good ring is still young enough.
    RingUnread = "ring_unread", AtRisk;
    /// The provider was read, but what is due in it cannot be done.
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
    /// Remote custody: the provider computed no signature when it was last asked.
    ProviderDoesNotSign = "provider_does_not_sign", LostEverywhere;
    /// The process was stopped for a while, and reads its ring before it answers.
    JwksAsleep = "jwks_asleep", LostHere;
    /// No key is published.
    JwksEmpty = "jwks_empty", LostHere;
    /// The socket's file is gone.
    SocketGone = "socket_gone", LostHere;
    /// Another file has the place of the socket's.
    SocketReplaced = "socket_replaced", LostHere;
    /// The socket's file cannot be looked at.
    SocketHidden = "socket_hidden", LostHere;
    /// A ring that is published beside the one that signs cannot be read.
    AlsoRingUnread = "also_ring_unread", MayBeLost;
    /// Nobody has asked a trusted issuer for its keys yet.
    IssuerNotAsked = "issuer_not_asked", LostHere;
    /// The keys of a trusted issuer cannot be fetched. The last ones are still in use.
    IssuerFails = "issuer_fails", MayBeLost;
    /// The keys of a trusted issuer were never fetched: its tokens get 503.
    IssuerNeverRead = "issuer_never_read", LostEverywhere;
    /// The keys of a trusted issuer are too old to be believed: its tokens get 503.
    IssuerTooOld = "issuer_too_old", LostEverywhere;
    /// The wall clock runs apart from others, so nothing is created or erased in the ring.
    ClockInDoubt = "clock_in_doubt", MayBeLost;
    /// The newest key was created in the future, so nothing is created or erased in the ring.
    KeyFromTheFuture = "key_from_the_future", MayBeLost;
    /// A key was revoked so recently that services which verify with the JWKS may still accept it.
    RevocationSpreads = "revocation_spreads", AtRisk;
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
