//! A provider with remote custody, similar to real clouds: with or without an atomic claim, with times in milliseconds
//! or whole seconds, with or without the keys' terms, and with a delay before it shows new keys to others.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use signet_api::{
    Capabilities, Claim, Custody, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation, ProviderError, Trials,
};
use signet_core::ring::newest;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation, SigningKey, Timestamp};

use crate::rng::Rng;
use crate::sky::{Ms, SkewedClock};
use crate::weather::{Caller, Wire};
use crate::witness::Born;

/// The differences between clouds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) claim: Claim,
    pub(crate) whole_seconds: bool,
    pub(crate) keeps_terms: bool,
    /// The maximum time after which a new key is in all lists.
    pub(crate) lag: Ms,
}

/// The state of the cloud.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) ring: usize,
    pub(crate) habits: Habits,
    pub(crate) clock: Arc<SkewedClock>,
    keys: Vec<CloudKey>,
    made: u64,
    rng: Rng,
}

#[derive(Debug)]
struct CloudKey {
    record: KeyRecord,
    private: SigningKey,
    shows_at: Ms,
    creator: Caller,
}

impl Cloud {
    pub(crate) fn new(ring: usize, habits: Habits, clock: Arc<SkewedClock>, rng: Rng) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            ring,
            habits,
            clock,
            keys: Vec::new(),
            made: 0,
            rng,
        }))
    }

    /// Enables all keys again, including revoked ones, as somebody might.
    pub(crate) fn enable_all(&mut self) {
        for key in &mut self.keys {
            key.record.state = KeyState::Enabled;
        }
    }

    fn records(&self) -> Vec<KeyRecord> {
        self.keys.iter().map(|key| key.record.clone()).collect()
    }

    fn create(&mut self, new: &NewKey, creator: Caller, now: Ms) -> (KeyRecord, Option<Born>) {
        let before = self.records();
        let last = newest(&before).cloned();
        if self.habits.claim == Claim::Atomic
            && let Some(last) = &last
            && Some(last.kid()) != new.successor_of.as_ref()
        {
            return (last.clone(), None);
        }
        let mut created_at = self.clock.at(now);
        if self.habits.whole_seconds {
            created_at = Timestamp::from_secs(created_at.as_secs());
        }
        if let Some(last) = &last {
            created_at = created_at.max(last.created_at);
        }
        self.made += 1;
        let private = key_of(new.algorithm, self.rng.next());
        let record = KeyRecord {
            public: private.verifying_key().clone(),
            created_at,
            sequence: self.made,
            predecessor: new.successor_of.clone().filter(|_| self.habits.claim == Claim::Atomic),
            terms: self.habits.keeps_terms.then_some(new.terms),
            state: KeyState::Enabled,
            revoked: None,
        };
        let lag = self.rng.between(0, self.habits.lag);
        self.keys.push(CloudKey {
            record: record.clone(),
            private,
            shows_at: now + lag,
            creator,
        });
        let born = Born {
            record: record.clone(),
            before,
            successor_of: new.successor_of.clone(),
        };
        (record, Some(born))
    }

    fn find(&mut self, kid: &Kid) -> Option<&mut CloudKey> {
        self.keys.iter_mut().find(|key| key.record.kid() == kid)
    }
}

/// Key pairs by number, the same in every run. This is possible only for Ed25519 keys, which are also the
/// fastest. Key pairs for other algorithms are random.
fn key_of(algorithm: Algorithm, number: u64) -> SigningKey {
    if algorithm != Algorithm::EdDSA {
        return SigningKey::generate(algorithm, signet_core::algorithm::RsaBits::B2048).expect("a key");
    }
    // RFC 8410 §7: version 0, the algorithm, and the seed in an octet string inside an octet string.
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let mut rng = Rng::new(number);
    for _ in 0..4 {
        pkcs8.extend_from_slice(&rng.next().to_be_bytes());
    }
    SigningKey::from_pkcs8(algorithm, &pkcs8).expect("an Ed25519 key")
}

