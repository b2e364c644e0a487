//! Remote custody: the vault signs, and private keys never leave it.

use std::sync::Arc;

use async_trait::async_trait;
use signet_api::{
    Capabilities, Claim, CreateDecision, Custody, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation,
    ProviderError, ReadQuota, Trials, may_retire,
};
use signet_base::Clock;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation, SigningKey};
use tokio::sync::Mutex;

use crate::client::{Change, Vault};
use crate::config::AzureConfig;
use crate::ring::{NEVER, Ring, RingKey};
use crate::tags::{self, Facts};
use crate::{NAME, check};

/// All algorithms that Key Vault can sign with:
/// <https://learn.microsoft.com/azure/key-vault/keys/about-keys-details>. It has no Ed25519.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
];
/// How often a revocation is written again, if another change of tags removed it at the same moment.
const TRIES: usize = 5;

#[derive(Debug)]
struct Remote {
    ring: Ring,
    /// Allows one creation at a time in this process, so tasks of one replica never race.
    creating: Mutex<()>,
}

/// Opens the ring of the versions of `SIGNET_KEY` in remote custody. Makes no call yet.
///
/// # Errors
/// `InvalidConfig` if the credentials cannot be set up, for example because the file of a federated token is missing.
pub async fn remote(config: AzureConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let vault = Vault::open(&config)?;
    Ok(Arc::new(Remote {
        ring: Ring::new(vault, clock),
        creating: Mutex::new(()),
    }))
}

impl Remote {
    async fn find(&self, operation: Operation, kid: &Kid) -> Result<RingKey, ProviderError> {
        let keys = self.ring.read(operation).await?;
        let found = keys.into_iter().find(|key| key.record.kid() == kid);
        found.ok_or_else(|| self.ring.unknown(operation, kid))
    }

    fn unusable(&self, operation: Operation, kid: &Kid, is_revoked: bool) -> ProviderError {
        let text = match is_revoked {
            true => format!("key {kid} is revoked and cannot be used again"),
            false => format!(
                "key {kid} is disabled in {}, or outside its validity (nbf, exp)",
                self.ring.vault.url()
            ),
        };
        self.ring.error(operation, ErrorKind::KeyUnusable, text)
    }

