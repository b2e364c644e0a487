//! Why kept keys are not used, or were not written, in words for the person who has to act.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use signet_core::{Issuer, foreign_keys};

use signet_files::cache::FileFault;

/// The file or its directory, what is wrong with it, and what to do next. `Display` does not repeat its source.
#[derive(Debug)]
pub(crate) struct KeptError {
    /// The issuer whose keys these are.
    pub issuer: Issuer,
    /// The file; or the directory, if that is what is wrong.
    pub path: PathBuf,
    /// What is wrong.
    pub refusal: Refusal,
}

impl fmt::Display for KeptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, path, refusal } = self;
        let path = path.display();
        write!(
            f,
            "the last good keys of {issuer}, {path}: {refusal}. {}",
            refusal.advice()
        )
    }
}

impl Error for KeptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.refusal.source()
    }
}

/// What is wrong with the file, its directory, or what it says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The file itself, its directory, or its text.
    #[error(transparent)]
    File(#[from] FileFault),
    /// Its content is not the one that its digest is of.
    #[error("refused, as its content and its sha256 do not agree: it is damaged")]
    Damaged,
    /// It is another issuer's.
    #[error("refused, as it has the keys of {found:?}, not those of {ours:?}")]
    Issuer {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        ours: String,
    },
    /// The keys were fetched with other settings of the issuer.
    #[error("not used, as {setting} of this trusted issuer had another value when they were fetched")]
    OtherTerms {
        /// The key in the issuer's table.
        setting: &'static str,
    },
    /// None of its keys will do.
    #[error("refused, as it has no usable key")]
    NoKeys(#[source] foreign_keys::NoKeys),
    /// It is from the future.
    #[error("not used, as they were fetched at {at}, which is in the future by the clock of this machine")]
    FromTheFuture {
        /// When, by the file.
        at: String,
    },
}

impl Refusal {
    /// What to do next.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::File(FileFault::DirectoryOwner { .. } | FileFault::DirectoryWritable { .. }) => {
                "Find out who changed it, then remove it, as it holds nothing else: Signet makes it again, with mode 0700"
            }
            Self::File(FileFault::DirectoryUnreadable(_)) => {
                "See that it is a directory which the user of this process may read and enter, or remove it, as it holds \
                 nothing else: Signet makes it again"
            }
            Self::File(fault) => fault.advice(),
            Self::Damaged | Self::NoKeys(_) => {
                "Check the disk, and remove the file: it is a cache, and written again as soon as the issuer answers"
            }
            Self::Issuer { .. } => {
                "Somebody put it there: find out who, and remove it. It is a cache, and written again as soon as the issuer \
                 answers"
            }
            Self::OtherTerms { .. } => "It is written again as soon as the issuer answers",
            Self::FromTheFuture { .. } => {
                "Check the clock of this machine. The file is written again as soon as the issuer answers"
            }
        }
    }
}