/// The handle of one process.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) cloud: Arc<Mutex<Cloud>>,
    pub(crate) wire: Wire,
}

impl Remote {
    fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock()
    }

    fn unknown(&self, operation: Operation) -> ProviderError {
        self.wire.error(operation, ErrorKind::NotFound, "no such key")
    }

    fn unusable(&self, operation: Operation) -> ProviderError {
        self.wire
            .error(operation, ErrorKind::KeyUnusable, "the key is disabled")
    }
}

#[async_trait]
impl KeyProvider for Remote {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: self.wire.provider,
            custody: Custody::Remote,
            algorithms: &[Algorithm::EdDSA, Algorithm::ES256],
            claim: self.cloud().habits.claim,
            longest_message: |_| None,
            reads: None,
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        self.wire
            .ask(Operation::List, || {
                let (now, caller) = (self.wire.sun.now(), self.wire.caller);
                let cloud = self.cloud();
                let shown = cloud
                    .keys
                    .iter()
                    .filter(|key| key.shows_at <= now || key.creator == caller);
                Ok(shown.map(|key| key.record.clone()).collect())
            })
            .await
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        if !self.capabilities().algorithms.contains(&new.algorithm) {
            return Err(self
                .wire
                .error(Operation::Create, ErrorKind::InvalidConfig, "no such algorithm here"));
        }
        self.wire
            .ask(Operation::Create, || {
                let mut cloud = self.cloud();
                if cloud.keys.is_empty() && new.successor_of.is_some() {
                    return Err(self.unknown(Operation::Create));
                }
                let (record, born) = cloud.create(new, self.wire.caller, self.wire.sun.now());
                let ring = cloud.ring;
                drop(cloud);
                if let Some(born) = born {
                    self.wire.witness.born(ring, self.wire.caller, born);
                }
                Ok(record)
            })
            .await
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        const SIGN: Operation = Operation::Sign;
        self.wire
            .ask(SIGN, || {
                let mut cloud = self.cloud();
                let key = cloud.find(kid).ok_or_else(|| self.unknown(SIGN))?;
                if key.record.state == KeyState::Disabled || key.record.revoked.is_some() {
                    return Err(self.unusable(SIGN));
                }
                let signed = key.private.sign(message);
                signed.map_err(|_| self.wire.error(SIGN, ErrorKind::Unavailable, "no entropy"))
            })
            .await
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        let found = || {
            self.cloud()
                .find(kid)
                .map(|_| None)
                .ok_or_else(|| self.unknown(Operation::Unseal))
        };
        self.wire.ask(Operation::Unseal, found).await
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        self.wire
            .ask(Operation::Retire, || {
                let mut cloud = self.cloud();
                let key = cloud.find(kid).ok_or_else(|| self.unknown(Operation::Retire))?;
                key.record.state = KeyState::Disabled;
                // A revoked key is kept, because its revocation would be lost.
                if action == ExpiredKeys::Destroy && key.record.revoked.is_none() {
                    cloud.keys.retain(|key| key.record.kid() != kid);
                }
                let ring = cloud.ring;
                drop(cloud);
                self.wire.witness.retired(ring, kid, action);
                Ok(())
            })
            .await
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        self.wire
            .ask(Operation::Revoke, || {
                let mut cloud = self.cloud();
                let key = cloud.find(kid).ok_or_else(|| self.unknown(Operation::Revoke))?;
                let is_new = key.record.revoked.is_none();
                key.record.revoked.get_or_insert_with(|| revocation.clone());
                key.record.state = KeyState::Disabled;
                let ring = cloud.ring;
                drop(cloud);
                if is_new {
                    self.wire.witness.revoked(ring, kid);
                }
                Ok(())
            })
            .await
    }

    async fn check(&self, trials: &mut Trials) {
        trials.property("list", "everything", self.list()).await;
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}
