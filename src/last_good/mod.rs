//! The last good public ring on disk: what a replica that starts while its provider is down validates and publishes from.
//!
//! The file is a cache with no authority. Whatever the provider says next replaces it whole: no key of it outlives the
//! first reading of the provider, and nothing in it is ever merged with one. How old it may be and still be used is for
//! whoever reads it to judge, by [`Remembered::refreshed_at`] and the policy; an instant that lies in the future, too,
//! since the clock may have been set back.
//!
//! It holds public keys and facts about them, nothing secret, so it need not be hidden. But whoever could write it could
//! publish a key of their own and have its tokens accepted, so it is believed only if nobody but this process's user (and
//! root) could have written it ([`CacheFile`]), if it is this issuer's, and if every key in it would be
//! taken from a provider as well.
//!
//! This module knows no provider and no clock. [`LastGood::read`] and [`LastGood::write`] block: call them where that is
//! allowed. The entry point is [`LastGood`].

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

/// The most keys of one ring. A policy lets at most 32 be published, and sealed custody keeps 64 that are out of use.
pub const MOST_KEYS: usize = 128;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "last-good.json";

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
    file: CacheFile,
    issuer: Issuer,
}

impl LastGood {
    /// The file of this issuer in this directory. Nothing is touched yet.
    #[must_use]
    pub fn new(data_dir: &Path, issuer: &Issuer) -> Self {
        Self {
            file: CacheFile::new(data_dir, FILE_NAME, LONGEST),
            issuer: issuer.clone(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// What was last written. `None` if there is no file yet.
    ///
    /// # Errors
    /// [`LastGoodError`] if the file cannot be read or is not to be believed.
    pub fn read(&self) -> Result<Option<Remembered>, LastGoodError> {
        let read = || match self.file.read()? {
            Some(bytes) => document::parse(&bytes, &self.issuer).map(Some),
            None => Ok(None),
        };
        read().map_err(|refusal| self.refused(refusal))
    }

    /// Puts this in place of what was last written, whole or not at all. The directory is made if it is missing. Of a
    /// ring with more than [`MOST_KEYS`] keys, the newest of them are kept: the others have left the JWKS long ago, as no
    /// policy lets so many be published.
    ///
    /// # Errors
    /// [`LastGoodError`] if it cannot be written, or would be refused when it is read: better now, while the provider is
    /// there and somebody can act, than at the start that needs it.
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
