//! Why a cache file is not used, or was not written.

use std::error::Error;
use std::io;

use signet_core::json::JsonError;

use crate::content::Unread;

/// A problem with a cache file, its directory or its content. `Display` does not repeat its source.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The path is a symbolic link.
    #[error("it is refused, because it is a symbolic link")]
    Link,
    /// The path is a directory, a pipe, a socket or a device.
    #[error("it is refused, because it is not a regular file")]
    NotAFile,
    /// The file belongs to another user. Even root is not accepted.
    #[error("it is refused, because it belongs to user {owner}, not to the user of this process, {us}")]
    Owner {
        /// The owner of the file.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Others can write to the file.
    #[error("it is refused, because other users may write to it (mode {mode:04o})")]
    Writable {
        /// The permission bits of the file.
        mode: u32,
    },
    /// The directory belongs to neither us nor root.
    #[error(
        "it is refused, because this directory belongs to user {owner}, neither to the user of this process, {us}, \
         nor to root"
    )]
    DirectoryOwner {
        /// The owner of the directory.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Others can move files in the directory.
    #[error("it is refused, because other users may write to this directory (mode {mode:04o}) and replace files in it")]
    DirectoryWritable {
        /// The permission bits of the directory.
        mode: u32,
    },
    /// A directory that Signet made was replaced by a symbolic link.
    #[error("it is refused, because it is a symbolic link, but Signet created a directory there")]
    DirectoryLink,
    /// The directory cannot be opened.
    #[error("this directory cannot be opened")]
    DirectoryUnreadable(#[source] io::Error),
    /// The data directory above the file's directory has this problem.
    #[error(transparent)]
    Above(Box<Self>),
    /// The file cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file is longer than any file of this kind.
    #[error("it is refused, because it is longer than {longest} bytes")]
    TooLong {
        /// The maximum length in bytes.
        longest: u64,
    },
    /// The file is not strict JSON, for example because it is cut short or repeats a member.
    #[error("it is refused, because it is damaged or not a file of this kind")]
    NotJson(#[source] JsonError),
    /// The file is not UTF-8.
    #[error("it is refused, because it is damaged or not a file of this kind")]
    NotText(#[source] std::str::Utf8Error),
    /// The JSON has a missing member, an unknown one, or one of the wrong type.
    #[error("it is refused, because its JSON members are not those of a file of this kind")]
    Malformed(#[source] serde_json::Error),
    /// Another version of Signet wrote the file.
    #[error("it is refused, because its format is {found:?}, but this version of Signet reads only {reads:?}")]
    Format {
        /// The format that the file names.
        found: String,
        /// The format that this version reads.
        reads: &'static str,
    },
    /// The content could not be encoded as JSON.
    #[error("it cannot be written, because it cannot be encoded as JSON")]
    Unencodable(#[source] serde_json::Error),
    /// The content would be too long to be read again.
    #[error("it is not written, because it would have {octets} bytes, but at most {longest} are allowed")]
    TooLongToWrite {
        /// The length of the content in bytes.
        octets: usize,
        /// The maximum length in bytes.
        longest: usize,
    },
    /// The file could not be written.
    #[error("it cannot be written")]
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
                "If the sidecar runs as that user, run this command as that user too. Otherwise, find out how that \
                 user came to write the file, then delete it: it is only a cache, and Signet recreates it"
            }
            Self::Link | Self::NotAFile | Self::Writable { .. } => {
                "Another user could have written it: find out who, then delete it. It is only a cache, and Signet \
                 recreates it"
            }
            Self::DirectoryOwner { .. } => {
                "Run Signet as the user that owns the directory. Or, if no other sidecar uses it, give it and \
                 everything in it to the user of this process. Keep SIGNET_DATA_DIR: the provider \
                 local has its ring there"
            }
            Self::DirectoryWritable { .. } => {
                "Run `chmod go-w` on it. If the volume does not allow that (in Kubernetes an emptyDir, or any volume \
                 with fsGroup), set SIGNET_DATA_DIR to a directory in it that does not exist yet: \
                 Signet creates it with mode 0700. With the provider local, first stop Signet, \
                 create that directory with mode 0700 as the user of the sidecar, and move ring.json \
                 and local.key into it: without them Signet creates a new ring"
            }
            Self::DirectoryLink => {
                "Remove the link: Signet creates the directory again, and its files are only a cache. To keep them \
                 on another volume, mount that volume there"
            }
            Self::Above(fault) => fault.advice(),
            Self::DirectoryUnreadable(_) => {
                "Check that SIGNET_DATA_DIR is a directory and that the user of this process may read and enter it"
            }
            Self::Unreadable(_) => {
                "Let the user of this process read it, or delete it: it is only a cache, and Signet recreates it"
            }
            Self::TooLong { .. } | Self::NotJson(_) | Self::NotText(_) | Self::Malformed(_) | Self::Format { .. } => {
                "Delete it: it is only a cache, and Signet recreates it"
            }
            Self::Unencodable(_) | Self::TooLongToWrite { .. } | Self::Unwritten(_) => {
                "Until it can be written, a restart during an outage finds an older file or none"
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
