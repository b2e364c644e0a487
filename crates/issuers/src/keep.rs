//! Reads the kept keys of all issuers at the start, and writes those that are fetched. One file at a time, apart from the
//! tasks that fetch: a slow disk delays no fetch, and one that hangs holds one thread.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_base::chain;
use signet_core::{Issuer, Timestamp};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::kept::{Kept, KeptError, Refusal, Remembered};
use super::{Known, Trusted};
use crate::TrustedIssuer;
use signet_files::cache::FileFault;

/// The start waits no longer for the disk. Fetching the keys is quicker, then.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was kept of each issuer, where it can be believed. What cannot is logged.
pub(super) async fn recall(
    data_dir: &Path,
    terms: &[TrustedIssuer],
    now: Timestamp,
    ahead: Duration,
) -> HashMap<Issuer, Remembered> {
    let files: Vec<(Issuer, Kept)> = terms
        .iter()
        .map(|terms| (terms.issuer.clone(), Kept::new(data_dir, terms)))
        .collect();
    let reading = tokio::task::spawn_blocking(move || {
        let mut faults = Faults::default();
        let mut found = HashMap::new();
        for (index, (issuer, file)) in files.into_iter().enumerate() {
            match file.read(now, ahead) {
                Ok(Some(remembered)) => drop(found.insert(issuer, remembered)),
                Ok(None) => {}
                Err(error) => faults.note(index, &error),
            }
        }
        found
    });
    match tokio::time::timeout(PATIENCE, reading).await {
        // With an error the process is stopping, or a thread could not be had: there is nothing to go on from.
        Ok(found) => found.unwrap_or_default(),
        Err(_) => {
            warn!(
                "the last good keys of trusted issuers are not used, as reading them from {} takes longer than {} s; see what \
                 is wrong with that disk",
                data_dir.display(),
                PATIENCE.as_secs()
            );
            HashMap::new()
        }
    }
}

/// The task that writes.
#[derive(Debug)]
pub(super) struct Keep {
    files: Vec<(Arc<Trusted>, Kept)>,
    fetched: Arc<Notify>,
}

impl Keep {
    /// `fetched` is notified when keys were fetched.
    pub(super) fn new(data_dir: &Path, issuers: Vec<Arc<Trusted>>, fetched: Arc<Notify>) -> Self {
        let file = |trusted: Arc<Trusted>| {
            let kept = Kept::new(data_dir, &trusted.terms);
            (trusted, kept)
        };
        Self {
            files: issuers.into_iter().map(file).collect(),
            fetched,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(self) {
        let mut written: Vec<Option<Arc<Known>>> = vec![None; self.files.len()];
        let mut faults = Faults::default();
        loop {
            self.fetched.notified().await;
            for (index, (trusted, file)) in self.files.iter().enumerate() {
                let Some(known) = trusted.known.load_full().filter(|known| !known.is_from_disk) else {
                    continue;
                };
                if !written[index].as_ref().is_none_or(|last| is_news(last, &known)) {
                    continue;
                }
                let (file, remembered) = (file.clone(), known.remembered());
                match tokio::task::spawn_blocking(move || file.write(&remembered)).await {
                    Ok(Ok(())) => faults.mended(index),
                    Ok(Err(error)) => faults.note(index, &error),
                    // The process is stopping.
                    Err(_) => return,
                }
                // Also after a failure: a disk that is full is not asked again after each fetch.
                written[index] = Some(known);
            }
        }
    }
}

/// Other keys; or the same, when their age at the next start begins to count.
fn is_news(written: &Arc<Known>, known: &Arc<Known>) -> bool {
    if Arc::ptr_eq(written, known) {
        return false;
    }
    let whole = known.usable_until.since(known.fetched_at);
    known.fetched_at.since(written.fetched_at) >= whole / 8
        || known.good_for != written.good_for
        || known.keys.to_jwks() != written.keys.to_jwks()
}

/// Of what is wrong for many issuers at once, such as a full disk, one line is logged.
#[derive(Debug, Default)]
struct Faults(HashMap<usize, (Discriminant<Refusal>, Option<Discriminant<FileFault>>)>);

impl Faults {
    fn note(&mut self, index: usize, error: &KeptError) {
        let within = match &error.refusal {
            Refusal::File(fault) => Some(discriminant(fault)),
            _ => None,
        };
        let kind = (discriminant(&error.refusal), within);
        // What is wrong with the content of one file says nothing of the others.
        let is_shared = within.is_some();
        match is_shared && self.0.values().any(|known| *known == kind) {
            true => debug!("{}", chain(error)),
            false => warn!("{}", chain(error)),
        }
        self.0.insert(index, kind);
    }

    fn mended(&mut self, index: usize) {
        if self.0.remove(&index).is_some() && self.0.is_empty() {
            info!("the last good keys of trusted issuers can be written again");
        }
    }
}
