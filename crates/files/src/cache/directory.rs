//! Checks that nobody else can replace a file in the data directory.
//!
//! Only the data directory and its subdirectories are checked, not the directories above. That is enough. A file
//! with another user's *content* must never be used, and the file itself guarantees that: it is opened without
//! following a link, and the open file must belong to us and be writable by nobody else. Only root could make such
//! a file with other content.
//!
//! A user who may write to the directory could still replace the file by another one *of ours*, such as an older copy
//! that they moved aside, and bring back a key that was revoked since. Therefore others may not write here, unless the
//! sticky bit keeps them from moving our files.
//!
//! A user who may write to a directory further up could replace the whole data directory by another one of ours. It
//! could only hold files that Signet wrote for the same issuer. Readers check the age of the content, which limits the
//! harm until the provider answers.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::FileFault;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// Opens the data directory, if nobody else can move our files in it. `None` if it does not exist.
pub(super) fn open(path: &Path) -> Result<Option<File>, FileFault> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    // A link in place of the data directory is followed, because the operator chose the path. The target is checked.
    judged(rustix::fs::openat(CWD, path, FLAGS, Mode::empty()))
}

/// Opens a subdirectory, with the same check. Signet made it, so a link in its place is somebody else's and is refused.
pub(super) fn open_in(above: &File, name: &str) -> Result<Option<File>, FileFault> {
    match rustix::fs::openat(above, name, FLAGS | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) if is_link(above, name) => Err(FileFault::DirectoryLink),
        found => judged(found),
    }
}

fn is_link(above: &File, name: &str) -> bool {
    rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

fn judged(found: Result<OwnedFd, Errno>) -> Result<Option<File>, FileFault> {
    let directory = match found {
        Ok(directory) => File::from(directory),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(FileFault::DirectoryUnreadable(error.into())),
    };
    let metadata = directory.metadata().map_err(FileFault::DirectoryUnreadable)?;
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != us && owner != 0 {
        return Err(FileFault::DirectoryOwner { owner, us });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
        return Err(FileFault::DirectoryWritable { mode });
    }
    Ok(Some(directory))
}
