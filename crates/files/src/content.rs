//! Reads a file that nobody else could have written.
//!
//! The checks use the open file, so nothing can be put in its place between the check and the read. All functions
//! block; call them on a thread that may block.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Who may own a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The effective user of this process.
    Us,
    /// The effective user of this process, or root.
    UsOrRoot,
    /// The file may belong to any user.
    Anybody,
}

/// What a file must fulfil before its content is read. It must also be a regular file.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// Whether to follow a symbolic link.
    pub follow_links: bool,
    /// Who may own the file.
    pub owner: Owner,
    /// Permission bits that must not be set.
    pub forbidden_mode: u32,
    /// The maximum size in bytes.
    pub longest: u64,
}

/// What was found in place of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A named pipe, or one that a shell made for `<(…)`.
    Pipe,
    /// A Unix socket.
    Socket,
    /// The device `/dev/null`.
    Null,
    /// Another device, such as a terminal.
    Device,
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Null | Self::Device => "a device",
        })
    }
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The path is a symbolic link, and links are not allowed.
    #[error("it is a symbolic link")]
    Link,
    /// The path is a directory.
    #[error("it is a directory")]
    Directory,
    /// The path is something else that is not a regular file.
    #[error("it is {0}, not a regular file")]
    NotRegular(Other),
    /// The file belongs to another user.
    #[error("it belongs to user {owner}, neither to the user of this process, {us}, nor to root")]
    Owner {
        /// The owner of the file.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// The permissions of the file are too open.
    #[error("its mode {mode:04o} gives others access ({forbidden:04o} must not be set)")]
    Mode {
        /// The permission bits of the file.
        mode: u32,
        /// The permission bits that must not be set.
        forbidden: u32,
    },
    /// The file is too long.
    #[error("it is longer than {longest} bytes")]
    TooLong {
        /// The maximum size in bytes.
        longest: u64,
    },
    /// The system refused the operation.
    #[error("the system refused")]
    System(#[from] io::Error),
}

/// Reads a file that meets the requirements. `None` if there is no file. A relative path starts at `directory`, which
/// may be [`rustix::fs::CWD`].
///
/// # Errors
/// [`Unread`] if the file does not meet the requirements or cannot be read.
pub fn read(directory: impl AsFd, path: &Path, demands: &Demands) -> Result<Option<Zeroizing<Vec<u8>>>, Unread> {
    // Without NONBLOCK, opening a named pipe would hang.
    let Some(file) = open(directory, path, OFlags::RDONLY | OFlags::NONBLOCK, demands)? else {
        return Ok(None);
    };
    let longest = demands.longest;
    // Allocate everything at once, because a buffer that grows leaves copies of a secret in memory.
    let room = usize::try_from(file.metadata()?.len()).unwrap_or(0).saturating_add(64);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(longest.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(Unread::TooLong { longest });
    }
    Ok(Some(content))
}

/// Checks a file that other code will read. `false` if there is no file.
///
/// # Errors
/// [`Unread`] if the file does not meet the requirements.
pub fn look(directory: impl AsFd, path: &Path, demands: &Demands) -> Result<bool, Unread> {
    Ok(open(directory, path, OFlags::PATH, demands)?.is_some())
}

fn open(directory: impl AsFd, path: &Path, how: OFlags, demands: &Demands) -> Result<Option<File>, Unread> {
    let mut flags = how | OFlags::CLOEXEC;
    if !demands.follow_links {
        flags |= OFlags::NOFOLLOW;
    }
    let file = match rustix::fs::openat(directory, path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) if !demands.follow_links => return Err(Unread::Link),
        // This is the system's error for a socket.
        Err(Errno::NXIO) => return Err(Unread::NotRegular(Other::Socket)),
        Err(error) => return Err(Unread::System(error.into())),
    };
    let metadata = file.metadata()?;
    match of_kind(&metadata) {
        Kind::Directory => return Err(Unread::Directory),
        Kind::Link => return Err(Unread::Link),
        Kind::Other(other) => return Err(Unread::NotRegular(other)),
        Kind::Regular => {}
    }
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let is_allowed = match demands.owner {
        Owner::Us => owner == us,
        Owner::UsOrRoot => owner == us || owner == 0,
        Owner::Anybody => true,
    };
    if !is_allowed {
        return Err(Unread::Owner { owner, us });
    }
    let (mode, forbidden) = (metadata.mode() & 0o7777, demands.forbidden_mode);
    if mode & forbidden != 0 {
        return Err(Unread::Mode { mode, forbidden });
    }
    if metadata.len() > demands.longest {
        return Err(Unread::TooLong {
            longest: demands.longest,
        });
    }
    Ok(Some(file))
}

enum Kind {
    Regular,
    Directory,
    Link,
    Other(Other),
}

fn of_kind(metadata: &Metadata) -> Kind {
    let kind = metadata.file_type();
    if kind.is_file() {
        Kind::Regular
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Link
    } else if kind.is_fifo() {
        Kind::Other(Other::Pipe)
    } else if kind.is_socket() {
        Kind::Other(Other::Socket)
    } else if kind.is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3) {
        Kind::Other(Other::Null)
    } else {
        Kind::Other(Other::Device)
    }
}
