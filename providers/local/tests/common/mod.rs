//! A data directory, and functions to open it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signet_api::{KeyProvider, ProviderError};
use signet_base::ManualClock;
use signet_core::{Algorithm, KeyRecord, Kid};
use signet_local::{LocalConfig, open};
use signet_testkit::new_key;
use tempfile::TempDir;

pub(crate) struct Home {
    _directory: Option<TempDir>,
    pub(crate) data: PathBuf,
    pub(crate) key_file: Option<PathBuf>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            data: directory.path().join("data"),
            _directory: Some(directory),
            key_file: None,
        }
    }

    pub(crate) fn at(directory: &Path) -> Self {
        Self {
            data: directory.join("data"),
            _directory: None,
            key_file: None,
        }
    }

    /// The key file is outside the data directory, like a mounted secret.
    pub(crate) fn with_key_elsewhere() -> Self {
        let mut home = Self::new();
        home.key_file = Some(home.data.with_file_name("mounted.key"));
        home
    }

    pub(crate) async fn open(&self) -> Result<Arc<dyn KeyProvider>, ProviderError> {
        let config = LocalConfig {
            data_dir: self.data.clone(),
            key_file: self.key_file.clone(),
            ring_file: None,
            ring: "signet".to_owned(),
        };
        open(config, Arc::new(ManualClock::default())).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// The files in the data directory, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = fs::read_dir(&self.data)
            .expect("reads")
            .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
            .collect();
        files.sort();
        files
    }

    /// The content of all files, to check that a refusal changed nothing.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| {
            let content = fs::read(self.path(&name)).unwrap_or_default();
            (name, content)
        };
        self.files()
            .into_iter()
            .filter(|name| !name.ends_with(".lock"))
            .map(read)
            .collect()
    }
}

pub(crate) async fn create(provider: &dyn KeyProvider, of: Option<&Kid>) -> Result<KeyRecord, ProviderError> {
    provider.create(&new_key(Algorithm::EdDSA, of)).await
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}
