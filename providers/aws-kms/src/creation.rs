//! How a key is added to the ring, and what happens to a key that could not be added.
//!
//! KMS cannot create a key under a name that we choose, so two calls are needed: `CreateKey`, then `CreateAlias`. The
//! latter is the claim, because an alias names only one key. If a process dies between the two, a key is left that
//! nobody uses and somebody pays for. Its description says for which place it was created. The next process that needs
//! this place searches the keys without an alias for it and uses it instead of creating another.
//!
//! A competing process may find a key before its creator has given it an alias, and use it too. Both then claim the
//! place for the same key, and both succeed.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use signet_api::{Call, CreateDecision, ErrorKind, NewKey, Operation, ProviderError};
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, KeyRecord, Kid, Timestamp};
use tokio::sync::Mutex;

use crate::NAME;
use crate::client::{Alias, Claimed, State};
use crate::error::KmsError;
use crate::label::Label;
use crate::policy::tags;
use crate::ring::{AT_ONCE, AliasTarget, Reading, Ring};

const CREATE: Operation = Operation::Create;
/// Pauses in milliseconds between calls, while KMS does not show a new key yet: about 20 s in total.
const SHOWING: [u64; 12] = [20, 50, 100, 200, 400, 800, 1500, 2500, 3000, 3500, 4000, 4000];
/// The maximum number of keys without an alias that one search examines.
const MOST_STRANGERS: usize = 2000;
/// After this time, a key without an alias is certainly abandoned.
const SURELY_LEFT: Duration = Duration::from_secs(3600);
/// The same time for `signet keys prune`, which an operator runs on purpose.
const LEFT: Duration = Duration::from_secs(600);
/// The maximum time between creating a key and its alias, if the alias has no creation time.
const YOUNG: Duration = Duration::from_secs(60);

/// Creates keys for one ring, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Creation {
    turn: Mutex<()>,
    /// Keys that are known not to belong to the ring.
    strangers: parking_lot::Mutex<HashSet<String>>,
}

/// A key that was created for the ring and has no alias.
#[derive(Debug)]
struct Orphan {
    id: String,
    arn: String,
    label: Label,
    spec: String,
    state: State,
    created_at: Option<Timestamp>,
}

impl Creation {
    pub(crate) async fn create(&self, ring: &Ring, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        let _turn = self.turn.lock().await;
        let reading = ring.read(CREATE).await?;
        match new.decide(reading.newest().map(|newest| &newest.record)) {
            CreateDecision::New => {}
            CreateDecision::Newest(newest) => return Ok(newest.clone()),
            CreateDecision::Lost(kid) => return Err(lost(ring, kid)),
        }
        let label = Label {
            ring: ring.name.clone(),
            sequence: reading.last_sequence + 1,
            algorithm: new.algorithm,
            predecessor: new.successor_of.clone(),
            terms: new.terms,
            revoked: None,
        };
        let key_id = match self.adopt(ring, &reading, &label, new.rsa_bits).await? {
            Some(orphan) => orphan,
            None => make(ring, &label, new.rsa_bits).await?,
        };
        let name = ring.alias(label.sequence);
        let alias = match claim(ring, &name, &key_id).await {
            // Another process lost the race with the key that we adopted, and is deleting that key. A third process has
            // won the race.
            Err(failure) if failure.is("KMSInvalidStateException") => won_by_another(ring, &name, failure).await?,
            claimed => {
                let claimed = claimed?;
                let alias = shown(ring, &name).await?;
                if claimed == Claimed::Taken && alias.key_id.as_ref() != Some(&key_id) {
                    abandon(ring, &key_id).await?;
                }
                alias
            }
        };
        ring.remember(&alias);
        let call = Call {
            provider: NAME,
            operation: CREATE,
            doing: "create",
            permission: "kms:CreateAlias",
            resource: &name,
        };
        match ring.look(CREATE, label.sequence, &alias).await? {
            AliasTarget::Key(member) => Ok(member.record),
            AliasTarget::Leaving | AliasTarget::Hidden(_) => Err(call.error(
                ErrorKind::KeyUnusable,
                "somebody disabled or is deleting the key that was just created. Signet tries again",
            )),
        }
    }

