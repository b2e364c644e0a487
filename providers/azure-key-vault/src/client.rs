//! The calls of the vault that Signet makes. Each has a deadline and concerns a named version of one key.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{RequestContent, Response, Url};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_keys::models::{
    CreateKeyParameters, CurveName, EncryptionAlgorithm, Key, KeyAttributes, KeyClientGetKeyOptions,
    KeyClientSignOptions, KeyClientUpdateKeyPropertiesOptions, KeyOperation, KeyOperationParameters,
    KeyOperationResult, KeyType, SignParameters, SignatureAlgorithm, UpdateKeyPropertiesParameters,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use futures_util::TryStreamExt as _;
use serde::de::DeserializeOwned;
use signet_api::{Call, ErrorKind, Operation, ProviderError};
use signet_core::algorithm::{Curve, RsaBits};
use signet_core::{Algorithm, PublicKey, Timestamp};

use crate::NAME;
use crate::config::{AzureConfig, is_loopback};
use crate::error::failed;
use crate::http::client_options;
use crate::identity::{Caller, Identity};
use crate::jwk::public_key;
use crate::tags::Tags;

/// The deadline for one request.
const REQUEST: Duration = Duration::from_secs(5);
/// The deadline for creating a key. RSA keys take long.
const CREATION: Duration = Duration::from_secs(30);
/// The deadline for the steps before a request: the challenge and a token.
const BEFORE: Duration = Duration::from_secs(15);
/// The maximum number of versions that are read: one per minute for three weeks.
const MOST_VERSIONS: usize = 30_000;

/// The data actions, as Azure's roles name them.
pub(crate) mod action {
    pub(crate) const READ: &str = "Microsoft.KeyVault/vaults/keys/read";
    pub(crate) const CREATE: &str = "Microsoft.KeyVault/vaults/keys/create/action";
    pub(crate) const UPDATE: &str = "Microsoft.KeyVault/vaults/keys/update/action";
    pub(crate) const SIGN: &str = "Microsoft.KeyVault/vaults/keys/sign/action";
    pub(crate) const UNWRAP: &str = "Microsoft.KeyVault/vaults/keys/unwrap/action";
}

/// A version as in lists and answers.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) enabled: bool,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) tags: Tags,
}

/// The attributes of a version to change. The others stay the same.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) enabled: Option<bool>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) tags: Option<Tags>,
}

/// One key of one vault.
pub(crate) struct Vault {
    client: KeyClient,
    /// The same client with the timeout for creating a key.
    maker: KeyClient,
    identity: Arc<Identity>,
    name: String,
    url: String,
    hsm: bool,
}

