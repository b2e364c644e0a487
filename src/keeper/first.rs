//! Reads each ring for the first time, from its provider or from disk.

use std::collections::HashMap;

use futures_util::future::join_all;
use signet_api::{ErrorKind, Operation, ProviderError};
use signet_base::Clock;
use signet_core::Policy;

use super::facts::Facts;
use super::{Dependencies, NamedRing, NoRing, PATIENCE, remember};
use crate::last_good::Remembered;
use crate::reading::Reading;

/// What a replica knows when it starts. All rings are read at the same time.
pub(super) async fn facts(dependencies: &Dependencies, policy: &Policy) -> Result<Facts, NoRing> {
    let clock = dependencies.clock_watch.steady();
    let remembered = remember::recall(dependencies.memory.as_deref(), &dependencies.clock_watch, clock.now()).await;
    let read = |named| reading(named, &*clock, &remembered, policy);
    let (ring, also) = tokio::join!(read(&dependencies.ring), join_all(dependencies.also.iter().map(read)));
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
    named: &NamedRing,
    clock: &dyn Clock,
    remembered: &Option<Remembered>,
    policy: &Policy,
) -> Result<Reading, ProviderError> {
    let provider = &*named.provider;
    let asked_at = clock.now();
    let mut memory = remembered.iter().flat_map(|remembered| &remembered.rings);
    let Some(ring) = memory.find(|ring| ring.provider == named.name) else {
        return Reading::open(provider, clock).await;
    };
    let read_at = remembered
        .as_ref()
        .map_or(asked_at, |remembered| remembered.refreshed_at);
    let name = provider.capabilities().provider;
    let mut reading = Reading::new(name, ring.records.clone(), read_at.min(asked_at)).after(ring.lapses.clone());
    let failure = match tokio::time::timeout(PATIENCE, provider.list()).await {
        Ok(Ok(records)) => {
            reading.on_pause(policy, asked_at);
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
    reading.on_failure(&failure, asked_at);
    Ok(reading)
}
