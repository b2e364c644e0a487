//! The ring as the versions of one vault key: which of the versions are our keys, their states, and what this process
//! remembers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::{Mutex, MutexGuard};
use signet_api::{ErrorKind, Operation, ProviderError, Settling};
use signet_base::Clock;
use signet_core::ring::in_order_by;
use signet_core::{KeyRecord, KeyState, Kid, PublicKey, Revocation, Timestamp, VerifyingKey};

use crate::NAME;
use crate::client::{Change, Vault, Version};
use crate::tags::{self, Facts};

/// The start of validity of a destroyed version, in the year 3000.
///
/// Versions cannot be deleted one by one. This attribute can be set without touching tags, so no revocation is lost,
/// and it still applies if somebody enables the version again.
pub(crate) const NEVER: Timestamp = Timestamp::from_secs(32_503_680_000);
/// The maximum number of disabled keys that are listed, as in sealed custody. The vault keeps every version for ever,
/// and each one that is listed costs a call when a process starts.
const MOST_DISABLED: usize = 64;
/// How many public keys are read at the same time.
const AT_ONCE: usize = 8;

/// A key of the ring, with the data that a change of the vault's record needs.
#[derive(Clone, Debug)]
pub(crate) struct RingKey {
    pub(crate) record: KeyRecord,
    pub(crate) version: Version,
}

#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

/// The unchanging facts and the last known state of each version.
#[derive(Debug, Default)]
struct Memory {
    versions: HashMap<String, SeenVersion>,
    by_kid: HashMap<Kid, String>,
    /// Versions whose public key cannot be read and that were already logged.
    logged: HashSet<String>,
}

#[derive(Debug)]
struct SeenVersion {
    facts: Facts,
    public: VerifyingKey,
    created: Timestamp,
    state: KeyState,
    mark: Option<Revocation>,
    /// When this process created the version, and its state then.
    made_here: Option<(Settling, Version)>,
}

/// What `sign` needs to know about a key.
pub(crate) struct Signer {
    pub(crate) version: String,
    pub(crate) public: VerifyingKey,
    pub(crate) state: KeyState,
    pub(crate) is_revoked: bool,
}

