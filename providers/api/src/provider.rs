//! The trait, and what its calls carry.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use signet_core::algorithm::RsaBits;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, Kid, Policy, Revocation, SigningKey, Terms};

use crate::check::Trials;
use crate::error::ProviderError;

/// Who computes the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// The provider; the private key never leaves it.
    Remote,
    /// Signet, with a private key that the provider unwraps.
    Sealed,
}

/// What settles a race between replicas that create a successor at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// An atomic claim in the provider: exactly one key comes to be.
    Atomic,
    /// Nothing: two keys may come to be, which the schedule bears.
    Tolerated,
}

/// What becomes of a key that is no longer published (`SIGNET_EXPIRED_KEYS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, but can no longer sign. For sealed custody the private half is erased.
    Disable,
    /// It goes, as far as the provider lets it.
    Destroy,
}

/// How providers differ. Checked at start.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The provider's name, the one word used for folder, crate, setting and metric label.
    pub provider: &'static str,
    /// Who computes signatures.
    pub custody: Custody,
    /// The algorithms that keys can be created for.
    pub algorithms: &'static [Algorithm],
    /// What settles races.
    pub claim: Claim,
    /// The longest message that `sign` takes for keys of this algorithm, in octets, if there is a bound.
    pub longest_message: fn(Algorithm) -> Option<usize>,
    /// How often the ring may be read, if the vendor bounds it.
    pub reads: Option<ReadQuota>,
}

/// How many calls the vendor lets all replicas together make, and how many of them reading a ring takes. A policy whose
/// refresh interval asks for more is refused at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadQuota {
    /// The vendor's bound on calls, over the span.
    pub calls: u32,
    /// The span.
    pub per: Duration,
    /// The calls that one `list` makes once the ring is known, for a ring of four keys.
    pub calls_per_list: u32,
    /// The vendor's page that says so.
    pub page: &'static str,
}

/// The key to create.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The newest key of the ring as the caller last saw it; `None` for an empty ring.
    pub successor_of: Option<Kid>,
    /// The algorithm it is for.
    pub algorithm: Algorithm,
    /// The modulus, if it is an RSA key.
    pub rsa_bits: RsaBits,
    /// What it is bound to for life.
    pub terms: Terms,
}

impl NewKey {
    /// The next key of a ring under this policy.
    #[must_use]
    pub fn under(policy: &Policy, rsa_bits: RsaBits, successor_of: Option<Kid>) -> Self {
        Self {
            successor_of,
            algorithm: policy.algorithm(),
            rsa_bits,
            terms: policy.terms(),
        }
    }
}

/// A place where the keys of one ring are kept.
///
/// 1. *A created key is listed.* After `create` returned a key, `list` includes it.
/// 2. *A key never changes.* The public key, its algorithm, creation instant and terms of a kid are the same in every
///    answer; the creation instant is the provider's own record.
/// 3. *Successors are of a named key.* `create` for the successor of a key that is no longer the newest makes nothing
///    and returns the newest, where the claim is atomic; where it is tolerated, what it makes is listed like any key
///    ([`NewKey::wanted`]).
/// 4. *A signature is by the key that was asked for.* `sign` returns JWS form that verifies under the listed public key.
/// 5. *Custody is as declared.* `unseal` returns the private key for sealed custody, and `None` for remote.
/// 6. *A retired key cannot sign.* After `retire`, `sign` and `unseal` refuse the key as unusable or unknown; a retired
///    key that is still listed is `Disabled`; one that was destroyed is not listed. Retiring a listed key twice is no error.
///    The newest key that can sign is not retired: `retire` refuses it as unusable ([`may_retire`](crate::may_retire)).
/// 7. *A revoked key never signs again.* After `revoke`, `list` shows the mark with the reason of the first call, `sign`
///    and `unseal` refuse, whatever state the provider gives the key; revoking twice is no error.
/// 8. *Unknown keys are not found.* Every call that names a key that the ring does not have fails as `NotFound`.
/// 9. *An algorithm that is not declared is refused* as `InvalidConfig`, before anything is created.
/// 10. *Nothing is half done.* A call that failed or was cancelled at any point leaves a ring that lists, and nothing
///     that a later call does not adopt or delete.
/// 11. *Errors say who must act* by their kind, and never contain key material.
/// 12. *A new process reads the ring*, whatever state the provider gives its keys: what is disabled, revoked or being
///     deleted keeps it from nothing. It lists every revoked key that was not destroyed, also one that it never saw enabled.
///     It need not list a disabled key that was not revoked.
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync {
    /// How this provider differs from others.
    fn capabilities(&self) -> Capabilities;

    /// Every key of the ring that was not destroyed, revoked ones included, in any order.
    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError>;

    /// Creates a key, or returns the one that somebody else created first (clause 3).
    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError>;

    /// Signs the message; the answer is in JWS form.
    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError>;

    /// The private key in memory, for sealed custody.
    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError>;

    /// Takes an expired key out of use.
    async fn retire(&self, kid: &Kid, fate: Fate) -> Result<(), ProviderError>;

    /// Marks a key as never to be used again.
    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError>;

    /// Tries each permission that the other calls need, one by one, and leaves nothing behind.
    async fn check(&self, trials: &mut Trials);

    /// Deletes what a crash left and no ring owns; returns what it was, in the operator's words.
    async fn prune(&self) -> Result<Vec<String>, ProviderError>;
}
