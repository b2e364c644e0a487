//! The last good keys of a trusted issuer on disk. A replica that starts while the issuer is down verifies with them.
//!
//! A restart never extends the life of a key that the issuer has withdrawn. Stored keys are used until they would have
//! been fetched again. After that they are used only while fetching fails, for at most `max_stale` after the fetch that
//! brought them. The next successful fetch replaces all of them.
//!
//! The file is trusted only if nobody but this process's user and root could have written it ([`CacheFile`]), if it is
//! for this issuer, and if the settings that select the issuer's keys have not changed.
//!
//! The entry point is [`Kept`]. [`Kept::read`] and [`Kept::write`] block; call them on a thread that may block.

mod document;
mod error;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use signet_base::rfc3339;
use signet_core::{ForeignKeys, Timestamp};
use signet_files::cache::CacheFile;

pub(super) use error::{KeptError, Refusal};

use super::CurrentKeys;
use crate::TrustedIssuer;

/// The subdirectory of the data directory for these files.
pub const DIRECTORY: &str = "issuers";

/// Keys as they were fetched.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) keys: ForeignKeys,
    /// The time just before the request was sent.
    pub(super) fetched_at: Timestamp,
    /// How long the issuer said that the keys may be used, before our settings limit it.
    pub(super) good_for: Duration,
}

/// The file for one issuer's keys.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    file: CacheFile,
    terms: TrustedIssuer,
}

impl Kept {
    /// The file for this issuer in this data directory. Nothing is read or created yet.
    pub(super) fn new(data_dir: &Path, terms: &TrustedIssuer) -> Self {
        // The name of an issuer may be longer than a file name or contain a slash, so the file is named by its hash.
        let name = format!("{}.json", document::sha256(terms.issuer.as_str()));
        Self {
            file: CacheFile::below(data_dir, DIRECTORY, name, document::LONGEST),
            terms: terms.clone(),
        }
    }

    /// Reads what was last stored, if anything. `now` is this machine's time. The clocks of other replicas that share
    /// the directory may be ahead by at most `ahead`.
    pub(super) fn read(&self, now: Timestamp, ahead: Duration) -> Result<Option<Remembered>, KeptError> {
        let read = || {
            let Some(bytes) = self.file.read()? else {
                return Ok(None);
            };
            let remembered = document::parse(&bytes, &self.terms)?;
            // The age of such keys is unknown, and so is how long they may be used.
            match remembered.fetched_at > now.plus(ahead) {
                true => Err(Refusal::FromTheFuture {
                    at: rfc3339(remembered.fetched_at),
                }),
                false => Ok(Some(Remembered {
                    fetched_at: remembered.fetched_at.min(now),
                    ..remembered
                })),
            }
        };
        read().map_err(|refusal| self.refused(refusal))
    }

    /// Replaces the stored keys. The file is written completely or not at all.
    pub(super) fn write(&self, remembered: &Remembered) -> Result<(), KeptError> {
        let write = || -> Result<(), Refusal> {
            let bytes = document::compose(remembered, &self.terms)?;
            Ok(self.file.write(&bytes)?)
        };
        write().map_err(|refusal| self.refused(refusal))
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn refused(&self, refusal: Refusal) -> KeptError {
        let path = match &refusal {
            Refusal::File(fault) => self.file.place_of(fault),
            _ => self.file.path(),
        };
        KeptError {
            issuer: self.terms.issuer.clone(),
            path: path.to_owned(),
            refusal,
        }
    }
}

/// How stored keys can be used when the process starts.
#[derive(Debug)]
pub(super) enum Worth {
    /// The keys would not have been fetched again yet. They are used at once.
    Fresh(CurrentKeys),
    /// The keys are used only if fetching fails.
    Stale(CurrentKeys),
    /// The keys are too old to be used.
    Nothing,
}

impl Remembered {
    /// Judges the keys by the current settings.
    pub(super) fn worth(self, terms: &TrustedIssuer, now: Timestamp) -> Worth {
        let current = CurrentKeys::new(self, terms, true);
        match now {
            _ if now >= current.usable_until => Worth::Nothing,
            _ if now >= current.fresh_until => Worth::Stale(current),
            _ => Worth::Fresh(current),
        }
    }
}