impl Ring {
    pub(crate) fn new(vault: Arc<Vault>, clock: Arc<dyn Clock>) -> Self {
        Self {
            vault,
            clock,
            memory: Mutex::default(),
        }
    }

    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, text: String) -> ProviderError {
        ProviderError::new(NAME, operation, kind, text)
    }

    pub(crate) fn unknown(&self, operation: Operation, kid: &Kid) -> ProviderError {
        let text = format!("the ring in {} has no key {kid}", self.vault.url());
        self.error(operation, ErrorKind::NotFound, text)
    }

    /// Reads the keys of the vault. The newest comes last.
    pub(crate) async fn read(&self, operation: Operation) -> Result<Vec<RingKey>, ProviderError> {
        let versions = self.vault.versions(operation).await?;
        let mut ours = self.unsettled(&versions);
        for version in versions {
            // Skip it, whatever its tags are.
            if is_destroyed(&version) && !self.is_marked(&version) {
                continue;
            }
            if let Some(facts) = self.facts(operation, &version)? {
                ours.push((facts, version));
            }
        }
        ours.sort_by_key(|(facts, version)| (version.created, facts.sequence));
        let counts = |version: &Version| self.state(version) == KeyState::Disabled && !self.is_marked(version);
        let disabled = ours.iter().filter(|(_, version)| counts(version)).count();
        let mut surplus = disabled.saturating_sub(MOST_DISABLED);
        ours.retain(|(_, version)| {
            let goes = surplus > 0 && counts(version);
            surplus -= usize::from(goes);
            !goes
        });
        let mut keys = Vec::with_capacity(ours.len());
        let mut reading = stream::iter(ours)
            .map(|(facts, version)| async move {
                let public = self.public(operation, &facts, &version).await?;
                Ok::<_, ProviderError>(public.map(|public| self.remember(facts, version, public, false)))
            })
            .buffer_unordered(AT_ONCE);
        while let Some(key) = reading.next().await {
            keys.extend(key?);
        }
        let keys: Vec<RingKey> = in_order_by(&keys, |key| &key.record).into_iter().cloned().collect();
        self.forget_all_but(&keys);
        Ok(keys)
    }

    /// The facts in the tags. `None` if the version does not belong to this ring.
    fn facts(&self, operation: Operation, version: &Version) -> Result<Option<Facts>, ProviderError> {
        let remembered = {
            let memory = self.memory();
            let known = memory.versions.get(&version.id);
            if known.is_some_and(|known| known.created != version.created) {
                let text = format!(
                    "the vault reports another creation time of version {} of {} than before",
                    version.id,
                    self.vault.url()
                );
                return Err(self.error(operation, ErrorKind::BadAnswer, text));
            }
            known.map(|known| known.facts.clone())
        };
        let damaged = |what: String| {
            let mut text = format!("{what} of version {} of {}", version.id, self.vault.url());
            if let Some(facts) = &remembered {
                let mut tags: Vec<String> = facts
                    .to_tags(self.vault.name())
                    .into_iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                tags.sort();
                text.push_str(&format!(". Restore them: {}", tags.join(", ")));
            } else {
                text.push_str(". Restore it, or set the version's nbf to the year 3000, which destroys the key");
            }
            self.error(operation, ErrorKind::BadAnswer, text)
        };
        if !tags::is_ours(&version.tags, self.vault.name()) {
            if remembered.is_some() {
                return Err(damaged("somebody removed Signet's tags".to_owned()));
            }
            tracing::debug!(
                version = version.id,
                key = self.vault.url(),
                "a version that Signet did not create is ignored"
            );
            return Ok(None);
        }
        match Facts::from_tags(&version.tags) {
            Ok(facts) if remembered.as_ref().is_some_and(|before| *before != facts) => {
                Err(damaged("somebody changed Signet's tags".to_owned()))
            }
            Ok(facts) => Ok(Some(facts)),
            Err(name) => Err(damaged(format!("somebody removed or damaged the tag {name}"))),
        }
    }

    /// Versions that we just created and the vault does not list yet.
    fn unsettled(&self, listed: &[Version]) -> Vec<(Facts, Version)> {
        let memory = self.memory();
        let missing = memory.versions.iter().filter_map(|(id, known)| {
            let (made, version) = known.made_here.as_ref()?;
            let is_missing = made.goes_on(&*self.clock) && !listed.iter().any(|version| version.id == *id);
            is_missing.then(|| (known.facts.clone(), version.clone()))
        });
        missing.collect()
    }

    /// The public key, if this process knows it or can read it.
    ///
    /// Azure's documentation does not say whether a disabled version can be read. A change of a version returns its
    /// public key in every state, or nobody could enable it again. A change without any attribute changes nothing.
    async fn public(
        &self,
        operation: Operation,
        facts: &Facts,
        version: &Version,
    ) -> Result<Option<VerifyingKey>, ProviderError> {
        if let Some(known) = self.memory().versions.get(&version.id) {
            return Ok(Some(known.public.clone()));
        }
        let read = match self.vault.get(operation, Some(&version.id)).await {
            Err(error) if error.kind == ErrorKind::KeyUnusable => {
                let changed = self.vault.change(operation, &version.id, Change::default()).await;
                if let Err(error) = &changed
                    && error.kind == ErrorKind::PermissionDenied
                {
                    self.log_hidden(version, error);
                    return Ok(None);
                }
                changed
            }
            read => read,
        };
        self.fit(operation, &read?.1, facts, version).map(Some)
    }

    /// Logs a hidden version, once for each version.
    fn log_hidden(&self, version: &Version, error: &ProviderError) {
        if self.memory().logged.insert(version.id.clone()) {
            tracing::warn!(
                version = version.id,
                key = self.vault.url(),
                is_revoked = tags::mark(&version.tags).is_some(),
                error = %error.source,
                "a disabled version is not listed, because the vault does not return its key. Its tokens are refused"
            );
        }
    }

    fn fit(
        &self,
        operation: Operation,
        public: &PublicKey,
        facts: &Facts,
        version: &Version,
    ) -> Result<VerifyingKey, ProviderError> {
        public.for_algorithm(facts.algorithm).map_err(|error| {
            let text = format!(
                "version {} of {} has Signet's tags, but Signet cannot have created it: {error}. Destroy it",
                version.id,
                self.vault.url()
            );
            self.error(operation, ErrorKind::BadAnswer, text)
        })
    }

    /// Adds a version that this process created.
    pub(crate) fn adopt(&self, facts: Facts, version: Version, public: &PublicKey) -> Result<KeyRecord, ProviderError> {
        let public = self.fit(Operation::Create, public, &facts, &version)?;
        Ok(self.remember(facts, version, public, true).record)
    }

    fn remember(&self, facts: Facts, version: Version, public: VerifyingKey, made_here: bool) -> RingKey {
        let state = self.state(&version);
        let mut memory = self.memory();
        let before = memory.versions.get(&version.id);
        let marked_before = before.and_then(|known| known.mark.clone());
        let mut mark = tags::mark(&version.tags);
        if mark.is_none() && marked_before.is_some() {
            tracing::warn!(
                version = version.id,
                key = self.vault.url(),
                kid = %public.kid(),
                "somebody removed the mark of a revocation; this process still refuses the key. Revoke the key again"
            );
            mark = marked_before;
        }
        let made_here = match before {
            // Once the vault lists it, it need not be added any more.
            Some(known) => known.made_here.clone(),
            None => made_here.then(|| (Settling::begin(&*self.clock), version.clone())),
        };
        memory.by_kid.insert(public.kid().clone(), version.id.clone());
        let record = KeyRecord {
            public: public.clone(),
            created_at: version.created,
            sequence: facts.sequence,
            predecessor: facts.predecessor.clone(),
            terms: Some(facts.terms),
            state,
            revoked: mark.clone(),
        };
        let known = SeenVersion {
            facts,
            public,
            created: version.created,
            state,
            mark,
            made_here,
        };
        memory.versions.insert(version.id.clone(), known);
        RingKey { record, version }
    }

    /// Records a change, until the next reading.
    pub(crate) fn on_changed(&self, version: &Version) {
        let state = self.state(version);
        let mut memory = self.memory();
        let mark = tags::mark(&version.tags);
        let gone = is_destroyed(version) && mark.is_none();
        if let Some(known) = memory.versions.get_mut(&version.id) {
            known.state = state;
            known.mark = mark.or_else(|| known.mark.take());
            known.made_here = None;
            if gone && known.mark.is_none() {
                let kid = known.public.kid().clone();
                memory.versions.remove(&version.id);
                memory.by_kid.remove(&kid);
            }
        }
    }

    fn forget_all_but(&self, keys: &[RingKey]) {
        let mut memory = self.memory();
        let Memory { versions, by_kid, .. } = &mut *memory;
        versions.retain(|id, one| {
            // A key that was created while the list was being read is not in it.
            one.made_here
                .as_ref()
                .is_some_and(|(made, _)| made.goes_on(&*self.clock))
                || keys.iter().any(|key| key.version.id == *id)
        });
        by_kid.retain(|_, id| versions.contains_key(id));
    }

    /// What is known about a key from the last reading.
    pub(crate) fn known(&self, kid: &Kid) -> Option<Signer> {
        let memory = self.memory();
        let version = memory.by_kid.get(kid)?;
        let known = memory.versions.get(version)?;
        Some(Signer {
            version: version.clone(),
            public: known.public.clone(),
            state: known.state,
            is_revoked: known.mark.is_some(),
        })
    }

    fn is_marked(&self, version: &Version) -> bool {
        let remembered = self
            .memory()
            .versions
            .get(&version.id)
            .is_some_and(|known| known.mark.is_some());
        remembered || tags::mark(&version.tags).is_some()
    }

    /// Whether the vault can sign with the version.
    fn state(&self, version: &Version) -> KeyState {
        let now = self.clock.now();
        let early = version.not_before.is_some_and(|at| now < at);
        let late = version.expires.is_some_and(|at| now >= at);
        match version.enabled && !early && !late {
            true => KeyState::Enabled,
            false => KeyState::Disabled,
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }
}

fn is_destroyed(version: &Version) -> bool {
    version.not_before.is_some_and(|at| at >= NEVER)
}
