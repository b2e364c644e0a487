//! The rings that are published beside the one that signs (`SIGNET_ALSO_PUBLISH`), so that moving from one provider to
//! another refuses no token. They are read, and nothing else: whoever signs with them rotates them.

use std::sync::Arc;

use signet_api::{KeyProvider, ProviderError, chain};
use signet_core::{KeyRecord, Policy, Schedule, Timestamp, schedule};
use tracing::{error, info};

use crate::snapshot::Outage;

/// One of them, as last read.
#[derive(Debug)]
pub struct AlsoRing {
    provider: Arc<dyn KeyProvider>,
    records: Vec<KeyRecord>,
    failure: Option<Outage>,
}

impl AlsoRing {
    /// Reads it for the first time. Without its keys this replica would publish fewer than the others do, and refuse
    /// good tokens; so it does not start.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn open(provider: Arc<dyn KeyProvider>) -> Result<Self, ProviderError> {
        Ok(Self {
            records: provider.list().await?,
            provider,
            failure: None,
        })
    }

    /// Reads it again. If that fails, the keys of the last reading stay.
    pub async fn refresh(&mut self, now: Timestamp) {
        let name = self.name();
        match self.provider.list().await {
            Ok(records) => {
                self.records = records;
                if self.failure.take().is_some() {
                    info!(provider = name, "the ring that is also published can be read again");
                }
            }
            Err(failure) => {
                let reason = chain(&failure);
                let known = self.failure.as_ref();
                if known.is_none_or(|outage| outage.reason != reason) {
                    error!(
                        provider = name,
                        "the ring that is also published cannot be read, its last keys stay: {reason}"
                    );
                }
                let since = known.map_or(now, |outage| outage.since);
                self.failure = Some(Outage { since, reason });
            }
        }
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.provider.capabilities().provider
    }

    /// Its keys as last read.
    #[must_use]
    pub fn records(&self) -> &[KeyRecord] {
        &self.records
    }

    /// Why reading it fails, if it does.
    #[must_use]
    pub fn failure(&self) -> Option<&Outage> {
        self.failure.as_ref()
    }

    /// What its keys are to do, were it the one that signs: those that would be published are.
    #[must_use]
    pub fn schedule(&self, policy: &Policy, now: Timestamp) -> Schedule {
        schedule(&self.records, policy, now)
    }
}
