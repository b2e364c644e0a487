//! The `file:` store: one file, replaced under a lock. Several processes may share its directory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signet_api::{ErrorKind, ProviderError, Trials};

use crate::disk::{Disk, Rules, directory_of, with_suffix};
use crate::document::LONGEST;
use crate::store::{RingStore, Stored, Swap, Version};

const RULES: Rules = Rules {
    follow_links: false,
    forbidden_mode: 0o022,
    kind: ErrorKind::BadAnswer,
    longest: LONGEST as u64,
    remedy: "Another user could have written it. Compare it with a backup, then give it to the user of the sidecar, with \
         mode 0600",
};

/// A ring document in a file of mode 0600. A missing directory is created with mode 0700.
///
/// Writers lock `<file>.lock` next to it, and use `<file>.tmp` during a write. Reading needs no lock, because the file
/// is only replaced as a whole.
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
    disk: Disk,
}

impl FileStore {
    /// A store in this file. `disk` gives the names for errors.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, disk: Disk) -> Self {
        Self {
            path: path.into(),
            disk,
        }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Option<Stored>, ProviderError> {
        let content = self.disk.read(&self.path, &RULES)?;
        Ok(content.map(|bytes| Stored {
            version: version(&bytes),
            bytes: bytes.to_vec(),
        }))
    }

    fn swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        self.disk.make_directory(directory_of(&self.path))?;
        let _lock = self.disk.lock(&with_suffix(&self.path, ".lock"))?;
        if self.read()?.map(|stored| stored.version).as_ref() != expected {
            return Ok(Swap::Lost);
        }
        self.disk.replace(&self.path, bytes)?;
        Ok(Swap::Stored(version(bytes)))
    }

    fn try_writing(&self) -> Result<(), ProviderError> {
        self.disk.try_writing(&self.path)
    }

    /// Runs file operations on a thread that may block. They complete even if the caller is dropped.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let store = self.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => result,
            Err(_) => Err(self.disk.refusal(
                ErrorKind::Unavailable,
                "the file operation was cancelled, because the process is stopping",
            )),
        }
    }
}

/// The version is a hash of the content. Unlike a counter in another file, it cannot be lost or used twice.
fn version(bytes: &[u8]) -> Version {
    Version::new(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, bytes)))
}

#[async_trait]
impl RingStore for FileStore {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        self.blocking(Self::read).await
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        let (expected, bytes) = (expected.cloned(), bytes.to_vec());
        self.blocking(move |store| store.swap(expected.as_ref(), &bytes)).await
    }

    async fn check(&self, trials: &mut Trials) {
        let writing = format!("write files in {}", directory_of(&self.path).display());
        let tried = self.blocking(Self::try_writing);
        trials
            .property(writing, "creating, retiring and revoking keys", tried)
            .await;
    }
}
