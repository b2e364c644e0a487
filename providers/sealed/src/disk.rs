//! Operations on the files of a key ring. A file is read only if nobody else could have written it, and is written
//! completely or not at all.
//!
//! These are the operations of [`signet_files::disk`] with errors of type [`ProviderError`]. All of them block; call
//! them on a thread that may block.

use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_files::content::{self, Demands, Owner, Unread};
use signet_files::disk::{self, Cause, DiskError, Lock};
use zeroize::Zeroizing;

pub use signet_files::disk::{directory_of, with_suffix};

/// Operations on the files of one provider.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// The name of the provider.
    pub provider: &'static str,
    /// The setting that names the file or directory.
    pub setting: &'static str,
}

/// The requirements for a file before its content is read. It must be a regular file that belongs to us or to root.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether to follow a symbolic link. Kubernetes mounts secrets as links; no other file of ours is one.
    pub follow_links: bool,
    /// Permission bits that must not be set.
    pub forbidden_mode: u32,
    /// The kind of error for a file that breaks the rules.
    pub kind: ErrorKind,
    /// The maximum size in bytes.
    pub longest: u64,
    /// What to do if the mode or the owner is wrong.
    pub remedy: &'static str,
}

impl Disk {
    /// Reads a file that meets the rules. `None` if there is no file.
    ///
    /// # Errors
    /// An error of `rules.kind` if the file breaks the rules, or the system's error.
    pub fn read(&self, path: &Path, rules: &Rules) -> Result<Option<Zeroizing<Vec<u8>>>, ProviderError> {
        let demands = Demands {
            follow_links: rules.follow_links,
            owner: Owner::UsOrRoot,
            forbidden_mode: rules.forbidden_mode,
            longest: rules.longest,
        };
        content::read(CWD, path, &demands).map_err(|unread| match unread {
            Unread::System(error) => self.provider_error(self.files().failed("read", path, error)),
            Unread::Directory => self.provider_error(self.files().failed("read", path, Errno::ISDIR.into())),
            Unread::Owner { owner, us: 0 } => {
                let text = format!(
                    "{} is refused: it belongs to user {owner}, but this process runs as root. Run this as user \
                     {owner}, as the sidecar does (`sudo -u '#{owner}' ...`, or `docker exec -u \
                     {owner} ...`). Do not give the file to root: the sidecar could no longer \
                     use it",
                    path.display()
                );
                self.refusal(ErrorKind::PermissionDenied, text)
            }
            Unread::Owner { owner, us } => {
                let text = format!(
                    "{} is refused: it belongs to user {owner}, neither to the user of this process, {us}, nor to \
                     root. If the sidecar runs as user {owner}, run this as that user too. If \
                     not: {}",
                    path.display(),
                    rules.remedy
                );
                self.refusal(rules.kind, text)
            }
            broken => {
                let text = format!("{} is refused: {broken}. {}", path.display(), rules.remedy);
                self.refusal(rules.kind, text)
            }
        })
    }

    /// Whether there is anything at this path, including a dangling link.
    ///
    /// # Errors
    /// The system's error.
    pub fn exists(&self, path: &Path) -> Result<bool, ProviderError> {
        self.files().exists(path).map_err(|error| self.provider_error(error))
    }

    /// Replaces a file, with mode 0600 ([`disk::Disk::replace`]).
    ///
    /// # Errors
    /// The system's error.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<(), ProviderError> {
        self.files()
            .replace(path, content)
            .map_err(|error| self.provider_error(error))
    }

    /// Renames a file and syncs the directory. Hold a [`Lock`].
    ///
    /// # Errors
    /// The system's error.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), ProviderError> {
        self.files()
            .rename(from, to)
            .map_err(|error| self.provider_error(error))
    }

    /// Creates the directory and those above it, with mode 0700, if they do not exist ([`disk::Disk::make_directory`]).
    ///
    /// # Errors
    /// The system's error.
    pub fn make_directory(&self, path: &Path) -> Result<(), ProviderError> {
        self.files()
            .make_directory(path)
            .map_err(|error| self.provider_error(error))
    }

    /// Takes the lock for this path, and waits while another process holds it.
    ///
    /// # Errors
    /// The system's error, or `TimedOut` after ten seconds.
    pub fn lock(&self, path: &Path) -> Result<Lock, ProviderError> {
        self.files().lock(path).map_err(|error| self.provider_error(error))
    }

    /// Checks that a file can be written next to this path. Leaves nothing behind ([`disk::Disk::try_writing`]).
    ///
    /// # Errors
    /// The system's error.
    pub fn try_writing(&self, path: &Path) -> Result<(), ProviderError> {
        self.files()
            .try_writing(path)
            .map_err(|error| self.provider_error(error))
    }

    /// Makes an error that did not come from the system.
    pub fn refusal(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(self.provider, Operation::Open, kind, text.into())
    }

    const fn files(&self) -> disk::Disk {
        disk::Disk { setting: self.setting }
    }

    fn provider_error(&self, error: DiskError) -> ProviderError {
        let kind = match error.cause() {
            Cause::Setting => ErrorKind::InvalidConfig,
            Cause::Rights => ErrorKind::PermissionDenied,
            Cause::System => ErrorKind::Unavailable,
            Cause::Locked => ErrorKind::TimedOut,
            Cause::Link => ErrorKind::BadAnswer,
        };
        ProviderError::new(self.provider, Operation::Open, kind, error)
    }
}
