//! The one way from a message to its signature: computed here, in the lane of slow signatures, or by the provider.
//!
//! [`Signing`] is the entry point. It knows neither tokens nor answers: each route says in its own words why nothing was
//! signed.

mod lane;
mod remote;

use std::sync::Arc;

use signet_api::{ErrorKind, ProviderError};
use signet_core::signing_key::{Signature, SigningKeyError};

use crate::nudge::Nudge;
use crate::snapshot::{Signer, Signs};

pub use lane::{Full, Lane};
pub use remote::Remote;

/// Why a message was not signed.
#[derive(Debug, thiserror::Error)]
pub enum NotSigned {
    /// More slow signatures wait than this machine can compute.
    #[error(transparent)]
    LaneFull(#[from] Full),
    /// The provider was not asked, because the message is longer than it signs.
    #[error("the message has {length} octets, and the provider signs at most {longest}")]
    TooLong {
        /// The octets of the message.
        length: usize,
        /// The most octets that the provider signs with this key.
        longest: usize,
    },
    /// The provider did not sign.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The cryptographic library failed.
    #[error(transparent)]
    Library(#[from] SigningKeyError),
}

/// The way to signatures.
#[derive(Debug)]
pub struct Signing {
    lane: Lane,
    remote: Arc<Remote>,
    nudge: Arc<Nudge>,
}

impl Signing {
    /// Puts the parts together.
    #[must_use]
    pub fn new(lane: Lane, remote: Arc<Remote>, nudge: Arc<Nudge>) -> Self {
        Self { lane, remote, nudge }
    }

    /// Signs a message, and gives it back with its signature: no copy is made of it. A quick signature is computed at once.
    /// A slow one waits in the lane, so that the thread can serve others. One that the provider computes waits for it.
    ///
    /// # Errors
    /// [`NotSigned`].
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
                Ok(self.lane.run(job).await??)
            }
            Signs::Remote => self.sign_by_provider(signer, message).await,
        }
    }

    /// If the provider refuses the key, the ring is read again: a revocation that is not known here yet takes effect then,
    /// and not with the next regular reading.
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
            self.nudge.refused_to_sign(kid);
        }
        Ok(signed?)
    }
}
