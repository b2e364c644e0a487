//! A handle to one ring in remote custody: the record in KV v2, and the transit keys that it names.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use signet_api::{ErrorKind, Failure, Operation, ProviderError};
use signet_base::Clock;
use signet_core::public_key::PublicKey;
use signet_core::ring::newest;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid};
use tokio::sync::Mutex;

use crate::NAME;
use crate::client::Client;
use crate::config::VaultConfig;
use crate::kv::Secret;
use crate::names::ring_name;
use crate::record::{ClaimOf, Entry, Record, StoredRecord};
use crate::refusal::Refusal;
use crate::transit::{Made, Transit, TransitKey};

/// A handle to one ring.
pub(crate) struct Remote {
    pub(crate) client: Client,
    pub(crate) ring: String,
    pub(crate) transit: Transit,
    pub(crate) record: Secret,
    pub(crate) clock: Arc<dyn Clock>,
    /// Identifies the claims of this handle.
    pub(crate) nonce: String,
    /// Allows one creation at a time in this process, so if the record has a claim of this handle, that claim was
    /// abandoned. Holds the last refusal.
    pub(crate) creating: Mutex<Option<Refusal>>,
    last_read: ArcSwap<LastRead>,
    /// The newest version of the record that this process has seen. An older one is refused.
    seen: AtomicU64,
}

/// The keys as this handle last saw them, for `sign`.
#[derive(Debug, Default)]
struct LastRead {
    /// The version of the record.
    version: u64,
    keys: HashMap<Kid, Signer>,
}

/// What this handle needs to sign with a key.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    path: Arc<str>,
    version: u64,
    algorithm: Algorithm,
    signature_len: usize,
    /// Why the key may not sign. `None` if it may.
    pub(crate) refusal: Option<&'static str>,
}

/// The record, and what transit reports about the keys in it.
pub(crate) struct RingState {
    pub(crate) record: Record,
    /// The version of the record. `None` if there is none yet.
    pub(crate) version: Option<u64>,
    pub(crate) transit: BTreeMap<String, Option<TransitKey>>,
    /// The keys of the record, in its order.
    pub(crate) keys: Vec<KeyRecord>,
    /// The key that the claim names, once transit has created it.
    pub(crate) claimed: Option<KeyRecord>,
}

impl RingState {
    pub(crate) fn newest(&self) -> Option<&KeyRecord> {
        newest(&self.keys)
    }
}

