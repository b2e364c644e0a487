//! The sealer: encrypts with one symmetric KMS key:
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>.
//!
//! The context of a secret is its encryption context. KMS authenticates it, refuses a different one, and writes it to
//! the audit log, and a policy can require it.

use std::fmt;

use async_trait::async_trait;
use signet_api::{Call, ErrorKind, Operation, ProviderError, Trials};
use signet_sealed::{Context, Purpose, Sealer};
use zeroize::Zeroizing;

use crate::NAME;
use crate::client::Client;
use crate::policy::{TRIAL_RING, sealing_grant};

/// "Data to be encrypted … maximum length of 4096". The longest private key, RSA with 4096 bits, takes 2,400 bytes.
const LONGEST: usize = 4096;

pub(crate) struct KmsSealer {
    key: String,
    client: Client,
}

impl KmsSealer {
    pub(crate) fn new(key: String, client: Client) -> Self {
        Self { key, client }
    }
}

#[async_trait]
impl Sealer for KmsSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Create,
            doing: "encrypt with",
            permission: "kms:Encrypt",
            resource: &self.key,
        };
        if plaintext.len() > LONGEST {
            let text = format!(
                "{} bytes are too many to encrypt: KMS allows {LONGEST}",
                plaintext.len()
            );
            return Err(call.error(ErrorKind::InvalidConfig, text));
        }
        Ok(self.client.encrypt(call, plaintext, &context.pairs()).await?)
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Unseal,
            doing: "decrypt with",
            permission: "kms:Decrypt",
            resource: &self.key,
        };
        Ok(self.client.decrypt(call, wrapped, &context.pairs()).await?)
    }

    async fn check(&self, trials: &mut Trials) {
        const TRIAL: &[u8] = b"signet check";
        let context = Context::new(TRIAL_RING, Purpose::Trial).pairs();
        let call = |doing, permission| Call {
            provider: NAME,
            operation: Operation::Check,
            doing,
            permission,
            resource: &self.key,
        };
        let permission = |action: &str| {
            (
                format!("{action} on {}", self.key),
                Some(sealing_grant(action, &self.key)),
            )
        };
        let (encrypt, grant) = permission("kms:Encrypt");
        let wrapped = Box::pin(async {
            Ok(self
                .client
                .encrypt(call("encrypt with", "kms:Encrypt"), TRIAL, &context)
                .await?)
        });
        let wrapped = trials
            .permission(encrypt, "encrypting new private keys", grant, wrapped)
            .await;
        let (decrypt, grant) = permission("kms:Decrypt");
        let needed_for = "decrypting private keys and reading the ring";
        match wrapped {
            Some(wrapped) => {
                let unwrapped = Box::pin(async {
                    Ok(self
                        .client
                        .decrypt(call("decrypt with", "kms:Decrypt"), &wrapped, &context)
                        .await?)
                });
                trials.permission(decrypt, needed_for, grant, unwrapped).await;
            }
            None => trials.not_tried(
                decrypt,
                needed_for,
                "kms:Encrypt failed, so there is nothing to decrypt",
            ),
        }
    }
}

impl fmt::Debug for KmsSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KmsSealer({})", self.key)
    }
}
