//! Why stored keys are not used, or were not stored, in words for an operator.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use signet_core::{Issuer, foreign_keys};

use signet_files::cache::FileFault;

/// The file or directory, the problem, and what to do. `Display` does not repeat its source.
#[derive(Debug)]
pub(crate) struct KeptError {
    /// The issuer of the keys.
    pub issuer: Issuer,
    /// The path of the file, or of the directory if the problem is there.
    pub path: PathBuf,
    /// The problem with it.
    pub refusal: Refusal,
}

impl fmt::Display for KeptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, path, refusal } = self;
        let path = path.display();
        write!(
            f,
            "the file of the last good keys of {issuer}, {path}: {refusal}. {}",
            refusal.advice()
        )
    }
}

impl Error for KeptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// The problem with the file, its directory or its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A problem of the file itself, its directory or its JSON.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The content does not match its digest.
    #[error("it is refused, because its content does not match its sha256: it is damaged")]
    Damaged,
    /// The file belongs to another issuer.
    #[error("it is refused, because it has the keys of {found:?}, not of {ours:?}")]
    Issuer {
        /// The issuer in the file.
        found: String,
        /// The expected issuer.
        ours: String,
    },
    /// The keys were fetched under other settings of the issuer.
    #[error("it is not used, because {setting} of this trusted issuer has changed since the keys were fetched")]
    OtherTerms {
        /// The setting that differs, a key of the issuer's table.
        setting: &'static str,
    },
    /// The file has no usable key.
    #[error("it is refused, because it has no usable key")]
    NoKeys(#[source] foreign_keys::NoKeys),
    /// The file has a date in the future.
    #[error(
        "it is not used, because the keys were fetched at {at}, which is in the future by the clock of this machine"
    )]
    FromTheFuture {
        /// The date in the file.
        at: String,
    },
}

impl Refusal {
    /// What the operator should do.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::File(FileFault::DirectoryOwner { .. } | FileFault::DirectoryWritable { .. }) => {
                "Find out who changed it, then remove it: it contains nothing else, and Signet recreates it with mode \
                 0700"
            }
            Self::File(FileFault::DirectoryUnreadable(_)) => {
                "Check that it is a directory and that the user of this process may read and enter it. Or remove it: \
                 it contains nothing else, and Signet recreates it"
            }
            Self::File(fault) => fault.advice(),
            Self::Damaged | Self::NoKeys(_) => {
                "Check the disk, then delete the file: it is only a cache, and Signet recreates it as soon as the \
                 issuer answers"
            }
            Self::Issuer { .. } => {
                "Somebody put it there: find out who, then delete it. It is only a cache, and Signet recreates it as \
                 soon as the issuer answers"
            }
            Self::OtherTerms { .. } => "Signet recreates it as soon as the issuer answers",
            Self::FromTheFuture { .. } => {
                "Check the clock of this machine. Signet writes the file again as soon as the issuer answers"
            }
        }
    }
}
