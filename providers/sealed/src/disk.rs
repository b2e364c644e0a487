//! Files as a key ring needs them: read only if nobody else could have written them, written whole or not at all.
//!
//! The operations are those of [`signet_files::disk`]; their failures are told as those of a provider. All of it blocks; call
//! it where that is allowed.

use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_files::content::{self, Demands, Owner, Unread};
use signet_files::disk::{self, Cause, DiskError, Lock};
use zeroize::Zeroizing;

pub use signet_files::disk::{directory_of, with_suffix};

/// The files of one provider.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// The provider's name.
    pub provider: &'static str,
    /// The setting that names the file or directory.
    pub setting: &'static str,
}

/// What a file must be before its content is looked at. It is always a regular file that belongs to us or to root.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether a symbolic link is followed. Kubernetes mounts secrets as links; nothing else of ours is one.
    pub follow_links: bool,
    /// Permission bits that must not be set.
    pub forbidden_mode: u32,
    /// The kind of error if the rules are broken.
    pub kind: ErrorKind,
    /// The most octets that it may have.
    pub longest: u64,
    /// What to do if the mode or the owner is wrong.
    pub remedy: &'static str,
}

impl Disk {
    /// The content of a file that keeps the rules, or `None` if there is no file.
    ///
    /// # Errors
    /// By the rules, or as the system says.
    pub fn read(&self, path: &Path, rules: &Rules) -> Result<Option<Zeroizing<Vec<u8>>>, ProviderError> {
        let demands = Demands {
            follow_links: rules.follow_links,
            owner: Owner::UsOrRoot,
            forbidden_mode: rules.forbidden_mode,
            longest: rules.longest,
        };
        content::read(CWD, path, &demands).map_err(|unread| match unread {
            Unread::System(error) => self.told(self.files().failed("read", path, error)),
            Unread::Directory => self.told(self.files().failed("read", path, Errno::ISDIR.into())),
            Unread::Owner { owner, us: 0 } => {
                let text = format!(
                    "{} is refused: it belongs to user {owner}, and this process runs as root. Run this as user {owner}, as \
                     the sidecar does (`sudo -u '#{owner}' ...`, or `docker exec -u {owner} ...`). Do not give the file to \
                     root: the sidecar could not use it any more",
                    path.display()
                );
                self.refusal(ErrorKind::PermissionDenied, text)
            }
            Unread::Owner { owner, us } => {
                let text = format!(
                    "{} is refused: it belongs to user {owner}, neither to this process's user {us} nor to root. If the \
                     sidecar runs as user {owner}, run this as that user too. If not: {}",
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

    /// Whether anything is at this path, a dangling link too.
    ///
    /// # Errors
    /// As the system says.
    pub fn exists(&self, path: &Path) -> Result<bool, ProviderError> {
        self.files().exists(path).map_err(|error| self.told(error))
    }

    /// Puts a file with mode 0600 in place of what is there ([`disk::Disk::replace`]).
    ///
    /// # Errors
    /// As the system says.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<(), ProviderError> {
        self.files().replace(path, content).map_err(|error| self.told(error))
    }

    /// Gives a file its final name, for good. Only under a [`Lock`].
    ///
    /// # Errors
    /// As the system says.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), ProviderError> {
        self.files().rename(from, to).map_err(|error| self.told(error))
    }

    /// Makes the directory, with mode 0700, and those above it, unless it is there ([`disk::Disk::make_directory`]).
    ///
    /// # Errors
    /// As the system says.
    pub fn make_directory(&self, path: &Path) -> Result<(), ProviderError> {
        self.files().make_directory(path).map_err(|error| self.told(error))
    }

    /// Waits until no other process holds the lock of this path.
    ///
    /// # Errors
    /// As the system says, or `TimedOut` after ten seconds.
    pub fn lock(&self, path: &Path) -> Result<Lock, ProviderError> {
        self.files().lock(path).map_err(|error| self.told(error))
    }

    /// Tries to write next to this path, and leaves nothing behind ([`disk::Disk::try_writing`]).
    ///
    /// # Errors
    /// As the system says.
    pub fn try_writing(&self, path: &Path) -> Result<(), ProviderError> {
        self.files().try_writing(path).map_err(|error| self.told(error))
    }

    /// An error that the system did not raise.
    pub fn refusal(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(self.provider, Operation::Open, kind, text.into())
    }

    const fn files(&self) -> disk::Disk {
        disk::Disk { setting: self.setting }
    }

    fn told(&self, error: DiskError) -> ProviderError {
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
