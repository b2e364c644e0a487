//! The loop of a ring that is published beside the one that signs (`SIGNET_ALSO_PUBLISH`), so that moving from one
//! provider to another refuses no token. It is read, and nothing else: whoever signs with it rotates it. Each such ring
//! has a loop of its own, so that its provider holds up nobody.

use std::sync::Arc;

use signet_api::KeyProvider;
use signet_base::Clock;
use signet_core::Policy;
use tokio::sync::watch;
use tokio::time::sleep;

use super::known::Known;
use super::pace::Pace;

/// What the loop works with.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) provider: Arc<dyn KeyProvider>,
    /// Which of the rings that are also published.
    pub(super) index: usize,
    pub(super) policy: Policy,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) known: Arc<Known>,
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
            self.pace.asks();
            match self.provider.list().await {
                Ok(records) => {
                    self.pace.succeeded();
                    self.known.change(|facts| {
                        facts.also[self.index].renew(records, asked_at, &self.policy);
                        facts.also[self.index].succeeded();
                    });
                }
                Err(failure) => {
                    self.pace.failed();
                    self.known
                        .change(|facts| facts.also[self.index].failed(&failure, asked_at));
                }
            }
        }
    }
}
