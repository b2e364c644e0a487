//! Stores the last good rings for the next start. They contain public keys and nothing secret.

use std::sync::Arc;
use std::time::Duration;

use signet_base::{Clock, Outage, brief, chain};
use signet_clock_watch::ClockWatch;
use signet_core::{KeyRecord, Policy, Timestamp};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use super::facts::SharedFacts;
use crate::last_good::{Remembered, RememberedRing, Remembers};

/// Reads the stored rings. `None` if there are none, or if they cannot be trusted.
pub(super) async fn recall(
    memory: Option<&dyn Remembers>,
    clock_watch: &ClockWatch,
    now: Timestamp,
) -> Option<Remembered> {
    match memory?.recall().await {
        Ok(remembered) => remembered.map(|remembered| {
            clock_watch.on_earlier_reading(remembered.refreshed_at);
            Remembered {
                refreshed_at: remembered.refreshed_at.min(now),
                ..remembered
            }
        }),
        Err(error) => {
            warn!("{}", chain(&error));
            None
        }
    }
}

/// The loop that stores rings.
#[derive(Debug)]
pub(super) struct Remember {
    memory: Arc<dyn Remembers>,
    /// The names of the rings, the signing one first.
    names: Vec<String>,
    shared: Arc<SharedFacts>,
    clock: Arc<dyn Clock>,
    /// An unchanged ring is stored again after this time, because its age matters at the next start.
    again_after: Duration,
    written: Option<Remembered>,
    /// When the last write failed. `None` if it succeeded.
    failed_at: Option<Instant>,
}

/// How long a process that ends waits for the disk.
const LAST_WRITE: Duration = Duration::from_secs(1);
/// A write that takes longer than this is reported.
const SLOW: Duration = Duration::from_secs(10);
/// The pause before a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(60);

impl Remember {
    pub(super) fn new(
        memory: Arc<dyn Remembers>,
        names: Vec<String>,
        policy: &Policy,
        shared: Arc<SharedFacts>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            memory,
            names,
            shared,
            clock,
            again_after: policy.durations().bearable_age() / 8,
            written: None,
            failed_at: None,
        }
    }

    /// Runs for ever.
    pub(super) async fn run(&mut self) {
        let mut changes = self.shared.follow();
        loop {
            if let Some(found) = self.news() {
                self.write(found).await;
            }
            let failed_at = self.failed_at;
            let again = async move {
                match failed_at {
                    Some(at) => sleep_until(at + AGAIN).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // Write even if nothing changes, because an operator who repaired the disk waits for the result.
                () = again => self.written = None,
                // The facts outlive their followers.
                _ = changes.changed() => {}
            }
        }
    }

    async fn write(&mut self, found: Remembered) {
        let mut writing = self.memory.remember(found.clone());
        let slow = || {
            format!(
                "writing the last good ring has not ended within {}; see what is wrong with the disk",
                brief(SLOW)
            )
        };
        let written = match timeout(SLOW, &mut writing).await {
            Ok(written) => written,
            Err(_) => {
                self.on_failure(slow());
                writing.await
            }
        };
        self.failed_at = written.is_err().then(Instant::now);
        match written {
            Ok(()) => self.on_success(),
            Err(error) => self.on_failure(chain(&error)),
        }
        // This also applies after a failure, so that a full disk is not tried at every reading.
        self.written = Some(found);
    }

    fn on_failure(&self, reason: String) {
        let now = self.clock.now();
        self.shared.change(|facts| {
            let known = facts.unwritten.as_ref();
            if known.is_none_or(|outage| outage.reason != reason) {
                error!("{reason}");
            }
            let since = known.map_or(now, |outage| outage.since);
            facts.unwritten = Some(Outage { since, reason });
        });
    }

    fn on_success(&self) {
        if self.shared.look(|facts| facts.unwritten.is_some()) {
            info!("the last good ring is written to disk again");
            self.shared.change(|facts| facts.unwritten = None);
        }
    }

    /// Stores what is not stored yet. A process that ends right after its first start may have stored nothing yet,
    /// and the next start may need it.
    pub(super) async fn finish(&mut self) {
        let Some(found) = self.news() else { return };
        match timeout(LAST_WRITE, self.memory.remember(found)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!("{}", chain(&error)),
            Err(_) => warn!(
                "the last good ring was not written to disk within {}, so the next start needs the provider",
                humantime::format_duration(LAST_WRITE)
            ),
        }
    }

    /// The rings to store, if they differ enough from what is stored.
    fn news(&self) -> Option<Remembered> {
        let found = self.found();
        let written = self.written.as_ref();
        written
            .is_none_or(|written| self.is_news(written, &found))
            .then_some(found)
    }

    fn found(&self) -> Remembered {
        self.shared.look(|facts| {
            let rings = self.names.iter().zip(facts.rings());
            Remembered {
                // One time is stored for all rings. The oldest is the safe choice.
                refreshed_at: facts
                    .also
                    .iter()
                    .fold(facts.ring.at(), |oldest, ring| oldest.min(ring.at())),
                rings: rings
                    .map(|(name, ring)| RememberedRing {
                        provider: name.clone(),
                        records: ring.records().to_vec(),
                        lapses: ring.lapses().clone(),
                    })
                    .collect(),
            }
        })
    }

    fn is_news(&self, written: &Remembered, found: &Remembered) -> bool {
        let lists = written.rings.iter().zip(&found.rings);
        found.refreshed_at.since(written.refreshed_at) >= self.again_after
            || lists
                .into_iter()
                .any(|(a, b)| a.lapses != b.lapses || !is_same(&a.records, &b.records))
    }
}

/// Whether two lists have the same facts about the same keys, in any order.
fn is_same(a: &[KeyRecord], b: &[KeyRecord]) -> bool {
    let facts = |records: &[KeyRecord]| {
        let mut facts: Vec<_> = records
            .iter()
            .map(|key| (key.kid().clone(), key.state, key.revoked.clone(), key.created_at))
            .collect();
        facts.sort_by(|a, b| a.0.cmp(&b.0));
        facts
    };
    facts(a) == facts(b)
}
