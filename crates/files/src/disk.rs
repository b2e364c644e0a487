//! Files that must survive a crash. They are written completely or not at all, by one process at a time.
//!
//! [`Disk`] is the entry point. All its functions block; call them on a thread that may block.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// How long to wait for a lock. A lock is held for one write only, so a process that holds it longer hangs.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two attempts to take a lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// Operations on the files of one setting.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// The setting that names the file or directory, for errors.
    pub setting: &'static str,
}

/// A lock on a path. It is released when dropped, and when the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What must change before a failed operation can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The setting, or what its path leads to.
    Setting,
    /// The permissions of this process, or the user that it runs as.
    Rights,
    /// The disk is full, or the system failed.
    System,
    /// Another process holds the lock.
    Locked,
    /// A symbolic link that Signet did not make.
    Link,
}

/// An operation on a file failed. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refused the operation.
    #[error("cannot {doing} {}: {advice}", path.display())]
    System {
        /// The operation, as a verb.
        doing: &'static str,
        /// The path of the file or directory.
        path: PathBuf,
        /// What must change.
        cause: Cause,
        /// What the operator should do.
        advice: String,
        /// The system's error.
        source: io::Error,
    },
    /// Refused because we run as root: root would create a file that another user's sidecar cannot open.
    #[error("{0}")]
    Root(String),
    /// Another process holds the lock.
    #[error("{0}")]
    Locked(String),
}

impl DiskError {
    /// What must change before the operation can succeed.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::System { cause, .. } => *cause,
            Self::Root(_) => Cause::Rights,
            Self::Locked(_) => Cause::Locked,
        }
    }
}

impl Disk {
    /// Whether there is anything at this path, including a dangling link.
    ///
    /// # Errors
    /// [`DiskError`] if the system refuses to look.
    pub fn exists(&self, path: &Path) -> Result<bool, DiskError> {
        match path.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("look at", path, error)),
        }
    }

    /// Replaces a file, with mode 0600. The file has either its old or its new content, never a part of it. After `Ok`,
    /// the new content is on disk. Hold a [`Lock`]: all writers use the same temporary file.
    ///
    /// # Errors
    /// [`DiskError`] from the system. If only the last step failed, syncing the directory, the file was replaced.
    pub fn replace(&self, path: &Path, content: &[u8]) -> Result<(), DiskError> {
        let temporary = with_suffix(path, ".tmp");
        // A temporary file that a crash left, or that somebody planted, is removed and never written to.
        remove(&temporary).map_err(|error| self.failed("remove", &temporary, error))?;
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(open_flags(OFlags::NOFOLLOW))
                .open(&temporary)?;
            file.write_all(content)?;
            file.sync_all()
        })();
        if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, path)) {
            // Free the space again, because the disk may be full. If this fails too, the next write tries again.
            drop(remove(&temporary));
            return Err(self.failed("write", path, error));
        }
        self.sync_directory(path)
    }

    /// Renames a file and syncs the directory. Hold a [`Lock`].
    ///
    /// # Errors
    /// [`DiskError`] if the system refuses.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        std::fs::rename(from, to).map_err(|error| self.failed("rename", from, error))?;
        self.sync_directory(to)
    }

    /// Creates the directory and those above it, with mode 0700, if they do not exist.
    ///
    /// The mode of an existing directory is not checked. Kubernetes gives an `emptyDir` mode 0777, and each file in
    /// it is checked on its own.
    ///
    /// # Errors
    /// [`DiskError`] if the system refuses.
    pub fn make_directory(&self, path: &Path) -> Result<(), DiskError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.is_dir()).collect();
        if missing.is_empty() || path.as_os_str().is_empty() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| self.failed("make the directory", path, error))?;
        // A new directory is durable once its parent is synced, so go from the top down.
        for made in missing.into_iter().rev().filter(|made| !made.as_os_str().is_empty()) {
            self.sync_directory(made)?;
        }
        Ok(())
    }

    /// Takes the lock for this path, and waits while another process holds it.
    ///
    /// # Errors
    /// [`DiskError`] if the system refuses, or after ten seconds.
    pub fn lock(&self, path: &Path) -> Result<Lock, DiskError> {
        self.refuse_as_root(path)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(open_flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
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
                        "another process has held the lock on {} for {} s; find it with `fuser {}`, and stop it if \
                         it hangs",
                        path.display(),
                        LOCK_PATIENCE.as_secs(),
                        path.display()
                    );
                    return Err(DiskError::Locked(text));
                }
                Err(TryLockError::Error(error)) => return Err(self.failed("lock", path, error)),
            }
        }
    }

    /// Refuses to create a file as root in another user's directory, because that user's sidecar could not open it.
    fn refuse_as_root(&self, path: &Path) -> Result<(), DiskError> {
        if let Some(owner) = owner_of_directory(path).filter(|owner| *owner != 0)
            && rustix::process::geteuid().is_root()
            && !path.exists()
        {
            let text = format!(
                "{} belongs to user {owner}, but this process runs as root, and the sidecar could not open files of \
                 root. Run this as user {owner}, as the sidecar does (`sudo -u '#{owner}' ...`, or \
                 `docker exec -u {owner} ...`)",
                directory_of(path).display()
            );
            return Err(DiskError::Root(text));
        }
        Ok(())
    }

    /// Checks that a file can be written next to this path.
    ///
    /// Nothing is left behind, not even for a moment if the file system supports unnamed files. A missing directory is
    /// not created; the system is only asked whether it could be.
    ///
    /// # Errors
    /// [`DiskError`] if the system refuses.
    pub fn try_writing(&self, path: &Path) -> Result<(), DiskError> {
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
        // If the lock file exists, we must be able to take the lock. If not, nobody is writing, and no lock is needed.
        let _lock = match self.exists(&lock)? {
            true => Some(self.lock(&lock)?),
            false => None,
        };
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let nameless = rustix::fs::openat(CWD, directory, flags, Mode::from(0o600));
        match nameless {
            Ok(file) => written(File::from(file)).map_err(failed),
            // The file system does not support unnamed files.
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

    fn sync_directory(&self, path: &Path) -> Result<(), DiskError> {
        let directory = directory_of(path);
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| self.failed("sync the directory", directory, error))
    }

    /// Makes the error for an operation that the system refused.
    #[must_use]
    pub fn failed(&self, doing: &'static str, path: &Path, source: io::Error) -> DiskError {
        let (cause, advice) = self.advice(doing, path, &source);
        DiskError::System {
            doing,
            path: path.to_owned(),
            cause,
            advice,
            source,
        }
    }

    /// What must change, and how.
    ///
    /// Never advise another directory or a new volume: the right one holds the ring, and without it a new ring would be
    /// made and every token refused.
    fn advice(&self, doing: &str, path: &Path, error: &io::Error) -> (Cause, String) {
        let setting = self.setting;
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => (
                Cause::System,
                "the disk, the quota or the file size limit is exhausted. The stored file is unchanged. Free some \
                 space; Signet then tries again"
                    .to_owned(),
            ),
            io::ErrorKind::PermissionDenied => (
                Cause::Rights,
                format!(
                    "permission denied for user {}{}. Run this as the user of the sidecar. If it already runs as \
                     that user, let that user read and write there. Keep {setting}: in a \
                     directory without the ring Signet would start a new one, and every token \
                     would be refused",
                    rustix::process::geteuid().as_raw(),
                    owned(doing, path)
                ),
            ),
            io::ErrorKind::ReadOnlyFilesystem => (
                Cause::Rights,
                format!(
                    "the file system is read-only. Mount the same volume read-write. If {setting} names the wrong \
                     directory, correct it; in a directory without the ring Signet would start a \
                     new one"
                ),
            ),
            io::ErrorKind::IsADirectory => (
                Cause::Setting,
                format!(
                    "there is a directory instead of a file. Correct {setting} if it is wrong, or move the directory \
                     away"
                ),
            ),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => (
                Cause::Setting,
                format!(
                    "there is a file instead of a directory. Correct {setting} if it is wrong, or move the file away"
                ),
            ),
            io::ErrorKind::NotFound => (
                Cause::Setting,
                format!(
                    "its directory does not exist. Correct {setting} if it is wrong, and check that its volume is \
                     mounted. Create the directory only if there is no ring yet"
                ),
            ),
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
                (Cause::Setting, format!("this path is not valid. Correct {setting}"))
            }
            _ if is_loop(error) => (
                Cause::Link,
                "it is a symbolic link. Remove it; if nobody in your team made it, treat it as an attack".to_owned(),
            ),
            _ => (
                Cause::System,
                format!("the system refused ({error}). The stored file is unchanged; see the log of the system"),
            ),
        }
    }
}

