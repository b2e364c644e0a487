//! A sealer for tests that can be switched off, and functions to open a ring.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod forge;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use signet_api::{ErrorKind, KeyProvider, NewKey, Operation, ProviderError, Trials, async_trait};
use signet_base::Clock;
use signet_base::ManualClock;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, Timestamp};
use signet_sealed::disk::Disk;
use signet_sealed::{Context, MemoryStore, RingStore, Sealed, Sealer};
use signet_testkit::new_key;
use zeroize::Zeroizing;

/// AES-256-GCM with a constant key. Clones share the switch and the counter.
#[derive(Clone, Debug)]
pub(crate) struct TestSealer {
    key: u8,
    down: Arc<AtomicBool>,
    unwraps: Arc<AtomicUsize>,
}

impl TestSealer {
    pub(crate) fn new(key: u8) -> Self {
        Self {
            key,
            down: Arc::default(),
            unwraps: Arc::default(),
        }
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub(crate) fn unwraps(&self) -> usize {
        self.unwraps.load(Ordering::SeqCst)
    }

    async fn cipher(&self) -> Result<RandomizedNonceKey, ProviderError> {
        tokio::task::yield_now().await;
        if self.down.load(Ordering::SeqCst) {
            let text = "the test says that the sealer is down";
            return Err(ProviderError::new(
                "test",
                Operation::Check,
                ErrorKind::Unavailable,
                text,
            ));
        }
        Ok(RandomizedNonceKey::new(&AES_256_GCM, &[self.key; 32]).expect("a key"))
    }
}

#[async_trait]
impl Sealer for TestSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        let cipher = self.cipher().await?;
        let mut buffer = plaintext.to_vec();
        let nonce = cipher
            .seal_in_place_append_tag(Aad::from(context.to_bytes()), &mut buffer)
            .expect("seals");
        Ok([nonce.as_ref().as_slice(), &buffer].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let cipher = self.cipher().await?;
        self.unwraps.fetch_add(1, Ordering::SeqCst);
        let foreign = || {
            ProviderError::new(
                "test",
                Operation::Check,
                ErrorKind::BadAnswer,
                "not wrapped by this sealer",
            )
        };
        let (nonce, ciphertext) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or_else(foreign)?;
        let mut buffer = ciphertext.to_vec();
        let plain = cipher
            .open_in_place(Nonce::from(nonce), Aad::from(context.to_bytes()), &mut buffer)
            .map_err(|_| foreign())?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    async fn check(&self, _: &mut Trials) {}
}

/// Opens a handle to the ring "ring" in this store.
pub(crate) fn handle<R: RingStore>(store: R) -> Sealed<TestSealer, R> {
    sealed_by(TestSealer::new(7), store)
}

pub(crate) fn sealed_by<R: RingStore>(sealer: TestSealer, store: R) -> Sealed<TestSealer, R> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Sealed::new("ring", "test", sealer, store, clock)
}

pub(crate) fn disk() -> Disk {
    Disk {
        provider: "test",
        setting: "SIGNET_DATA_DIR",
    }
}

pub(crate) fn ed25519(of: Option<&Kid>) -> NewKey {
    new_key(Algorithm::EdDSA, of)
}

/// Adds this many keys, each the successor of the one before.
pub(crate) async fn grow(provider: &dyn KeyProvider, keys: usize) -> Vec<KeyRecord> {
    let mut made: Vec<KeyRecord> = Vec::new();
    let mut of = newest(provider).await;
    for _ in 0..keys {
        let key = provider.create(&ed25519(of.as_ref())).await.expect("a key");
        of = Some(key.kid().clone());
        made.push(key);
    }
    made
}

pub(crate) async fn newest(provider: &dyn KeyProvider) -> Option<Kid> {
    let keys = provider.list().await.expect("lists");
    keys.iter()
        .max_by_key(|key| key.created_at)
        .map(|key| key.kid().clone())
}

pub(crate) fn mark(reason: &str) -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: reason.to_owned(),
    }
}

/// A ring of four keys: one revoked, one retired and two enabled.
pub(crate) async fn eventful(store: &MemoryStore) -> Vec<KeyRecord> {
    let provider = handle(store.clone());
    let keys = grow(&provider, 4).await;
    provider.revoke(keys[0].kid(), &mark("stolen")).await.expect("revoked");
    provider
        .retire(keys[1].kid(), signet_api::ExpiredKeys::Disable)
        .await
        .expect("retired");
    provider.list().await.expect("lists")
}
