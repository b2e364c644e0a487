//! Reads the ring: combines versions, marks and labels into the records of the contract.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use google_cloud_kms_v1::model::crypto_key::CryptoKeyPurpose;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;
use google_cloud_kms_v1::model::{CryptoKey, CryptoKeyVersion, ProtectionLevel};
use signet_api::{Call, ErrorKind, Operation, ProviderError};
use signet_core::public_key::{PublicKey, VerifyingKey};
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Terms, Timestamp};

use crate::NAME;
use crate::algorithm::jose;
use crate::client::Kms;
use crate::labels::{self, Mark};

/// The numbers and states of the versions, and the records of those that are keys of the ring.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The crypto key itself. `None` if it does not exist, which is an empty ring.
    pub(crate) key: Option<CryptoKey>,
    pub(crate) listed: Vec<Listed>,
    /// The newest version that is still being generated, with its creation time.
    pub(crate) pending: Option<(u64, Timestamp)>,
    /// The highest number of a version in any state.
    pub(crate) highest: u64,
    /// The numbers of the versions that are not destroyed.
    pub(crate) in_use: Vec<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) protection: ProtectionLevel,
    pub(crate) record: KeyRecord,
}

impl Reading {
    pub(crate) fn newest(&self) -> Option<&Listed> {
        signet_core::ring::in_order_by(&self.listed, |listed| &listed.record).pop()
    }

    pub(crate) fn find(&self, kid: &Kid) -> Option<&Listed> {
        self.listed.iter().find(|listed| listed.record.kid() == kid)
    }
}

/// The role of a version in the ring.
enum Role {
    Key(KeyState),
    Pending,
    /// The version never was a key of the ring.
    Failed,
    Gone,
}

/// The role for a state of <https://cloud.google.com/kms/docs/key-states>.
fn role(state: &State) -> Option<Role> {
    Some(match state {
        State::Enabled => Role::Key(KeyState::Enabled),
        State::Disabled => Role::Key(KeyState::Disabled),
        State::PendingGeneration => Role::Pending,
        State::GenerationFailed | State::PendingImport | State::ImportFailed => Role::Failed,
        // A version that is only scheduled for destruction can be restored by hand, for 30 days by default.
        State::DestroyScheduled
        | State::Destroyed
        | State::PendingExternalDestruction
        | State::ExternalDestructionFailed => Role::Gone,
        _ => return None,
    })
}

/// Remembers the unchanging facts about a version.
pub(crate) trait Remembered: Send + Sync {
    fn known(&self, number: u64) -> Option<VerifyingKey>;
    fn learn(&self, number: u64, public: &VerifyingKey);
    /// The terms of a version. `read` are the terms that are in the labels now.
    fn terms(&self, number: u64, read: Option<Terms>) -> Option<Terms>;
}

