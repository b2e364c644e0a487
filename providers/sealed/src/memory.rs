//! A store in memory, for tests and simulations.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use signet_api::{ProviderError, Trials};
use tokio::task::yield_now;

use crate::store::{RingStore, Stored, Swap, Version};

/// A document in memory. Clones share it, as replicas share a store. Each call yields before and after it acts, as a
/// network call would, so tests meet the same interleavings and cancellations.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Option<Vec<u8>>,
    writes: u64,
}

impl MemoryStore {
    /// The current document.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        self.state().bytes.clone()
    }

    /// Overwrites the document, as somebody could who has the store but not the sealer.
    pub fn overwrite(&self, bytes: Option<Vec<u8>>) {
        let mut state = self.state();
        state.bytes = bytes;
        state.writes += 1;
    }

    /// How often the document was written.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    fn swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Swap {
        let mut state = self.state();
        let current = state.bytes.as_ref().map(|_| version(state.writes));
        if current.as_ref() != expected {
            return Swap::Lost;
        }
        state.bytes = Some(bytes.to_vec());
        state.writes += 1;
        Swap::Stored(version(state.writes))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

fn version(writes: u64) -> Version {
    Version::new(writes.to_string())
}

#[async_trait]
impl RingStore for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        yield_now().await;
        let stored = {
            let state = self.state();
            state.bytes.clone().map(|bytes| Stored {
                bytes,
                version: version(state.writes),
            })
        };
        yield_now().await;
        Ok(stored)
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        yield_now().await;
        let swap = self.swap(expected, bytes);
        yield_now().await;
        Ok(swap)
    }

    async fn check(&self, _: &mut Trials) {}
}
