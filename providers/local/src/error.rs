//! Errors of this provider. Errors of the system are worded in [`signet_sealed::disk`].

use std::path::{Path, PathBuf};

use signet_api::{ErrorKind, Operation, ProviderError};

use crate::NAME;

/// A refusal, with what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "{} is missing, but {found} shows that a ring was kept here. Restore {} from a backup. Or, to start a new ring \
         and have every token of the lost one refused, remove {found}",
        .ring.display(), .ring.display()
    )]
    RingMissing { ring: PathBuf, found: String },
    #[error(
        "{} is there, but the key file {} that it is sealed with is not. Restore the key file from a backup, or point \
         SIGNET_LOCAL_KEY_FILE to where it is. Without it the private keys of the ring are lost",
        .ring.display(), .key.display()
    )]
    KeyMissing { ring: PathBuf, key: PathBuf },
    #[error(
        "the key in {} does not open what stands in {}: they are not of one pair, or one of them was changed. \
         Restore both from the same backup, or correct SIGNET_LOCAL_KEY_FILE",
        .key.display(), .ring.display()
    )]
    WrongKey { ring: PathBuf, key: PathBuf },
    #[error(
        "{} is not a key file: besides comments (#) it must hold one line, the base64 of 32 octets. Restore it from a \
         backup. Only where there is no ring yet: `openssl rand -base64 32` makes one",
        .key.display()
    )]
    NotAKey { key: PathBuf },
    #[error(
        "the key file {} was removed or replaced while Signet was running, and nothing was sealed with the key in \
         memory yet. Restart Signet to take the key that is there now",
        .key.display()
    )]
    KeyChanged { key: PathBuf },
    #[error("the cryptographic library failed; it is tried again")]
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
