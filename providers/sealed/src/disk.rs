//! Files as a key ring needs them: read only if nobody else could have written them, written whole or not at all.
//!
//! All of it blocks; call it where that is allowed.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_files::content::{self, Demands, Owner, Unread};
use zeroize::Zeroizing;

/// A lock is held for the time of one write; who holds it for this long hangs.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// What the file operations of one provider say in their errors.
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

/// Held until dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// An operation on a file that failed, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {advice}", path.display())]
struct Failed {
    doing: &'static str,
    path: PathBuf,
    advice: String,
    source: io::Error,
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
            Unread::System(error) => self.failed("read", path, error),
            Unread::Directory => self.failed("read", path, Errno::ISDIR.into()),
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

    /// Whether anything stands at this path, be it a dangling link.
    ///
    /// # Errors
    /// As the system says.
    pub fn exists(&self, path: &Path) -> Result<bool, ProviderError> {
        match path.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("look at", path, error)),
        }
    }

    /// Puts a file with mode 0600 in place of what is there: afterwards it is on the disk, or nothing was changed.
    /// Only under a [`Lock`], as all writers use the same temporary file.
    ///
    /// # Errors
    /// As the system says. After an error from the last step, the sync of the directory, the file was replaced.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<(), ProviderError> {
        let temporary = with_suffix(path, ".tmp");
        // What a crash left, or somebody planted, is not written through but removed.
        remove(&temporary).map_err(|error| self.failed("remove", &temporary, error))?;
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(bits(OFlags::NOFOLLOW))
                .open(&temporary)?;
            file.write_all(content)?;
            file.sync_all()
        })();
        if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, path)) {
            // Not to take the room that a full disk lacks. If this fails too, the next write tries again.
            drop(remove(&temporary));
            return Err(self.failed("write", path, error));
        }
        self.sync_directory(path)
    }

    /// Gives a file its final name, for good. Only under a [`Lock`].
    ///
    /// # Errors
    /// As the system says.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), ProviderError> {
        std::fs::rename(from, to).map_err(|error| self.failed("rename", from, error))?;
        self.sync_directory(to)
    }

    /// Makes the directory, with mode 0700, and those above it, unless it is there.
    ///
    /// The mode of one that is there is not judged: Kubernetes gives an `emptyDir` mode 0777, and what stands in it is
    /// checked file by file.
    ///
    /// # Errors
    /// As the system says.
    pub fn make_directory(&self, path: &Path) -> Result<(), ProviderError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.is_dir()).collect();
        if missing.is_empty() || path.as_os_str().is_empty() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| self.failed("make the directory", path, error))?;
        // A directory is durable when the one above it is: from the top down.
        for made in missing.into_iter().rev().filter(|made| !made.as_os_str().is_empty()) {
            self.sync_directory(made)?;
        }
        Ok(())
    }

    /// Waits until no other process holds the lock of this path.
    ///
    /// # Errors
    /// As the system says, or `TimedOut` after ten seconds.
    pub fn lock(&self, path: &Path) -> Result<Lock, ProviderError> {
        self.refuse_as_root(path)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(bits(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(path)
            .map_err(|error| self.failed("lock", path, error))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if waited < LOCK_PATIENCE => {
                    thread::sleep(LOCK_PAUSE);
                    waited += LOCK_PAUSE;
                }
                Err(TryLockError::WouldBlock) => {
                    let text = format!(
                        "another process holds the lock on {} for {} s: find it (`fuser {}`) and stop it if it hangs",
                        path.display(),
                        LOCK_PATIENCE.as_secs(),
                        path.display()
                    );
                    return Err(self.refusal(ErrorKind::TimedOut, text));
                }
                Err(TryLockError::Error(error)) => return Err(self.failed("lock", path, error)),
            }
        }
    }

    /// A file that root makes in the directory of another user is one that the sidecar of that user cannot open.
    fn refuse_as_root(&self, path: &Path) -> Result<(), ProviderError> {
        if let Some(owner) = owner_of_directory(path).filter(|owner| *owner != 0)
            && rustix::process::geteuid().is_root()
            && !path.exists()
        {
            let text = format!(
                "{} belongs to user {owner}, and this process runs as root, whose files the sidecar of that user could not \
                 open. Run this as user {owner}, as the sidecar does (`sudo -u '#{owner}' ...`, or `docker exec -u {owner} ...`)",
                directory_of(path).display()
            );
            return Err(self.refusal(ErrorKind::PermissionDenied, text));
        }
        Ok(())
    }

    /// Tries to write next to this path. It leaves nothing behind, not even for a moment where the file system can do that;
    /// a directory that is missing is not made, but the system is asked whether it could be.
    ///
    /// # Errors
    /// As the system says.
    pub fn try_writing(&self, path: &Path) -> Result<(), ProviderError> {
        let directory = directory_of(path);
        let failed = |error: io::Error| self.failed("write", path, error);
        if !directory.exists() {
            let above = directory.ancestors().skip(1).find(|above| above.exists());
            let above = above
                .filter(|above| !above.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let may_make = rustix::fs::accessat(CWD, above, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
            return may_make.map_err(|error| failed(error.into()));
        }
        let lock = with_suffix(path, ".lock");
        self.refuse_as_root(&lock)?;
        // One that is there must be ours to take. Without one nobody writes, and the trial needs none.
        let _lock = match self.exists(&lock)? {
            true => Some(self.lock(&lock)?),
            false => None,
        };
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let nameless = rustix::fs::openat(CWD, directory, flags, Mode::from(0o600));
        match nameless {
            Ok(file) => written(File::from(file)).map_err(failed),
            // The file system knows no files without a name.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let probe = with_suffix(path, &format!(".probe-{}", std::process::id()));
                remove(&probe).map_err(failed)?;
                let mut options = OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(&probe);
                file.and_then(written).and(remove(&probe)).map_err(failed)
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// An error that the system did not raise.
    pub fn refusal(&self, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        ProviderError::new(self.provider, Operation::Open, kind, text.into())
    }

    fn sync_directory(&self, path: &Path) -> Result<(), ProviderError> {
        let directory = directory_of(path);
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.failed("sync the directory", directory, error))
    }

    fn failed(&self, doing: &'static str, path: &Path, source: io::Error) -> ProviderError {
        let (kind, advice) = self.advice(path, &source);
        let failed = Failed {
            doing,
            path: path.to_owned(),
            advice,
            source,
        };
        ProviderError::new(self.provider, Operation::Open, kind, failed)
    }

    /// Who must act, and how. Another directory, or a new volume, is never the advice: without the ring that is in the right
    /// one, a new ring is made, and every token is refused.
    fn advice(&self, path: &Path, error: &io::Error) -> (ErrorKind, String) {
        let setting = self.setting;
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => (
                ErrorKind::Unavailable,
                "the disk, the quota or the file size limit is exhausted. What was stored is untouched; make room, \
                 and it is tried again"
                    .to_owned(),
            ),
            io::ErrorKind::PermissionDenied => (
                ErrorKind::PermissionDenied,
                format!(
                    "permission denied to user {}{}. Run this as the user that the sidecar runs as. If it is already, give that \
                     user the right to read and write there. Keep {setting}: a directory without the ring would start a \
                     new one, and every token would be refused",
                    rustix::process::geteuid().as_raw(),
                    owned(path)
                ),
            ),
            io::ErrorKind::ReadOnlyFilesystem => (
                ErrorKind::PermissionDenied,
                format!(
                    "the file system is read-only. Mount the same volume so that it can be written. If {setting} names the \
                     wrong directory, correct it; one without the ring would start a new ring"
                ),
            ),
            io::ErrorKind::IsADirectory => (
                ErrorKind::InvalidConfig,
                format!(
                    "a directory stands where a file should be. Correct {setting} if it is wrong, or move the directory away"
                ),
            ),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => (
                ErrorKind::InvalidConfig,
                format!(
                    "a file stands where a directory should be. Correct {setting} if it is wrong, or move the file away"
                ),
            ),
            io::ErrorKind::NotFound => (
                ErrorKind::InvalidConfig,
                format!(
                    "its directory does not exist. Correct {setting} if it is wrong, and see that its volume is mounted. Make \
                     the directory only if there is no ring yet"
                ),
            ),
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => (
                ErrorKind::InvalidConfig,
                format!("no such path can exist. Correct {setting}"),
            ),
            _ if is_loop(error) => (
                ErrorKind::BadAnswer,
                "it is a symbolic link. Remove it; if nobody in your team made it, treat it as an attack".to_owned(),
            ),
            _ => (
                ErrorKind::Unavailable,
                format!("the system refused ({error}). What was stored is untouched; see the system's log"),
            ),
        }
    }
}

/// Whose the path is, or the nearest directory above it that can be looked at; nothing if none can.
fn owned(path: &Path) -> String {
    let found = path
        .ancestors()
        .find_map(|ancestor| Some((ancestor, ancestor.symlink_metadata().ok()?)));
    found.map_or_else(String::new, |(ancestor, metadata)| {
        format!(": {} belongs to user {}", ancestor.display(), metadata.uid())
    })
}

/// The path with something appended to its last part.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory that a path stands in.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn owner_of_directory(path: &Path) -> Option<u32> {
    Some(directory_of(path).metadata().ok()?.uid())
}

