//! Why a cache file is not used, or was not written.

use std::error::Error;
use std::io;

use signet_core::json::JsonError;

use crate::content::Unread;

/// A problem with a cache file, its directory or its content. `Display` does not repeat its source.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The path is a symbolic link.
    #[error("refused, as it is a symbolic link")]
    Link,
    /// The path is a directory, a pipe, a socket or a device.
    #[error("refused, as it is not a regular file")]
    NotAFile,
    /// The file belongs to another user. Even root is not accepted.
    #[error("refused, as it belongs to user {owner}, not to this process's user {us}")]
    Owner {
        /// The owner of the file.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Others can write to the file.
    #[error("refused, as others may write it (mode {mode:04o})")]
    Writable {
        /// The permission bits of the file.
        mode: u32,
    },
    /// The directory belongs to neither us nor root.
    #[error("refused, as this directory belongs to user {owner}, neither to this process's user {us} nor to root")]
    DirectoryOwner {
        /// The owner of the directory.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Others can move files in the directory.
    #[error("refused, as others may write this directory (mode {mode:04o}) and so move files in it")]
    DirectoryWritable {
        /// The permission bits of the directory.
        mode: u32,
    },
    /// A directory that Signet made was replaced by a symbolic link.
    #[error("refused, as it is a symbolic link, and Signet made a directory there")]
    DirectoryLink,
    /// The directory cannot be opened.
    #[error("this directory cannot be opened")]
    DirectoryUnreadable(#[source] io::Error),
    /// The data directory, which contains the file's directory, has this problem.
    #[error(transparent)]
    Above(Box<Self>),
    /// The file cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file is longer than any file of this kind.
    #[error("refused, as it is longer than {longest} octets")]
    TooLong {
        /// The maximum length in bytes.
        longest: u64,
    },
    /// The file is not strict JSON, for example because it is cut short or repeats a member.
    #[error("refused, as it is damaged or no file of this kind")]
    NotJson(#[source] JsonError),
    /// The file is not UTF-8.
    #[error("refused, as it is damaged or no file of this kind")]
    NotText(#[source] std::str::Utf8Error),
    /// The JSON has a missing member, an unknown one, or one of the wrong type.
    #[error("refused, as its members are not those of a file of this kind")]
    Malformed(#[source] serde_json::Error),
    /// Another version of Signet wrote the file.
    #[error("refused, as its format is {found:?}, and this version of Signet reads {reads:?} only")]
    Format {
        /// The format that the file names.
        found: String,
        /// The format that this version reads.
        reads: &'static str,
    },
    /// The content could not be encoded as JSON.
    #[error("it could not be written, as it cannot be put in JSON")]
    Unencodable(#[source] serde_json::Error),
    /// The content would be too long to be read again.
    #[error("not written, as it would have {octets} octets, more than {longest}")]
    TooLongToWrite {
        /// The length of the content in bytes.
        octets: usize,
        /// The maximum length in bytes.
        longest: usize,
    },
    /// The file could not be written.
    #[error("it could not be written")]
    Unwritten(#[source] Box<dyn Error + Send + Sync>),
}

impl FileFault {
    pub(super) const fn is_of_directory(&self) -> bool {
        matches!(
            self,
            Self::DirectoryOwner { .. }
                | Self::DirectoryWritable { .. }
                | Self::DirectoryLink
                | Self::DirectoryUnreadable(_)
        )
    }

    /// What the operator should do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Owner { .. } => {
                "If the sidecar runs as that user, run it so here too. Otherwise somebody else could have written it: find \
                 out who, then remove it. It is a cache: Signet writes it again by itself"
            }
            Self::Link | Self::NotAFile | Self::Writable { .. } => {
                "Somebody else could have written it: find out who, then remove it. It is a cache: Signet writes it again \
                 by itself"
            }
            Self::DirectoryOwner { .. } => {
                "Run Signet as the user that owns it; or give it, with all that is in it, to the user of this process, if no \
                 other sidecar uses it. Keep SIGNET_DATA_DIR: the provider local has its ring there"
            }
            Self::DirectoryWritable { .. } => {
                "`chmod go-w` it; or, where a volume is like that (in Kubernetes an emptyDir, or any with fsGroup), \
                 point SIGNET_DATA_DIR to a directory in it that does not exist yet: Signet makes it, with mode 0700. With \
                 the provider local, first stop Signet, make that directory with mode 0700 as the user of the sidecar, and \
                 move ring.json and local.key into it: without them Signet makes a new ring"
            }
            Self::DirectoryLink => {
                "Remove the link: Signet makes the directory again, and what stands in it is a cache. To keep it on another \
                 volume, mount that volume in its place"
            }
            Self::Above(fault) => fault.advice(),
            Self::DirectoryUnreadable(_) => {
                "See that SIGNET_DATA_DIR names a directory, and that the user of this process may read and enter it"
            }
            Self::Unreadable(_) => {
                "See that the user of this process may read it, or remove it: it is a cache, and Signet writes it again \
                 by itself"
            }
            Self::TooLong { .. } | Self::NotJson(_) | Self::NotText(_) | Self::Malformed(_) | Self::Format { .. } => {
                "Remove it: it is a cache, and Signet writes it again by itself"
            }
            Self::Unencodable(_) | Self::TooLongToWrite { .. } | Self::Unwritten(_) => {
                "Until it can be written, a restart during an outage finds an older one or none"
            }
        }
    }
}

impl From<Unread> for FileFault {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Link => Self::Link,
            Unread::Directory | Unread::NotRegular(_) => Self::NotAFile,
            Unread::Owner { owner, us } => Self::Owner { owner, us },
            Unread::Mode { mode, .. } => Self::Writable { mode },
            Unread::TooLong { longest } => Self::TooLong { longest },
            Unread::System(error) => Self::Unreadable(error),
        }
    }
}
