//! Why the socket could not be opened, and what the operator should do.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::Group;

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process is serving on the socket.
    #[error(
        "{0} is in use: another signet listens on it. Keep that one running if it serves a gateway, and set another \
         SIGNET_SOCKET for this one"
    )]
    InUse(PathBuf),
    /// Something that is not a socket is in the way. The text does not advise to remove it, because it may be valuable.
    #[error(
        "{path} is {what}, not a socket, so Signet does not replace it; set SIGNET_SOCKET to another path{example}"
    )]
    NotASocket {
        /// The path in SIGNET_SOCKET.
        path: PathBuf,
        /// What was found there.
        what: &'static str,
        /// A path that would work, if one follows from this one.
        example: String,
    },
    /// The socket or its lock file belongs to another user.
    #[error(
        "{path} belongs to user {owner}, but this process runs as user {us}: a sidecar of that user uses or used this \
         path. To replace that sidecar, stop it; to run both, set another SIGNET_SOCKET for this one. If no sidecar of \
         that user runs, remove {path} as that user or as root"
    )]
    Foreign {
        /// The path of the socket or the lock file.
        path: PathBuf,
        /// The owner of the file.
        owner: String,
        /// The effective user of this process.
        us: u32,
    },
    /// The lock file is a link or not a regular file, so this process did not make it.
    #[error(
        "the socket's lock file {path} is refused: {what}. Remove it; if nobody in your team put it there, treat it as an \
         attack, and set SIGNET_SOCKET to a path in a directory that only the user of this process can write to"
    )]
    Planted {
        /// The path of the lock file.
        path: PathBuf,
        /// The problem with it.
        what: &'static str,
    },
    /// Somebody replaced the socket while it was made.
    #[error(
        "somebody replaced {0} while Signet was creating it; set SIGNET_SOCKET to a path in a directory that only the \
         user of this process can write to"
    )]
    Replaced(PathBuf),
    /// The socket cannot be given to the group.
    #[error(
        "{path} cannot be given to group {group} (SIGNET_SOCKET_GROUP): {advice}",
        advice = group_advice(group, source)
    )]
    Group {
        /// The path of the socket.
        path: PathBuf,
        /// The group in `SIGNET_SOCKET_GROUP`.
        group: Group,
        /// The system's error.
        source: io::Error,
    },
    /// The system refused an operation.
    #[error("{action} {path} failed: {advice}", advice = io_advice(path, source))]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The error for a file in place of the socket. `None` if it is a socket.
pub(super) fn not_a_socket(path: &Path, found: FileType) -> Option<SocketError> {
    let what = match () {
        () if found.is_socket() => return None,
        () if found.is_symlink() => "a symbolic link, which is not followed",
        () if found.is_dir() => "a directory",
        () if found.is_file() => "a regular file",
        () => "a pipe or a device",
    };
    let example = match found.is_dir() {
        true => format!(", such as {}", path.join("signet.sock").display()),
        false => String::new(),
    };
    Some(SocketError::NotASocket {
        path: path.to_owned(),
        what,
        example,
    })
}

fn group_advice(group: &Group, error: &io::Error) -> String {
    let us = us();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "this process runs as user {us}, which is neither root nor a member of that group. Add the user to the \
             group (`usermod --append --groups {group} USER`, `SupplementaryGroups=` in systemd, \
             `supplementalGroups: [{}]` in Kubernetes), or remove SIGNET_SOCKET_GROUP",
            group.gid
        ),
        io::ErrorKind::InvalidInput => format!(
            "group {} does not exist in the user namespace of this process; write one that does, or remove \
             SIGNET_SOCKET_GROUP",
            group.gid
        ),
        _ => {
            "the file system refused; set SIGNET_SOCKET to a path on another file system, or remove SIGNET_SOCKET_GROUP"
                .to_owned()
        }
    }
}

fn io_advice(path: &Path, error: &io::Error) -> String {
    let another = "set SIGNET_SOCKET to another path";
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let us = us();
            // Name the deepest existing directory, because that directory refuses the operation.
            let above = path
                .ancestors()
                .skip(1)
                .find_map(|above| Some((above, std::fs::metadata(above).ok()?)));
            let whose = above.map_or_else(String::new, |(above, found)| {
                let (owner, mode) = (user(found.uid()), found.mode() & 0o7777);
                format!("{} belongs to user {owner} (mode {mode:04o}), but ", above.display())
            });
            format!("{whose}this process runs as user {us}: let this user write to the directory, or {another}")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("the file system is read-only: {another} on a writable file system")
        }
        io::ErrorKind::NotADirectory => format!("a directory of the path is a file: {another}"),
        io::ErrorKind::StorageFull => format!("the file system is full: make room, or {another}"),
        _ => another.to_owned(),
    }
}

/// A user id, with the name if `/etc/passwd` has one (passwd(5)).
fn user(uid: u32) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    name.map_or_else(|| uid.to_string(), |name| format!("{uid} ({name})"))
}

/// Makes the error for a socket or a lock file of another user.
pub(super) fn foreign(path: &Path, owner: u32) -> SocketError {
    SocketError::Foreign {
        path: path.to_owned(),
        owner: user(owner),
        us: us(),
    }
}

/// The effective user id of this process.
pub(super) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}
