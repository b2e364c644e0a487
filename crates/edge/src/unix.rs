//! The file of the local socket: another process on it, the remains of a crash, its mode and its group.
//!
//! Nobody else can connect before mode and group are right. The file is created under a umask that leaves exactly the
//! configured mode, gets its group, and only then does the socket listen. A link or a pipe in place of the socket or
//! its lock file is not followed.

mod error;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags};
use rustix::process::umask;
use signet_files::disk::open_flags;
use tokio::net::{UnixListener, UnixSocket};

pub use error::SocketError;
use error::{foreign, not_a_socket, us};

/// How many clients may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A problem with the socket's file. Open connections continue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketFault {
    /// The file was removed.
    #[error("somebody removed {0}, so no new connection is possible")]
    Gone(String),
    /// Another file is in its place.
    #[error("another file has replaced {0}, so a client that connects there does not reach this process")]
    Replaced(String),
    /// The system does not let this process look at the file.
    #[error("{path} cannot be checked: {reason}")]
    Hidden {
        /// The expected path of the file.
        path: String,
        /// The system's error.
        reason: String,
    },
}

/// A group of this machine, by name and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name as it was written; the number if that was written.
    pub name: String,
    /// The group id.
    pub gid: u32,
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// The permissions of the socket's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The permission bits.
    pub mode: u32,
    /// The group to set. `None` keeps the one that the system chose.
    pub group: Option<Group>,
}

/// Identifies the file of the socket. Its inode is not reused while the socket is open.
#[derive(Clone, Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Checks that the file is still there and was not replaced. Otherwise open connections would continue, but
    /// nobody could open a new one.
    ///
    /// # Errors
    /// The problem, for an operator.
    pub fn check(&self) -> Result<(), SocketFault> {
        let path = self.path.display().to_string();
        match Self::of(&self.path) {
            Ok(found) if (found.device, found.inode) == (self.device, self.inode) => Ok(()),
            Ok(_) => Err(SocketFault::Replaced(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SocketFault::Gone(path)),
            Err(error) => Err(SocketFault::Hidden {
                path,
                reason: error.to_string(),
            }),
        }
    }
}

/// A bound socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Bound {
    file: SocketFile,
    /// Held while the socket is ours. Two processes that start at once cannot both take the file for stale.
    _lock: File,
}

impl Bound {
    /// The file of the socket.
    #[must_use]
    pub fn file(&self) -> &SocketFile {
        &self.file
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // If somebody replaced the file, the new one is theirs and stays.
        if self.file.check().is_ok() {
            let _ = std::fs::remove_file(&self.file.path);
        }
    }
}

