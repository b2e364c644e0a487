//! A file in the data directory that keeps public facts over a restart: a cache with no authority, believed only if
//! nobody but this process's user (and root) could have written it.
//!
//! It holds nothing secret, so it need not be hidden. But whoever could write it could have keys of their own believed.
//! What it says is for those who own the document: the last good ring, the last good keys of an issuer.
//!
//! [`CacheFile::read`] and [`CacheFile::write`] block: call them where that is allowed. The entry point is [`CacheFile`].

mod directory;
mod fault;

use std::fs::File;
use std::path::{Path, PathBuf};

use signet_core::json::Object;
use zeroize::Zeroizing;

use crate::content::{self, Demands, Owner};
use crate::disk::{Disk, DiskError, with_suffix};

pub use fault::FileFault;

const DISK: Disk = Disk {
    setting: "SIGNET_DATA_DIR",
};

/// One file in one directory.
#[derive(Clone, Debug)]
pub struct CacheFile {
    data_dir: PathBuf,
    /// The name of the directory in it in which the file is, if it is not in the data directory itself.
    below: Option<&'static str>,
    directory: PathBuf,
    path: PathBuf,
    name: PathBuf,
    longest: usize,
}

impl CacheFile {
    /// The file of this name in the data directory, of so many octets at most. Nothing is touched yet.
    #[must_use]
    pub fn new(data_dir: &Path, name: impl Into<PathBuf>, longest: usize) -> Self {
        Self::within(data_dir, None, name.into(), longest)
    }

    /// The same for one in a directory of the data directory.
    #[must_use]
    pub fn below(data_dir: &Path, below: &'static str, name: impl Into<PathBuf>, longest: usize) -> Self {
        Self::within(data_dir, Some(below), name.into(), longest)
    }

    fn within(data_dir: &Path, below: Option<&'static str>, name: PathBuf, longest: usize) -> Self {
        let directory = below.map_or_else(|| data_dir.to_owned(), |below| data_dir.join(below));
        Self {
            data_dir: data_dir.to_owned(),
            below,
            path: directory.join(&name),
            directory,
            name,
            longest,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a fault is of: the file, or its directory.
    #[must_use]
    pub fn place_of(&self, fault: &FileFault) -> &Path {
        match fault {
            FileFault::Above(_) => &self.data_dir,
            fault if fault.is_of_directory() => &self.directory,
            _ => &self.path,
        }
    }

    /// What was last written. `None` if there is no file yet.
    ///
    /// # Errors
    /// [`FileFault`] if it cannot be read, or somebody else could have written it.
    pub fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, FileFault> {
        let Some(directory) = self.open_directory()? else {
            return Ok(None);
        };
        let demands = Demands {
            follow_links: false,
            // This process writes the file itself; one of another user was put there.
            owner: Owner::Us,
            forbidden_mode: 0o022,
            longest: self.longest as u64,
        };
        // From the directory that was looked at, whatever stands under its path by now.
        Ok(content::read(directory, &self.name, &demands)?)
    }

    /// Puts this in place of what was last written, whole or not at all. The directory is made if it is missing.
    ///
    /// # Errors
    /// [`FileFault`] if it cannot be written, or would be refused when it is read: better now, while somebody can act,
    /// than at the start that needs it.
    pub fn write(&self, content: &[u8]) -> Result<(), FileFault> {
        if content.len() > self.longest {
            return Err(FileFault::TooLongToWrite {
                octets: content.len(),
                longest: self.longest,
            });
        }
        let unwritten = |error: DiskError| FileFault::Unwritten(Box::new(error));
        // One after the other: nothing is made in a data directory that is refused.
        DISK.make_directory(&self.data_dir).map_err(unwritten)?;
        if self.open_directory()?.is_none() {
            DISK.make_directory(&self.directory).map_err(unwritten)?;
            self.open_directory()?;
        }
        // Replicas may share the directory: one writes at a time, and readers see one file or the other.
        let _lock = DISK.lock(&with_suffix(&self.path, ".lock")).map_err(unwritten)?;
        DISK.replace(&self.path, content).map_err(unwritten)
    }

    /// The directory in which the file is, open, if nobody else can move files of ours in it, nor it itself. `None` if it
    /// is missing.
    fn open_directory(&self) -> Result<Option<File>, FileFault> {
        let Some(below) = self.below else {
            return directory::open(&self.data_dir);
        };
        let above = directory::open(&self.data_dir).map_err(|fault| FileFault::Above(Box::new(fault)))?;
        match above {
            Some(above) => directory::open_in(&above, below),
            None => Ok(None),
        }
    }
}

/// The text of a file and its members, if it is strict JSON of this format.
///
/// # Errors
/// [`FileFault`].
pub fn parse<'a>(bytes: &'a [u8], format: &'static str) -> Result<(&'a str, Object<'a>), FileFault> {
    let text = std::str::from_utf8(bytes).map_err(FileFault::NotText)?;
    // Strict first: of two members with one name, no part of this may take one, and a person who looks the other.
    let object = Object::parse(text).map_err(FileFault::NotJson)?;
    // The format alone next: another version may have other members, and deserves a better answer than that.
    let found = member(&object, "format")?;
    match found == format {
        true => Ok((text, object)),
        false => Err(FileFault::Format { found, reads: format }),
    }
}

/// A member of a file's object that is a text.
///
/// # Errors
/// [`FileFault::Malformed`].
pub fn member(object: &Object<'_>, name: &'static str) -> Result<String, FileFault> {
    let value = object
        .member(name)
        .ok_or_else(|| FileFault::Malformed(serde::de::Error::missing_field(name)))?;
    serde_json::from_str(value.get()).map_err(FileFault::Malformed)
}
