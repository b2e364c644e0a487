//! Errors of this provider. Errors of the system are worded in [`signet_sealed::disk`].

use std::path::{Path, PathBuf};

use signet_api::{ErrorKind, Operation, ProviderError};

use crate::NAME;

/// Why an operation of the provider failed, and what the operator should do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "{} is missing, but {found} shows that there was a ring. Restore {} from a backup. If you want a new ring \
         instead, remove {found}: every token of the lost ring is then refused",
        .ring.display(), .ring.display()
    )]
    RingMissing { ring: PathBuf, found: String },
    #[error(
        "{} exists, but its key file {} does not. Restore the key file from a backup, or set SIGNET_LOCAL_KEY_FILE \
         to its path. Without it the private keys of the ring are lost",
        .ring.display(), .key.display()
    )]
    KeyMissing { ring: PathBuf, key: PathBuf },
    #[error(
        "the key in {} does not decrypt the ring in {}: they do not belong together, or one of them was changed. \
         Restore both from the same backup, or correct SIGNET_LOCAL_KEY_FILE",
        .key.display(), .ring.display()
    )]
    WrongKey { ring: PathBuf, key: PathBuf },
    #[error(
        "{} is not a key file: besides comments (#) it must have one line, 32 bytes in base64. Restore it from a \
         backup. Only if there is no ring yet, create one with `openssl rand -base64 32`",
        .key.display()
    )]
    NotAKey { key: PathBuf },
    #[error(
        "the key file {} was removed or replaced while Signet was running, and no private key was encrypted with the \
         old key yet. Restart Signet to use the key that is there now",
        .key.display()
    )]
    KeyChanged { key: PathBuf },
    #[error("the cryptographic library failed; Signet tries again")]
    Library,
}

impl Refusal {
    pub(crate) fn ring_missing(ring: &Path, found: &[&Path]) -> Self {
        let found: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
        Self::RingMissing {
            ring: ring.to_owned(),
            found: found.join(" and "),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::RingMissing { .. } | Self::WrongKey { .. } | Self::KeyChanged { .. } => ErrorKind::BadAnswer,
            Self::KeyMissing { .. } => ErrorKind::NotFound,
            Self::NotAKey { .. } => ErrorKind::InvalidConfig,
            Self::Library => ErrorKind::Unavailable,
        }
    }
}

impl From<Refusal> for ProviderError {
    fn from(refusal: Refusal) -> Self {
        Self::new(NAME, Operation::Open, refusal.kind(), refusal)
    }
}
