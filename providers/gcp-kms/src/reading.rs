//! One look at the ring: the versions, the marks and the labels, put together into the contract's records.

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

/// What the versions' numbers and states say, and the records of those that are keys of the ring.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The crypto key itself; `None` if it does not exist, which is an empty ring.
    pub(crate) key: Option<CryptoKey>,
    pub(crate) listed: Vec<Listed>,
    /// The newest version that is still being generated, with its creation instant.
    pub(crate) pending: Option<(u64, Timestamp)>,
    /// The highest number of a version in any state.
    pub(crate) highest: u64,
    /// The numbers of those that are not destroyed.
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

/// How a version counts.
enum Role {
    Key(KeyState),
    Pending,
    /// It never was a key of the ring.
    Failed,
    Gone,
}

/// <https://cloud.google.com/kms/docs/key-states>
fn role(state: &State) -> Option<Role> {
    Some(match state {
        State::Enabled => Role::Key(KeyState::Enabled),
        State::Disabled => Role::Key(KeyState::Disabled),
        State::PendingGeneration => Role::Pending,
        State::GenerationFailed | State::PendingImport | State::ImportFailed => Role::Failed,
        // One that is only scheduled can be restored by hand, for 30 days if nothing else was said.
        State::DestroyScheduled
        | State::Destroyed
        | State::PendingExternalDestruction
        | State::ExternalDestructionFailed => Role::Gone,
        _ => return None,
    })
}

/// Where what never changes about a version is remembered.
pub(crate) trait Remembered: Send + Sync {
    fn known(&self, number: u64) -> Option<VerifyingKey>;
    fn learn(&self, number: u64, public: &VerifyingKey);
    /// The terms of a version, of which the labels say `read` now.
    fn terms(&self, number: u64, read: Option<Terms>) -> Option<Terms>;
}

/// Looks: two calls, and one more for each version whose public key is not known yet.
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
    let text = "one answer contradicts another, as if it changed all the time. It is tried again";
    Err(call.error(ErrorKind::Unavailable, text))
}

/// One look. `None` if others changed the ring between the calls, so that the answers do not make a whole.
async fn look(kms: &Kms, call: Call<'_>, memory: &impl Remembered) -> Result<Option<Reading>, ProviderError> {
    // The versions first: what is marked meanwhile is seen as marked.
    let versions = kms.versions(call.operation).await?;
    let keys = kms.keys(call.operation).await?;
    let marks = marks(kms, &keys);
    let key = keys.into_iter().find(|key| key.name == kms.key.as_str());
    let (versions, key) = match (versions, key) {
        (Some(versions), Some(key)) => (versions, key),
        (None, None) => return Ok(Some(Reading::default())),
        // Somebody made the key.
        _ => return Ok(None),
    };
    if key.purpose != CryptoKeyPurpose::AsymmetricSign {
        let purpose = key.purpose.name().unwrap_or("unknown");
        let text = format!(
            "its purpose is {purpose}, but remote custody needs ASYMMETRIC_SIGN. Make another key (`gcloud kms keys create \
             --purpose=asymmetric-signing`), or set SIGNET_CUSTODY=sealed"
        );
        return Err(call.error(ErrorKind::InvalidConfig, text));
    }
    let mut sorted = BTreeMap::new();
    for version in versions {
        let number = kms.key.number(&version.name);
        let number = number.ok_or_else(|| call.bad_answer("the list has a version of another key"))?;
        let role = role(&version.state)
            .ok_or_else(|| call.bad_answer("the list has a version in a state that is not known"))?;
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
            // Google does not show the key of a disabled version. If it is marked, the mark does; else nobody can say what
            // to list, unless this process saw it enabled.
            None => match (mark.and_then(|mark| mark.public_key(version)), state) {
                (Some(public), _) => public,
                (None, KeyState::Disabled) => continue,
                // Somebody disabled it.
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
            "version {number} is of the algorithm {name}, which Signet does not sign with. Give Signet a key of its own, or \
             destroy that version"
        );
        // Whoever may make versions can bring this about at any time, so it must not end a start.
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
    /// The public key that it says the version has. It is not remembered as if Google had said it.
    fn public_key(&self, version: &CryptoKeyVersion) -> Option<VerifyingKey> {
        parse(self.public.as_deref()?, jose(&version.algorithm)?)
    }
}

fn parse(der: &[u8], algorithm: Algorithm) -> Option<VerifyingKey> {
    PublicKey::from_spki_der(der).ok()?.for_algorithm(algorithm).ok()
}

fn created_at(call: Call<'_>, version: &CryptoKeyVersion) -> Result<Timestamp, ProviderError> {
    // Both are optional in the API. Generated is later than created, so that nothing signs too early.
    let instant = version.create_time.as_ref().or(version.generate_time.as_ref());
    let instant = instant.ok_or_else(|| call.bad_answer("the list has a version without a creation instant"))?;
    let millis = instant.seconds().saturating_mul(1000);
    Ok(Timestamp::from_millis(
        millis.saturating_add(i64::from(instant.nanos() / 1_000_000)),
    ))
}

/// The key before it in the ring. Of one that was destroyed nothing is left but its number, which is named in its place:
/// that there was one is what the schedule must know.
fn predecessor(number: u64, sorted: &BTreeMap<u64, (Role, CryptoKeyVersion)>, listed: &[Listed]) -> Option<Kid> {
    let is_key = |number: &u64| !matches!(sorted.get(number), Some((Role::Failed | Role::Pending, _)));
    let before = (1..number).rev().find(is_key)?;
    let record = listed.iter().find(|listed| listed.number == before);
    Some(record.map_or_else(|| Kid::new(before.to_string()), |listed| listed.record.kid().clone()))
}
