//! The store of the ring document: one value with an atomic compare-and-swap.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use signet_api::{ProviderError, Trials};

/// The store's name for one state of its document: an entity tag, a generation number or a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The version with this name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The store's name for the version.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document as the store returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes of the document.
    pub bytes: Vec<u8>,
    /// The version to pass to `compare_and_swap`.
    pub version: Version,
}

/// The result of [`RingStore::compare_and_swap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The document is stored durably, with this version.
    Stored(Version),
    /// Another writer was first, and nothing has changed.
    Lost,
}

/// Stores one document for all replicas. The content is authenticated, so the store need not be trusted.
///
/// A `load` that starts after a swap has returned must return that document or a later one. If a store can return an
/// older one, [`Sealed`](crate::Sealed) reports a rollback. A swap happens completely or not at all, even if its future
/// is dropped or the process dies. After an error, it may or may not have happened.
#[async_trait]
pub trait RingStore: Debug + Send + Sync {
    /// The path or URL of the document, for the operator.
    fn location(&self) -> String;

    /// Reads the document. `None` if there never was one.
    async fn load(&self) -> Result<Option<Stored>, ProviderError>;

    /// Replaces the document if its version is still `expected`. `None` expects that there is no document.
    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError>;

    /// Checks the permissions that the other calls need. Leaves nothing behind.
    async fn check(&self, trials: &mut Trials);
}

#[async_trait]
impl RingStore for Arc<dyn RingStore> {
    fn location(&self) -> String {
        (**self).location()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        (**self).load().await
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        (**self).compare_and_swap(expected, bytes).await
    }

    async fn check(&self, trials: &mut Trials) {
        (**self).check(trials).await
    }
}