    async fn change(&self, operation: Operation, key: &RingKey, change: Change) -> Result<(), ProviderError> {
        let (changed, _) = self.ring.vault.change(operation, &key.version.id, change).await?;
        self.ring.on_changed(&changed);
        Ok(())
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
            // Only a digest is sent to the vault.
            longest_message: |_| None,
            reads: Some(ReadQuota {
                calls: 2_000,
                per: std::time::Duration::from_secs(10),
                calls_per_list: 1,
                page: "https://learn.microsoft.com/azure/key-vault/general/service-limits",
            }),
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let keys = self.ring.read(Operation::List).await?;
        Ok(keys.into_iter().map(|key| key.record).collect())
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        const CREATE: Operation = Operation::Create;
        if !ALGORITHMS.contains(&new.algorithm) {
            let text = format!(
                "Key Vault cannot sign with {}: it supports RSA keys and EC keys on P-256, P-384 and P-521, but not \
                 Ed25519. Set another SIGNET_ALGORITHM, or SIGNET_CUSTODY=sealed",
                new.algorithm
            );
            return Err(self.ring.error(CREATE, ErrorKind::InvalidConfig, text));
        }
        let _turn = self.creating.lock().await;
        let newest = self.ring.read(CREATE).await?.pop().map(|key| key.record);
        match new.decide(newest.as_ref()) {
            CreateDecision::New => {}
            CreateDecision::Newest(newest) => return Ok(newest.clone()),
            CreateDecision::Lost(kid) => return Err(self.ring.unknown(CREATE, kid)),
        }
        let facts = Facts {
            algorithm: new.algorithm,
            sequence: newest.as_ref().map_or(0, |newest| newest.sequence.saturating_add(1)),
            predecessor: newest.map(|newest| newest.kid().clone()),
            terms: new.terms,
        };
        let tags = facts.to_tags(self.ring.vault.name());
        let (version, public) = self.ring.vault.create(new.algorithm, new.rsa_bits, tags).await?;
        self.ring.adopt(facts, version, &public)
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        const SIGN: Operation = Operation::Sign;
        let known = match self.ring.known(kid) {
            Some(known) => known,
            None => {
                self.ring.read(SIGN).await?;
                self.ring.known(kid).ok_or_else(|| self.ring.unknown(SIGN, kid))?
            }
        };
        if known.is_revoked || known.state == KeyState::Disabled {
            return Err(self.unusable(SIGN, kid, known.is_revoked));
        }
        let algorithm = known.public.algorithm();
        let digest = algorithm.digest(message).map(|digest| digest.as_ref().to_vec());
        let digest = digest.ok_or_else(|| self.unusable(SIGN, kid, false))?;
        let signature = self.ring.vault.sign(SIGN, &known.version, algorithm, digest).await?;
        let expected = known.public.public().signature_len();
        if signature.len() != expected {
            let text = format!(
                "the vault's signature by version {} has {} bytes, but {algorithm} has {expected}",
                known.version,
                signature.len()
            );
            return Err(self.ring.error(SIGN, ErrorKind::BadAnswer, text));
        }
        Ok(Signature::from_jws(signature))
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        let key = self.find(Operation::Unseal, kid).await?.record;
        match key.revoked.is_some() || key.state == KeyState::Disabled {
            true => Err(self.unusable(Operation::Unseal, kid, key.revoked.is_some())),
            false => Ok(None),
        }
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        const RETIRE: Operation = Operation::Retire;
        let keys = self.ring.read(RETIRE).await?;
        may_retire(keys.iter().map(|key| &key.record), kid).map_err(|failure| failure.at(NAME, RETIRE))?;
        let found = keys.into_iter().find(|key| key.record.kid() == kid);
        let key = found.ok_or_else(|| self.ring.unknown(RETIRE, kid))?;
        let disabled = Change {
            enabled: Some(false),
            ..Change::default()
        };
        let change = match action {
            // A revoked key stays listed as revoked, but somebody may have enabled it again.
            _ if key.record.revoked.is_some() => disabled,
            ExpiredKeys::Disable => disabled,
            ExpiredKeys::Destroy => Change {
                enabled: Some(false),
                not_before: Some(NEVER),
                // A version must expire after its validity begins.
                expires: key
                    .version
                    .expires
                    .map(|_| NEVER.plus(std::time::Duration::from_secs(86_400))),
                tags: None,
            },
        };
        if change.not_before.is_none() && !key.version.enabled {
            return Ok(());
        }
        self.change(RETIRE, &key, change).await
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        const REVOKE: Operation = Operation::Revoke;
        for _ in 0..TRIES {
            let key = self.find(REVOKE, kid).await?;
            let in_vault = tags::mark(&key.version.tags).is_some();
            if in_vault && !key.version.enabled {
                return Ok(());
            }
            // A revocation that this process remembers and the vault has lost is restored unchanged.
            let mark = key.record.revoked.as_ref().unwrap_or(revocation);
            let tags = match in_vault {
                true => None,
                false => Some(
                    tags::marked(&key.version.tags, mark)
                        .map_err(|text| self.ring.error(REVOKE, ErrorKind::InvalidConfig, text))?,
                ),
            };
            let change = Change {
                enabled: Some(false),
                tags,
                ..Change::default()
            };
            self.change(REVOKE, &key, change).await?;
            // Another change of tags at the same moment may have removed the revocation. It is read back with a change
            // that changes nothing, because a disabled version may not be readable.
            let version = &key.version.id;
            let (now, _) = self.ring.vault.change(REVOKE, version, Change::default()).await?;
            self.ring.on_changed(&now);
            if tags::mark(&now.tags).is_some() && !now.enabled {
                return Ok(());
            }
        }
        let text = format!("key {kid} was marked as revoked {TRIES} times, but somebody removed the mark each time");
        Err(self.ring.error(REVOKE, ErrorKind::Unavailable, text))
    }

    async fn check(&self, trials: &mut Trials) {
        check::remote(&self.ring.vault, trials).await;
    }

    /// A version is created with its tags in one step, so there are never partial ones.
    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}
