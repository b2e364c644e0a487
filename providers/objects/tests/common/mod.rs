//! A sealer for tests: AES-256-GCM with a constant key.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use signet_api::{ErrorKind, Operation, ProviderError, Trials, async_trait};
use signet_base::Clock;
use signet_base::ManualClock;
use signet_sealed::{Context, RingStore, Sealed, Sealer};
use zeroize::Zeroizing;

#[derive(Clone, Copy, Debug)]
pub(crate) struct TestSealer;

fn key() -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM, &[7; 32]).expect("a key")
}

#[async_trait]
impl Sealer for TestSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        let mut buffer = plaintext.to_vec();
        let nonce = key()
            .seal_in_place_append_tag(Aad::from(context.to_bytes()), &mut buffer)
            .expect("seals");
        Ok([nonce.as_ref().as_slice(), &buffer].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
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
        let plain = key()
            .open_in_place(Nonce::from(nonce), Aad::from(context.to_bytes()), &mut buffer)
            .map_err(|_| foreign())?;
        Ok(Zeroizing::new(plain.to_vec()))
    }

    async fn check(&self, _: &mut Trials) {}
}

/// Opens a handle to the ring "ring" in this store.
pub(crate) fn handle<R: RingStore>(store: R) -> Sealed<TestSealer, R> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Sealed::new("ring", "test", TestSealer, store, clock)
}
