//! A ring as this replica last read it: the list, when it was asked for, and why reading it fails, if it does.

use std::sync::Arc;

use signet_api::{Clock, KeyProvider, ProviderError, chain};
use signet_core::{KeyRecord, Policy, Schedule, Timestamp, faults, schedule};
use tracing::{error, info};

use crate::clock::rfc3339;
use crate::snapshot::Outage;

/// The last list of a ring. A failure leaves it as it is: the last good ring goes on by its schedule.
#[derive(Clone, Debug)]
pub struct Reading {
    provider: &'static str,
    records: Arc<[KeyRecord]>,
    at: Timestamp,
    failure: Option<Outage>,
}

impl Reading {
    /// Reads a ring for the first time.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn open(provider: &dyn KeyProvider, clock: &dyn Clock) -> Result<Self, ProviderError> {
        let asked_at = clock.now();
        let records = provider.list().await?;
        Ok(Self::new(provider.capabilities().provider, records, asked_at))
    }

    /// What was listed when it was asked for then.
    #[must_use]
    pub fn new(provider: &'static str, records: Vec<KeyRecord>, at: Timestamp) -> Self {
        Self {
            provider,
            records: records.into(),
            at,
            failure: None,
        }
    }

    /// A new list replaces the one before whole. `asked_at` is the instant before the call: what changes while it runs
    /// may not be in the answer.
    pub fn renew(&mut self, mut records: Vec<KeyRecord>, asked_at: Timestamp) {
        if faults::has("a revocation is not shared") {
            records.iter_mut().for_each(|key| key.revoked = None);
        }
        if faults::has("a key counts from when it was first seen") {
            for key in &mut records {
                let known = self.records.iter().find(|known| known.kid() == key.kid());
                key.created_at = known.map_or(asked_at, |known| known.created_at);
            }
        }
        self.records = records.into();
        self.at = asked_at;
    }

    /// All that was to be done with this ring was done.
    pub fn succeeded(&mut self) {
        if let Some(outage) = self.failure.take() {
            info!(provider = self.provider, since = %rfc3339(outage.since), "the provider answers again");
        }
    }

    /// Reading it failed, or what was due. Logged once for each reason, not once for each attempt.
    pub fn failed(&mut self, failure: &ProviderError, asked_at: Timestamp) {
        let reason = chain(failure);
        let known = self.failure.as_ref();
        if known.is_none_or(|outage| outage.reason != reason) {
            error!(
                provider = self.provider,
                kind = failure.kind.as_str(),
                "the last good ring stays in use: {reason}"
            );
        }
        let since = known.map_or(asked_at, |outage| outage.since);
        self.failure = Some(Outage { since, reason });
    }

    /// The provider's name.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        self.provider
    }

    /// The keys.
    #[must_use]
    pub fn records(&self) -> &[KeyRecord] {
        &self.records
    }

    /// When they were asked for.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Why the ring cannot be read, or what was due in it not be done, if so.
    #[must_use]
    pub const fn failure(&self) -> Option<&Outage> {
        self.failure.as_ref()
    }

    /// What its keys are to do now.
    #[must_use]
    pub fn schedule(&self, policy: &Policy, now: Timestamp) -> Schedule {
        schedule(&self.records, policy, now)
    }
}
