//! The trait [`KeyProvider`], and the types of its calls.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use signet_core::algorithm::RsaBits;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, Kid, Policy, Revocation, SigningKey, Terms};

use crate::check::Trials;
use crate::error::ProviderError;

/// Where private keys are used, which decides who computes signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// The provider computes them. The private key never leaves it.
    Remote,
    /// Signet computes them, with a private key that the provider decrypts.
    Sealed,
}

/// What decides a race between replicas that create a successor at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// An atomic claim in the provider: exactly one key is created.
    Atomic,
    /// Nothing: two keys may be created, which the schedule tolerates.
    Tolerated,
}

/// What to do with a key that is no longer published (`SIGNET_EXPIRED_KEYS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredKeys {
    /// Keep the key, but make it unable to sign. In sealed custody, its private half is erased.
    Disable,
    /// Destroy the key, as far as the provider allows.
    Destroy,
}

impl ExpiredKeys {
    /// The word of the setting `SIGNET_EXPIRED_KEYS`, for log lines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Destroy => "destroy",
        }
    }
}

/// The differences between providers. They are checked at start.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The provider's name, which is also that of its folder, crate, setting and metric label.
    pub provider: &'static str,
    /// Who computes signatures.
    pub custody: Custody,
    /// The algorithms for which keys can be created.
    pub algorithms: &'static [Algorithm],
    /// What decides races between replicas.
    pub claim: Claim,
    /// The maximum length in bytes of a message for `sign`, by the algorithm of the key. `None` if there is no limit.
    pub longest_message: fn(Algorithm) -> Option<usize>,
    /// How often the ring may be read, if the vendor limits it.
    pub reads: Option<ReadQuota>,
}

/// The vendor's limit on calls of all replicas together, and the calls that one reading takes. A policy whose refresh
/// interval exceeds the limit is refused at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadQuota {
    /// The vendor's limit on calls within the time `per`.
    pub calls: u32,
    /// The time for which the limit counts.
    pub per: Duration,
    /// The number of calls for one `list` of a known ring with four keys.
    pub calls_per_list: u32,
    /// The vendor's page that states the limit.
    pub page: &'static str,
}

/// A request to create a key.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The newest key of the ring that the caller has seen. `None` for an empty ring.
    pub successor_of: Option<Kid>,
    /// The algorithm of the key.
    pub algorithm: Algorithm,
    /// The size of the key, if it is an RSA key.
    pub rsa_bits: RsaBits,
    /// The terms of the key.
    pub terms: Terms,
}

impl NewKey {
    /// A request for the next key of a ring under this policy.
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

/// A place where the keys of one ring are kept. The contract has twelve clauses:
///
/// 1. *A created key is listed.* After `create` has returned a key, `list` includes it.
/// 2. *A key never changes.* The public key, algorithm, creation time and terms of a kid are the same in every answer.
///    The creation time is the provider's own record.
/// 3. *A successor is created for a named key.* With an atomic claim, `create` for the successor of a key that is not
/// the newest
///    creates nothing and returns the newest. Without one, the key that it creates is listed like any other
///    ([`NewKey::decide`]).
/// 4. *The requested key makes the signature.* `sign` returns a signature in JWS form that verifies under the
///    listed public key.
/// 5. *Custody is as declared.* `unseal` returns the private key for sealed custody, and `None` for remote custody.
/// 6. *A retired key cannot sign.* After `retire`, `sign` and `unseal` refuse the key as unusable or unknown. A retired
///    key that is still listed is `Disabled`; a destroyed key is not listed. Retiring a listed key twice is not an
///    error. The newest key that can sign is not retired: `retire` refuses it as unusable
///    ([`may_retire`](crate::may_retire)).
/// 7. *A revoked key never signs again.* After `revoke`, `list` shows the revocation with the reason of the first call,
///    and `sign` and `unseal` refuse the key, whatever state the provider gives it. Revoking twice is not an error.
/// 8. *Unknown keys are not found.* Every call that names a key which is not in the ring fails with `NotFound`.
/// 9. *An algorithm that is not declared is refused* with `InvalidConfig`, before anything is created.
/// 10. *Nothing is half done.* After a call that failed or was cancelled at any point, the ring can be listed, and a
///     later call adopts or deletes whatever was left.
/// 11. *Errors say who must act* by their kind, and never contain key material.
/// 12. *A new process reads the ring*, whatever state the provider gives its keys. Keys that are disabled, revoked or
///     being deleted do not prevent it. It lists every revoked key that was not destroyed, even one that it never saw
///     enabled. It need not list a disabled key that was not revoked.
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync {
    /// How this provider differs from others.
    fn capabilities(&self) -> Capabilities;

    /// Lists all keys of the ring that were not destroyed, including revoked ones, in any order.
    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError>;

    /// Creates a key, or returns the key that somebody else created first (clause 3).
    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError>;

    /// Signs the message. The signature is in JWS form.
    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError>;

    /// Returns the private key, in sealed custody. `None` in remote custody.
    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError>;

    /// Disables or destroys an expired key.
    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError>;

    /// Marks a key as revoked, for ever.
    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError>;

    /// Tries all permissions that the other calls need, one by one. Leaves nothing behind.
    async fn check(&self, trials: &mut Trials);

    /// Deletes the remains of crashes, which belong to no ring. Returns a description of each.
    async fn prune(&self) -> Result<Vec<String>, ProviderError>;
}
