//! The loop of a ring that is also published (`SIGNET_ALSO_PUBLISH`), which lets operators switch providers
//! without refusing a token.
//!
//! The ring is only read; the replicas that sign with it rotate it. Each such ring has a loop of its own, so a slow
//! provider delays no other ring.

use std::sync::Arc;

use signet_api::KeyProvider;
use signet_base::Clock;
use signet_core::Policy;
use tokio::sync::watch;
use tokio::time::sleep;

use super::facts::SharedFacts;
use super::pace::Pace;

/// The state of the loop.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) provider: Arc<dyn KeyProvider>,
    /// The index of the ring among those that are also published.
    pub(super) index: usize,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shared: Arc<SharedFacts>,
    pub(super) pace: Pace,
}

impl Watch {
    /// Runs for ever.
    pub(super) async fn run(mut self, mut nudged: watch::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = nudged.changed() => {}
                () = sleep(self.pace.wait()) => {}
            }
            let asked_at = self.clock.now();
            self.pace.on_attempt();
            let listed = self.provider.list().await;
            let outcome = self.shared.change(|facts| {
                let ring = &mut facts.also[self.index];
                let outcome = listed.and_then(|records| ring.renew(records, asked_at, &self.policy));
                match &outcome {
                    Ok(()) => ring.on_success(asked_at),
                    Err(failure) => ring.on_failure(failure, asked_at),
                }
                outcome
            });
            match outcome {
                Ok(()) => self.pace.on_success(),
                Err(_) => self.pace.on_failure(),
            }
        }
    }
}
