//! Signs messages: here, on the threads for slow signatures, or in the provider.
//!
//! [`Signing`] is the entry point. It knows neither tokens nor answers; each route words its own errors.

mod remote;
mod slow;

use std::sync::Arc;

use signet_api::{ErrorKind, ProviderError};
use signet_core::signing_key::{Signature, SigningKeyError};

use crate::nudge::Nudge;
use crate::snapshot::{Signer, Signs};

pub use remote::Remote;
pub use slow::{QueueFull, SlowSigner};

/// Why a message was not signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// More slow signatures are waiting than this machine can compute.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The message is longer than the provider can sign, so Signet did not send it.
    #[error("the message has {length} bytes, but the provider signs at most {longest}")]
    TooLong {
        /// The length of the message in bytes.
        length: usize,
        /// The maximum length in bytes that the provider signs with this key.
        longest: usize,
    },
    /// The provider did not sign.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The cryptographic library failed.
    #[error(transparent)]
    Library(#[from] SigningKeyError),
}

/// Signs messages with the active key.
#[derive(Debug)]
pub struct Signing {
    slow_signer: SlowSigner,
    remote: Arc<Remote>,
    nudge: Arc<Nudge>,
}

impl Signing {
    /// Combines the parts.
    #[must_use]
    pub fn new(slow_signer: SlowSigner, remote: Arc<Remote>, nudge: Arc<Nudge>) -> Self {
        Self {
            slow_signer,
            remote,
            nudge,
        }
    }

    /// Signs a message, and returns it with its signature, without copying it.
    ///
    /// A fast signature is computed at once. A slow one is computed on other threads, so this thread can serve other
    /// requests. In remote custody, this waits for the provider.
    ///
    /// # Errors
    /// [`NotSigned`] if there is no signature.
    pub async fn sign<M>(&self, signer: &Signer, message: M) -> Result<(M, Signature), NotSigned>
    where
        M: AsRef<[u8]> + Send + 'static,
    {
        match &signer.signs {
            Signs::Here(key) if !key.verifying_key().algorithm().is_slow_to_sign() => {
                let signature = key.sign(message.as_ref())?;
                Ok((message, signature))
            }
            Signs::Here(key) => {
                let key = Arc::clone(key);
                let job = move || key.sign(message.as_ref()).map(|signature| (message, signature));
                Ok(self.slow_signer.run(job).await??)
            }
            Signs::Remote => self.sign_by_provider(signer, message).await,
        }
    }

    /// Signs with the provider. If the provider refuses the key, the ring is read again: a revocation that is not known
    /// here takes effect at once and not with the next regular reading.
    async fn sign_by_provider<M>(&self, signer: &Signer, message: M) -> Result<(M, Signature), NotSigned>
    where
        M: AsRef<[u8]> + Send + 'static,
    {
        let (kid, length) = (signer.public.kid(), message.as_ref().len());
        if let Some(longest) = signer.longest_message.filter(|longest| length > *longest) {
            return Err(NotSigned::TooLong { length, longest });
        }
        let signed = self.remote.sign(kid, message).await;
        let is_refused = |failure: &ProviderError| failure.kind == ErrorKind::KeyUnusable;
        if signed.as_ref().is_err_and(is_refused) {
            self.nudge.on_refused_to_sign(kid);
        }
        Ok(signed?)
    }
}
