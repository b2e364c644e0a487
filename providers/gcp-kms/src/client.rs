//! The calls of Cloud KMS that Signet makes. Each has a deadline, and its answer is checked as far
//! as a single answer can be.
//!
//! The client's own retries are disabled, because only the guards around the provider retry.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_kms_v1::client::KeyManagementService;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState as State;
use google_cloud_kms_v1::model::{
    AsymmetricSignResponse, CryptoKey, CryptoKeyVersion, DecryptResponse, Digest, EncryptResponse, PublicKey,
};
use google_cloud_kms_v1::{Error, Result as Answer};
use google_cloud_wkt::FieldMask;
use signet_api::{Call, ErrorKind, Operation, ProviderError};
use signet_base::USER_AGENT;

use crate::NAME;
use crate::algorithm::ToSign;
use crate::config::GcpConfig;
use crate::credentials::Adc;
use crate::error::failed;
use crate::name::KeyName;

/// The deadline for one request, once it has credentials.
const REQUEST: Duration = Duration::from_secs(5);
/// The deadline for one call with everything that belongs to it.
const WHOLE: Duration = Duration::from_secs(10);
/// The number of resources on a page; Google's maximum.
const PAGE: i32 = 1000;
/// The maximum number of pages of a list. A longer list is not a ring of ours.
const MOST_PAGES: usize = 100;

pub(crate) struct Kms {
    service: KeyManagementService,
    adc: Adc,
    pub(crate) key: KeyName,
}

/// A request to create a crypto key.
pub(crate) struct NewCryptoKey {
    pub(crate) id: String,
    pub(crate) key: CryptoKey,
}

impl Kms {
    /// Makes a client. Makes no call yet.
    pub(crate) async fn new(config: GcpConfig) -> Result<Self, ProviderError> {
        let adc = Adc::new(config.login);
        let mut builder = KeyManagementService::builder()
            .with_credentials(adc.credentials())
            .with_universe_domain(adc.universe())
            .with_retry_policy(NeverRetry)
            .with_attempt_timeout(REQUEST);
        if let Some(endpoint) = config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let service = builder.build().await.map_err(|error| {
            let text = format!(
                "the client of Cloud KMS cannot be created: {}",
                signet_base::quote(&error.to_string())
            );
            crate::config::invalid(&[text])
        })?;
        let key = config.key;
        Ok(Self { service, adc, key })
    }

    async fn within<T>(
        &self,
        call: Call<'_>,
        request: impl Future<Output = Answer<T>>,
    ) -> Result<Answer<T>, ProviderError> {
        let answer = tokio::time::timeout(WHOLE, request)
            .await
            .map_err(|_| call.timed_out(WHOLE))?;
        // The library exposes the headers only of errors.
        let fields = answer.as_ref().err().and_then(Error::http_headers);
        if let Some(date) = fields.and_then(|fields| fields.get(http::header::DATE)?.to_str().ok()) {
            signet_api::dates::saw(NAME, date);
        }
        if let Err(error) = &answer
            && (code(error) == Some(Code::Unauthenticated) || error.http_status_code() == Some(401))
        {
            self.adc.on_refused();
        }
        Ok(answer)
    }

