//! Tests of the deadlines.

mod common;

use common::{ed25519, mark, sealed, seconds};
use std::sync::Arc;
use std::time::Duration;

use signet_api::{ErrorKind, ExpiredKeys, KeyProvider, Operation, ProviderError, Trials};
use signet_base::chain;
use signet_guards::{Deadlines, GuardExt as _, TimeLimited};
use signet_sealed::MemoryStore;
use signet_testkit::{Fault, FaultyProvider};
use tokio::time::Instant;

fn limited() -> (FaultyProvider, Arc<dyn KeyProvider>) {
    let faulty = FaultyProvider::new(sealed(MemoryStore::default()));
    let inner: Arc<dyn KeyProvider> = Arc::new(faulty.clone());
    (faulty, inner.guarded(TimeLimited::new(Deadlines::default())))
}

#[tokio::test(start_paused = true)]
async fn each_call_ends_at_its_own_deadline() {
    let (faulty, provider) = limited();
    let key = provider.create(&ed25519(None)).await.expect("a key");
    let kid = key.kid();
    for (operation, deadline) in [
        (Operation::List, 10),
        (Operation::Create, 60),
        (Operation::Sign, 2),
        (Operation::Unseal, 10),
        (Operation::Retire, 20),
        (Operation::Revoke, 20),
    ] {
        let began = Instant::now();
        faulty.script(operation, [Fault::Hangs]);
        let failed: Option<ProviderError> = match operation {
            Operation::List => provider.list().await.err(),
            Operation::Create => provider.create(&ed25519(None)).await.err(),
            Operation::Sign => provider.sign(kid, b"m").await.err(),
            Operation::Unseal => provider.unseal(kid).await.err(),
            Operation::Retire => provider.retire(kid, ExpiredKeys::Disable).await.err(),
            _ => provider.revoke(kid, &mark()).await.err(),
        };
        let error = failed.expect("too slow");
        assert_eq!(error.kind, ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), seconds(deadline), "{operation:?}");
        let word = operation.as_str();
        assert_eq!(
            chain(&error),
            format!(
                "test: {word} failed (timed_out): test did not answer {word} within {deadline} s. The provider is \
                 overloaded, or the network drops packets. Check the provider's status page, then \
                 name resolution, network policies and the proxies of this machine"
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_but_in_time_passes() {
    let (faulty, provider) = limited();
    faulty.script(Operation::Create, [Fault::Slow(seconds(59))]);
    let key = provider.create(&ed25519(None)).await.expect("in time");
    faulty.script(Operation::Sign, [Fault::Slow(Duration::from_millis(1999))]);
    provider.sign(key.kid(), b"m").await.expect("in time");
}

/// A provider whose `check` and `prune` hang.
#[derive(Debug)]
struct Hanging(Arc<dyn KeyProvider>);

#[signet_api::async_trait]
impl KeyProvider for Hanging {
    fn capabilities(&self) -> signet_api::Capabilities {
        self.0.capabilities()
    }
    async fn list(&self) -> Result<Vec<signet_core::KeyRecord>, ProviderError> {
        self.0.list().await
    }
    async fn create(&self, new: &signet_api::NewKey) -> Result<signet_core::KeyRecord, ProviderError> {
        self.0.create(new).await
    }
    async fn sign(
        &self,
        kid: &signet_core::Kid,
        message: &[u8],
    ) -> Result<signet_core::signing_key::Signature, ProviderError> {
        self.0.sign(kid, message).await
    }
    async fn unseal(&self, kid: &signet_core::Kid) -> Result<Option<signet_core::SigningKey>, ProviderError> {
        self.0.unseal(kid).await
    }
    async fn retire(&self, kid: &signet_core::Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        self.0.retire(kid, action).await
    }
    async fn revoke(&self, kid: &signet_core::Kid, revocation: &signet_core::Revocation) -> Result<(), ProviderError> {
        self.0.revoke(kid, revocation).await
    }
    async fn check(&self, trials: &mut Trials) {
        let never = std::future::pending::<Result<(), ProviderError>>();
        trials.property("an answer", "everything", never).await;
    }
    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn check_and_prune_end_too() {
    let inner: Arc<dyn KeyProvider> = Arc::new(Hanging(sealed(MemoryStore::default())));
    let provider = inner.guarded(TimeLimited::new(Deadlines::default()));
    let began = Instant::now();
    let checks = Trials::of(async |trials| provider.check(trials).await).await;
    assert_eq!(began.elapsed(), seconds(60));
    let error = checks[0].answer.error().expect("too slow");
    assert_eq!((checks.len(), error.kind), (1, ErrorKind::TimedOut));
    let error = provider.prune().await.expect_err("too slow");
    assert_eq!((error.kind, began.elapsed()), (ErrorKind::TimedOut, seconds(120)));
}
