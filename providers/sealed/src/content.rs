//! The content of a file that nobody else could have written: looked at on the open file, so that nothing can be put in
//! its place between the look and the reading.
//!
//! It blocks; call it where that is allowed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// What a file must be before its content is looked at. It is always a regular file.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// Whether a symbolic link is followed.
    pub follow_links: bool,
    /// Whether it may belong to root also where this process runs as another user.
    pub root_may_own: bool,
    /// Permission bits that must not be set.
    pub forbidden_mode: u32,
    /// The most octets that it may have.
    pub longest: u64,
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
    /// A pipe, a socket or a device stands there.
    #[error("it is not a regular file")]
    NotRegular,
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
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    if !demands.follow_links {
        flags |= OFlags::NOFOLLOW;
    }
    let file = match rustix::fs::openat(directory, path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) if !demands.follow_links => return Err(Unread::Link),
        Err(error) => return Err(Unread::System(error.into())),
    };
    let metadata = file.metadata()?;
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let (mode, forbidden) = (metadata.mode() & 0o7777, demands.forbidden_mode);
    let longest = demands.longest;
    if metadata.is_dir() {
        return Err(Unread::Directory);
    }
    if !metadata.is_file() {
        return Err(Unread::NotRegular);
    }
    if owner != us && !(demands.root_may_own && owner == 0) {
        return Err(Unread::Owner { owner, us });
    }
    if mode & forbidden != 0 {
        return Err(Unread::Mode { mode, forbidden });
    }
    if metadata.len() > longest {
        return Err(Unread::TooLong { longest });
    }
    // Room for everything at once: a buffer that grows leaves copies of a secret behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(64);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(longest.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(Unread::TooLong { longest });
    }
    Ok(Some(content))
}