/// Opens the socket, and replaces a file that a crash left.
///
/// The umask of the whole process changes for a moment: call this before other threads create files.
///
/// # Errors
/// [`SocketError`] if the socket cannot be opened.
pub fn bind(path: &Path, access: &Access) -> Result<(UnixListener, Bound), SocketError> {
    let failed = |action| {
        move |source| SocketError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    // Check this first: a lock file beside a file that is not a socket would only confuse people.
    if let Ok(found) = std::fs::symlink_metadata(path)
        && let Some(refused) = not_a_socket(path, found.file_type())
    {
        return Err(refused);
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.exists()) {
        // The members of the group must be able to reach the socket.
        let mode = if access.group.is_some() { 0o755 } else { 0o700 };
        let _mask = Masked::leaving(mode);
        let made = DirBuilder::new().recursive(true).mode(mode).create(parent);
        made.map_err(failed("creating the directory of"))?;
    }
    let lock = lock(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) => match (not_a_socket(path, found.file_type()), UnixStream::connect(path)) {
            (Some(refused), _) => return Err(refused),
            (None, Ok(_)) => return Err(SocketError::InUse(path.to_owned())),
            // Nobody is listening, so a crash left the file.
            (None, Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(|error| match error.kind() {
                    io::ErrorKind::PermissionDenied if found.uid() != us() => foreign(path, found.uid()),
                    _ => failed("removing the stale socket")(error),
                })?;
            }
            (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
            // We cannot tell whether somebody is listening.
            (None, Err(_)) if found.uid() != us() => return Err(foreign(path, found.uid())),
            (None, Err(error)) => return Err(failed("connecting to")(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("checking")(error)),
    }
    let socket = UnixSocket::new_stream().map_err(failed("opening"))?;
    {
        let _mask = Masked::leaving(access.mode);
        socket.bind(path).map_err(failed("opening"))?;
    }
    let file = open_made(path)?;
    if let Some(group) = &access.group {
        give_to(&file, group).map_err(|error| SocketError::Group {
            path: path.to_owned(),
            group: group.clone(),
            source: error.into(),
        })?;
        warn_if_out_of_reach(path, group);
    }
    let found = rustix::fs::fstat(&file).map_err(|error| failed("checking")(error.into()))?;
    let bound = Bound {
        file: SocketFile {
            path: path.to_owned(),
            device: found.st_dev,
            inode: found.st_ino,
        },
        _lock: lock,
    };
    // The kernel has refused all connections until now.
    let listener = socket.listen(BACKLOG).map_err(failed("listening on"))?;
    Ok((listener, bound))
}

/// Sets the umask of this process until it is dropped.
struct Masked(Mode);

impl Masked {
    /// New files get at most these permission bits; a socket gets exactly these.
    fn leaving(mode: u32) -> Self {
        Self(umask(Mode::from_raw_mode(0o777 & !mode)))
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        umask(self.0);
    }
}

/// Opens the file that was just made. Operations on this handle affect that file, even if its name is reused.
fn open_made(path: &Path) -> Result<OwnedFd, SocketError> {
    let replaced = || SocketError::Replaced(path.to_owned());
    let file = rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|_| replaced())?;
    let found = rustix::fs::fstat(&file).map_err(|_| replaced())?;
    let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
    let is_ours = found.st_uid == us() && found.st_nlink == 1;
    if is_socket && is_ours {
        Ok(file)
    } else {
        Err(replaced())
    }
}

fn give_to(file: &OwnedFd, group: &Group) -> rustix::io::Result<()> {
    rustix::fs::chownat(file, c"", None, Some(Gid::from_raw(group.gid)), AtFlags::EMPTY_PATH)
}

/// Warns if the mode of a directory above keeps the group out. It is only a warning, because access control
/// lists are not visible here.
fn warn_if_out_of_reach(path: &Path, group: &Group) {
    let Ok(path) = std::path::absolute(path) else { return };
    let closed = path.ancestors().skip(1).find(|directory| {
        std::fs::metadata(directory)
            .is_ok_and(|found| found.mode() & 0o001 == 0 && (found.gid() != group.gid || found.mode() & 0o010 == 0))
    });
    if let Some(directory) = closed {
        tracing::warn!(
            directory = %directory.display(),
            "the members of group {group} (SIGNET_SOCKET_GROUP) cannot reach the socket, because they may not enter \
             this directory; set SIGNET_SOCKET to a path that they can reach, such as \
             /run/signet/signet.sock"
        );
    }
}

fn lock(path: &Path) -> Result<File, SocketError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let path_of_lock = path.with_file_name(name);
    let failed = |source| SocketError::Io {
        action: "locking",
        path: path_of_lock.clone(),
        source,
    };
    let planted = |what| SocketError::Planted {
        path: path_of_lock.clone(),
        what,
    };
    // Without NONBLOCK, opening a named pipe in its place would hang.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(open_flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(&path_of_lock)
        .map_err(|error| match std::fs::symlink_metadata(&path_of_lock) {
            Ok(found) if found.is_symlink() => planted("it is a symbolic link"),
            Ok(found) if !found.is_file() => planted("it is not a regular file"),
            Ok(found) if found.uid() != us() => foreign(&path_of_lock, found.uid()),
            _ => failed(error),
        })?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(planted("it is not a regular file"));
    }
    if found.uid() != us() {
        return Err(foreign(&path_of_lock, found.uid()));
    }
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SocketError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> (tempfile::TempDir, PathBuf, UnixListener, Bound) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock");
        let (listener, bound) = bind(
            &path,
            &Access {
                mode: 0o600,
                group: None,
            },
        )
        .expect("bound");
        (directory, path, listener, bound)
    }

    #[tokio::test]
    async fn a_socket_file_that_was_removed_or_replaced_is_noticed() {
        let (_directory, path, _listener, bound) = bound();
        assert_eq!(bound.file().check(), Ok(()));
        std::fs::remove_file(&path).expect("removed");
        let fault = bound.file().check().expect_err("it is gone");
        assert!(matches!(fault, SocketFault::Gone(_)), "{fault}");
        // The status page adds the advice, because it knows what else fails.
        assert!(!fault.to_string().contains("restart"), "{fault}");
        // Our inode is still in use, so a new file gets another one.
        let _theirs = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        let fault = bound.file().check().expect_err("it is another");
        assert!(matches!(fault, SocketFault::Replaced(_)), "{fault}");
    }

    #[tokio::test]
    async fn a_clean_end_removes_its_own_file_and_no_other() {
        let (_directory, path, _listener, bound) = bound();
        drop(bound);
        assert!(!path.exists());
        let (_directory, path, _listener, bound) = self::bound();
        std::fs::remove_file(&path).expect("removed");
        let _theirs = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        drop(bound);
        assert!(path.exists());
    }
}
