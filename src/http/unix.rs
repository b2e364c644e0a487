//! The local socket's file: who else is there, what a crash left, and its mode.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("{0} is in use: another signet serves on it; stop that one, or set SIGNET_SOCKET to another path")]
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

/// A bound socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    /// Held for as long as the socket is ours: two starts at once cannot both find it stale.
    _lock: std::fs::File,
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
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
        path: path.to_owned(),
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
