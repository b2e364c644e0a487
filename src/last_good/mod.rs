//! The last good public ring on disk. A replica that starts while its provider is down validates and publishes from it.
//!
//! The file is only a cache. The next answer of the provider replaces it completely: no key in it outlives the first
//! reading, and nothing is ever merged. Readers decide how old it may be, by [`Remembered::refreshed_at`] and the
//! policy. They also judge a time in the future, because the clock may have been set back.
//!
//! The file holds public keys and facts about them, so it need not be hidden. But somebody who could write it could
//! publish their own key and have its tokens accepted. It is trusted only if nobody but this process's user and root
//! could have written it ([`CacheFile`]), if it is for this issuer, and if all its keys would be accepted from a
//! provider.
//!
//! This module knows no provider and no clock. The entry point is [`LastGood`]. [`LastGood::read`] and
//! [`LastGood::write`] block; call them on a thread that may block.

mod document;
mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use signet_core::{Issuer, KeyRecord, Lapses, Timestamp};

pub use document::LONGEST;
pub use error::{LastGoodError, Refusal};

use signet_files::cache::CacheFile;

/// The maximum number of keys in one ring. A policy allows at most 32 published keys, and sealed
/// custody keeps 64 disabled ones.
pub const MOST_KEYS: usize = 128;

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "last-good.json";

/// What a replica knew about its rings when it last read them: public keys and facts, nothing secret.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// When the provider was last read successfully.
    pub refreshed_at: Timestamp,
    /// The rings. The first one signs; the others are also published.
    pub rings: Vec<RememberedRing>,
}

/// One ring, as its provider listed it.
#[derive(Clone, Debug)]
pub struct RememberedRing {
    /// The name of the provider, as in the settings.
    pub provider: String,
    /// The keys of the ring, in any order.
    pub records: Vec<KeyRecord>,
    /// When the ring could not be read for a long time, before it was last read.
    pub lapses: Lapses,
}

/// Storage for rings between two runs of the process.
#[async_trait]
pub trait Remembers: fmt::Debug + Send + Sync {
    /// Reads what was last stored, if anything.
    ///
    /// # Errors
    /// [`LastGoodError`] if it cannot be trusted.
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError>;

    /// Replaces what is stored.
    ///
    /// # Errors
    /// [`LastGoodError`] if it cannot be stored.
    async fn remember(&self, rings: Remembered) -> Result<(), LastGoodError>;
}

/// The file in the data directory, for one issuer.
#[derive(Clone, Debug)]
pub struct LastGood {
    file: CacheFile,
    issuer: Issuer,
}

impl LastGood {
    /// The file of this issuer in this directory. Nothing is read or created yet.
    #[must_use]
    pub fn new(data_dir: &Path, issuer: &Issuer) -> Self {
        Self {
            file: CacheFile::new(data_dir, FILE_NAME, LONGEST),
            issuer: issuer.clone(),
        }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads what was last written. `None` if there is no file yet.
    ///
    /// # Errors
    /// [`LastGoodError`] if the file cannot be read or cannot be trusted.
    pub fn read(&self) -> Result<Option<Remembered>, LastGoodError> {
        let read = || match self.file.read()? {
            Some(bytes) => document::parse(&bytes, &self.issuer).map(Some),
            None => Ok(None),
        };
        read().map_err(|refusal| self.refused(refusal))
    }

    /// Replaces the file, completely or not at all. Creates the directory if it does not exist.
    ///
    /// If a ring has more than [`MOST_KEYS`] keys, only the newest are stored. The others have left the JWKS long ago,
    /// because no policy allows so many to be published.
    ///
    /// # Errors
    /// [`LastGoodError`] if the file cannot be written, or if a later read would refuse it. It is better to fail now,
    /// while the provider is there and somebody can act, than at the start that needs the file.
    pub fn write(&self, remembered: &Remembered) -> Result<(), LastGoodError> {
        let write = || -> Result<(), Refusal> {
            let bytes = document::compose(remembered, &self.issuer)?;
            Ok(self.file.write(&bytes)?)
        };
        write().map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> LastGoodError {
        let path = match &refusal {
            Refusal::File(fault) => self.file.place_of(fault),
            _ => self.path(),
        };
        LastGoodError {
            path: path.to_owned(),
            refusal,
        }
    }
}

/// Uses a thread for the disk, because it may be slow and nobody else must wait for it.
#[async_trait]
impl Remembers for LastGood {
    async fn recall(&self) -> Result<Option<Remembered>, LastGoodError> {
        let file = self.clone();
        let reading = tokio::task::spawn_blocking(move || file.read()).await;
        // An error means that the process is stopping or no thread could be started. Continue without a stored ring.
        reading.unwrap_or(Ok(None))
    }

    async fn remember(&self, rings: Remembered) -> Result<(), LastGoodError> {
        let file = self.clone();
        let writing = tokio::task::spawn_blocking(move || file.write(&rings)).await;
        writing.unwrap_or(Ok(()))
    }
}
