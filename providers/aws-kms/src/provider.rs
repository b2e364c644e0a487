//! [`Remote`]: implements the contract with KMS, with one KMS key for each key of the ring.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use signet_api::{
    Call, Capabilities, Claim, Custody, ErrorKind, ExpiredKeys, KeyProvider, NewKey, Operation, ProviderError,
    ReadQuota, Trials, may_retire,
};
use signet_base::Clock;
use signet_core::algorithm::KeyType;
use signet_core::signing_key::Signature;
use signet_core::{KeyRecord, Kid, Revocation, SigningKey};

use crate::NAME;
use crate::algorithms::{LONGEST_RAW, Signing, longest_message};
use crate::client::{Client, State};
use crate::creation::{ALGORITHMS, Creation};
use crate::label::{Label, Mark};
use crate::ring::{Held, Ring, settled};

/// A ring whose private keys never leave KMS.
pub(crate) struct Remote {
    pub(crate) ring: Ring,
    creation: Creation,
}

impl Remote {
    pub(crate) fn new(name: String, client: Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            ring: Ring::new(name, client, clock),
            creation: Creation::default(),
        }
    }

    /// Finds the key, and checks that it may sign.
    async fn usable(&self, operation: Operation, kid: &Kid) -> Result<Held, ProviderError> {
        let held = self.ring.find(operation, kid).await?;
        let refuse = |what: &str| {
            let text = format!("key {kid} ({}) {what}", held.arn);
            Err(ProviderError::new(NAME, operation, ErrorKind::KeyUnusable, text))
        };
        match (held.revoked, held.disabled) {
            (true, _) => refuse("was revoked"),
            (_, true) => refuse("is disabled"),
            _ => Ok(held),
        }
    }

    async fn disable(&self, operation: Operation, kid: &Kid, held: &Held) -> Result<(), ProviderError> {
        match self.ring.client.disable(operation, &held.arn).await {
            Ok(()) => {}
            // The key is being deleted, which includes being disabled.
            Err(failure) if failure.is("KMSInvalidStateException") => {}
            Err(failure) => return Err(failure.into()),
        }
        self.ring.change(kid, |held| held.disabled = true);
        Ok(())
    }

    async fn destroy(&self, kid: &Kid, held: &Held) -> Result<(), ProviderError> {
        const RETIRE: Operation = Operation::Retire;
        match self.ring.client.schedule_deletion(RETIRE, &held.arn).await {
            Ok(()) => {}
            // "… is pending deletion": another process was faster.
            Err(failure) if failure.is("KMSInvalidStateException") => {}
            Err(failure) => return Err(failure.into()),
        }
        self.ring.forget(kid);
        self.ring.disown(&held.alias);
        // KMS deletes the alias with the key, in a week. Until then, every reading would describe the key.
        match self.ring.client.delete_alias(RETIRE, &held.alias).await {
            Err(failure) if failure.kind() == ErrorKind::NotFound => Ok(()),
            other => other.map_err(ProviderError::from),
        }
    }

    /// Writes the revocation, unless there is a complete one.
    async fn mark(&self, held: &Held, revocation: &Revocation) -> Result<(), ProviderError> {
        const REVOKE: Operation = Operation::Revoke;
        let call = Call {
            provider: NAME,
            operation: REVOKE,
            doing: "change the description of",
            permission: "kms:UpdateKeyDescription",
            resource: &held.arn,
        };
        let key = settled(|| self.ring.client.describe(REVOKE, &held.arn)).await?;
        if key.state == State::PendingDeletion {
            return Err(call.error(
                ErrorKind::NotFound,
                "the key is being deleted, so it no longer belongs to the ring",
            ));
        }
        let mut label = Label::from_description(&key.description).ok_or_else(|| {
            let text = "somebody changed the key's description: restore it from the audit log (CreateKey)";
            call.error(ErrorKind::BadAnswer, text)
        })?;
        let before = label.revoked.take();
        // The first reason is kept, even if it is in an older mark without a public key.
        let revocation = before.as_ref().map_or(revocation, |mark| &mark.revocation);
        label.revoked = Some(Mark::new(revocation, &held.public));
        if label.revoked == before {
            return Ok(());
        }
        let description = match label.to_description() {
            // A mark without a public key also revokes.
            Err(_) if before.is_some() => return Ok(()),
            description => description.map_err(|error| call.error(ErrorKind::InvalidConfig, error))?,
        };
        self.ring.client.describe_as(REVOKE, &held.arn, &description).await?;
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
            claim: Claim::Atomic,
            longest_message,
            // The quotas are 500 ListAliases and 2,000 DescribeKey per second, shared by all in the account and region.
            // A ring of four keys needs one of the former and four of the latter, which uses up both at the same rate.
            reads: Some(ReadQuota {
                calls: 2_500,
                per: Duration::from_secs(1),
                calls_per_list: 5,
                page: "https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html",
            }),
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let reading = self.ring.read(Operation::List).await?;
        Ok(reading.members.into_iter().map(|member| member.record).collect())
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        self.creation.create(&self.ring, new).await
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        const SIGN: Operation = Operation::Sign;
        let held = self.usable(SIGN, kid).await?;
        let call = Call {
            provider: NAME,
            operation: SIGN,
            doing: "sign with",
            permission: "kms:Sign",
            resource: &held.arn,
        };
        let algorithm = held.public.algorithm();
        if longest_message(algorithm).is_some_and(|longest| message.len() > longest) {
            let text = format!(
                "a message of {} bytes is too long: with EdDSA, KMS signs at most {LONGEST_RAW}. Send fewer claims, \
                 or use another SIGNET_ALGORITHM or SIGNET_CUSTODY=sealed, which have no such limit",
                message.len()
            );
            return Err(call.error(ErrorKind::InvalidConfig, text));
        }
        let signing = Signing::new(algorithm, message);
        // KMS may not find a key that was just created.
        let signed = settled(|| self.ring.client.sign(SIGN, &held.arn, &signing, false)).await;
        let signature = match signed {
            Err(failure) if failure.kind() == ErrorKind::KeyUnusable => {
                self.ring.change(kid, |held| held.disabled = true);
                return Err(failure.into());
            }
            other => other?.unwrap_or_default(),
        };
        match algorithm.key_type() {
            KeyType::Ec(curve) => Signature::from_ecdsa_der(curve, &signature)
                .ok_or_else(|| call.bad_answer("the signature is not the DER of two numbers")),
            _ => Ok(Signature::from_jws(signature)),
        }
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        self.usable(Operation::Unseal, kid).await.map(|_| None)
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        const RETIRE: Operation = Operation::Retire;
        let reading = self.ring.read(RETIRE).await?;
        may_retire(reading.members.iter().map(|member| &member.record), kid)
            .map_err(|failure| failure.at(NAME, RETIRE))?;
        let held = self.ring.find(RETIRE, kid).await?;
        match action {
            ExpiredKeys::Disable => self.disable(RETIRE, kid, &held).await,
            ExpiredKeys::Destroy => self.destroy(kid, &held).await,
        }
    }

    /// Writes the revocation first: a key that is disabled without it could be enabled again and sign.
    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        let held = self.ring.find(Operation::Revoke, kid).await?;
        self.mark(&held, revocation).await?;
        self.ring.change(kid, |held| held.revoked = true);
        self.disable(Operation::Revoke, kid, &held).await
    }

    async fn check(&self, trials: &mut Trials) {
        crate::check::remote(&self.ring, trials).await;
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        self.creation.prune(&self.ring).await
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({NAME} {:?})", self.ring.name)
    }
}
