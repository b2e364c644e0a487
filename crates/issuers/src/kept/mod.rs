//! The last good keys of a trusted issuer on disk: what a replica that starts while the issuer is down verifies with.
//!
//! A restart changes nothing of how long a key lives that the issuer has withdrawn. Kept keys serve until they would have
//! been fetched again, and after that only once a fetch has failed, for `max_stale` at most, counted from the fetch that
//! brought them. What is fetched next replaces them whole.
//!
//! The file is believed only if nobody but this process's user (and root) could have written it ([`CacheFile`]), if it is
//! of this issuer, and if the settings that decide on which keys are the issuer's are what they were.
//!
//! [`Kept::read`] and [`Kept::write`] block: call them where that is allowed. The entry point is [`Kept`].

mod document;
mod error;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use signet_core::{ForeignKeys, Timestamp};

pub(super) use error::{KeptError, Refusal};

use super::Known;
use crate::TrustedIssuer;
use signet_base::rfc3339;
use signet_files::cache::CacheFile;

/// The directory of these files in the data directory.
pub const DIRECTORY: &str = "issuers";

/// Keys as they were fetched.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) keys: ForeignKeys,
    /// The instant just before the request for them was sent.
    pub(super) fetched_at: Timestamp,
    /// How long the issuer said that they are good for, whatever the settings make of it.
    pub(super) good_for: Duration,
}

/// The file of one issuer.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    file: CacheFile,
    terms: TrustedIssuer,
}

impl Kept {
    /// The file of this issuer in this data directory. Nothing is touched yet.
    pub(super) fn new(data_dir: &Path, terms: &TrustedIssuer) -> Self {
        // An issuer's name may be any text, longer than a file's name or with a slash in it.
        let name = format!("{}.json", document::sha256(terms.issuer.as_str()));
        Self {
            file: CacheFile::below(data_dir, DIRECTORY, name, document::LONGEST),
            terms: terms.clone(),
        }
    }

    /// What was last written, if anything. By the clock of this machine it is `now`, and other replicas that share the
    /// directory may be ahead by `ahead` at most.
    pub(super) fn read(&self, now: Timestamp, ahead: Duration) -> Result<Option<Remembered>, KeptError> {
        let read = || {
            let Some(bytes) = self.file.read()? else {
                return Ok(None);
            };
            let remembered = document::parse(&bytes, &self.terms)?;
            // How old it is cannot be said, so how long it may live cannot either.
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

    /// Puts this in place of what was last written, whole or not at all.
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

/// What kept keys are worth when the process starts.
#[derive(Debug)]
pub(super) enum Worth {
    /// Without the restart they would not have been fetched again yet: they serve at once.
    Fresh(Known),
    /// They serve if they cannot be fetched.
    Stale(Known),
    /// They are too old to be believed.
    Nothing,
}

impl Remembered {
    /// By the terms of today.
    pub(super) fn worth(self, terms: &TrustedIssuer, now: Timestamp) -> Worth {
        let known = Known::new(self, terms, true);
        match now {
            _ if now >= known.usable_until => Worth::Nothing,
            _ if now >= known.fresh_until => Worth::Stale(known),
            _ => Worth::Fresh(known),
        }
    }
}
