//! The calls of KMS that Signet makes. Each is a single request with a deadline. The SDK and its
//! types are used only here.
//!
//! Answers are checked: if a call names a key by its ARN, the answer must be about that key.

use std::fmt;
use std::time::Duration;

use aws_sdk_kms::Client as Sdk;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::primitives::{Blob, DateTime};
use aws_sdk_kms::types::{KeySpec, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec, Tag};
use signet_api::{Call, ErrorKind, Operation};
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, Timestamp};
use zeroize::Zeroizing;

use crate::NAME;
use crate::algorithms::Signing;
use crate::error::{KmsError, failed};
use crate::http::Dates;
use crate::session::deadlines;

/// The deadline for creating a key. AWS takes seconds for the longest RSA keys.
const CREATION: Duration = Duration::from_secs(30);
/// The waiting period before KMS deletes a key, in days. KMS accepts no shorter one.
/// <https://docs.aws.amazon.com/kms/latest/cryptographic-details/key-deletion.html>
const DELETION_DAYS: i32 = 7;

/// KMS in one region of one account.
pub(crate) struct Client {
    sdk: Sdk,
    creation: TimeoutConfig,
}

/// An alias with the key that it names.
#[derive(Clone, Debug)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) key_id: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
}

/// A key as KMS describes it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) state: State,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) description: String,
    pub(crate) spec: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Enabled,
    Disabled,
    /// The key will be deleted. An operator can cancel that for some days.
    PendingDeletion,
}

/// A public key as KMS returns it.
pub(crate) struct Public {
    pub(crate) der: Vec<u8>,
    pub(crate) spec: String,
}

/// Whether an alias was claimed by this call, or was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Won,
    Taken,
}

type Answer<T> = Result<T, KmsError>;

impl Client {
    pub(crate) fn new(session: &aws_config::SdkConfig, endpoint: Option<&str>) -> Self {
        let mut config = aws_sdk_kms::config::Builder::from(session);
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        config = config.interceptor(Dates);
        Self {
            sdk: Sdk::from_conf(config.build()),
            creation: deadlines(CREATION),
        }
    }

