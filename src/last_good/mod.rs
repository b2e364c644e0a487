//! The last good public ring on disk: what a replica that starts while its provider is down validates and publishes from.
//!
//! The file is a cache with no authority. Whatever the provider says next replaces it whole: no key of it outlives the
//! first reading of the provider, and nothing in it is ever merged with one. How old it may be and still be used is for
//! whoever reads it to judge, by [`Remembered::refreshed_at`] and the policy; an instant that lies in the future, too,
//! since the clock may have been set back.
//!
//! It holds public keys and facts about them, nothing secret, so it need not be hidden. But whoever could write it could
//! publish a key of their own and have its tokens accepted, so it is believed only if nobody but this process's user (and
//! root) could have written it (`directory.rs`), if it is this issuer's, and if every key in it would be
//! taken from a provider as well.
//!
//! This module knows no provider and no clock. [`LastGood::read`] and [`LastGood::write`] block: call them where that is
//! allowed. The entry point is [`LastGood`].

mod directory;
mod document;
mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use signet_core::{Issuer, KeyRecord, Lapses, Timestamp};
use signet_sealed::content::{self, Demands, Unread};
use signet_sealed::disk::{Disk, with_suffix};

pub use document::{LONGEST, MOST_KEYS};
pub use error::{LastGoodError, Refusal};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "last-good.json";

const DISK: Disk = Disk {
    provider: "last-good",
    setting: "SIGNET_DATA_DIR",
};

const DEMANDS: Demands = Demands {
    follow_links: false,
    // This process writes the file itself; one of another user was put there.
    root_may_own: false,
    forbidden_mode: 0o022,
    longest: LONGEST as u64,
};

/// What a replica knew of its rings when it last read them: public keys and facts, nothing secret.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// When the provider was last read with success.
    pub refreshed_at: Timestamp,
    /// The first ring is the one that signs; the others are published beside it.
    pub rings: Vec<RememberedRing>,
}

/// One ring, as its provider listed it.
#[derive(Clone, Debug)]
pub struct RememberedRing {
    /// The provider's name, as in the settings.
    pub provider: String,
    /// Its keys, in any order.
    pub records: Vec<KeyRecord>,
    /// When it could not be read for long, before it was last read.
    pub lapses: Lapses,
}

/// Where rings are remembered over a restart.
#[async_trait]
pub trait Remembers: fmt::Debug + Send + Sync {
    /// What was last remembered, if anything.
    ///
    /// # Errors
    /// [`LastGoodError`] if it is not to be believed.
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError>;

    /// Puts this in its place.
    ///
    /// # Errors
    /// [`LastGoodError`].
    async fn remember(&self, rings: Remembered) -> Result<(), LastGoodError>;
}

/// The file in the data directory, for one issuer.
#[derive(Clone, Debug)]
pub struct LastGood {
    directory: PathBuf,
    path: PathBuf,
    issuer: Issuer,
}

impl LastGood {
    /// The file of this issuer in this directory. Nothing is touched yet.
    #[must_use]
    pub fn new(data_dir: &Path, issuer: &Issuer) -> Self {
        Self {
            directory: data_dir.to_owned(),
            path: data_dir.join(FILE_NAME),
            issuer: issuer.clone(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was last written. `None` if there is no file yet.
    ///
    /// # Errors
    /// [`LastGoodError`] if the file cannot be read or is not to be believed.
    pub fn read(&self) -> Result<Option<Remembered>, LastGoodError> {
        let Some(directory) = directory::open(&self.directory).map_err(|refusal| self.refused(refusal))? else {
            return Ok(None);
        };
        // From the directory that was looked at, whatever stands under its path by now.
        let content = content::read(directory, Path::new(FILE_NAME), &DEMANDS)
            .map_err(|unread| self.refused(Refusal::from(unread)))?;
        content
            .map(|bytes| document::parse(&bytes, &self.issuer))
            .transpose()
            .map_err(|refusal| self.refused(refusal))
    }

    /// Puts this in place of what was last written, whole or not at all. The directory is made if it is missing. Of a
    /// ring with more than [`MOST_KEYS`] keys, the newest of them are kept: the others have left the JWKS long ago, as no
    /// policy lets so many be published.
    ///
    /// # Errors
    /// [`LastGoodError`] if it cannot be written, or would be refused when it is read: better now, while the provider is
    /// there and somebody can act, than at the start that needs it.
    pub fn write(&self, remembered: &Remembered) -> Result<(), LastGoodError> {
        let bytes = document::compose(remembered, &self.issuer).map_err(|refusal| self.refused(refusal))?;
        let unwritten = |error: signet_api::ProviderError| self.refused(Refusal::Unwritten(error.source));
        DISK.make_directory(&self.directory).map_err(unwritten)?;
        directory::open(&self.directory).map_err(|refusal| self.refused(refusal))?;
        // Replicas may share the directory: one writes at a time, and readers see one file or the other.
        let _lock = DISK.lock(&with_suffix(&self.path, ".lock")).map_err(unwritten)?;
        DISK.replace(&self.path, &bytes).map_err(unwritten)
    }

    fn refused(&self, refusal: Refusal) -> LastGoodError {
        let path = match refusal.is_of_directory() {
            true => &self.directory,
            false => &self.path,
        };
        LastGoodError {
            path: path.clone(),
            refusal,
        }
    }
}

/// The disk may be slow, and nobody else is to wait for it.
#[async_trait]
impl Remembers for LastGood {
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError> {
        let file = self.clone();
        let reading = tokio::task::spawn_blocking(move || file.read()).await;
        // The process is stopping, or a thread could not be had: there is nothing to go on from.
        reading.unwrap_or(Ok(None))
    }

    async fn remember(&self, rings: Remembered) -> Result<(), LastGoodError> {
        let file = self.clone();
        let writing = tokio::task::spawn_blocking(move || file.write(&rings)).await;
        writing.unwrap_or(Ok(()))
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Link => Self::Link,
            Unread::Directory | Unread::NotRegular => Self::NotAFile,
            Unread::Owner { owner, us } => Self::Owner { owner, us },
            Unread::Mode { mode, .. } => Self::Writable { mode },
            Unread::TooLong { .. } => Self::TooLong,
            Unread::System(error) => Self::Unreadable(error),
        }
    }
}
