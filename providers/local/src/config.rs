//! What the provider is told, and the paths that follow from it.

use std::path::{Path, PathBuf};

use signet_api::ProviderError;
use signet_sealed::disk::{Disk, with_suffix};

use crate::NAME;

/// The configuration of the local provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// Where the ring is kept (`SIGNET_DATA_DIR`). Made with mode 0700 if it is missing.
    pub data_dir: PathBuf,
    /// The key file (`SIGNET_LOCAL_KEY_FILE`); `<data_dir>/local.key` if there is none. Made if it is missing.
    pub key_file: Option<PathBuf>,
    /// The ring file (`SIGNET_STORE`); `<data_dir>/ring.json` if there is none. Its directory must exist.
    pub ring_file: Option<PathBuf>,
    /// The ring's name (`SIGNET_KEY`), bound into everything that is sealed.
    pub ring: String,
}

/// Every path that the provider touches.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) data_dir: PathBuf,
    pub(crate) ring_file: PathBuf,
    pub(crate) key_file: PathBuf,
    /// The key file's name until the first ring that it sealed is on the disk.
    pub(crate) new_key_file: PathBuf,
    /// Held while the first ring and its key come to be.
    pub(crate) start_lock: PathBuf,
    /// Files that are there only after a ring was.
    pub(crate) traces: Vec<PathBuf>,
    pub(crate) data_disk: Disk,
    pub(crate) ring_disk: Disk,
    pub(crate) key_disk: Disk,
}

impl Layout {
    pub(crate) fn new(config: &LocalConfig) -> Self {
        let data_dir = config.data_dir.clone();
        let default_key = data_dir.join("local.key");
        let key_file = config.key_file.clone().unwrap_or_else(|| default_key.clone());
        let mut traces = vec![default_key, data_dir.join("public-ring.json")];
        // A key of another name in the data directory is one that we made. One from elsewhere may be a mounted secret,
        // which is there before any ring.
        if key_file.parent() == Some(&data_dir) && !traces.contains(&key_file) {
            traces.push(key_file.clone());
        }
        let key_setting = match config.key_file {
            Some(_) => "SIGNET_LOCAL_KEY_FILE",
            None => "SIGNET_DATA_DIR",
        };
        let ring_setting = match config.ring_file {
            Some(_) => "SIGNET_STORE",
            None => "SIGNET_DATA_DIR",
        };
        Self {
            ring_file: config.ring_file.clone().unwrap_or_else(|| data_dir.join("ring.json")),
            new_key_file: with_suffix(&key_file, ".new"),
            start_lock: data_dir.join("start.lock"),
            traces,
            data_disk: disk("SIGNET_DATA_DIR"),
            ring_disk: disk(ring_setting),
            key_disk: disk(key_setting),
            key_file,
            data_dir,
        }
    }

    /// Which of the files are there that only a ring leaves.
    ///
    /// Look for the ring *after* this: a first start makes it before them, so that traces without a ring are proof.
    pub(crate) fn traces_found(&self) -> Result<Vec<&Path>, ProviderError> {
        let mut found = Vec::new();
        for trace in &self.traces {
            if self.data_disk.exists(trace)? {
                found.push(trace.as_path());
            }
        }
        Ok(found)
    }
}

fn disk(setting: &'static str) -> Disk {
    Disk {
        provider: NAME,
        setting,
    }
}