/// Reads the ring with two calls, and another for each version whose public key is not known yet.
pub(crate) async fn read(kms: &Kms, operation: Operation, memory: &impl Remembered) -> Result<Reading, ProviderError> {
    let call = Call {
        provider: NAME,
        operation,
        doing: "read the ring in",
        permission: "cloudkms.cryptoKeyVersions.list",
        resource: kms.key.as_str(),
    };
    for pause in [Some(100), Some(400), None] {
        if let Some(reading) = look(kms, call, memory).await? {
            return Ok(reading);
        }
        if let Some(millis) = pause {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
    let text = "two answers contradict each other, because the ring changes at the moment. Signet tries again";
    Err(call.error(ErrorKind::Unavailable, text))
}

/// One attempt. `None` if others changed the ring between the calls, so the answers do not fit together.
async fn look(kms: &Kms, call: Call<'_>, memory: &impl Remembered) -> Result<Option<Reading>, ProviderError> {
    // Read the versions first, so that a revocation in between is seen.
    let versions = kms.versions(call.operation).await?;
    let keys = kms.keys(call.operation).await?;
    let marks = marks(kms, &keys);
    let key = keys.into_iter().find(|key| key.name == kms.key.as_str());
    let (versions, key) = match (versions, key) {
        (Some(versions), Some(key)) => (versions, key),
        (None, None) => return Ok(Some(Reading::default())),
        // Somebody created the key in between.
        _ => return Ok(None),
    };
    if key.purpose != CryptoKeyPurpose::AsymmetricSign {
        let purpose = key.purpose.name().unwrap_or("unknown");
        let text = format!(
            "its purpose is {purpose}, but remote custody needs ASYMMETRIC_SIGN. Create another key (`gcloud kms \
             keys create --purpose=asymmetric-signing`), or set SIGNET_CUSTODY=sealed"
        );
        return Err(call.error(ErrorKind::InvalidConfig, text));
    }
    let mut sorted = BTreeMap::new();
    for version in versions {
        let number = kms.key.number(&version.name);
        let number = number.ok_or_else(|| call.bad_answer("the list has a version of another key"))?;
        let role = role(&version.state).ok_or_else(|| call.bad_answer("the list has a version in an unknown state"))?;
        sorted.insert(number, (role, version));
    }
    let mut reading = Reading {
        highest: sorted.keys().next_back().copied().unwrap_or(0),
        ..Reading::default()
    };
    for (number, (role, version)) in &sorted {
        let state = match role {
            Role::Key(state) => *state,
            Role::Pending => {
                reading.pending = Some((*number, created_at(call, version)?));
                reading.in_use.push(*number);
                continue;
            }
            Role::Failed | Role::Gone => continue,
        };
        reading.in_use.push(*number);
        let mark = marks.get(number);
        let public = match public(kms, call, *number, version, state, memory).await? {
            Some(public) => public,
            // Google does not show the key of a disabled version. If it was revoked, its mark has the key. Otherwise it
            // can be listed only if this process saw it enabled.
            None => match (mark.and_then(|mark| mark.public_key(version)), state) {
                (Some(public), _) => public,
                (None, KeyState::Disabled) => continue,
                // Somebody disabled the version in between.
                (None, KeyState::Enabled) => return Ok(None),
            },
        };
        let record = KeyRecord {
            created_at: created_at(call, version)?,
            sequence: *number,
            predecessor: predecessor(*number, &sorted, &reading.listed),
            terms: memory.terms(*number, labels::terms(&key.labels, *number)),
            state,
            revoked: mark.map(|mark| mark.revocation.clone()),
            public,
        };
        let protection = version.protection_level.clone();
        reading.listed.push(Listed {
            number: *number,
            protection,
            record,
        });
    }
    reading.key = Some(key);
    Ok(Some(reading))
}

fn marks(kms: &Kms, keys: &[CryptoKey]) -> HashMap<u64, Mark> {
    keys.iter()
        .filter_map(|key| Some((kms.key.marked(&key.name)?, Mark::from_labels(&key.labels))))
        .collect()
}

/// The public key of a version, if this process knows it or Google shows it.
async fn public(
    kms: &Kms,
    call: Call<'_>,
    number: u64,
    version: &CryptoKeyVersion,
    state: KeyState,
    memory: &impl Remembered,
) -> Result<Option<VerifyingKey>, ProviderError> {
    if let Some(public) = memory.known(number) {
        return Ok(Some(public));
    }
    let Some(algorithm) = jose(&version.algorithm) else {
        let name = version.algorithm.name().unwrap_or("unknown");
        let text = format!(
            "version {number} has the algorithm {name}, which Signet does not support. Use a separate key for \
             Signet, or destroy that version"
        );
        // Anybody who may create versions can cause this at any time, so it must not prevent a start.
        return Err(call.error(ErrorKind::KeyUnusable, text));
    };
    let shown = match state {
        KeyState::Enabled => kms.public_key(call.operation, number).await?,
        KeyState::Disabled => None,
    };
    let Some(der) = shown else { return Ok(None) };
    let public =
        parse(&der, algorithm).ok_or_else(|| call.bad_answer("a public key is not one of the version's algorithm"))?;
    memory.learn(number, &public);
    Ok(Some(public))
}

impl Mark {
    /// The public key of the revoked version, according to this mark. It is not stored among the
    /// keys that Google returned.
    fn public_key(&self, version: &CryptoKeyVersion) -> Option<VerifyingKey> {
        parse(self.public.as_deref()?, jose(&version.algorithm)?)
    }
}

fn parse(der: &[u8], algorithm: Algorithm) -> Option<VerifyingKey> {
    PublicKey::from_spki_der(der).ok()?.for_algorithm(algorithm).ok()
}

fn created_at(call: Call<'_>, version: &CryptoKeyVersion) -> Result<Timestamp, ProviderError> {
    // Both times are optional in the API. A version is generated after it was created, so the later time does not make
    // it sign too early.
    let instant = version.create_time.as_ref().or(version.generate_time.as_ref());
    let instant = instant.ok_or_else(|| call.bad_answer("the list has a version without a creation time"))?;
    let millis = instant.seconds().saturating_mul(1000);
    Ok(Timestamp::from_millis(
        millis.saturating_add(i64::from(instant.nanos() / 1_000_000)),
    ))
}

/// The key before this one in the ring.
///
/// If it was destroyed, only its number is left. The number is used instead, because the schedule must know
/// that there was a predecessor.
fn predecessor(number: u64, sorted: &BTreeMap<u64, (Role, CryptoKeyVersion)>, listed: &[Listed]) -> Option<Kid> {
    let is_key = |number: &u64| !matches!(sorted.get(number), Some((Role::Failed | Role::Pending, _)));
    let before = (1..number).rev().find(is_key)?;
    let record = listed.iter().find(|listed| listed.number == before);
    Some(record.map_or_else(|| Kid::new(before.to_string()), |listed| listed.record.kid().clone()))
}