/// Describes who owns the path, or the nearest directory above it that can be read. Empty if none can.
///
/// For writing, renaming and removing, the permissions of the directory count, not the owner of the file.
fn owned(doing: &str, path: &Path) -> String {
    let needed = match doing {
        "write" | "rename" | "remove" => directory_of(path),
        _ => path,
    };
    let found = needed
        .ancestors()
        .find_map(|ancestor| Some((ancestor, ancestor.symlink_metadata().ok()?)));
    found.map_or_else(String::new, |(ancestor, metadata)| {
        format!(": {} belongs to user {}", ancestor.display(), metadata.uid())
    })
}

/// The path with a suffix appended to its last part.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory that contains a path.
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

/// Writes some bytes and syncs them to disk.
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

/// Converts flags of open(2) for [`OpenOptionsExt::custom_flags`](std::os::unix::fs::OpenOptionsExt::custom_flags).
#[must_use]
#[expect(
    clippy::cast_possible_wrap,
    reason = "open(2) takes the same bits as a signed number"
)]
pub fn open_flags(flags: OFlags) -> i32 {
    flags.bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_advice_on_a_file_leads_to_a_new_ring_or_takes_the_ring_from_its_user() {
        let disk = Disk {
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
            let (_, advice) = disk.advice("read", Path::new("/"), &io::Error::from(error));
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
        let (cause, advice) = disk.advice("read", Path::new("/no/such/file"), &Errno::ACCESS.into());
        assert_eq!(cause, Cause::Rights);
        assert!(
            advice.contains(": / belongs to user 0. Run this as the user of the sidecar"),
            "{advice}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_written_is_put_down_to_its_directory_and_not_to_its_owner() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ring.json");
        std::fs::write(&path, "").expect("written");
        let disk = Disk {
            setting: "SIGNET_DATA_DIR",
        };
        for (doing, lacking) in [
            ("write", directory.path()),
            ("rename", directory.path()),
            ("remove", directory.path()),
            ("read", &path),
            ("lock", &path),
        ] {
            let text = disk.failed(doing, &path, Errno::ACCESS.into()).to_string();
            let named = format!(": {} belongs to user", lacking.display());
            assert!(text.contains(&named), "{text}");
        }
    }
}
