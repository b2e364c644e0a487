//! The configuration of the provider, and the paths that follow from it.

use std::path::{Path, PathBuf};

use signet_api::ProviderError;
use signet_sealed::disk::{Disk, with_suffix};

use crate::NAME;

/// The configuration of the local provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalConfig {
    /// The directory of the ring (`SIGNET_DATA_DIR`). Created with mode 0700 if it does not exist.
    pub data_dir: PathBuf,
    /// The key file (`SIGNET_LOCAL_KEY_FILE`). The default is `<data_dir>/local.key`. Created if it does not exist.
    pub key_file: Option<PathBuf>,
    /// The ring file (`SIGNET_STORE`). The default is `<data_dir>/ring.json`. Its directory must exist.
    pub ring_file: Option<PathBuf>,
    /// The name of the ring (`SIGNET_KEY`). All secrets are bound to it.
    pub ring: String,
}

/// All paths that the provider uses.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) data_dir: PathBuf,
    pub(crate) ring_file: PathBuf,
    pub(crate) key_file: PathBuf,
    /// The name of the key file until the first ring that it sealed is on disk.
    pub(crate) new_key_file: PathBuf,
    /// The lock that is held while the first ring and its key are created.
    pub(crate) start_lock: PathBuf,
    /// Files that exist only after a ring existed.
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
        // Signet created a key file that is in the data directory, under any name. A key file elsewhere may be a
        // mounted secret, which exists before any ring.
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

    /// The files found that exist only after a ring existed.
    ///
    /// Look for the ring *after* calling this. A first start makes the ring before these files, so finding them without
    /// a ring proves that the ring was lost.
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
