//! The content of a file that nobody else could have written: looked at on the open file, so that nothing can be put in
//! its place between the look and the reading.
//!
//! It blocks; call it where that is allowed.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Whose a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The effective user of this process.
    Us,
    /// The effective user of this process, or root.
    UsOrRoot,
    /// Anybody.
    Anybody,
}

/// What a file must be before its content is looked at. It is always a regular file.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// Whether a symbolic link is followed.
    pub follow_links: bool,
    /// Whose it may be.
    pub owner: Owner,
    /// Permission bits that must not be set.
    pub forbidden_mode: u32,
    /// The most octets that it may have.
    pub longest: u64,
}

/// What stands in the place of a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// A named pipe, or one that a shell made for `<(…)`.
    Pipe,
    /// A Unix socket.
    Socket,
    /// `/dev/null`, which everybody may write and nobody can put anything into.
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
    /// A symbolic link stands there, and none may.
    #[error("it is a symbolic link")]
    Link,
    /// A directory stands there.
    #[error("it is a directory")]
    Directory,
    /// Something else stands there.
    #[error("it is {0}, not a regular file")]
    NotRegular(Other),
    /// It belongs to somebody else.
    #[error("it belongs to user {owner}, neither to this process's user {us} nor to root")]
    Owner {
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        us: u32,
    },
    /// Its mode is too open.
    #[error("its mode {mode:04o} gives others access ({forbidden:04o} must not be set)")]
    Mode {
        /// Its permission bits.
        mode: u32,
        /// Those that must not be set.
        forbidden: u32,
    },
    /// It has too many octets.
    #[error("it is longer than {longest} octets")]
    TooLong {
        /// The most that it may have.
        longest: u64,
    },
    /// The system refused.
    #[error("the system refused")]
    System(#[from] io::Error),
}

/// The content of a file that is as demanded, or `None` if there is no file. The path is taken from `directory`, which is
/// [`rustix::fs::CWD`] where there is no other.
///
/// # Errors
/// [`Unread`].
pub fn read(directory: impl AsFd, path: &Path, demands: &Demands) -> Result<Option<Zeroizing<Vec<u8>>>, Unread> {
    // Without NONBLOCK a named pipe in place of the file would hang us.
    let Some(file) = open(directory, path, OFlags::RDONLY | OFlags::NONBLOCK, demands)? else {
        return Ok(None);
    };
    let longest = demands.longest;
    // Room for everything at once: a buffer that grows leaves copies of a secret behind.
    let room = usize::try_from(file.metadata()?.len()).unwrap_or(0).saturating_add(64);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(longest.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(Unread::TooLong { longest });
    }
    Ok(Some(content))
}

/// Whether a file is as demanded, for one that somebody else will read. `false` if there is no file.
///
/// # Errors
/// [`Unread`].
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
        // So the system answers for a socket.
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