impl Remote {
    /// Opens a handle. Nothing is sent yet.
    pub(crate) fn open(config: VaultConfig, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        ring_name(&config.key)?;
        let client = Client::new(config.connection)?;
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| {
            let text = "the cryptographic library gave no random bytes; Signet tries again";
            Failure::new(ErrorKind::Unavailable, text).at(NAME, Operation::Open)
        })?;
        Ok(Self {
            transit: Transit::new(client.clone(), &config.transit_mount),
            record: Secret::new(client.clone(), &config.kv_mount, &format!("signet/{}", config.key)),
            client,
            ring: config.key,
            clock,
            nonce: nonce.iter().map(|octet| format!("{octet:02x}")).collect(),
            creating: Mutex::default(),
            last_read: ArcSwap::default(),
            seen: AtomicU64::new(0),
        })
    }

    /// Reads the record with its version. Returns an empty record without version if there never was one.
    pub(crate) async fn read_record(&self) -> Result<(Record, Option<u64>), Failure> {
        // The answer must not be older than what was seen before the request.
        let seen = self.seen.load(Ordering::SeqCst);
        let found = self.record.read::<StoredRecord>().await?;
        let version = found.as_ref().map_or(0, |found| found.version);
        if version < seen {
            let location = self.record.location();
            return Err(Failure::new(
                ErrorKind::BadAnswer,
                format!(
                    "the record in {location} was rolled back: it is version {version} (0: it is gone), but this \
                     process has read version {seen}. A revocation could be missing. If \
                     VAULT_ADDR leads to standbys that answer from an older state, set it to the \
                     active node. If you replaced the record on purpose, restart Signet to \
                     accept it; if not, treat it as an attack"
                ),
            ));
        }
        self.seen.fetch_max(version, Ordering::SeqCst);
        match found {
            None => Ok((Record::empty(&self.ring), None)),
            Some(found) => {
                let record = found.data.record(&self.ring, &self.record.location())?;
                Ok((record, Some(version)))
            }
        }
    }

    /// Writes the next record. `None` if another writer was first and nothing has changed.
    pub(crate) async fn write_record(&self, before: Option<u64>, record: &Record) -> Result<Option<u64>, Failure> {
        let version = self.record.swap(before, &record.document()?).await?;
        if let Some(version) = version {
            self.seen.fetch_max(version, Ordering::SeqCst);
        }
        Ok(version)
    }

    /// Reads the ring.
    pub(crate) async fn read_ring(&self) -> Result<RingState, Failure> {
        let (record, version) = self.read_record().await?;
        let mut transit = BTreeMap::new();
        for name in record.transit_keys_to_read() {
            transit.insert(name.to_owned(), self.transit.read(name).await?);
        }
        let listed = record.keys.iter().filter(|entry| entry.is_listed());
        let passed_over = record.passed_over();
        let keys: Vec<KeyRecord> = listed
            .map(|entry| self.key_record(entry, &transit, passed_over))
            .collect::<Result<_, _>>()?;
        let claimed = match &record.claim {
            Some(claim) => self.claimed(claim, &transit, &keys)?,
            None => None,
        };
        self.remember(version.unwrap_or(0), &record, &keys, claimed.as_ref());
        Ok(RingState {
            record,
            version,
            transit,
            keys,
            claimed,
        })
    }

    fn key_record(
        &self,
        entry: &Entry,
        transit: &BTreeMap<String, Option<TransitKey>>,
        passed_over: u64,
    ) -> Result<KeyRecord, Failure> {
        let bad = |what: &str| {
            let text = format!("key {} in {}: {what}", entry.kid, self.record.location());
            Failure::new(ErrorKind::BadAnswer, text)
        };
        let record = |public: &PublicKey, created_at, state| {
            let public = public
                .for_algorithm(entry.algorithm)
                .map_err(|error| bad(&error.to_string()))?;
            if *public.kid() != entry.kid {
                return Err(bad(
                    "its public key has changed. The transit key was deleted and created again, or restored from \
                     another backup than the record; restore both from the same backup. If \
                     nobody in your team did that, treat it as an attack",
                ));
            }
            Ok(KeyRecord {
                public,
                created_at,
                sequence: entry.number,
                predecessor: entry.predecessor.clone(),
                terms: Some(entry.terms),
                state,
                revoked: entry.revoked.clone(),
            })
        };
        if entry.revoked.is_some() {
            // Transit may have destroyed the key. Nobody verifies with a revoked key, so the
            // record can be trusted here.
            let public = entry.public.public_key().map_err(|error| bad(&error.to_string()))?;
            return record(&public, entry.created_at_ms, KeyState::Disabled);
        }
        let version = entry.place.version;
        let held = transit.get(&entry.place.transit_key).and_then(Option::as_ref);
        let Some((held, made)) = held.and_then(|held| Some((held, held.version(version)?))) else {
            return Err(Failure::new(
                ErrorKind::KeyUnusable,
                format!(
                    "key {} is version {version} of {}, which transit no longer has. Restore the transit key from a \
                     backup, or run `signet keys revoke {}`; tokens of that key are then refused",
                    entry.kid,
                    self.transit.key_path(&entry.place.transit_key),
                    entry.kid
                ),
            ));
        };
        let made = made?;
        // If transit refuses to sign with a key only because a later key was revoked, nobody has disabled it. It is
        // retired later, like any other.
        let state = match entry.state {
            KeyState::Enabled if held.signs_with(version) || entry.number <= passed_over => KeyState::Enabled,
            _ => KeyState::Disabled,
        };
        record(&made.public, made.at.max(entry.created_at_ms), state)
    }

    /// The key that a claim names, if transit has created it.
    fn claimed(
        &self,
        claim: &ClaimOf,
        transit: &BTreeMap<String, Option<TransitKey>>,
        before: &[KeyRecord],
    ) -> Result<Option<KeyRecord>, Failure> {
        let held = transit.get(&claim.place.transit_key).and_then(Option::as_ref);
        let Some((held, made)) = held.and_then(|held| Some((held, held.version(claim.place.version)?))) else {
            return Ok(None);
        };
        let Made { public, at } = made?;
        let public = public.for_algorithm(claim.algorithm).map_err(|error| {
            let text = format!("{}: {error}", self.transit.key_path(&claim.place.transit_key));
            Failure::new(ErrorKind::KeyUnusable, text)
        })?;
        // The clock of the active node may have been set back, or another node may be active now. All replicas
        // therefore apply the same rule: no key is older than an existing one. Revoked keys do not count, because one
        // may have a date in the future.
        let used = before.iter().filter(|key| key.revoked.is_none());
        let created_at = used.fold(at, |at, key| {
            at.max(key.created_at.plus(std::time::Duration::from_millis(1)))
        });
        Ok(Some(KeyRecord {
            public,
            created_at,
            sequence: claim.number,
            predecessor: claim.predecessor.clone(),
            terms: Some(claim.terms),
            state: match held.signs_with(claim.place.version) {
                true => KeyState::Enabled,
                false => KeyState::Disabled,
            },
            revoked: None,
        }))
    }

    /// Stores what `sign` needs, unless this handle has seen a newer record in the meantime.
    pub(crate) fn remember(&self, version: u64, record: &Record, keys: &[KeyRecord], claimed: Option<&KeyRecord>) {
        let mut signers = HashMap::new();
        let places = record.keys.iter().map(|entry| (&entry.kid, &entry.place));
        let claim = record
            .claim
            .as_ref()
            .zip(claimed)
            .map(|(claim, key)| (key.kid(), &claim.place));
        for (kid, place) in places.chain(claim) {
            let Some(key) = keys.iter().chain(claimed).find(|key| key.kid() == kid) else {
                continue;
            };
            let refusal = match (&key.revoked, key.state) {
                (Some(_), _) => Some("was revoked"),
                (None, KeyState::Disabled) => Some("was retired, or disabled in transit"),
                (None, KeyState::Enabled) => None,
            };
            let signer = Signer {
                path: self.transit.sign_path(&place.transit_key).into(),
                version: place.version,
                algorithm: key.public.algorithm(),
                signature_len: key.public.public().signature_len(),
                refusal,
            };
            signers.insert(kid.clone(), signer);
        }
        let next = Arc::new(LastRead { version, keys: signers });
        self.last_read.rcu(|last| match last.version > version {
            true => Arc::clone(last),
            false => Arc::clone(&next),
        });
    }

    /// Records that a key may not sign as of this version of the record.
    pub(crate) fn forbid(&self, kid: &Kid, refusal: &'static str, version: u64) {
        self.last_read.rcu(|last| {
            let mut keys = last.keys.clone();
            if let Some(signer) = keys.get_mut(kid) {
                signer.refusal = Some(refusal);
            }
            LastRead {
                version: last.version.max(version),
                keys,
            }
        });
    }

    pub(crate) async fn signer(&self, kid: &Kid) -> Result<Signer, Failure> {
        if let Some(signer) = self.last_read.load().keys.get(kid) {
            return Ok(signer.clone());
        }
        self.read_ring().await?;
        let last = self.last_read.load();
        last.keys.get(kid).cloned().ok_or_else(|| self.unknown(kid))
    }

    pub(crate) async fn signature(&self, kid: &Kid, message: &[u8]) -> Result<Signature, Failure> {
        let signer = self.signer(kid).await?;
        if let Some(refusal) = signer.refusal {
            return Err(Failure::new(ErrorKind::KeyUnusable, format!("key {kid} {refusal}")));
        }
        let signature = self
            .transit
            .sign(&signer.path, signer.version, signer.algorithm, message)
            .await?;
        if signature.len() != signer.signature_len {
            let text = format!(
                "the answer to POST {} has a signature of {} bytes, but {} has {}",
                signer.path,
                signature.len(),
                signer.algorithm,
                signer.signature_len
            );
            return Err(Failure::new(ErrorKind::BadAnswer, text));
        }
        Ok(Signature::from_jws(signature))
    }

    pub(crate) fn unknown(&self, kid: &Kid) -> Failure {
        let text = format!("the record in {} has no key {kid}", self.record.location());
        Failure::new(ErrorKind::NotFound, text)
    }

    pub(crate) fn outrun(&self) -> Failure {
        let text = format!(
            "other sidecars changed the record in {} again and again, so nothing was done; Signet tries again",
            self.record.location()
        );
        Failure::new(ErrorKind::Unavailable, text)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({}, {:?})", self.ring, self.client)
    }
}
