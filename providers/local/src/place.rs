//! The ring file together with its key file: a store that never mistakes a lost ring for a first start.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use signet_api::{ErrorKind, Operation, ProviderError, Trials};
use signet_sealed::{FileStore, RingStore, Stored, Swap, Version};

use crate::NAME;
use crate::config::Layout;
use crate::error::Refusal;
use crate::key_file::{self, FoundKey, Key};

#[derive(Debug)]
pub(crate) struct Place<R = FileStore> {
    layout: Arc<Layout>,
    store: R,
    key: Arc<Key>,
    /// Whether the key file has its final name, or must not be renamed by this process.
    key_is_named: AtomicBool,
}

/// The purpose for which a ring is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To create and change keys.
    Change,
    /// To read only. Even a first start that a crash interrupted is not completed.
    Look,
}

impl Place {
    pub(crate) fn new(layout: Arc<Layout>, found: FoundKey, access: Access) -> Self {
        let store = FileStore::new(&layout.ring_file, layout.ring_disk);
        let place = Self::over(store, layout, found);
        if access == Access::Look {
            place.key_is_named.store(true, Ordering::Release);
        }
        place
    }
}

impl<R: RingStore> Place<R> {
    fn over(store: R, layout: Arc<Layout>, found: FoundKey) -> Self {
        Self {
            store,
            layout,
            key: Arc::new(found.key),
            key_is_named: AtomicBool::new(found.is_named),
        }
    }

    pub(crate) fn key(&self) -> Arc<Key> {
        Arc::clone(&self.key)
    }

    /// Renames the key file, now that the ring is on disk. If that fails, the next read or start tries again;
    /// the ring works all the same.
    async fn name_key(&self, take_lock: bool) {
        if self.key_is_named.load(Ordering::Acquire) {
            return;
        }
        let (layout, key) = (Arc::clone(&self.layout), self.key());
        let named = blocking(move || {
            let _lock = match take_lock {
                true => Some(layout.data_disk.lock(&layout.start_lock)?),
                false => None,
            };
            key_file::name(&layout, &key)
        })
        .await;
        match named {
            Ok(()) => self.key_is_named.store(true, Ordering::Release),
            Err(error) => tracing::warn!(
                key_file = %self.layout.key_file.display(),
                error = %error.source,
                "the key file cannot be renamed to its final name yet; Signet tries again"
            ),
        }
    }
}

#[async_trait]
impl<R: RingStore> RingStore for Place<R> {
    fn location(&self) -> String {
        self.store.location()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        // Look for the traces first. If Signet looked for the ring first, another process could create the ring and the
        // traces between the two looks.
        let layout = Arc::clone(&self.layout);
        let lost = blocking(move || {
            let found = layout.traces_found()?;
            Ok((!found.is_empty()).then(|| Refusal::ring_missing(&layout.ring_file, &found)))
        })
        .await?;
        match (self.store.load().await?, lost) {
            (Some(stored), _) => {
                self.name_key(true).await;
                Ok(Some(stored))
            }
            (None, Some(lost)) => Err(lost.into()),
            (None, None) => Ok(None),
        }
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        if expected.is_some() {
            return self.store.compare_and_swap(expected, bytes).await;
        }
        // The first ring and its key are created under one lock, so the key on disk is the one that sealed the ring.
        let (layout, key) = (Arc::clone(&self.layout), self.key());
        let _lock = blocking(move || {
            let lock = layout.data_disk.lock(&layout.start_lock)?;
            match key_file::read(&layout)? {
                Some(found) if found.key == *key => Ok(lock),
                _ => Err(Refusal::KeyChanged {
                    key: layout.key_file.clone(),
                }
                .into()),
            }
        })
        .await?;
        let swap = self.store.compare_and_swap(None, bytes).await?;
        if swap != Swap::Lost {
            self.name_key(false).await;
        }
        Ok(swap)
    }

    async fn check(&self, trials: &mut Trials) {
        self.store.check(trials).await;
    }
}

/// Runs file operations on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(ProviderError::new(
            NAME,
            Operation::Open,
            ErrorKind::Unavailable,
            "the file operation was cancelled, because the process is stopping",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalConfig;

    /// A test store that finds no ring. Before it answers, another process completes its first start.
    #[derive(Debug)]
    struct Overtaken(Arc<Layout>);

    #[async_trait]
    impl RingStore for Overtaken {
        fn location(&self) -> String {
            "overtaken".to_owned()
        }

        async fn load(&self) -> Result<Option<Stored>, ProviderError> {
            for file in [&self.0.ring_file, &self.0.key_file] {
                std::fs::write(file, "the other process created it").expect("written");
            }
            Ok(None)
        }

        async fn compare_and_swap(&self, _: Option<&Version>, _: &[u8]) -> Result<Swap, ProviderError> {
            Ok(Swap::Lost)
        }

        async fn check(&self, _: &mut Trials) {}
    }

    #[tokio::test]
    async fn a_first_start_that_was_overtaken_does_not_look_like_a_lost_ring() {
        let directory = tempfile::tempdir().expect("a directory");
        let layout = Arc::new(Layout::new(&LocalConfig {
            data_dir: directory.path().to_owned(),
            key_file: None,
            ring_file: None,
            ring: "signet".to_owned(),
        }));
        let found = key_file::read_or_make(&layout).expect("a key");
        let place = Place::over(Overtaken(Arc::clone(&layout)), layout, found);
        assert_eq!(place.load().await.expect("no ring yet"), None);
        let error = place
            .load()
            .await
            .expect_err("the traces existed before Signet looked for the ring");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
}