    /// Finds a key that somebody created for this place and that has no alias. Deletes keys that were created for
    /// places that are already taken.
    async fn adopt(
        &self,
        ring: &Ring,
        reading: &Reading,
        wanted: &Label,
        bits: RsaBits,
    ) -> Result<Option<String>, ProviderError> {
        let orphans = self.orphans(ring, CREATE, &reading.named).await?;
        let spec = crate::algorithms::spec(wanted.algorithm, bits);
        let now = ring.clock.now();
        let mut found: Vec<String> = Vec::new();
        for orphan in orphans {
            // If the alias has no creation time, the key's own creation time is used. An old key would then sign before
            // it was published for its lead.
            let is_young = reading.dated || !orphan.is_older_than(YOUNG, now);
            if is_young && orphan.state == State::Enabled && orphan.label == *wanted && orphan.spec == spec {
                found.push(orphan.id);
            } else if orphan.label.sequence < wanted.sequence && orphan.is_older_than(SURELY_LEFT, now)
                // The sidecar may lack the permission to delete. The operator who runs `signet keys prune` has it.
                && let Err(failure) = ring.client.schedule_deletion(CREATE, &orphan.arn).await
            {
                tracing::warn!(key = %orphan.arn, error = %ProviderError::from(failure).source,
                    "an unused key that a crash left cannot be deleted");
            }
        }
        // All processes that search choose the same key.
        Ok(found.into_iter().min())
    }

    async fn orphans(&self, ring: &Ring, operation: Operation, named: &[String]) -> Result<Vec<Orphan>, KmsError> {
        let mut ids = ring.client.list_keys(operation).await?;
        {
            let named: HashSet<&String> = named.iter().collect();
            let strangers = self.strangers.lock();
            ids.retain(|id| !named.contains(id) && !strangers.contains(id));
        }
        if ids.len() > MOST_STRANGERS {
            tracing::warn!(
                keys = ids.len(),
                looked_at = MOST_STRANGERS,
                "the account has too many keys without an alias, so not all were searched for keys that a crash left"
            );
            ids.truncate(MOST_STRANGERS);
        }
        let orphans: Vec<Option<Orphan>> = futures_util::stream::iter(ids)
            .map(|id| self.orphan(ring, operation, id))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(orphans.into_iter().flatten().collect())
    }