    /// Lists all aliases of the account in this region, because KMS can list only all aliases or those of one key.
    pub(crate) async fn list_aliases(&self, operation: Operation) -> Answer<Vec<Alias>> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "list the aliases",
            permission: "kms:ListAliases",
            resource: "",
        };
        let (mut aliases, mut marker) = (Vec::new(), None);
        loop {
            let page = self.sdk.list_aliases().limit(100).set_marker(marker).send().await;
            let page = page.map_err(|error| failed(call, &error))?;
            for alias in page.aliases.unwrap_or_default() {
                aliases.push(Alias {
                    name: alias.alias_name.unwrap_or_default(),
                    key_id: alias.target_key_id,
                    created_at: alias.creation_date.as_ref().and_then(instant),
                });
            }
            marker = next(call, page.truncated, page.next_marker)?;
            if marker.is_none() {
                return Ok(aliases);
            }
        }
    }

    /// Lists the ids of all keys of the account in this region.
    pub(crate) async fn list_keys(&self, operation: Operation) -> Answer<Vec<String>> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "list the keys",
            permission: "kms:ListKeys",
            resource: "",
        };
        let (mut ids, mut marker) = (Vec::new(), None);
        loop {
            let page = self.sdk.list_keys().limit(1000).set_marker(marker).send().await;
            let page = page.map_err(|error| failed(call, &error))?;
            ids.extend(page.keys.unwrap_or_default().into_iter().filter_map(|key| key.key_id));
            marker = next(call, page.truncated, page.next_marker)?;
            if marker.is_none() {
                return Ok(ids);
            }
        }
    }

    pub(crate) async fn describe(&self, operation: Operation, key: &str) -> Answer<Described> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "describe",
            permission: "kms:DescribeKey",
            resource: key,
        };
        let answer = self.sdk.describe_key().key_id(key).send().await;
        let answer = answer.map_err(|error| failed(call, &error))?;
        let described = answer
            .key_metadata
            .ok_or_else(|| call.bad_answer("the answer has no key"))?;
        described_from(call, described, Some(key))
    }

    pub(crate) async fn public_key(&self, operation: Operation, arn: &str) -> Answer<Public> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "read the public key of",
            permission: "kms:GetPublicKey",
            resource: arn,
        };
        let answer = self.sdk.get_public_key().key_id(arn).send().await;
        let answer = answer.map_err(|error| failed(call, &error))?;
        same_key(call, answer.key_id.as_deref())?;
        let der = answer
            .public_key
            .ok_or_else(|| call.bad_answer("the answer has no public key"))?;
        let spec = answer.key_spec.map(|spec| spec.as_str().to_owned()).unwrap_or_default();
        Ok(Public {
            der: der.into_inner(),
            spec,
        })
    }

    pub(crate) async fn create_key(
        &self,
        (algorithm, bits): (Algorithm, RsaBits),
        description: &str,
        tags: &[(&str, String)],
    ) -> Answer<Described> {
        let call = Call {
            provider: NAME,
            operation: Operation::Create,
            doing: "create a key",
            permission: "kms:CreateKey",
            resource: "",
        };
        let spec = crate::algorithms::spec(algorithm, bits);
        let config = aws_sdk_kms::config::Builder::new().timeout_config(self.creation.clone());
        let answer = self
            .sdk
            .create_key()
            .key_spec(KeySpec::from(spec))
            .key_usage(KeyUsageType::SignVerify)
            .description(description)
            .set_tags(Some(tags.iter().filter_map(|(name, value)| tag(name, value)).collect()))
            .customize()
            .config_override(config)
            .send()
            .await
            .map_err(|error| failed(call, &error))?;
        let described = answer
            .key_metadata
            .ok_or_else(|| call.bad_answer("the answer has no key"))?;
        let described = described_from(call, described, None)?;
        if described.spec != spec || described.description != description {
            return Err(call
                .bad_answer(format!(
                    "{spec} was requested, but KMS answered with another type of key"
                ))
                .into());
        }
        Ok(described)
    }

    /// Gives the key an alias, which only one key can have.
    pub(crate) async fn create_alias(&self, operation: Operation, alias: &str, key_id: &str) -> Answer<Claimed> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "create",
            permission: "kms:CreateAlias",
            resource: alias,
        };
        match self
            .sdk
            .create_alias()
            .alias_name(alias)
            .target_key_id(key_id)
            .send()
            .await
        {
            Ok(_) => Ok(Claimed::Won),
            Err(error) => {
                let failure = failed(call, &error);
                // "The request was rejected because it attempted to create a resource that already exists."
                if failure.is("AlreadyExistsException") {
                    Ok(Claimed::Taken)
                } else {
                    Err(failure)
                }
            }
        }
    }

    pub(crate) async fn delete_alias(&self, operation: Operation, alias: &str) -> Answer<()> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "delete",
            permission: "kms:DeleteAlias",
            resource: alias,
        };
        let answer = self.sdk.delete_alias().alias_name(alias).send().await;
        answer.map(drop).map_err(|error| failed(call, &error))
    }

    pub(crate) async fn describe_as(&self, operation: Operation, arn: &str, description: &str) -> Answer<()> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "change the description of",
            permission: "kms:UpdateKeyDescription",
            resource: arn,
        };
        let answer = self
            .sdk
            .update_key_description()
            .key_id(arn)
            .description(description)
            .send()
            .await;
        answer.map(drop).map_err(|error| failed(call, &error))
    }

    pub(crate) async fn disable(&self, operation: Operation, arn: &str) -> Answer<()> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "disable",
            permission: "kms:DisableKey",
            resource: arn,
        };
        let answer = self.sdk.disable_key().key_id(arn).send().await;
        answer.map(drop).map_err(|error| failed(call, &error))
    }

    pub(crate) async fn schedule_deletion(&self, operation: Operation, key: &str) -> Answer<()> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "schedule the deletion of",
            permission: "kms:ScheduleKeyDeletion",
            resource: key,
        };
        let answer = self
            .sdk
            .schedule_key_deletion()
            .key_id(key)
            .pending_window_in_days(DELETION_DAYS)
            .send()
            .await;
        answer.map(drop).map_err(|error| failed(call, &error))
    }

    /// Signs. The signature is in the form of KMS; `None` for a dry run.
    pub(crate) async fn sign(
        &self,
        operation: Operation,
        arn: &str,
        signing: &Signing<'_>,
        dry_run: bool,
    ) -> Answer<Option<Vec<u8>>> {
        let call = Call {
            provider: NAME,
            operation,
            doing: "sign with",
            permission: "kms:Sign",
            resource: arn,
        };
        let spec = SigningAlgorithmSpec::from(signing.spec);
        let answer = self
            .sdk
            .sign()
            .key_id(arn)
            .message(Blob::new(signing.input.as_ref()))
            .message_type(if signing.is_digest {
                MessageType::Digest
            } else {
                MessageType::Raw
            })
            .signing_algorithm(spec.clone())
            .set_dry_run(dry_run.then_some(true))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return dry(dry_run, failed(call, &error)).map(|()| None),
        };
        same_key(call, answer.key_id.as_deref())?;
        if answer.signing_algorithm.as_ref() != Some(&spec) {
            return Err(call
                .bad_answer(format!(
                    "{} was requested, but KMS signed with another algorithm",
                    signing.spec
                ))
                .into());
        }
        let signature = answer
            .signature
            .ok_or_else(|| call.bad_answer("the answer has no signature"))?;
        Ok(Some(signature.into_inner()))
    }

    pub(crate) async fn encrypt(
        &self,
        call: Call<'_>,
        plaintext: &[u8],
        context: &[(&'static str, String)],
    ) -> Answer<Vec<u8>> {
        let mut request = self.sdk.encrypt().key_id(call.resource).plaintext(Blob::new(plaintext));
        for (name, value) in context {
            request = request.encryption_context(*name, value);
        }
        let answer = request.send().await.map_err(|error| failed(call, &error))?;
        same_key(call, answer.key_id.as_deref())?;
        let ciphertext = answer
            .ciphertext_blob
            .ok_or_else(|| call.bad_answer("the answer has no ciphertext"))?;
        Ok(ciphertext.into_inner())
    }

    /// Decrypts. The key is named, so KMS refuses a ciphertext of another key.
    pub(crate) async fn decrypt(
        &self,
        call: Call<'_>,
        ciphertext: &[u8],
        context: &[(&'static str, String)],
    ) -> Answer<Zeroizing<Vec<u8>>> {
        let mut request = self
            .sdk
            .decrypt()
            .key_id(call.resource)
            .ciphertext_blob(Blob::new(ciphertext));
        for (name, value) in context {
            request = request.encryption_context(*name, value);
        }
        let answer = request.send().await.map_err(|error| failed(call, &error))?;
        let plaintext = answer.plaintext.map(|blob| Zeroizing::new(blob.into_inner()));
        same_key(call, answer.key_id.as_deref())?;
        Ok(plaintext.ok_or_else(|| call.bad_answer("the answer has no plaintext"))?)
    }

    /// Requests a key with a key policy that KMS must refuse. Returns the key if KMS created one all the same.
    pub(crate) async fn try_create_key(&self, tags: &[(&str, String)]) -> Answer<Option<String>> {
        let call = Call {
            provider: NAME,
            operation: Operation::Check,
            doing: "create a key",
            permission: "kms:CreateKey",
            resource: "",
        };
        let answer = self
            .sdk
            .create_key()
            .key_spec(KeySpec::EccNistP256)
            .key_usage(KeyUsageType::SignVerify)
            .policy("{}")
            .set_tags(Some(tags.iter().filter_map(|(name, value)| tag(name, value)).collect()))
            .send()
            .await;
        match answer {
            Ok(made) => Ok(made.key_metadata.map(|key| key.key_id)),
            Err(error) => {
                let failure = failed(call, &error);
                // "The request was rejected because the specified policy is not syntactically or semantically correct."
                if failure.is("MalformedPolicyDocumentException") {
                    Ok(None)
                } else {
                    Err(failure)
                }
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// "The request was rejected because the DryRun parameter was specified" means that the call would have succeeded.
fn dry(dry_run: bool, failure: KmsError) -> Answer<()> {
    match dry_run && failure.is("DryRunOperationException") {
        true => Ok(()),
        false => Err(failure),
    }
}

fn tag(name: &str, value: &str) -> Option<Tag> {
    Tag::builder().tag_key(name).tag_value(value).build().ok()
}

fn next(call: Call<'_>, truncated: bool, marker: Option<String>) -> Answer<Option<String>> {
    match (truncated, marker) {
        (false, _) => Ok(None),
        (true, Some(marker)) => Ok(Some(marker)),
        (true, None) => Err(call
            .bad_answer("the list is incomplete, but has no marker for the next page")
            .into()),
    }
}

/// If a call names a key by its ARN or id, the answer must be about that key. This does not apply to an alias.
fn same_key(call: Call<'_>, answered: Option<&str>) -> Answer<()> {
    let answered = answered.unwrap_or_default();
    let asked = call.resource;
    let is_alias = asked.starts_with("alias/") || asked.contains(":alias/");
    if is_alias || answered == asked || answered.rsplit_once('/').is_some_and(|(_, id)| id == asked) {
        return Ok(());
    }
    Err(call
        .bad_answer(format!("the answer is about another key, {answered:?}"))
        .into())
}

fn described_from(call: Call<'_>, key: aws_sdk_kms::types::KeyMetadata, asked: Option<&str>) -> Answer<Described> {
    let arn = key.arn.ok_or_else(|| call.bad_answer("the key has no ARN"))?;
    if asked.is_some() {
        same_key(call, Some(&arn))?;
    }
    let state = match key.key_state {
        Some(KeyState::Enabled) => State::Enabled,
        Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => State::PendingDeletion,
        Some(KeyState::Creating) => {
            return Err(call.error(ErrorKind::Unavailable, "KMS is still creating it").into());
        }
        Some(_) => State::Disabled,
        None => return Err(call.bad_answer("the key has no state").into()),
    };
    Ok(Described {
        id: key.key_id,
        arn,
        state,
        created_at: key.creation_date.as_ref().and_then(instant),
        description: key.description.unwrap_or_default(),
        spec: key.key_spec.map(|spec| spec.as_str().to_owned()).unwrap_or_default(),
    })
}

fn instant(date: &DateTime) -> Option<Timestamp> {
    date.to_millis().ok().map(Timestamp::from_millis)
}
