//! Why the last good ring is not used, or was not kept, in words for the person who has to act.

use std::error::Error;
use std::path::PathBuf;
use std::{fmt, io};

use signet_core::Kid;
use signet_core::json::JsonError;
use signet_core::public_key::PublicKeyError;

use super::document::{FORMAT, LONGEST, MOST_KEYS};

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
    /// A symbolic link stands in its place.
    #[error("refused, as it is a symbolic link")]
    Link,
    /// A directory, a pipe, a socket or a device stands in its place.
    #[error("refused, as it is not a regular file")]
    NotAFile,
    /// It belongs to somebody else, be it root.
    #[error("refused, as it belongs to user {owner}, not to this process's user {us}")]
    Owner {
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Others may write it.
    #[error("refused, as others may write it (mode {mode:04o})")]
    Writable {
        /// Its permission bits.
        mode: u32,
    },
    /// The data directory belongs to somebody else than us and root.
    #[error("refused, as this directory belongs to user {owner}, neither to this process's user {us} nor to root")]
    DirectoryOwner {
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Others may move files in the data directory.
    #[error("refused, as others may write this directory (mode {mode:04o}) and so move files in it")]
    DirectoryWritable {
        /// Its permission bits.
        mode: u32,
    },
    /// The data directory cannot be looked at.
    #[error("this directory cannot be opened")]
    DirectoryUnreadable(#[source] io::Error),
    /// The file cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is longer than any file of this kind.
    #[error("refused, as it is longer than {LONGEST} octets")]
    TooLong,
    /// It is not strict JSON: cut short, or with two members of one name, or anything else.
    #[error("refused, as it is damaged or no file of this kind")]
    NotJson(#[source] JsonError),
    /// It is not text.
    #[error("refused, as it is damaged or no file of this kind")]
    NotText(#[source] std::str::Utf8Error),
    /// It is JSON, but lacks a member, has one too many, or one of another type.
    #[error("refused, as its members are not those of a last good ring")]
    Malformed(#[source] serde_json::Error),
    /// Another version of Signet wrote it.
    #[error("refused, as its format is {found:?}, and this version of Signet reads {FORMAT:?} only")]
    Format {
        /// Its format.
        found: String,
    },
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
    /// It could not be written.
    #[error("it could not be written")]
    Unwritten(#[source] Box<dyn Error + Send + Sync>),
    /// What was to be written cannot be put in JSON.
    #[error("it could not be written, as it cannot be put in JSON")]
    Unencodable(#[source] serde_json::Error),
    /// What was to be written would be refused when it is read.
    #[error("not written, as it would have {octets} octets, more than {LONGEST}")]
    TooLongToWrite {
        /// How many.
        octets: usize,
    },
}

impl Refusal {
    pub(super) const fn is_of_directory(&self) -> bool {
        matches!(
            self,
            Self::DirectoryOwner { .. } | Self::DirectoryWritable { .. } | Self::DirectoryUnreadable(_)
        )
    }

    /// What to do next.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Link | Self::NotAFile | Self::Owner { .. } | Self::Writable { .. } => {
                "Somebody else could have written it: find out who, then remove it. It is a cache, and written again as \
                 soon as the provider answers"
            }
            Self::Key { .. } | Self::ForeignKid { .. } => {
                "Signet does not write that: find out who did, or check the disk, then remove the file. It is a cache, \
                 and written again as soon as the provider answers"
            }
            Self::KeyTwice { .. } => {
                "No provider lists a key twice: see what yours lists (`signet keys list`), and remove the file if it is \
                 there. It is a cache, and written again as soon as the provider answers"
            }
            Self::DirectoryOwner { .. } => {
                "Give it to the user of this process, or point SIGNET_DATA_DIR to a directory that Signet makes itself"
            }
            Self::DirectoryWritable { .. } => {
                "`chmod go-w` it; or, where a volume is like that (in Kubernetes an emptyDir, or any with fsGroup), \
                 point SIGNET_DATA_DIR to a directory in it that does not exist yet: Signet makes it, with mode 0700"
            }
            Self::DirectoryUnreadable(_) => {
                "See that SIGNET_DATA_DIR names a directory, and that the user of this process may read and enter it"
            }
            Self::Unreadable(_) => {
                "See that the user of this process may read it, or remove it: it is a cache, and written again as soon \
                 as the provider answers"
            }
            Self::Issuer { .. } => {
                "If the issuer was renamed, remove the file; if two issuers share the directory, give each its own \
                 SIGNET_DATA_DIR"
            }
            Self::Format { .. }
            | Self::TooLong
            | Self::NotJson(_)
            | Self::NotText(_)
            | Self::Malformed(_)
            | Self::NoRing
            | Self::TooManyKeys { .. } => "Remove it: it is a cache, and written again as soon as the provider answers",
            Self::Unwritten(_) | Self::Unencodable(_) => {
                "Until it can be, a restart while the provider is down finds an older ring or none"
            }
            Self::TooLongToWrite { .. } => {
                "Shorten the ring (SIGNET_EXPIRED_KEYS=destroy) or the reasons of its revocations. Until then, a restart \
                 while the provider is down finds an older ring or none"
            }
        }
    }
}
