//! Remote custody: implements the contract with a handle to the ring.

use std::sync::Arc;

use async_trait::async_trait;
use signet_api::{
    Capabilities, Claim, Custody, ErrorKind, ExpiredKeys, Failure, KeyProvider, NewKey, Operation, ProviderError,
    Trials,
};
use signet_base::Clock;
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, SigningKey};

use crate::config::VaultConfig;
use crate::handle::Remote;
use crate::{NAME, check};

/// Opens the ring in `SIGNET_KEY` in remote custody. Nothing is sent yet.
///
/// # Errors
/// `InvalidConfig` if the ring's name has a dot, or if TLS cannot be set up as configured.
pub async fn remote(config: VaultConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    Ok(Arc::new(Remote::open(config, clock)?))
}

#[async_trait]
impl KeyProvider for Remote {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            provider: NAME,
            custody: Custody::Remote,
            algorithms: &Algorithm::ALL,
            claim: Claim::Atomic,
            longest_message: |_| None,
            // A server's operator may set a quota; the vendor sets none.
            reads: None,
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        let ring = self
            .read_ring()
            .await
            .map_err(|failure| failure.at(NAME, Operation::List))?;
        let mut keys = ring.keys;
        keys.extend(ring.claimed);
        Ok(keys)
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        let made = self.successor(new).await;
        made.map_err(|failure| failure.at(NAME, Operation::Create))
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        let signed = self.signature(kid, message).await;
        signed.map_err(|failure| failure.at(NAME, Operation::Sign))
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        let signer = self
            .signer(kid)
            .await
            .map_err(|failure| failure.at(NAME, Operation::Unseal))?;
        match signer.refusal {
            None => Ok(None),
            Some(refusal) => {
                let failure = Failure::new(ErrorKind::KeyUnusable, format!("key {kid} {refusal}"));
                Err(failure.at(NAME, Operation::Unseal))
            }
        }
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        let retired = self.retired(kid, action).await;
        retired.map_err(|failure| failure.at(NAME, Operation::Retire))
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        let revoked = self.revoked(kid, revocation).await;
        revoked.map_err(|failure| failure.at(NAME, Operation::Revoke))
    }

    async fn check(&self, trials: &mut Trials) {
        check::remote(self, trials).await;
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        // The contract has no operation for pruning. Pruning completes what `retire` left undone.
        self.pruned()
            .await
            .map_err(|failure| failure.at(NAME, Operation::Retire))
    }
}
