//! The first reading of each ring, from its provider or from disk.

use std::collections::HashMap;

use futures_util::future::join_all;
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_base::Clock;
use signet_core::Policy;

use super::known::Facts;
use super::{Means, NoRing, PATIENCE, Source, remember};
use crate::last_good::Remembered;
use crate::reading::Reading;

/// What a replica knows when it starts. All rings are read at the same time.
pub(super) async fn facts(means: &Means, policy: &Policy) -> Result<Facts, NoRing> {
    let clock = means.clock_watch.steady();
    let remembered = remember::recall(means.memory.as_deref(), &means.clock_watch, clock.now()).await;
    let read = |source| reading(source, &*clock, &remembered, policy);
    let (ring, also) = tokio::join!(read(&means.ring), join_all(means.also.iter().map(read)));
    Ok(Facts {
        ring: ring.map_err(NoRing::Signing)?,
        also: also.into_iter().collect::<Result<_, _>>().map_err(NoRing::Also)?,
        unsealed: HashMap::new(),
        unseal_failures: HashMap::new(),
        news_by: clock.now(),
        unwritten: None,
        expired: HashMap::new(),
    })
}

/// Reads the ring from its provider. If the provider does not answer soon, uses the ring from disk.
async fn reading(
    source: &Source,
    clock: &dyn Clock,
    remembered: &Option<Remembered>,
    policy: &Policy,
) -> Result<Reading, ProviderError> {
    let provider = &*source.provider;
    let asked_at = clock.now();
    let mut memory = remembered.iter().flat_map(|remembered| &remembered.rings);
    let Some(ring) = memory.find(|ring| ring.provider == source.name) else {
        return Reading::open(provider, clock).await;
    };
    let read_at = remembered
        .as_ref()
        .map_or(asked_at, |remembered| remembered.refreshed_at);
    let name = provider.capabilities().provider;
    let mut reading = Reading::new(name, ring.records.clone(), read_at.min(asked_at)).after(ring.lapses.clone());
    let failure = match tokio::time::timeout(PATIENCE, provider.list()).await {
        Ok(Ok(records)) => {
            reading.did_not_run(policy, asked_at);
            match reading.renew(records, asked_at, policy) {
                Ok(()) => return Ok(reading),
                Err(lost) => lost,
            }
        }
        // Waiting would not help, so the operator must see this error at once.
        Ok(Err(failure)) if failure.kind == ErrorKind::InvalidConfig => return Err(failure),
        Ok(Err(failure)) => failure,
        Err(_) => {
            let text = format!("no answer within {}", humantime::format_duration(PATIENCE));
            ProviderError::new(name, Operation::List, ErrorKind::TimedOut, text)
        }
    };
    reading.failed(&failure, asked_at);
    Ok(reading)
}
