//! Why the last good ring is not used, or was not kept, in words for the person who has to act.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use signet_core::Kid;
use signet_core::public_key::PublicKeyError;
use signet_files::cache::FileFault;

use super::MOST_KEYS;

/// The file or its directory, what is wrong with it, and what to do next. `Display` does not repeat its source.
#[derive(Debug)]
pub struct LastGoodError {
    /// The file; or the directory, if that is what is wrong.
    pub path: PathBuf,
    /// What is wrong.
    pub refusal: Refusal,
}

impl fmt::Display for LastGoodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, refusal } = self;
        write!(
            f,
            "the last good ring, {}: {refusal}. {}",
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

/// What is wrong with the file, its directory, or what it says.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file itself, its directory, or its text.
    #[error(transparent)]
    File(#[from] FileFault),
    /// It is another issuer's.
    #[error("refused, as it is the ring of the issuer {found:?}, and SIGNET_ISSUER is {ours:?}")]
    Issuer {
        /// Whose it is.
        found: String,
        /// The configured one.
        ours: String,
    },
    /// It holds no ring, where the first is the one that signs.
    #[error("refused, as it holds no ring")]
    NoRing,
    /// A ring in it has too many keys.
    #[error("refused, as its ring of {provider:?} has {found} keys, more than {MOST_KEYS}")]
    TooManyKeys {
        /// The ring's provider.
        provider: String,
        /// How many.
        found: usize,
    },
    /// A key stands in a ring twice.
    #[error("refused, as key {kid} stands twice in its ring of {provider:?}")]
    KeyTwice {
        /// The ring's provider.
        provider: String,
        /// Which.
        kid: Kid,
    },
    /// A key that would be taken from no provider either: off its curve, too short, not canonical.
    #[error("refused, as its key {kid:?} is none that Signet takes")]
    Key {
        /// Under which name it stands there.
        kid: String,
        /// Why.
        source: PublicKeyError,
    },
    /// A key that stands under another name than its own.
    #[error("refused, as its key {kid:?} is named by another thumbprint than its own, {own} (RFC 7638)")]
    ForeignKid {
        /// Under which name it stands there.
        kid: String,
        /// Its own.
        own: Kid,
    },
}

impl Refusal {
    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::File(FileFault::TooLongToWrite { .. }) => {
                "Shorten the ring (SIGNET_EXPIRED_KEYS=destroy) or the reasons of its revocations. Until then, a restart \
                 while the provider is down finds an older ring or none"
            }
            Self::File(fault) => fault.advice(),
            Self::Key { .. } | Self::ForeignKid { .. } => {
                "Signet does not write that: find out who did, or check the disk, then remove the file. It is a cache, \
                 and written again as soon as the provider answers"
            }
            Self::KeyTwice { .. } => {
                "No provider lists a key twice: see what yours lists (`signet keys list`), and remove the file if it is \
                 there. It is a cache, and written again as soon as the provider answers"
            }
            Self::Issuer { .. } => {
                "If the issuer was renamed, remove the file. If two issuers share the directory, give one of them another \
                 SIGNET_DATA_DIR; with the provider local, copy ring.json and local.key there first, or a new ring is made"
            }
            Self::NoRing | Self::TooManyKeys { .. } => {
                "Remove it: it is a cache, and written again as soon as the provider answers"
            }
        }
    }
}
