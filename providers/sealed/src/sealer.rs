//! The sealer: encrypts private keys with a key that the provider keeps secret.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use signet_api::{ProviderError, Trials};
use zeroize::Zeroizing;

use crate::context::Context;

/// Encrypts and decrypts small secrets with a key that it never reveals.
///
/// The security of the ring depends on this promise: *`unwrap` accepts only what `wrap` made in the same context,
/// called by somebody who was allowed to call it*. Encryption to a public key alone does not suffice, because anybody
/// can do that.
///
/// [`Sealed`](crate::Sealed) adds its own provider and operation to the errors.
#[async_trait]
pub trait Sealer: Debug + Send + Sync {
    /// Encrypts a secret of at most 4 KiB and binds it to the context.
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError>;

    /// Decrypts an output of `wrap`. Fails with `BadAnswer` if `wrap` did not make it, or made it in another context.
    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError>;

    /// Checks the permissions that only this sealer knows about. The caller has already tested `wrap` and `unwrap`.
    async fn check(&self, trials: &mut Trials);
}

#[async_trait]
impl Sealer for Arc<dyn Sealer> {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        (**self).wrap(plaintext, context).await
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        (**self).unwrap(wrapped, context).await
    }

    async fn check(&self, trials: &mut Trials) {
        (**self).check(trials).await
    }
}
