//! Reads the stored keys of all issuers at start, and stores those that are fetched.
//!
//! Files are written one at a time, separately from the tasks that fetch. A slow disk therefore delays no fetch, and a
//! disk that hangs blocks one thread only.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_base::{Clock, Outage, chain};
use signet_core::{Issuer, Timestamp};
use signet_files::cache::FileFault;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::kept::{Kept, KeptError, Refusal, Remembered};
use super::{CurrentKeys, Trusted};
use crate::TrustedIssuer;

/// How long the start waits for the disk. After that time, Signet fetches the keys instead.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads what was stored for each issuer, if it can be trusted. Problems are logged.
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
    match timeout(PATIENCE, reading).await {
        // An error means that the process is stopping or no thread could be started. Continue without stored keys.
        Ok(found) => found.unwrap_or_default(),
        Err(_) => {
            warn!(
                "the last good keys of trusted issuers are not used, because reading them from {} takes longer than \
                 {} s; check that disk",
                data_dir.display(),
                PATIENCE.as_secs()
            );
            HashMap::new()
        }
    }
}

/// The pause before a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// The task that stores keys.
#[derive(Debug)]
pub(super) struct Keep {
    files: Vec<(Arc<Trusted>, Kept)>,
    fetched: Arc<Notify>,
    clock: Arc<dyn Clock>,
}

impl Keep {
    /// Makes the task. It looks for new keys each time `fetched` is notified.
    pub(super) fn new(
        data_dir: &Path,
        issuers: Vec<Arc<Trusted>>,
        fetched: Arc<Notify>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let file = |trusted: Arc<Trusted>| {
            let kept = Kept::new(data_dir, &trusted.terms);
            (trusted, kept)
        };
        Self {
            files: issuers.into_iter().map(file).collect(),
            fetched,
            clock,
        }
    }

    /// Stores keys until the process stops.
    pub(super) async fn run(self) {
        let mut written: Vec<Option<Arc<CurrentKeys>>> = vec![None; self.files.len()];
        let mut faults = Faults::default();
        loop {
            // A failed write is tried again even if nothing new is fetched.
            let is_failing = self.files.iter().any(|(trusted, _)| trusted.unkept().is_some());
            match is_failing {
                true => drop(timeout(AGAIN, self.fetched.notified()).await),
                false => self.fetched.notified().await,
            }
            for (index, (trusted, file)) in self.files.iter().enumerate() {
                let Some(current) = trusted.current.load_full().filter(|current| !current.is_from_disk) else {
                    continue;
                };
                let is_unkept = trusted.unkept().is_some();
                if !is_unkept && !written[index].as_ref().is_none_or(|last| is_news(last, &current)) {
                    continue;
                }
                let (file, remembered) = (file.clone(), current.remembered());
                match tokio::task::spawn_blocking(move || file.write(&remembered)).await {
                    Ok(Ok(())) => {
                        trusted.unkept.store(None);
                        faults.on_mended(index);
                    }
                    Ok(Err(error)) => {
                        let since = trusted.unkept().map_or_else(|| self.clock.now(), |outage| outage.since);
                        let reason = chain(&error);
                        trusted.unkept.store(Some(Arc::new(Outage { since, reason })));
                        faults.note(index, &error);
                    }
                    // The process is stopping.
                    Err(_) => return,
                }
                written[index] = Some(current);
            }
        }
    }
}

/// Whether the keys must be written: they changed, or so much time has passed that the stored date
/// matters at the next start.
fn is_news(written: &Arc<CurrentKeys>, current: &Arc<CurrentKeys>) -> bool {
    if Arc::ptr_eq(written, current) {
        return false;
    }
    let whole = current.usable_until.since(current.fetched_at);
    current.fetched_at.since(written.fetched_at) >= whole / 8
        || current.good_for != written.good_for
        || current.keys.to_jwks() != written.keys.to_jwks()
}

/// The current faults. If many issuers have the same fault, such as a full disk, only one line is logged.
#[derive(Debug, Default)]
struct Faults(HashMap<usize, (Discriminant<Refusal>, Option<Discriminant<FileFault>>)>);

impl Faults {
    fn note(&mut self, index: usize, error: &KeptError) {
        let within = match &error.refusal {
            Refusal::File(fault) => Some(discriminant(fault)),
            _ => None,
        };
        let kind = (discriminant(&error.refusal), within);
        // A fault in the content of one file says nothing about the others.
        let is_shared = within.is_some();
        match is_shared && self.0.values().any(|fault| *fault == kind) {
            true => debug!("{}", chain(error)),
            false => warn!("{}", chain(error)),
        }
        self.0.insert(index, kind);
    }

    fn on_mended(&mut self, index: usize) {
        if self.0.remove(&index).is_some() && self.0.is_empty() {
            info!("the last good keys of trusted issuers are written to disk again");
        }
    }
}