impl Vault {
    pub(crate) fn open(config: &AzureConfig) -> Result<Arc<Self>, ProviderError> {
        let identity = Identity::open(config.source.clone(), config.trust.clone())?;
        let loopback = is_loopback(&config.vault);
        let client = |request: Duration| -> Result<KeyClient, ProviderError> {
            let options = KeyClientOptions {
                client_options: client_options(&config.trust, request, loopback)?,
                // A vault that demands a token for another domain gets none. A server on this machine has no domain.
                verify_challenge_resource: Some(!loopback),
                ..KeyClientOptions::default()
            };
            KeyClient::new(config.vault.as_str(), Caller::new(&identity), Some(options)).map_err(|error| {
                ProviderError::new(
                    NAME,
                    Operation::Open,
                    ErrorKind::InvalidConfig,
                    format!("SIGNET_KEY: {error}"),
                )
            })
        };
        Ok(Arc::new(Self {
            client: client(REQUEST)?,
            maker: client(CREATION)?,
            identity,
            name: config.name.clone(),
            url: config.key_url(),
            hsm: config.hsm,
        }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The URL of the key, as in `SIGNET_KEY`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Names a version of this key, for errors.
    fn named(&self, version: &str) -> String {
        format!("version {version} of {}", self.url)
    }

    /// The id of a version, from its URL. The URL must be that of a version of this key.
    fn id(&self, kid: Option<&str>, call: Call<'_>) -> Result<String, ProviderError> {
        let kid = kid.unwrap_or_default();
        let parsed = Url::parse(kid).ok();
        let id = parsed.as_ref().and_then(|url| {
            // The names of keys are not case-sensitive.
            let (key, id) = url.as_str().rsplit_once('/')?;
            key.eq_ignore_ascii_case(&self.url).then_some(id)
        });
        match id {
            Some(id) if !id.is_empty() && id.bytes().all(|octet| octet.is_ascii_alphanumeric()) => Ok(id.to_owned()),
            _ => Err(call.bad_answer("the answer is about another key than the requested one")),
        }
    }

    fn version(
        &self,
        kid: Option<&str>,
        attributes: Option<KeyAttributes>,
        tags: Option<HashMap<String, String>>,
        call: Call<'_>,
    ) -> Result<Version, ProviderError> {
        let instant = |at: Option<OffsetDateTime>| at.map(|at| Timestamp::from_secs(at.unix_timestamp()));
        let id = self.id(kid, call)?;
        let attributes = attributes.unwrap_or_default();
        let (Some(created), Some(enabled)) = (instant(attributes.created), attributes.enabled) else {
            return Err(
                call.bad_answer("the answer does not say when the version was created or whether it is enabled")
            );
        };
        Ok(Version {
            id,
            created,
            enabled,
            not_before: instant(attributes.not_before),
            expires: instant(attributes.expires),
            tags: tags.unwrap_or_default(),
        })
    }

    fn key(&self, key: Key, call: Call<'_>) -> Result<(Version, PublicKey), ProviderError> {
        let jwk = key.key.unwrap_or_default();
        let version = self.version(jwk.kid.as_deref(), key.attributes, key.tags, call)?;
        let public = public_key(&jwk)
            .map_err(|why| call.bad_answer(format_args!("version {} has no usable public key: {why}", version.id)))?;
        Ok((version, public))
    }

    /// Lists all versions, in any order. A key that does not exist has none.
    pub(crate) async fn versions(&self, operation: Operation) -> Result<Vec<Version>, ProviderError> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "list the versions of",
            permission: action::READ,
            resource: &self.url,
        };
        let mut pages = self
            .client
            .list_key_properties_versions(&self.name, None)
            .map_err(|error| failed(call, &error))?;
        let mut versions = Vec::new();
        loop {
            let next = match self.within(call, REQUEST, pages.try_next()).await {
                Ok(next) => next,
                Err(error) if error.kind == ErrorKind::NotFound && versions.is_empty() => None,
                Err(error) => return Err(error),
            };
            let Some(item) = next else { return Ok(versions) };
            if versions.len() == MOST_VERSIONS {
                let why =
                    format!("there are more than {MOST_VERSIONS}. Move the ring to a new key: see the documentation");
                return Err(call.error(ErrorKind::BadAnswer, why));
            }
            versions.push(self.version(item.kid.as_deref(), item.attributes, item.tags, call)?);
        }
    }

    /// Reads a version with its public key. Without an id, reads the latest.
    pub(crate) async fn get(
        &self,
        operation: Operation,
        version: Option<&str>,
    ) -> Result<(Version, PublicKey), ProviderError> {
        let resource = version.map_or_else(|| self.url.clone(), |version| self.named(version));
        let call = Call {
            provider: NAME,
            operation,
            doing: "read",
            permission: action::READ,
            resource: &resource,
        };
        let options = KeyClientGetKeyOptions {
            key_version: version.map(str::to_owned),
            ..KeyClientGetKeyOptions::default()
        };
        let key = self
            .answer(call, REQUEST, self.client.get_key(&self.name, Some(options)))
            .await?;
        let (found, public) = self.key(key, call)?;
        self.expect(&found.id, version.unwrap_or(&found.id), call)?;
        Ok((found, public))
    }

    /// Creates a version with its tags, in one step.
    pub(crate) async fn create(
        &self,
        algorithm: Algorithm,
        bits: RsaBits,
        tags: Tags,
    ) -> Result<(Version, PublicKey), ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Create,
            doing: "create a version of",
            permission: action::CREATE,
            resource: &self.url,
        };
        let (kty, curve, key_size) = match algorithm.key_type() {
            signet_core::algorithm::KeyType::Ec(curve) => {
                let curve = match curve {
                    Curve::P256 => CurveName::P256,
                    Curve::P384 => CurveName::P384,
                    Curve::P521 => CurveName::P521,
                };
                (if self.hsm { KeyType::EcHsm } else { KeyType::Ec }, Some(curve), None)
            }
            _ => {
                let kty = if self.hsm { KeyType::RsaHsm } else { KeyType::Rsa };
                (kty, None, i32::try_from(bits.bits()).ok())
            }
        };
        let parameters = CreateKeyParameters {
            kty: Some(kty),
            curve,
            key_size,
            key_ops: Some(vec![KeyOperation::Sign, KeyOperation::Verify]),
            tags: Some(tags),
            ..CreateKeyParameters::default()
        };
        let key = self.make(call, parameters).await?;
        self.key(key, call)
    }

    async fn make(&self, call: Call<'_>, parameters: CreateKeyParameters) -> Result<Key, ProviderError> {
        let content = RequestContent::try_from(parameters).map_err(|error| failed(call, &error))?;
        self.answer(call, CREATION, self.maker.create_key(&self.name, content, None))
            .await
    }

    /// Requests a key of an invalid type, for `check`. The vault must refuse it.
    pub(crate) async fn create_impossible(&self) -> Result<(), ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Check,
            doing: "create a version of",
            permission: action::CREATE,
            resource: &self.url,
        };
        let parameters = CreateKeyParameters {
            kty: Some(KeyType::UnknownValue("signet-check".to_owned())),
            ..CreateKeyParameters::default()
        };
        self.make(call, parameters).await.map(drop)
    }

    pub(crate) async fn change(
        &self,
        operation: Operation,
        version: &str,
        change: Change,
    ) -> Result<(Version, PublicKey), ProviderError> {
        let resource = self.named(version);
        let call = Call {
            provider: NAME,
            operation,
            doing: "change",
            permission: action::UPDATE,
            resource: &resource,
        };
        let instant = |at: Timestamp| OffsetDateTime::from_unix_timestamp(at.as_secs()).ok();
        let parameters = UpdateKeyPropertiesParameters {
            key_attributes: Some(KeyAttributes {
                enabled: change.enabled,
                not_before: change.not_before.and_then(instant),
                expires: change.expires.and_then(instant),
                ..KeyAttributes::default()
            }),
            tags: change.tags,
            ..UpdateKeyPropertiesParameters::default()
        };
        let content = RequestContent::try_from(parameters).map_err(|error| failed(call, &error))?;
        let options = KeyClientUpdateKeyPropertiesOptions {
            key_version: Some(version.to_owned()),
            ..KeyClientUpdateKeyPropertiesOptions::default()
        };
        let request = self.client.update_key_properties(&self.name, content, Some(options));
        let key = self.answer(call, REQUEST, request).await?;
        let (changed, public) = self.key(key, call)?;
        self.expect(&changed.id, version, call)?;
        Ok((changed, public))
    }

    /// Signs. The signature is in JWS form: the vault already returns `R || S`.
    pub(crate) async fn sign(
        &self,
        operation: Operation,
        version: &str,
        algorithm: Algorithm,
        digest: Vec<u8>,
    ) -> Result<Vec<u8>, ProviderError> {
        let resource = self.named(version);
        let call = Call {
            provider: NAME,
            operation,
            doing: "sign with",
            permission: action::SIGN,
            resource: &resource,
        };
        let algorithm = match algorithm {
            Algorithm::RS256 => SignatureAlgorithm::Rs256,
            Algorithm::RS384 => SignatureAlgorithm::Rs384,
            Algorithm::RS512 => SignatureAlgorithm::Rs512,
            Algorithm::PS256 => SignatureAlgorithm::Ps256,
            Algorithm::PS384 => SignatureAlgorithm::Ps384,
            Algorithm::PS512 => SignatureAlgorithm::Ps512,
            Algorithm::ES256 => SignatureAlgorithm::Es256,
            Algorithm::ES384 => SignatureAlgorithm::Es384,
            Algorithm::ES512 => SignatureAlgorithm::Es512,
            Algorithm::EdDSA => return Err(call.error(ErrorKind::InvalidConfig, "Key Vault does not support EdDSA")),
        };
        let parameters = SignParameters {
            algorithm: Some(algorithm),
            value: Some(digest),
        };
        let content = RequestContent::try_from(parameters).map_err(|error| failed(call, &error))?;
        let options = KeyClientSignOptions {
            key_version: Some(version.to_owned()),
            ..KeyClientSignOptions::default()
        };
        let request = self.client.sign(&self.name, content, Some(options));
        self.computed(call, version, request, "the answer has no signature")
            .await
    }

    /// Decrypts data that was encrypted to this version with RSA-OAEP-256.
    pub(crate) async fn unwrap_key(
        &self,
        operation: Operation,
        version: &str,
        wrapped: Vec<u8>,
    ) -> Result<Vec<u8>, ProviderError> {
        let resource = self.named(version);
        let call = Call {
            provider: NAME,
            operation,
            doing: "unwrap with",
            permission: action::UNWRAP,
            resource: &resource,
        };
        let parameters = KeyOperationParameters {
            algorithm: Some(EncryptionAlgorithm::RsaOaep256),
            value: Some(wrapped),
            ..KeyOperationParameters::default()
        };
        let content = RequestContent::try_from(parameters).map_err(|error| failed(call, &error))?;
        let request = self.client.unwrap_key(&self.name, version, content, None);
        self.computed(call, version, request, "the answer has no key").await
    }

    fn expect(&self, answered: &str, asked: &str, call: Call<'_>) -> Result<(), ProviderError> {
        if answered == asked {
            return Ok(());
        }
        let answered = answered.get(..32).unwrap_or(answered);
        Err(call.bad_answer(format_args!("the answer is by version {answered}")))
    }

    /// Checks that this version computed the answer, and returns the result.
    async fn computed(
        &self,
        call: Call<'_>,
        version: &str,
        request: impl Future<Output = azure_core::Result<Response<KeyOperationResult>>>,
        missing: &str,
    ) -> Result<Vec<u8>, ProviderError> {
        let answer = self.answer(call, REQUEST, request).await?;
        self.expect(&self.id(answer.kid.as_deref(), call)?, version, call)?;
        answer.result.ok_or_else(|| call.bad_answer(missing))
    }

    /// Carries out a call within its deadline, and parses its answer.
    async fn answer<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        within: Duration,
        request: impl Future<Output = azure_core::Result<Response<T>>>,
    ) -> Result<T, ProviderError> {
        let answer = self.within(call, within, request).await?;
        answer.into_model().map_err(|error| failed(call, &error))
    }

    /// Carries out a call within its deadline.
    async fn within<T>(
        &self,
        call: Call<'_>,
        within: Duration,
        request: impl Future<Output = azure_core::Result<T>>,
    ) -> Result<T, ProviderError> {
        let within = BEFORE + within;
        match tokio::time::timeout(within, request).await {
            Ok(Ok(answer)) => {
                self.identity.on_success();
                Ok(answer)
            }
            Ok(Err(error)) => Err(failed(call, &error)),
            Err(_) => Err(call.timed_out(within)),
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.url)
    }
}
