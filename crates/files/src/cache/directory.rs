//! Whether the directory keeps the file in its place.
//!
//! Only the data directory and those in it are looked at, not those above it, and that suffices. What must never happen is that the
//! file's *content* is another user's, and that is settled by the file itself: it is opened without following a link, and
//! the open file must belong to us and be writable by nobody else. Nobody but root can make such a file with a content of
//! their own. What a user who may write the directory can do is to put another file *of ours* in its place, such as an
//! older one of this kind that they moved aside, and so bring back a key that was revoked since. Therefore others may not
//! write here, unless the sticky bit keeps them from moving what is ours. A user who may write a directory further up
//! could swap the data directory for another one of ours that holds such a file, which only a Signet of this issuer has
//! written; the age of what it holds, which whoever reads it judges, bounds what that is worth until the provider answers.

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

/// The data directory, open, if nobody else can move files of ours in it. `None` if it is missing.
pub(super) fn open(path: &Path) -> Result<Option<File>, FileFault> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    // A link to it is followed: the operator named it, and where it leads to is what is looked at.
    judged(rustix::fs::openat(CWD, path, FLAGS, Mode::empty()))
}

/// The same for a directory in that one. Signet made it, so a link in its place was put there by somebody else.
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