    async fn orphan(&self, ring: &Ring, operation: Operation, id: String) -> Result<Option<Orphan>, KmsError> {
        let key = match ring.client.describe(operation, &id).await {
            Ok(key) => key,
            // A policy that shows Signet only its own keys hides all others.
            Err(failure) if matches!(failure.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let label = Label::from_description(&key.description).filter(|label| label.ring == ring.name);
        let Some(label) = label else {
            self.strangers.lock().insert(id);
            return Ok(None);
        };
        if key.state == State::PendingDeletion {
            return Ok(None);
        }
        let (arn, spec, state, created_at) = (key.arn, key.spec, key.state, key.created_at);
        Ok(Some(Orphan {
            id,
            arn,
            label,
            spec,
            state,
            created_at,
        }))
    }

    /// Deletes keys that no ring owns.
    pub(crate) async fn prune(&self, ring: &Ring) -> Result<Vec<String>, ProviderError> {
        const RETIRE: Operation = Operation::Retire;
        let _turn = self.turn.lock().await;
        let mut pruned = Vec::new();
        let reading = ring.read(RETIRE).await?;
        for alias in &reading.leaving {
            match ring.client.delete_alias(RETIRE, alias).await {
                Ok(()) => pruned.push(format!("{alias}, the name of a key that is being deleted")),
                Err(failure) if failure.kind() == ErrorKind::NotFound => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        let now = ring.clock.now();
        let mut orphans = self.orphans(ring, RETIRE, &reading.named).await?;
        orphans.retain(|orphan| orphan.is_older_than(LEFT, now));
        if orphans.is_empty() {
            return Ok(pruned);
        }
        // Another process may have adopted one meanwhile.
        let named = ring.read(RETIRE).await?.named;
        for orphan in orphans.into_iter().filter(|orphan| !named.contains(&orphan.id)) {
            ring.client.schedule_deletion(RETIRE, &orphan.arn).await?;
            pruned.push(format!(
                "{}, which was created for {} but never got an alias; AWS deletes it in 7 days",
                orphan.arn,
                ring.alias(orphan.label.sequence)
            ));
        }
        Ok(pruned)
    }
}

impl Orphan {
    fn is_older_than(&self, span: Duration, now: Timestamp) -> bool {
        self.created_at.is_some_and(|created_at| created_at.plus(span) <= now)
    }
}

async fn make(ring: &Ring, label: &Label, bits: RsaBits) -> Result<String, ProviderError> {
    let call = Call {
        provider: NAME,
        operation: CREATE,
        doing: "create a key",
        permission: "kms:CreateKey",
        resource: "",
    };
    let description = label
        .to_description()
        .map_err(|error| call.error(ErrorKind::InvalidConfig, error))?;
    let tags = tags(&ring.name, Some(label));
    let key = ring
        .client
        .create_key((label.algorithm, bits), &description, &tags)
        .await?;
    Ok(key.id)
}

/// Gives the key its alias. KMS may not find a new key yet, or may not apply permissions by its tags yet.
async fn claim(ring: &Ring, alias: &str, key_id: &str) -> Result<Claimed, KmsError> {
    for wait in SHOWING {
        match ring.client.create_alias(CREATE, alias, key_id).await {
            Err(failure) if matches!(failure.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                // If the permission is really missing, a longer wait does not help.
                if failure.kind() == ErrorKind::PermissionDenied && wait > 400 {
                    return Err(failure);
                }
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            other => return other,
        }
    }
    ring.client.create_alias(CREATE, alias, key_id).await
}

/// Waits until KMS shows the alias.
async fn shown(ring: &Ring, name: &str) -> Result<Alias, KmsError> {
    for wait in SHOWING {
        let aliases = ring.client.list_aliases(CREATE).await?;
        if let Some(alias) = aliases.into_iter().find(|alias| alias.name == name) {
            return Ok(alias);
        }
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let call = Call {
        provider: NAME,
        operation: CREATE,
        doing: "find",
        permission: "kms:ListAliases",
        resource: name,
    };
    let text = "the key was created, but KMS does not list its alias yet. Signet tries again";
    Err(call.error(ErrorKind::Unavailable, text).into())
}

async fn won_by_another(ring: &Ring, name: &str, failure: KmsError) -> Result<Alias, ProviderError> {
    let aliases = ring.client.list_aliases(CREATE).await?;
    aliases.into_iter().find(|alias| alias.name == name).ok_or_else(|| {
        let call = Call {
            provider: NAME,
            operation: CREATE,
            doing: "create",
            permission: "kms:CreateAlias",
            resource: name,
        };
        let text = format!(
            "somebody is deleting the key that was to get this alias ({}). Signet creates another one",
            failure.text()
        );
        call.error(ErrorKind::Unavailable, text)
    })
}

/// Deletes a key whose place another key has. Nobody else uses it, because its description names that place.
async fn abandon(ring: &Ring, key_id: &str) -> Result<(), KmsError> {
    match ring.client.schedule_deletion(CREATE, key_id).await {
        // Another process that had adopted the same key was faster.
        Err(failure) if failure.is("KMSInvalidStateException") => Ok(()),
        other => other,
    }
}

fn lost(ring: &Ring, kid: &Kid) -> ProviderError {
    let text = format!(
        "the ring of the aliases alias/{}/* is empty, but its newest key was {kid}. Check SIGNET_KEY, AWS_REGION and \
         the account; if the aliases were deleted, restore them",
        ring.name
    );
    ProviderError::new(NAME, CREATE, ErrorKind::NotFound, text)
}

/// The algorithms for which the provider creates keys: all of Signet's.
pub(crate) const ALGORITHMS: &[Algorithm] = &Algorithm::ALL;
