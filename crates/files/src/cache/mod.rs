//! Files in the data directory that keep public facts for the next start, such as the last good ring and the
//! last good keys of an issuer.
//!
//! A file is trusted only if nobody but this process's user and root could have written it. Its content is not
//! secret, but somebody who could write it could make Signet trust their own keys. The owner of each
//! document judges its content.
//!
//! The entry point is [`CacheFile`]. [`CacheFile::read`] and [`CacheFile::write`] block; call them
//! on a thread that may block.

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

/// One cache file.
#[derive(Clone, Debug)]
pub struct CacheFile {
    data_dir: PathBuf,
    /// The subdirectory of the data directory that holds the file. `None` if the data directory itself does.
    below: Option<&'static str>,
    directory: PathBuf,
    path: PathBuf,
    name: PathBuf,
    longest: usize,
}

impl CacheFile {
    /// A file of this name in the data directory, with at most `longest` bytes. Nothing is read or created yet.
    #[must_use]
    pub fn new(data_dir: &Path, name: impl Into<PathBuf>, longest: usize) -> Self {
        Self::within(data_dir, None, name.into(), longest)
    }

    /// A file in the subdirectory `below` of the data directory. Otherwise like [`CacheFile::new`].
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

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path that a fault is about: the file, its directory or the data directory.
    #[must_use]
    pub fn place_of(&self, fault: &FileFault) -> &Path {
        match fault {
            FileFault::Above(_) => &self.data_dir,
            fault if fault.is_of_directory() => &self.directory,
            _ => &self.path,
        }
    }

    /// Reads what was last written. `None` if there is no file yet.
    ///
    /// # Errors
    /// [`FileFault`] if the file cannot be read, or somebody else could have written it.
    pub fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, FileFault> {
        let Some(directory) = self.open_directory()? else {
            return Ok(None);
        };
        let demands = Demands {
            follow_links: false,
            // This process writes the file itself, so a file of another user does not belong here.
            owner: Owner::Us,
            forbidden_mode: 0o022,
            longest: self.longest as u64,
        };
        // Read from the directory that was checked, even if its path leads elsewhere by now.
        Ok(content::read(directory, &self.name, &demands)?)
    }

    /// Replaces the file, completely or not at all. Creates the directory if it does not exist.
    ///
    /// # Errors
    /// [`FileFault`] if the file cannot be written, or if a later read would refuse it. It is better to fail now, when
    /// somebody can act, than at the start that needs the file.
    pub fn write(&self, content: &[u8]) -> Result<(), FileFault> {
        if content.len() > self.longest {
            return Err(FileFault::TooLongToWrite {
                octets: content.len(),
                longest: self.longest,
            });
        }
        let unwritten = |error: DiskError| FileFault::Unwritten(Box::new(error));
        // Check the data directory before a subdirectory is created in it.
        DISK.make_directory(&self.data_dir).map_err(unwritten)?;
        if self.open_directory()?.is_none() {
            DISK.make_directory(&self.directory).map_err(unwritten)?;
            self.open_directory()?;
        }
        // Replicas may share the directory. One writes at a time; readers see the old file or the new one.
        let _lock = DISK.lock(&with_suffix(&self.path, ".lock")).map_err(unwritten)?;
        DISK.replace(&self.path, content).map_err(unwritten)
    }

    /// Opens the directory of the file, if nobody else can move the directory or our files in it.
    /// `None` if it does not exist.
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

/// Parses the content of a file as strict JSON of this format. Returns the text and its members.
///
/// # Errors
/// [`FileFault`] if the content is not strict JSON or has another format.
pub fn parse<'a>(bytes: &'a [u8], format: &'static str) -> Result<(&'a str, Object<'a>), FileFault> {
    let text = std::str::from_utf8(bytes).map_err(FileFault::NotText)?;
    // Strict parsing comes first: with duplicate members, different readers would see different values.
    let object = Object::parse(text).map_err(FileFault::NotJson)?;
    // The format comes next: a file of another version may have other members, and deserves a better error.
    let found = member(&object, "format")?;
    match found == format {
        true => Ok((text, object)),
        false => Err(FileFault::Format { found, reads: format }),
    }
}

/// Reads a member of the object as a string.
///
/// # Errors
/// [`FileFault::Malformed`] if the member is missing or not a string.
pub fn member(object: &Object<'_>, name: &'static str) -> Result<String, FileFault> {
    let value = object
        .member(name)
        .ok_or_else(|| FileFault::Malformed(serde::de::Error::missing_field(name)))?;
    serde_json::from_str(value.get()).map_err(FileFault::Malformed)
}
