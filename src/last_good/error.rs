//! Why the last good ring is not used, or was not stored, in words for an operator.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use signet_core::Kid;
use signet_core::public_key::PublicKeyError;
use signet_files::cache::FileFault;

use super::MOST_KEYS;

/// The file or directory, the problem, and what to do. `Display` does not repeat its source.
#[derive(Debug)]
pub struct LastGoodError {
    /// The path of the file, or of the directory if the problem is there.
    pub path: PathBuf,
    /// The problem with it.
    pub refusal: Refusal,
}

impl fmt::Display for LastGoodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, refusal } = self;
        write!(
            f,
            "the file of the last good ring, {}: {refusal}. {}",
            path.display(),
            refusal.advice()
        )
    }
}

impl Error for LastGoodError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// The problem with the file, its directory or its content.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A problem of the file itself, its directory or its JSON.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The file belongs to another issuer.
    #[error("it is refused, because it has the ring of the issuer {found:?}, but SIGNET_ISSUER is {ours:?}")]
    Issuer {
        /// The issuer in the file.
        found: String,
        /// The configured issuer.
        ours: String,
    },
    /// The file has no ring. The first one would be the signing ring.
    #[error("it is refused, because it has no ring")]
    NoRing,
    /// A ring in the file has too many keys.
    #[error("it is refused, because its ring of {provider:?} has {found} keys, but at most {MOST_KEYS} are allowed")]
    TooManyKeys {
        /// The provider of the ring.
        provider: String,
        /// The number of keys.
        found: usize,
    },
    /// A key appears twice in a ring.
    #[error("it is refused, because its ring of {provider:?} has key {kid} twice")]
    KeyTwice {
        /// The provider of the ring.
        provider: String,
        /// The key that appears twice.
        kid: Kid,
    },
    /// A key would not be accepted from a provider either: off its curve, too short, or not canonical.
    #[error("it is refused, because its key {kid:?} is not valid")]
    Key {
        /// The kid in the file.
        kid: String,
        /// The reason for the refusal.
        source: PublicKeyError,
    },
    /// A key has a kid that is not its own.
    #[error("it is refused, because its key {kid:?} has the thumbprint {own}, which must be its kid (RFC 7638)")]
    ForeignKid {
        /// The kid in the file.
        kid: String,
        /// The key's own kid.
        own: Kid,
    },
}

impl Refusal {
    /// What the operator should do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::File(FileFault::TooLongToWrite { .. }) => {
                "Set SIGNET_EXPIRED_KEYS=destroy to shorten the ring, or write shorter reasons when you revoke keys. \
                 Until then, a restart while the provider is down finds an older ring or none"
            }
            Self::File(fault) => fault.advice(),
            Self::Key { .. } | Self::ForeignKid { .. } => {
                "Signet did not write that: find out who did, or check the disk, then delete the file. It is only a \
                 cache, and Signet recreates it as soon as the provider answers"
            }
            Self::KeyTwice { .. } => {
                "No provider should list a key twice: run `signet keys list`. If the key is listed once there, delete \
                 the file. It is only a cache, and Signet recreates it as soon as the provider answers"
            }
            Self::Issuer { .. } => {
                "If you renamed the issuer, remove the file. If two issuers share the directory, set another \
                 SIGNET_DATA_DIR for one of them; with the provider local, first copy ring.json and \
                 local.key there, or Signet creates a new ring"
            }
            Self::NoRing | Self::TooManyKeys { .. } => {
                "Delete it: it is only a cache, and Signet recreates it as soon as the provider answers"
            }
        }
    }
}
