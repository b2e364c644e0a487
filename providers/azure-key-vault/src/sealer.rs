//! The sealer: encryption to an RSA key of the vault, and a signature by that key over the result.
//!
//! Anybody can encrypt to a public key, so a blob also has a PS256 signature, which only the vault can make, and only
//! for callers with permission (decision 0011). A secret is sealed with the latest version of the key and names that
//! version, so it can still be opened after the key was rotated.
//!
//! Wrapping takes two calls (the latest version's public key, and the signature). Unwrapping takes one, and another for
//! the public key of a version that this process has not seen.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::rand::fill;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use parking_lot::Mutex;
use signet_api::{ErrorKind, Operation, ProviderError, Trials};
use signet_core::{Algorithm, PublicKey, VerifyingKey};
use signet_sealed::{Context, Sealer};
use zeroize::Zeroizing;

use crate::NAME;
use crate::blob::{Blob, NONCE};
use crate::check;
use crate::client::Vault;
use crate::config::AzureConfig;

/// The length of the data key that encrypts a secret, in bytes.
const DATA_KEY: usize = 32;
/// `Sealed` replaces this operation in errors by its own.
const OPERATION: Operation = Operation::Unseal;

struct AzureSealer {
    vault: Arc<Vault>,
    /// Public keys by version. They never change.
    seen: Mutex<HashMap<String, VerifyingKey>>,
}

/// Opens a sealer with the RSA key in `SIGNET_KEY`. Makes no call yet.
///
/// # Errors
/// `InvalidConfig` if the credentials cannot be set up.
pub async fn sealer(config: AzureConfig) -> Result<Arc<dyn Sealer>, ProviderError> {
    Ok(Arc::new(AzureSealer {
        vault: Vault::open(&config)?,
        seen: Mutex::default(),
    }))
}

impl AzureSealer {
    fn error(&self, kind: ErrorKind, text: String) -> ProviderError {
        ProviderError::new(NAME, OPERATION, kind, text)
    }

    fn library(&self) -> ProviderError {
        let text = "the cryptographic library failed; Signet tries again".to_owned();
        self.error(ErrorKind::Unavailable, text)
    }

    fn not_ours(&self, why: &str) -> ProviderError {
        let text = format!(
            "{why}. The ring was changed, or it was encrypted with another key than {}. Correct SIGNET_KEY, or \
             restore the ring from a backup; if nobody in your team changed it, treat it as an attack",
            self.vault.url()
        );
        self.error(ErrorKind::BadAnswer, text)
    }

    fn verifying(&self, version: &str, public: &PublicKey) -> Result<VerifyingKey, ProviderError> {
        let key = public.for_algorithm(Algorithm::PS256).map_err(|_| {
            let text = format!(
                "{} is not an RSA key of at least 2048 bits, which sealed custody needs. Create one with az keyvault \
                 key create --kty RSA --size 3072 --ops sign verify wrapKey unwrapKey",
                self.vault.url()
            );
            self.error(ErrorKind::InvalidConfig, text)
        })?;
        let mut seen = self.seen.lock();
        seen.insert(version.to_owned(), key.clone());
        Ok(key)
    }

    /// The public key of the version in a blob, from the vault.
    async fn of_version(&self, version: &str) -> Result<VerifyingKey, ProviderError> {
        let known = self.seen.lock().get(version).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        match self.vault.get(OPERATION, Some(version)).await {
            Ok((_, public)) => self.verifying(version, &public),
            Err(error) if error.kind == ErrorKind::NotFound => Err(self.not_ours(&format!(
                "the secret was encrypted with version {version}, which the key does not have"
            ))),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Sealer for AzureSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        let (version, public) = self.vault.get(OPERATION, None).await?;
        let verifying = self.verifying(&version.id, &public)?;
        let context = context.to_bytes();

        let mut data_key = Zeroizing::new([0; DATA_KEY]);
        let mut nonce = [0; NONCE];
        fill(data_key.as_mut_slice()).map_err(|_| self.library())?;
        fill(&mut nonce).map_err(|_| self.library())?;
        // Allocate room for the tag now. A buffer that grows would leave a copy of the plaintext in memory.
        let mut ciphertext = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
        ciphertext.extend_from_slice(plaintext);
        UnboundKey::new(&AES_256_GCM, data_key.as_slice())
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key(nonce);
                LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::from(&context), &mut ciphertext)
            })
            .map_err(|_| self.library())?;
        let wrapped = encrypt(&verifying, data_key.as_slice()).ok_or_else(|| self.library())?;

        let mut blob = Blob {
            version: version.id,
            data_key: wrapped,
            nonce,
            ciphertext,
            signature: Vec::new(),
        };
        let signed = blob.signed(self.vault.url(), &context);
        let digest = digest::digest(&digest::SHA256, &signed).as_ref().to_vec();
        blob.signature = self
            .vault
            .sign(OPERATION, &blob.version, Algorithm::PS256, digest)
            .await?;
        if !verifying.verifies(&signed, &blob.signature) {
            let text = format!("the vault's signature by version {} does not verify", blob.version);
            return Err(self.error(ErrorKind::BadAnswer, text));
        }
        Ok(blob.to_bytes())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let blob = Blob::from_bytes(wrapped)
            .ok_or_else(|| self.not_ours("this is not a secret that Signet encrypted here"))?;
        let context = context.to_bytes();
        // Verify the signature first: data that the vault did not sign must not be sent to it for decryption.
        let verifying = self.of_version(&blob.version).await?;
        if !verifying.verifies(&blob.signed(self.vault.url(), &context), &blob.signature) {
            return Err(self.not_ours("the vault's signature of the secret does not verify"));
        }
        let data_key = match self.vault.unwrap_key(OPERATION, &blob.version, blob.data_key).await {
            Ok(key) => Zeroizing::new(key),
            // BadParameter: the padding is wrong.
            Err(error) if error.kind == ErrorKind::InvalidConfig => {
                return Err(self.not_ours("the vault cannot decrypt the secret's data key"));
            }
            Err(error) => return Err(error),
        };
        let key = UnboundKey::new(&AES_256_GCM, &data_key)
            .map_err(|_| self.not_ours("the secret's data key has the wrong length"))?;
        let mut buffer = Zeroizing::new(blob.ciphertext);
        let nonce = Nonce::assume_unique_for_key(blob.nonce);
        let len = LessSafeKey::new(key)
            .open_in_place(nonce, Aad::from(&context), &mut buffer)
            .map_err(|_| self.not_ours("the secret does not decrypt"))?
            .len();
        buffer.truncate(len);
        Ok(buffer)
    }

    async fn check(&self, trials: &mut Trials) {
        check::sealed(&self.vault, trials).await;
    }
}

/// Encrypts with RSA-OAEP-256.
///
/// This needs only the public key, so it is done here and not in the vault. The data key does not travel, and one
/// permission and one call fewer are needed.
fn encrypt(key: &VerifyingKey, data_key: &[u8]) -> Option<Vec<u8>> {
    let spki = key.to_spki_der().ok()?;
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&spki).ok()?).ok()?;
    let mut wrapped = vec![0; public.ciphertext_size()];
    let len = public
        .encrypt(&OAEP_SHA256_MGF1SHA256, data_key, &mut wrapped, None)
        .ok()?
        .len();
    wrapped.truncate(len);
    Some(wrapped)
}

impl fmt::Debug for AzureSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureSealer({})", self.vault.url())
    }
}
