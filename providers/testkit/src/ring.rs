//! Small operations that most tests of a ring need.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use signet_api::{KeyProvider, NewKey};
use signet_core::algorithm::{KeyType, RsaBits};
pub(crate) use signet_core::ring::newest;
use signet_core::{Algorithm, KeyRecord, Kid, Terms};

/// Terms with three different durations, which reveal a provider that confuses them. They have fractions of a
/// millisecond, which no record can hold.
#[must_use]
pub fn terms() -> Terms {
    Terms::new(
        Duration::from_micros(3_600_000_900),
        Duration::from_micros(1_800_000_500),
        Duration::from_secs(2040),
    )
}

/// A request for the successor of a key, or for the first key.
#[must_use]
pub fn new_key(algorithm: Algorithm, successor_of: Option<&Kid>) -> NewKey {
    NewKey {
        successor_of: successor_of.cloned(),
        algorithm,
        rsa_bits: RsaBits::B2048,
        terms: terms(),
    }
}

pub(crate) async fn create(provider: &dyn KeyProvider, algorithm: Algorithm, of: Option<&Kid>) -> KeyRecord {
    provider.create(&new_key(algorithm, of)).await.expect("a key")
}

pub(crate) async fn list(provider: &dyn KeyProvider) -> Vec<KeyRecord> {
    let keys = provider.list().await.expect("the ring lists");
    let kids: HashSet<&Kid> = keys.iter().map(KeyRecord::kid).collect();
    assert_eq!(kids.len(), keys.len(), "no key is listed twice");
    keys
}

pub(crate) fn find<'a>(keys: &'a [KeyRecord], kid: &Kid) -> Option<&'a KeyRecord> {
    keys.iter().find(|key| key.kid() == kid)
}

/// The algorithms that the provider declares, with only one of RSA, because RSA keys take long to generate.
pub(crate) fn few_algorithms(provider: &dyn KeyProvider) -> Vec<Algorithm> {
    let mut rsa_seen = false;
    let declared = provider.capabilities().algorithms.iter().copied();
    declared
        .filter(|algorithm| algorithm.key_type() != KeyType::Rsa || !std::mem::replace(&mut rsa_seen, true))
        .collect()
}

/// The declared algorithm whose keys are generated fastest.
pub(crate) fn quickest(provider: &dyn KeyProvider) -> Algorithm {
    let declared = provider.capabilities().algorithms;
    [Algorithm::EdDSA, Algorithm::ES256]
        .into_iter()
        .find(|algorithm| declared.contains(algorithm))
        .unwrap_or_else(|| *declared.first().expect("a provider declares an algorithm"))
}

/// Asserts that two records describe the same key.
pub(crate) fn assert_same_key(a: &KeyRecord, b: &KeyRecord) {
    assert_eq!(a.kid(), b.kid());
    assert_eq!(a.kid(), &a.public.public().kid(), "the kid is the thumbprint");
    assert_eq!(a.public.public(), b.public.public());
    assert_eq!(a.public.algorithm(), b.public.algorithm());
    assert_eq!(a.created_at, b.created_at);
    assert_eq!(a.terms, b.terms);
}

/// Polls a future for this many steps and then drops it, as a cancelled caller does. `None` means that it was dropped.
pub(crate) async fn cancelled_after<T>(steps: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut waits = 0;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if waits == steps => Poll::Ready(None),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await
}