/// Some octets, as far as the disk.
fn written(mut file: File) -> io::Result<()> {
    file.write_all(&[0; 4096])?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "open(2) takes the same bits as a signed number"
)]
fn bits(flags: OFlags) -> i32 {
    flags.bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_advice_on_a_file_leads_to_a_new_ring_or_takes_the_ring_from_its_user() {
        let disk = Disk {
            provider: "local",
            setting: "SIGNET_DATA_DIR",
        };
        let errors = [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::FBIG,
            Errno::ACCESS,
            Errno::PERM,
            Errno::ROFS,
            Errno::ISDIR,
            Errno::NOTDIR,
            Errno::EXIST,
            Errno::NOENT,
            Errno::NAMETOOLONG,
            Errno::INVAL,
            Errno::LOOP,
            Errno::IO,
        ];
        for error in errors {
            let (_, advice) = disk.advice(Path::new("/"), &io::Error::from(error));
            for harmful in [
                "another place",
                "or change",
                "or point",
                "Give it to",
                "writable volume",
            ] {
                assert!(!advice.contains(harmful), "{error}: {advice}");
            }
        }
        let (kind, advice) = disk.advice(Path::new("/no/such/file"), &Errno::ACCESS.into());
        assert_eq!(kind, ErrorKind::PermissionDenied);
        assert!(
            advice.contains(": / belongs to user 0. Run this as the user that the sidecar runs as"),
            "{advice}"
        );
    }
}
