//! The one thing that a provider must keep secret for us: a key that wraps other keys.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use signet_api::{ProviderError, Trials};
use zeroize::Zeroizing;

use crate::context::Context;

/// Wraps and unwraps small secrets under a key that it never shows.
///
/// The ring is as trustworthy as this promise: *what `unwrap` accepts was made by `wrap`, in the same context, by
/// somebody who was allowed to call it*. Encryption to a public key alone does not keep it, as anybody can do that.
///
/// [`Sealed`](crate::Sealed) puts its own provider and operation into the errors.
#[async_trait]
pub trait Sealer: Debug + Send + Sync {
    /// Encrypts a secret of at most 4 KiB, bound to the context.
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError>;

    /// Decrypts what `wrap` made, and fails as `BadAnswer` if it did not make it, or made it in another context.
    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError>;

    /// Tries what only this sealer knows of. That wrapping and unwrapping work is tried by whoever calls this.
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