    /// Lists all versions of the key, including destroyed ones. `None` if the key does not exist.
    pub(crate) async fn versions(&self, operation: Operation) -> Result<Option<Vec<CryptoKeyVersion>>, ProviderError> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "list the versions of",
            permission: "cloudkms.cryptoKeyVersions.list",
            resource: self.key.as_str(),
        };
        let (mut all, mut token) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let page = self
                .within(call, async {
                    let request = self.service.list_crypto_key_versions().set_parent(call.resource);
                    request
                        .set_page_size(PAGE)
                        .set_page_token(token.as_str())
                        .with_user_agent(USER_AGENT)
                        .send()
                        .await
                })
                .await?;
            let page = match page {
                Err(error) if code(&error) == Some(Code::NotFound) => return Ok(None),
                page => page.map_err(|error| failed(call, &error))?,
            };
            all.extend(page.crypto_key_versions);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(Some(all));
            }
        }
        Err(call.bad_answer("the list has no end"))
    }

    /// Lists all crypto keys of the key ring.
    pub(crate) async fn keys(&self, operation: Operation) -> Result<Vec<CryptoKey>, ProviderError> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "list the keys of",
            permission: "cloudkms.cryptoKeys.list",
            resource: self.key.ring(),
        };
        let (mut all, mut token) = (Vec::new(), String::new());
        for _ in 0..MOST_PAGES {
            let page = self
                .within(call, async {
                    let request = self.service.list_crypto_keys().set_parent(call.resource);
                    request
                        .set_page_size(PAGE)
                        .set_page_token(token.as_str())
                        .with_user_agent(USER_AGENT)
                        .send()
                        .await
                })
                .await?
                .map_err(|error| failed(call, &error))?;
            all.extend(page.crypto_keys);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
        Err(call.bad_answer("the list has no end"))
    }

    /// Reads a version. `None` if it does not exist or is not visible yet.
    pub(crate) async fn version(
        &self,
        operation: Operation,
        number: u64,
    ) -> Result<Option<CryptoKeyVersion>, ProviderError> {
        let name = self.key.version(number);
        let call = Call {
            provider: NAME,
            operation,
            doing: "read",
            permission: "cloudkms.cryptoKeyVersions.get",
            resource: &name,
        };
        let request = self.service.get_crypto_key_version().set_name(&name);
        match self.within(call, request.with_user_agent(USER_AGENT).send()).await? {
            Err(error) if code(&error) == Some(Code::NotFound) => Ok(None),
            Ok(version) if version.name != name => Err(call.bad_answer("the answer is about another version")),
            answer => answer.map(Some).map_err(|error| failed(call, &error)),
        }
    }

    /// Reads the public key of a version, in DER. `None` if Google does not show it because the version is not enabled.
    pub(crate) async fn public_key(&self, operation: Operation, number: u64) -> Result<Option<Vec<u8>>, ProviderError> {
        let name = self.key.version(number);
        let call = Call {
            provider: NAME,
            operation,
            doing: "read the public key of",
            permission: "cloudkms.cryptoKeyVersions.viewPublicKey",
            resource: &name,
        };
        let request = self.service.get_public_key().set_name(&name);
        let found = match self.within(call, request.with_user_agent(USER_AGENT).send()).await? {
            Err(error) if code(&error) == Some(Code::FailedPrecondition) => return Ok(None),
            // The version was listed a moment ago, so Google will show its public key soon.
            Err(error) if code(&error) == Some(Code::NotFound) => {
                let mut error = failed(call, &error);
                error.kind = ErrorKind::Unavailable;
                return Err(error);
            }
            answer => answer.map_err(|error| failed(call, &error))?,
        };
        der(&found, &name).map(Some).map_err(|what| call.bad_answer(what))
    }

    pub(crate) async fn create_version(&self) -> Result<CryptoKeyVersion, ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Create,
            doing: "create a version of",
            permission: "cloudkms.cryptoKeyVersions.create",
            resource: self.key.as_str(),
        };
        let request = self.service.create_crypto_key_version().set_parent(call.resource);
        let request = request.set_crypto_key_version(CryptoKeyVersion::default());
        self.within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map_err(|error| failed(call, &error))
    }

    /// Creates a crypto key without versions. `false` if it already exists.
    pub(crate) async fn create_key(&self, operation: Operation, new: NewCryptoKey) -> Result<bool, ProviderError> {
        let name = format!("{}/cryptoKeys/{}", self.key.ring(), new.id);
        let call = Call {
            provider: NAME,
            operation,
            doing: "create",
            permission: "cloudkms.cryptoKeys.create",
            resource: &name,
        };
        let request = self.service.create_crypto_key().set_parent(self.key.ring());
        let request = request.set_crypto_key_id(new.id).set_crypto_key(new.key);
        match self
            .within(
                call,
                request
                    .set_skip_initial_version_creation(true)
                    .with_user_agent(USER_AGENT)
                    .send(),
            )
            .await?
        {
            Err(error) if code(&error) == Some(Code::AlreadyExists) => Ok(false),
            answer => answer.map(|_| true).map_err(|error| failed(call, &error)),
        }
    }

    pub(crate) async fn update_key(&self, key: CryptoKey, mask: &[&str]) -> Result<(), ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Create,
            doing: "set the algorithm or the terms of new versions of",
            permission: "cloudkms.cryptoKeys.update",
            resource: self.key.as_str(),
        };
        let key = key.set_name(call.resource);
        let mask = FieldMask::default().set_paths(mask.iter().copied());
        let request = self
            .service
            .update_crypto_key()
            .set_crypto_key(key)
            .set_update_mask(mask);
        self.within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map(drop)
            .map_err(|error| failed(call, &error))
    }

    pub(crate) async fn disable(&self, operation: Operation, number: u64) -> Result<(), ProviderError> {
        let name = self.key.version(number);
        let call = Call {
            provider: NAME,
            operation,
            doing: "disable",
            permission: "cloudkms.cryptoKeyVersions.update",
            resource: &name,
        };
        let version = CryptoKeyVersion::default().set_name(&name).set_state(State::Disabled);
        let request = self.service.update_crypto_key_version().set_crypto_key_version(version);
        let request = request.set_update_mask(FieldMask::default().set_paths(["state"]));
        let version = self
            .within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map_err(|error| failed(call, &error))?;
        match version.name == name && version.state == State::Disabled {
            true => Ok(()),
            false => Err(call.bad_answer("the answer has another state, or another version")),
        }
    }

    pub(crate) async fn destroy(&self, operation: Operation, number: u64) -> Result<(), ProviderError> {
        let name = self.key.version(number);
        let call = Call {
            provider: NAME,
            operation,
            doing: "destroy",
            permission: "cloudkms.cryptoKeyVersions.destroy",
            resource: &name,
        };
        let request = self.service.destroy_crypto_key_version().set_name(&name);
        let version = self
            .within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map_err(|error| failed(call, &error))?;
        match version.name == name && matches!(version.state, State::DestroyScheduled | State::Destroyed) {
            true => Ok(()),
            false => Err(call.bad_answer("the answer has another state, or another version")),
        }
    }

    /// Signs. Checks that the answer is about this version, and the checksums in both directions.
    pub(crate) async fn sign(&self, number: u64, what: ToSign) -> Result<AsymmetricSignResponse, ProviderError> {
        let name = self.key.version(number);
        let call = sign_call(&name);
        let request = self.service.asymmetric_sign().set_name(&name);
        let is_data = matches!(what, ToSign::Data(_));
        let request = match what {
            ToSign::Sha256(d) => request
                .set_digest_crc32c(crc(&d))
                .set_digest(Digest::default().set_sha256(d)),
            ToSign::Sha384(d) => request
                .set_digest_crc32c(crc(&d))
                .set_digest(Digest::default().set_sha384(d)),
            ToSign::Sha512(d) => request
                .set_digest_crc32c(crc(&d))
                .set_digest(Digest::default().set_sha512(d)),
            ToSign::Data(data) => request.set_data_crc32c(crc(&data)).set_data(data),
        };
        let signed = self
            .within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map_err(|error| failed(call, &error))?;
        let verified = match is_data {
            true => signed.verified_data_crc32c,
            false => signed.verified_digest_crc32c,
        };
        if signed.name != name {
            Err(call.bad_answer("Google signed with another version than the requested one"))
        } else if !verified {
            Err(call.bad_answer("Google did not verify the checksum of the message to sign"))
        } else if signed.signature_crc32c != Some(crc(&signed.signature)) {
            Err(call.bad_answer("the signature does not match its checksum"))
        } else {
            Ok(signed)
        }
    }

    /// Encrypts. Checks that the answer is about this key, and the checksums in both directions.
    pub(crate) async fn encrypt(&self, plaintext: &[u8], aad: Vec<u8>) -> Result<EncryptResponse, ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Create,
            doing: "encrypt with",
            permission: "cloudkms.cryptoKeyVersions.useToEncrypt",
            resource: self.key.as_str(),
        };
        let request = self.service.encrypt().set_name(call.resource);
        let request = request
            .set_plaintext_crc32c(crc(plaintext))
            .set_plaintext(Bytes::copy_from_slice(plaintext));
        let request = request
            .set_additional_authenticated_data_crc32c(crc(&aad))
            .set_additional_authenticated_data(aad);
        let sealed = self
            .within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map_err(|error| failed(call, &error))?;
        if self.key.number(&sealed.name).is_none() {
            Err(call.bad_answer("Google encrypted with another key than the requested one"))
        } else if !(sealed.verified_plaintext_crc32c && sealed.verified_additional_authenticated_data_crc32c) {
            Err(call.bad_answer("Google did not verify the checksums of the data to encrypt"))
        } else if sealed.ciphertext_crc32c != Some(crc(&sealed.ciphertext)) {
            Err(call.bad_answer("the ciphertext does not match its checksum"))
        } else {
            Ok(sealed)
        }
    }

    pub(crate) async fn decrypt(&self, ciphertext: &[u8], aad: Vec<u8>) -> Result<DecryptResponse, ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Unseal,
            doing: "decrypt with",
            permission: "cloudkms.cryptoKeyVersions.useToDecrypt",
            resource: self.key.as_str(),
        };
        let request = self.service.decrypt().set_name(call.resource);
        let request = request
            .set_ciphertext_crc32c(crc(ciphertext))
            .set_ciphertext(Bytes::copy_from_slice(ciphertext));
        let request = request
            .set_additional_authenticated_data_crc32c(crc(&aad))
            .set_additional_authenticated_data(aad);
        let opened = self.within(call, request.with_user_agent(USER_AGENT).send()).await?;
        let opened = opened.map_err(|error| {
            let mut opening = failed(call, &error);
            // The ciphertext was not made by this key, or not in this context.
            if code(&error) == Some(Code::InvalidArgument) {
                opening.kind = ErrorKind::BadAnswer;
            }
            opening
        })?;
        match opened.plaintext_crc32c == Some(crc(&opened.plaintext)) {
            true => Ok(opened),
            false => Err(call.bad_answer("the plaintext does not match its checksum")),
        }
    }

    /// Which of these permissions the credentials have on the resource. Anybody may ask, and nothing is changed.
    pub(crate) async fn granted(
        &self,
        resource: &str,
        permissions: impl Iterator<Item = &'static str>,
    ) -> Result<Vec<String>, ProviderError> {
        let call = Call {
            provider: NAME,
            operation: Operation::Check,
            doing: "ask for permissions on",
            permission: "testIamPermissions, which needs no permission",
            resource,
        };
        let request = self
            .service
            .test_iam_permissions()
            .set_resource(resource)
            .set_permissions(permissions);
        let answer = self
            .within(call, request.with_user_agent(USER_AGENT).send())
            .await?
            .map_err(|error| failed(call, &error))?;
        Ok(answer.permissions)
    }
}

pub(crate) fn sign_call(version: &str) -> Call<'_> {
    Call {
        provider: NAME,
        operation: Operation::Sign,
        doing: "sign with",
        permission: "cloudkms.cryptoKeyVersions.useToSign",
        resource: version,
    }
}

fn code(error: &Error) -> Option<Code> {
    error.status().map(|status| status.code)
}

fn crc(octets: &[u8]) -> i64 {
    i64::from(crc32c::crc32c(octets))
}

/// The public key in an answer, in DER. Checks that the answer is about this version and complete.
fn der(found: &PublicKey, name: &str) -> Result<Vec<u8>, &'static str> {
    use base64::Engine as _;
    if found.name != name {
        return Err("the answer is about another version");
    }
    if found.pem_crc32c != Some(crc(found.pem.as_bytes())) {
        return Err("the public key does not match its checksum");
    }
    let lines = found.pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
    let lines = lines.and_then(|lines| lines.strip_suffix("-----END PUBLIC KEY-----"));
    let text: String = lines
        .ok_or("the public key is not in PEM")?
        .split_ascii_whitespace()
        .collect();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| "the public key is not in PEM")
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kms({})", self.key)
    }
}
