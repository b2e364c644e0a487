//! Remote custody: implements the contract with Cloud KMS.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use google_cloud_kms_v1::model::crypto_key::CryptoKeyPurpose;
use google_cloud_kms_v1::model::crypto_key_version::{
    CryptoKeyVersionAlgorithm as Vendor, CryptoKeyVersionState as State,
};
use google_cloud_kms_v1::model::{CryptoKey, CryptoKeyVersion, CryptoKeyVersionTemplate, ProtectionLevel};
use parking_lot::{Mutex, MutexGuard};
use signet_api::{
    Capabilities, Claim, CreateDecision, Custody, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation,
    ProviderError, ReadQuota, Trials, async_trait, may_retire,
};
use signet_base::Clock;
use signet_core::algorithm::KeyType;
use signet_core::public_key::VerifyingKey;
use signet_core::signing_key::Signature;
use signet_core::{KeyRecord, KeyState, Kid, Revocation, SigningKey, Terms};
use tokio::time::Instant;

use crate::NAME;
use crate::algorithm::{self, ALGORITHMS, ToSign};
use crate::client::{Kms, NewCryptoKey, sign_call};
use crate::config::{GcpConfig, invalid};
use crate::known_keys::{Entry, KnownKeys};
use crate::labels::{self, Labels, Mark};
use crate::reading::{Listed, Reading, Remembered, read};

/// The maximum number of readings in one `create`: before and after each creation, and again after each race.
const TRIES: u32 = 8;
/// How long to wait for a version to be generated. The next `create` continues to wait for it.
const GENERATION: Duration = Duration::from_secs(25);
/// A version that is still being generated after this time is given up.
const STUCK: Duration = Duration::from_secs(3600);
/// The first pause before something is read again. It doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Opens the ring of a crypto key with which Google signs. Makes no call.
///
/// # Errors
/// `InvalidConfig` if the client cannot be made, or if the key's name is too long for marks.
pub async fn remote(config: GcpConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    config
        .key
        .leaves_room_for_marks()
        .map_err(|text| invalid(&[format!("SIGNET_KEY: {text}")]))?;
    Ok(Arc::new(Remote {
        kms: Kms::new(config).await?,
        clock,
        known: Mutex::default(),
        creating: tokio::sync::Mutex::default(),
    }))
}

struct Remote {
    kms: Kms,
    clock: Arc<dyn Clock>,
    known: Mutex<KnownKeys>,
    /// Allows one creation at a time in this process. The others find the key that it created.
    creating: tokio::sync::Mutex<()>,
}

