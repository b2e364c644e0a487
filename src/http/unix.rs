//! The local socket's file: who else is there, what a crash left, and its mode.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error(
        "{0} is in use: another signet serves on it. Leave that one running if it serves a gateway; a second sidecar needs a SIGNET_SOCKET of its own"
    )]
    InUse(PathBuf),
    /// Something that is not a socket is in the way.
    #[error("{0} exists and is not a socket; remove it, or set SIGNET_SOCKET to another path")]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("{action} {path} failed; make the directory writable for this user, or set SIGNET_SOCKET to another path")]
    Io {
        /// What was done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is wrong with the socket's file. Connections that are open go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketFault {
    /// It is gone.
    #[error("somebody removed {0}: nobody can connect any more")]
    Gone(String),
    /// Another file has its place.
    #[error("another file has the place of {0}: whoever connects there does not reach this process")]
    Replaced(String),
    /// It cannot be looked at.
    #[error("{path} cannot be looked at: {reason}")]
    Hidden {
        /// Where it should be.
        path: String,
        /// Why not.
        reason: String,
    },
}

/// Which file the socket is. Its inode is not given to another file for as long as the socket is open.
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

    /// Whether it is still there, and not another in its place: connections that are open would go on, and nobody could
    /// make a new one.
    ///
    /// # Errors
    /// What is wrong, for an operator.
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

/// A bound socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Bound {
    file: SocketFile,
    /// Held for as long as the socket is ours: two starts at once cannot both find it stale.
    _lock: std::fs::File,
}

impl Bound {
    /// Which file it is.
    #[must_use]
    pub fn file(&self) -> &SocketFile {
        &self.file
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // One that somebody put in its place is theirs.
        if self.file.check().is_ok() {
            let _ = std::fs::remove_file(&self.file.path);
        }
    }
}

/// Opens the socket, replacing a file that a crash left.
///
/// # Errors
/// [`SocketError`].
pub fn bind(path: &Path, mode: u32) -> Result<(UnixListener, Bound), SocketError> {
    let failed = |action| {
        move |source| SocketError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty() && !parent.exists())
    {
        // Others must be able to reach the socket; its own mode and the allow-list say who may use it.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(failed("creating the directory of"))?;
    }
    let lock = lock(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::InUse(path.to_owned())),
        Ok(_) => std::fs::remove_file(path).map_err(failed("removing the stale socket"))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("looking at")(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed("opening"))?;
    let bound = Bound {
        file: SocketFile::of(path).map_err(failed("looking at"))?,
        _lock: lock,
    };
    // The process's umask lets nobody but us in until here.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed("setting the mode of"))?;
    Ok((listener, bound))
}

fn lock(path: &Path) -> Result<std::fs::File, SocketError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let path_of_lock = path.with_file_name(name);
    let failed = |source| SocketError::Io {
        action: "locking",
        path: path_of_lock.clone(),
        source,
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path_of_lock)
        .map_err(failed)?;
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
        let (listener, bound) = bind(&path, 0o600).expect("bound");
        (directory, path, listener, bound)
    }

    #[tokio::test]
    async fn a_socket_file_that_was_removed_or_replaced_is_noticed() {
        let (_directory, path, _listener, bound) = bound();
        assert_eq!(bound.file().check(), Ok(()));
        std::fs::remove_file(&path).expect("removed");
        let fault = bound.file().check().expect_err("it is gone");
        assert!(matches!(fault, SocketFault::Gone(_)), "{fault}");
        // What to do is told by the status page, where what else fails is known.
        assert!(!fault.to_string().contains("restart"), "{fault}");
        // The inode is still ours, so a new file has another one.
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
