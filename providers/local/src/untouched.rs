//! Directories in which there was never a ring: predicts what a first start would find, without creating anything.

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};
use signet_api::{ErrorKind, Operation, ProviderError, Trials};

use crate::NAME;
use crate::config::{Layout, LocalConfig};
use crate::place::blocking;

/// Whether there is no ring, no key file with its final name and no other trace of a ring, so opening it would start or
/// continue a first start. Creates nothing. If something cannot be read, [`open`](crate::open) reports it.
pub async fn is_untouched(config: LocalConfig) -> bool {
    let look = move || {
        let layout = Layout::new(&config);
        let is_there = |path: &Path| layout.data_disk.exists(path);
        let is_there =
            is_there(&layout.ring_file)? || is_there(&layout.key_file)? || !layout.traces_found()?.is_empty();
        Ok(!is_there)
    };
    blocking(look).await.unwrap_or(false)
}

/// The lines of `signet check` for such a directory.
pub async fn check_untouched(config: LocalConfig, trials: &mut Trials) {
    let layout = Layout::new(&config);
    let making = format!("create files in {}", layout.data_dir.display());
    let directory = layout.data_dir.clone();
    trials
        .property(
            making,
            "the first start",
            blocking(move || may_make_files_in(&directory)),
        )
        .await;
    let why = "there is no ring here yet; the first `signet serve` creates the key file and the ring";
    let reading = format!(
        "read the key file {}, which no other user may read",
        layout.key_file.display()
    );
    trials.not_tried(reading, "encrypting and decrypting private keys", why);
    let ring = format!("read and authenticate the ring in {}", layout.ring_file.display());
    trials.not_tried(ring, "publishing and verifying", why);
}

/// Asks the system about the directory, or about the nearest existing one above it.
fn may_make_files_in(directory: &Path) -> Result<(), ProviderError> {
    let above = directory.ancestors().find(|above| above.exists()).unwrap_or(directory);
    let access = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(CWD, above, access, AtFlags::EACCESS).map_err(|error| {
        let text = format!(
            "user {} cannot create files in {} ({}); allow it, or set SIGNET_DATA_DIR to a directory of this user",
            rustix::process::geteuid().as_raw(),
            above.display(),
            std::io::Error::from(error)
        );
        ProviderError::new(NAME, Operation::Open, ErrorKind::PermissionDenied, text)
    })
}
