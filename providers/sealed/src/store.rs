//! The place of the ring document: one value, and a swap that loses against anybody who was faster.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use signet_api::{ProviderError, Trials};

/// What a store calls one state of its document: an entity tag, a generation number, a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// The version that the store names so.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The store's name for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The document as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its version, to be named when it is swapped.
    pub version: Version,
}

/// How a swap ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The document is stored, durably, under this version.
    Stored(Version),
    /// Somebody else was faster; nothing was changed.
    Lost,
}

/// Keeps one document for all replicas. It is not trusted with its content.
///
/// A `load` that starts after a swap was answered returns that swap's document or a later one: a store that can show an
/// older one makes [`Sealed`](crate::Sealed) cry rollback. A swap is all or nothing, also when its future is dropped or
/// the process dies; after an error it may or may not have happened.
#[async_trait]
pub trait RingStore: Debug + Send + Sync {
    /// Where the document is, for the operator: a path or an URL.
    fn location(&self) -> String;

    /// The document, or `None` if there never was one.
    async fn load(&self) -> Result<Option<Stored>, ProviderError>;

    /// Puts `bytes` in place of the version that the caller saw, or in an empty place for `None`.
    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError>;

    /// Tries the permissions that the other calls need, and leaves nothing behind.
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
