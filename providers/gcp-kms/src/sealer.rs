//! The sealer: Google encrypts and decrypts with a key that never leaves it, with the context as
//! additional authenticated data.

use std::fmt;
use std::sync::Arc;

use signet_api::{ProviderError, Trials, async_trait};
use signet_sealed::{Context, Sealer};
use zeroize::Zeroizing;

use crate::client::Kms;
use crate::config::GcpConfig;

/// Opens the sealer of a crypto key of purpose `ENCRYPT_DECRYPT`. Makes no call.
///
/// # Errors
/// `InvalidConfig` if the client cannot be made.
pub async fn sealer(config: GcpConfig) -> Result<Arc<dyn Sealer>, ProviderError> {
    Ok(Arc::new(KmsSealer(Kms::new(config).await?)))
}

struct KmsSealer(Kms);

#[async_trait]
impl Sealer for KmsSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        let sealed = self.0.encrypt(plaintext, context.to_bytes()).await?;
        Ok(sealed.ciphertext.into())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let opened = self.0.decrypt(wrapped, context.to_bytes()).await?;
        // No other handle to these bytes exists, so this does not copy them.
        Ok(Zeroizing::new(opened.plaintext.into()))
    }

    async fn check(&self, trials: &mut Trials) {
        crate::check::sealed(&self.0, trials).await;
    }
}

impl fmt::Debug for KmsSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KmsSealer({})", self.0.key)
    }
}
