//! All guards around a sealed ring in memory, and calls for testing guards without a provider.
#![allow(dead_code, reason = "each test file uses its own part")]

#[path = "../../../objects/tests/common/mod.rs"]
mod sealer;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use signet_api::{ErrorKind, KeyProvider, NewKey, Operation, ProviderError, SETTLING};
use signet_base::Jitter;
use signet_base::ManualClock;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, Timestamp};
use signet_guards::{
    Breaking, Breaks, Checked, Deadlines, GuardExt as _, Invocation, Pace, Paced, Retries, Retrying, TimeLimited,
};
use signet_sealed::{MemoryStore, RingStore};
use signet_testkit::{FaultyProvider, new_key};

pub(crate) const SKEW: Duration = Duration::from_secs(60);

pub(crate) fn sealed<R: RingStore + 'static>(store: R) -> Arc<dyn KeyProvider> {
    Arc::new(sealer::handle(store))
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn pace(per_second: u32, burst: u32, patience: Duration) -> Pace {
    Pace {
        per_second: NonZeroU32::new(per_second).expect("not zero"),
        burst: NonZeroU32::new(burst).expect("not zero"),
        patience,
        setting: "SIGNET_PROVIDER_RATE",
    }
}

/// The guards in the order of the sidecar, without the metrics.
pub(crate) fn line(
    provider: Arc<dyn KeyProvider>,
    clock: Arc<ManualClock>,
    seed: u64,
    control: Pace,
) -> Arc<dyn KeyProvider> {
    let provider = provider
        .guarded(TimeLimited::new(Deadlines::default()))
        .guarded(Breaking::new(Breaks::default(), Jitter::seeded(seed)))
        .guarded(Paced::new(control, pace(1000, 1000, seconds(1))))
        .guarded(Retrying::new(Retries::default(), Jitter::seeded(seed)));
    Arc::new(Checked::new(provider, clock, SKEW))
}

/// A provider with scripted faults, the guards around it, and the clock.
pub(crate) struct Scene {
    pub(crate) faulty: FaultyProvider,
    pub(crate) provider: Arc<dyn KeyProvider>,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn scene() -> Scene {
    let faulty = FaultyProvider::new(sealed(MemoryStore::default()));
    let clock = Arc::new(ManualClock::default());
    let provider = line(
        Arc::new(faulty.clone()),
        Arc::clone(&clock),
        1,
        pace(20, 40, seconds(5)),
    );
    Scene {
        faulty,
        provider,
        clock,
    }
}

impl Scene {
    /// A ring with two keys that was listed once. The first key was revoked some time ago.
    pub(crate) async fn with_two_keys(self) -> (Self, KeyRecord, KeyRecord) {
        let provider = &self.provider;
        let old = provider.create(&ed25519(None)).await.expect("a key");
        let new = provider.create(&ed25519(Some(old.kid()))).await.expect("a key");
        provider.revoke(old.kid(), &mark()).await.expect("revoked");
        provider.list().await.expect("lists");
        // After this time the provider must show all changes.
        self.clock.advance(SETTLING);
        provider.list().await.expect("lists");
        (self, old, new)
    }

    pub(crate) fn calls(&self, operation: Operation) -> usize {
        self.faulty.calls(operation)
    }
}

pub(crate) fn ed25519(of: Option<&Kid>) -> NewKey {
    new_key(Algorithm::EdDSA, of)
}

pub(crate) fn mark() -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_225_600),
        reason: "stolen".to_owned(),
    }
}

pub(crate) fn call(operation: Operation) -> Invocation<'static> {
    Invocation {
        provider: "test",
        operation,
        kid: None,
    }
}

pub(crate) fn failure(kind: ErrorKind) -> ProviderError {
    ProviderError::new("test", Operation::List, kind, "the test says so")
}
