//! The sealer: transit's `encrypt` and `decrypt` with an `aes256-gcm96` key and the context as associated data.
//!
//! GCM authenticates both, so `decrypt` accepts only what `encrypt` made in the same context.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use signet_api::{ErrorKind, Failure, Operation, ProviderError, Trials};
use signet_sealed::{Context, Sealer};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::NAME;
use crate::check;
use crate::client::{Call, Client};
use crate::config::VaultConfig;
use crate::error::Refused;

/// Opens a sealer with the transit key in `SIGNET_KEY`. Nothing is sent yet.
///
/// # Errors
/// TLS cannot be set up as configured.
pub async fn sealer(config: VaultConfig) -> Result<Arc<dyn Sealer>, ProviderError> {
    Ok(Arc::new(TransitSealer {
        client: Client::new(config.connection)?,
        encrypt: format!("{}/encrypt/{}", config.transit_mount, config.key),
        decrypt: format!("{}/decrypt/{}", config.transit_mount, config.key),
        mount: config.transit_mount,
        key: config.key,
        is_there: OnceCell::new(),
    }))
}

#[derive(Debug)]
struct TransitSealer {
    client: Client,
    mount: String,
    key: String,
    encrypt: String,
    decrypt: String,
    /// Set once the key was found, or if it may not be read.
    is_there: OnceCell<()>,
}

#[derive(Serialize)]
struct Encrypt<'a> {
    plaintext: &'a str,
    associated_data: String,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Serialize)]
struct Decrypt<'a> {
    ciphertext: &'a str,
    associated_data: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

impl TransitSealer {
    /// Adds advice about the key. If no such key exists, Vault requires `create` on `encrypt/<name>` and
    /// reports a missing permission.
    fn explained(&self, refused: Refused) -> Failure {
        let missing = refused.says("encryption key not found") || refused.status == 403;
        let mut failure = Failure::from(refused);
        if missing {
            failure.text.push_str(". Or the transit key does not exist: ");
            failure.text.push_str(&self.how_to_have_the_key());
        }
        failure
    }

    /// What to do about a missing key. A new key of the same name cannot decrypt what the old key encrypted.
    fn how_to_have_the_key(&self) -> String {
        let (mount, key) = (&self.mount, &self.key);
        format!(
            "if a ring was ever encrypted with it, restore it from a backup (`vault write {mount}/restore/{key} \
             backup=…`), because a new key cannot decrypt an old ring. For a first ring, create it with \
             `vault write -f {mount}/keys/{key}`"
        )
    }

    /// Fails if the key does not exist.
    ///
    /// Vault creates a missing key when a token that may do so encrypts with it. `signet check` would then change what
    /// it checks, and a lost key would be replaced by one that cannot decrypt anything. Therefore the key is looked up
    /// first. By the documented policy, a token that may not read it may not create it either.
    async fn expect_key(&self) -> Result<(), Failure> {
        let path = format!("{}/keys/{}", self.mount, self.key);
        let look = async || match self.client.call(Call::get(&path)).await? {
            Err(refused) if refused.says_no_mount() => Err(refused.into()),
            Err(refused) if refused.status == 404 => {
                let text = format!("the transit key {path} does not exist: {}", self.how_to_have_the_key());
                Err(Failure::new(ErrorKind::NotFound, text))
            }
            _ => Ok(()),
        };
        self.is_there.get_or_try_init(look).await.copied()
    }

    async fn wrapped(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, Failure> {
        self.expect_key().await?;
        let plaintext = Zeroizing::new(STANDARD.encode(plaintext));
        let body = Encrypt {
            plaintext: &plaintext,
            associated_data: STANDARD.encode(context.to_bytes()),
        };
        let answer = self.client.call(Call::post(&self.encrypt, &body)?).await?;
        let answer = answer.map_err(|refused| self.explained(refused))?;
        let encrypted: Encrypted = answer.data(&format!("POST {}", self.encrypt))?;
        if !encrypted.ciphertext.starts_with("vault:v") {
            let text = format!("the answer to POST {} is not a ciphertext of transit", self.encrypt);
            return Err(Failure::new(ErrorKind::BadAnswer, text));
        }
        Ok(encrypted.ciphertext.into_bytes())
    }

    async fn unwrapped(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let foreign = || {
            let text = format!(
                "the transit key {}/keys/{} did not make a ciphertext in the ring; the ring may have been made by \
                 another provider",
                self.mount, self.key
            );
            Failure::new(ErrorKind::BadAnswer, text)
        };
        let ciphertext = std::str::from_utf8(wrapped).map_err(|_| foreign())?;
        if !ciphertext.starts_with("vault:v") {
            return Err(foreign());
        }
        let body = Decrypt {
            ciphertext,
            associated_data: STANDARD.encode(context.to_bytes()),
        };
        let answer = self.client.call(Call::post(&self.decrypt, &body)?).await?;
        let answer = answer.map_err(|refused| self.explained(refused))?;
        let decrypted: Decrypted = answer.data(&format!("POST {}", self.decrypt))?;
        let text = Zeroizing::new(decrypted.plaintext);
        STANDARD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| {
            let text = format!("the answer to POST {} has a plaintext that is not base64", self.decrypt);
            Failure::new(ErrorKind::BadAnswer, text)
        })
    }
}

#[async_trait]
impl Sealer for TransitSealer {
    async fn wrap(&self, plaintext: &[u8], context: &Context) -> Result<Vec<u8>, ProviderError> {
        let wrapped = self.wrapped(plaintext, context).await;
        wrapped.map_err(|failure| failure.at(NAME, Operation::Create))
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let unwrapped = self.unwrapped(wrapped, context).await;
        unwrapped.map_err(|failure| failure.at(NAME, Operation::Unseal))
    }

    async fn check(&self, trials: &mut Trials) {
        check::sealer(&self.client, &self.mount, &self.encrypt, &self.decrypt, trials).await;
    }
}