impl Remote {
    fn known(&self) -> MutexGuard<'_, KnownKeys> {
        self.known.lock()
    }

    fn error(&self, operation: Operation, kind: ErrorKind, text: impl Into<String>) -> ProviderError {
        let text: String = text.into();
        ProviderError::new(NAME, operation, kind, text)
    }

    fn unknown(&self, operation: Operation, kid: &Kid) -> ProviderError {
        let text = format!(
            "no version of {} is key {kid}. If somebody disabled its version, enable it for this command, because \
             Google returns only the public keys of enabled versions",
            self.kms.key
        );
        self.error(operation, ErrorKind::NotFound, text)
    }

    async fn read(&self, operation: Operation) -> Result<Reading, ProviderError> {
        let since = self.known().changes();
        let reading = read(&self.kms, operation, self).await?;
        let entries = reading.listed.iter().map(|listed| Entry {
            number: listed.number,
            public: listed.record.public.clone(),
            protection: listed.protection.clone(),
            state: listed.record.state,
            revoked: listed.record.revoked.is_some(),
        });
        self.known().take(entries, since);
        Ok(reading)
    }

    /// The key from the last reading. Reads again if it was not there.
    async fn entry(&self, operation: Operation, kid: &Kid) -> Result<Entry, ProviderError> {
        if let Some(entry) = self.known().entry(kid) {
            return Ok(entry);
        }
        self.read(operation).await?;
        self.known().entry(kid).ok_or_else(|| self.unknown(operation, kid))
    }

    /// Finds the key, and checks that it may be used.
    async fn usable(&self, operation: Operation, kid: &Kid) -> Result<Entry, ProviderError> {
        let entry = self.entry(operation, kid).await?;
        let why = match (entry.revoked, entry.state) {
            (true, _) => "was revoked",
            (false, KeyState::Disabled) => "is disabled",
            (false, KeyState::Enabled) => return Ok(entry),
        };
        let text = format!("key {kid}, {}, {why}", self.kms.key.version(entry.number));
        Err(self.error(operation, ErrorKind::KeyUnusable, text))
    }

    async fn found(&self, operation: Operation, kid: &Kid) -> Result<(Reading, Listed), ProviderError> {
        let reading = self.read(operation).await?;
        let listed = reading.find(kid).cloned();
        let listed = listed.ok_or_else(|| self.unknown(operation, kid))?;
        Ok((reading, listed))
    }

    /// The version that is being generated and will be the newest.
    fn unfinished(&self, reading: &Reading) -> Option<u64> {
        let made = self.known().made;
        if made > reading.highest {
            return Some(made);
        }
        let newest = reading.newest().map_or(0, |newest| newest.number);
        reading
            .pending
            .filter(|(number, since)| *number > newest && self.clock.now().since(*since) < STUCK)
            .map(|(number, _)| number)
    }

    /// Waits until a version is generated.
    async fn generated(&self, number: u64) -> Result<(), ProviderError> {
        const CREATE: Operation = Operation::Create;
        let (begin, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let version = self.kms.version(CREATE, number).await?;
            match version.as_ref().map(|version| &version.state) {
                // The version is not visible yet.
                None | Some(State::PendingGeneration) => {}
                Some(State::GenerationFailed) => {
                    let reason = version.map(|version| signet_base::quote(&version.generation_failure_reason));
                    let text = format!(
                        "Google failed to generate {}: {}. The next attempt creates another version",
                        self.kms.key.version(number),
                        reason
                            .filter(|reason| !reason.is_empty())
                            .as_deref()
                            .unwrap_or("Google gave no reason")
                    );
                    return Err(self.error(CREATE, ErrorKind::Unavailable, text));
                }
                Some(_) => return Ok(()),
            }
            if begin.elapsed() + pause > GENERATION {
                // A version that never appears was deleted, so do not wait for it again.
                if version.is_none() {
                    self.known().made = 0;
                }
                let text = format!(
                    "{} is still being generated after {} s; the next attempt waits for it again",
                    self.kms.key.version(number),
                    GENERATION.as_secs()
                );
                return Err(self.error(CREATE, ErrorKind::TimedOut, text));
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Creates the crypto key, or sets the properties of new versions. `false` if there is nothing to do.
    ///
    /// Google has no condition for this call: a `CryptoKey` has no etag, and its labels are replaced as a whole. If two
    /// rollouts overlap at a rotation, the later call may overwrite the labels of the earlier one, and a version
    /// created in between gets the later terms. Processes that saw the version before continue with the terms that they
    /// saw first ([`KnownKeys::terms`]), and restore them the next time they run this code. Other tools' labels are not
    /// changed.
    async fn prepared(&self, reading: &Reading, vendor: &Vendor, terms: Terms) -> Result<bool, ProviderError> {
        let template = CryptoKeyVersionTemplate::default().set_algorithm(vendor.clone());
        let Some(key) = &reading.key else {
            let new = NewCryptoKey {
                id: self.kms.key.id().to_owned(),
                key: CryptoKey::default()
                    .set_purpose(CryptoKeyPurpose::AsymmetricSign)
                    .set_version_template(template)
                    .set_labels(labels::with_terms(&Labels::new(), 1, terms, &[])),
            };
            self.kms.create_key(Operation::Create, new).await?;
            return Ok(true);
        };
        let next = reading.highest + 1;
        let mut mask = Vec::new();
        let mut changed = CryptoKey::default();
        if key.version_template.as_ref().map(|template| &template.algorithm) != Some(vendor) {
            changed = changed.set_version_template(template);
            mask.push("version_template.algorithm");
        }
        let of_listed: Vec<(u64, Terms)> = reading
            .listed
            .iter()
            .filter_map(|listed| Some((listed.number, listed.record.terms?)))
            .collect();
        if labels::terms(&key.labels, next) != Some(terms) || !labels::hold(&key.labels, &of_listed) {
            let labels = labels::with_terms(&key.labels, next, terms, &reading.in_use);
            changed = changed.set_labels(labels::with_these(labels, &of_listed));
            mask.push("labels");
        }
        if mask.is_empty() {
            return Ok(false);
        }
        self.kms.update_key(changed, &mask).await?;
        Ok(true)
    }

    fn number(&self, version: &CryptoKeyVersion) -> Result<u64, ProviderError> {
        self.kms.key.number(&version.name).ok_or_else(|| {
            let text = format!("Google answered with a version of another key than {}", self.kms.key);
            self.error(Operation::Create, ErrorKind::BadAnswer, text)
        })
    }

    async fn mark(
        &self,
        listed: &Listed,
        revocation: &Revocation,
        protection: ProtectionLevel,
    ) -> Result<(), ProviderError> {
        const REVOKE: Operation = Operation::Revoke;
        let public = listed.record.public.to_spki_der();
        let mark = Mark {
            revocation: revocation.clone(),
            public: Some(public.map_err(|error| self.error(REVOKE, ErrorKind::Unavailable, error.to_string()))?),
        };
        let labels = mark
            .to_labels()
            .map_err(|text| self.error(REVOKE, ErrorKind::InvalidConfig, text))?;
        // The purpose does not matter, because this key never gets a version. A policy of the organization may
        // require the protection level.
        let template = CryptoKeyVersionTemplate::default()
            .set_algorithm(Vendor::GoogleSymmetricEncryption)
            .set_protection_level(protection);
        let new = NewCryptoKey {
            id: self.kms.key.mark(listed.number),
            key: CryptoKey::default()
                .set_purpose(CryptoKeyPurpose::EncryptDecrypt)
                .set_version_template(template)
                .set_labels(labels),
        };
        // If it exists, somebody else revoked the key, and their reason is kept.
        self.kms.create_key(REVOKE, new).await.map(drop)
    }
}

#[async_trait]
impl KeyProvider for Remote {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: NAME,
            custody: Custody::Remote,
            algorithms: ALGORITHMS,
            claim: Claim::Tolerated,
            longest_message: algorithm::longest_message,
            reads: Some(ReadQuota {
                calls: 300,
                per: Duration::from_secs(60),
                calls_per_list: 2,
                page: "https://cloud.google.com/kms/quotas",
            }),
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let reading = self.read(Operation::List).await?;
        Ok(reading.listed.into_iter().map(|listed| listed.record).collect())
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        const CREATE: Operation = Operation::Create;
        let Some(vendor) = algorithm::vendor(new.algorithm, new.rsa_bits) else {
            let names: Vec<&str> = ALGORITHMS.iter().map(|algorithm| algorithm.as_str()).collect();
            let text = format!(
                "Google Cloud KMS does not support {}. Set SIGNET_ALGORITHM to one of {}, or set \
                 SIGNET_CUSTODY=sealed",
                new.algorithm,
                names.join(" ")
            );
            return Err(self.error(CREATE, ErrorKind::InvalidConfig, text));
        };
        let terms = new.terms;
        let _turn = self.creating.lock().await;
        let mut pause = FIRST_PAUSE;
        // After each step, the ring is read again, to see what the step did and what others did meanwhile.
        for _ in 0..TRIES {
            let reading = self.read(CREATE).await?;
            if let Some(number) = self.unfinished(&reading) {
                self.generated(number).await?;
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                continue;
            }
            match new.decide(reading.newest().map(|newest| &newest.record)) {
                CreateDecision::New => {}
                CreateDecision::Newest(newest) => return Ok(newest.clone()),
                CreateDecision::Lost(kid) => return Err(self.unknown(CREATE, kid)),
            }
            if self.prepared(&reading, &vendor, terms).await? {
                continue;
            }
            // If somebody sets another algorithm at this moment, the version has that one. The version itself says so
            // and is listed and returned correctly; a caller that wants another one creates its successor.
            let version = self.kms.create_version().await?;
            let number = self.number(&version)?;
            self.known().made = number;
            if version.state != State::Enabled {
                self.generated(number).await?;
            }
        }
        let text = format!(
            "other sidecars changed {} {TRIES} times in a row, or it does not list the new version yet; the next \
             attempt uses that version",
            self.kms.key
        );
        Err(self.error(CREATE, ErrorKind::Unavailable, text))
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        let entry = self.usable(Operation::Sign, kid).await?;
        let algorithm = entry.public.algorithm();
        if let Some(longest) = algorithm::longest_message(algorithm).filter(|longest| message.len() > *longest) {
            let text = format!(
                "a message of {} bytes is too long for {algorithm}: Google Cloud KMS signs the message itself, not \
                 its digest, and allows {longest} bytes. Send fewer claims, or set another \
                 SIGNET_ALGORITHM",
                message.len()
            );
            return Err(self.error(Operation::Sign, ErrorKind::InvalidConfig, text));
        }
        let name = self.kms.key.version(entry.number);
        let call = sign_call(&name);
        let signed = self.kms.sign(entry.number, ToSign::new(algorithm, message)).await?;
        if signed.protection_level != entry.protection {
            return Err(call.bad_answer("the signature was made at another protection level than the version has"));
        }
        let signature = match algorithm.key_type() {
            KeyType::Ec(curve) => Signature::from_ecdsa_der(curve, &signed.signature),
            _ => Some(Signature::from_jws(signed.signature.to_vec())),
        };
        signature
            .filter(|signature| signature.as_ref().len() == entry.public.public().signature_len())
            .ok_or_else(|| call.bad_answer("the signature is not in the format of its algorithm"))
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        self.usable(Operation::Unseal, kid).await.map(|_| None)
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        const RETIRE: Operation = Operation::Retire;
        let (reading, listed) = self.found(RETIRE, kid).await?;
        may_retire(reading.listed.iter().map(|listed| &listed.record), kid)
            .map_err(|failure| failure.at(NAME, RETIRE))?;
        match action {
            ExpiredKeys::Disable if listed.record.state == KeyState::Disabled => return Ok(()),
            ExpiredKeys::Disable => self.kms.disable(RETIRE, listed.number).await?,
            ExpiredKeys::Destroy => self.kms.destroy(RETIRE, listed.number).await?,
        }
        self.known().close(kid, listed.number, false);
        Ok(())
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        const REVOKE: Operation = Operation::Revoke;
        let (_, listed) = self.found(REVOKE, kid).await?;
        if listed.record.revoked.is_none() {
            self.mark(&listed, revocation, listed.protection.clone()).await?;
            self.known().close(kid, listed.number, true);
        }
        // Google may take up to hours to apply this, and anybody may undo it. Signet relies on the mark instead.
        if listed.record.state == KeyState::Enabled {
            self.kms.disable(REVOKE, listed.number).await?;
        }
        Ok(())
    }

    async fn check(&self, trials: &mut Trials) {
        crate::check::remote(&self.kms, trials).await;
        let ring = format!("read the ring in {}", self.kms.key);
        let read = Box::pin(self.read(Operation::Check));
        trials.property(ring, "publishing, verifying and signing", read).await;
    }

    /// A version that a crash left is a key of the ring or becomes one, because the next `create`
    /// adopts it. Marks stay for ever.
    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

impl Remembered for Remote {
    fn known(&self, number: u64) -> Option<VerifyingKey> {
        Self::known(self).public(number)
    }

    fn learn(&self, number: u64, public: &VerifyingKey) {
        Self::known(self).learn(number, public);
    }

    fn terms(&self, number: u64, read: Option<Terms>) -> Option<Terms> {
        Self::known(self).terms(number, read)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.kms.key)
    }
}
