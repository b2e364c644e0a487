//! AES-256-GCM with the key from the key file. The output is a random 96-bit nonce, the ciphertext and the 128-bit tag.
//!
//! Nonces are random because processes that share the key have no common counter. NIST SP 800-38D §8.3 allows 2³² of
//! them per key, and a ring encrypts one secret per rotation.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use signet_api::{ProviderError, Trials};
use signet_sealed::{Context, Sealer};
use zeroize::Zeroizing;

use crate::config::Layout;
use crate::error::Refusal;
use crate::key_file::{self, Key};
use crate::place::blocking;

pub(crate) struct KeyFileSealer {
    cipher: RandomizedNonceKey,
    key: Arc<Key>,
    layout: Arc<Layout>,
}

impl KeyFileSealer {
    pub(crate) fn new(key: Arc<Key>, layout: Arc<Layout>) -> Result<Self, ProviderError> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, key.octets()).map_err(|_| Refusal::Library)?;
        Ok(Self { cipher, key, layout })
    }

    fn wrong_key(&self) -> ProviderError {
        Refusal::WrongKey {
            ring: self.layout.ring_file.clone(),
            key: self.layout.key_file.clone(),
        }
        .into()
    }
}

#[async_trait]
impl Sealer for KeyFileSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        // Allocate room for the tag now. A buffer that grows would leave a copy of the plaintext in memory.
        let mut buffer = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
        buffer.extend_from_slice(plaintext);
        let nonce = self
            .cipher
            .seal_in_place_append_tag(Aad::from(context.to_bytes()), &mut buffer)
            .map_err(|_| Refusal::Library)?;
        Ok([nonce.as_ref().as_slice(), &buffer].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let (nonce, ciphertext) = wrapped
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(|| self.wrong_key())?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let len = self
            .cipher
            .open_in_place(Nonce::from(nonce), Aad::from(context.to_bytes()), &mut buffer)
            .map_err(|_| self.wrong_key())?
            .len();
        buffer.truncate(len);
        Ok(buffer)
    }

    async fn check(&self, trials: &mut Trials) {
        let (key, layout) = (Arc::clone(&self.key), Arc::clone(&self.layout));
        let unchanged = move || match key_file::read(&layout)? {
            Some(found) if found.key == *key => Ok(()),
            _ => Err(Refusal::KeyChanged {
                key: layout.key_file.clone(),
            }
            .into()),
        };
        let reading = format!(
            "read the key file {}, which no other user may read",
            self.layout.key_file.display()
        );
        trials
            .property(reading, "encrypting and decrypting private keys", blocking(unchanged))
            .await;
    }
}

impl fmt::Debug for KeyFileSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFileSealer({})", self.layout.key_file.display())
    }
}

#[cfg(test)]
mod tests {
    use signet_api::ErrorKind;
    use signet_sealed::Purpose;

    use super::*;
    use crate::LocalConfig;

    fn sealer(directory: &std::path::Path) -> KeyFileSealer {
        let layout = Arc::new(Layout::new(&LocalConfig {
            data_dir: directory.to_owned(),
            key_file: None,
            ring_file: None,
            ring: "signet".to_owned(),
        }));
        let found = key_file::read_or_make(&layout).expect("a key");
        KeyFileSealer::new(Arc::new(found.key), layout).expect("a sealer")
    }

    #[tokio::test]
    async fn what_was_wrapped_unwraps_whole_in_its_own_context_and_under_its_own_key_alone() {
        let (here, there) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let (sealer, other) = (sealer(here.path()), sealer(there.path()));
        let context = Context::new("ring", Purpose::RingKey);
        let wrapped = sealer.wrap(b"secret", &context).await.expect("wrapped");
        assert_eq!(
            sealer.unwrap(&wrapped, &context).await.expect("unwrapped").as_slice(),
            b"secret"
        );
        assert_ne!(
            wrapped,
            sealer.wrap(b"secret", &context).await.expect("wrapped"),
            "each secret has its own nonce"
        );

        let mut refusals = vec![other.unwrap(&wrapped, &context).await];
        for context in [
            Context::new("ring", Purpose::Trial),
            Context::new("gnir", Purpose::RingKey),
        ] {
            refusals.push(sealer.unwrap(&wrapped, &context).await);
        }
        for len in 0..wrapped.len() {
            refusals.push(sealer.unwrap(&wrapped[..len], &context).await);
        }
        for index in 0..wrapped.len() {
            let mut flipped = wrapped.clone();
            flipped[index] ^= 1;
            refusals.push(sealer.unwrap(&flipped, &context).await);
        }
        for refusal in refusals {
            assert_eq!(refusal.expect_err("refused").kind, ErrorKind::BadAnswer);
        }
    }
}
