//! KMS: <https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>, over the JSON protocol.

mod crypto;
mod lists;
mod states;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::material::{Material, key_id};
use super::sigv4::caller;
use super::state::{Alias, Key, KeyState, State, alias_arn, key_arn};
use super::{ACCOUNT, Aws};
use crate::server::{Request, Response};

type Answer = Result<Value, Problem>;

/// An error in KMS's form.
pub(crate) struct Problem {
    code: &'static str,
    message: String,
}

impl Problem {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    fn unknown_key(id: &str) -> Self {
        Self::new("NotFoundException", format!("Key '{}' does not exist", key_arn(id)))
    }
}

pub(crate) fn answer(aws: &Aws, request: &Request) -> Response {
    match called(aws, request) {
        Ok(body) => Response::new(200, "application/x-amz-json-1.1", body.to_string()),
        Err(problem) => {
            let status = if problem.code == "KMSInternalException" {
                500
            } else {
                400
            };
            let body = json!({"__type": problem.code, "message": problem.message});
            Response::new(status, "application/x-amz-json-1.1", body.to_string())
        }
    }
}

fn called(aws: &Aws, request: &Request) -> Answer {
    let target = request.header("x-amz-target").unwrap_or_default();
    let Some(operation) = target.strip_prefix("TrentService.") else {
        return Err(Problem::new("UnknownOperationException", ""));
    };
    let who = caller(&aws.state(), request, "kms").map_err(|(code, message)| Problem::new(code, message))?;
    let body = request.json();
    let Value::Object(input) = &body else {
        return Err(Problem::new("SerializationException", "the body is not an object"));
    };
    authorize(&aws.state(), &who, operation)?;
    match operation {
        "CreateKey" => create_key(aws, &who, input),
        "Sign" | "Encrypt" | "Decrypt" | "Verify" => crypto::answer(aws, operation, input),
        _ => {
            let state = &mut *aws.state();
            match operation {
                "DescribeKey" => find(state, input, "KeyId").map(|id| json!({"KeyMetadata": metadata(state, &id)})),
                "GetPublicKey" => public_key(state, input),
                "ListKeys" => lists::keys(state, input),
                "ListAliases" => lists::aliases(state, input),
                "CreateAlias" => create_alias(state, input),
                "DeleteAlias" => delete_alias(state, input),
                "UpdateKeyDescription" => describe(state, input),
                "ListResourceTags" => lists::tags(state, input),
                "DisableKey" => change(state, input, operation, KeyState::Disabled),
                "EnableKey" => change(state, input, operation, KeyState::Enabled),
                "ScheduleKeyDeletion" => schedule(state, input),
                "CancelKeyDeletion" => cancel(state, input),
                _ => Err(Problem::new("UnknownOperationException", "")),
            }
        }
    }
}

fn authorize(state: &State, who: &str, operation: &str) -> Result<(), Problem> {
    let action = format!("kms:{operation}");
    match &state.callers[who].allowed {
        Some(allowed) if !allowed.contains(&action) => Err(Problem::new(
            "AccessDeniedException",
            format!(
                "User: arn:aws:iam::{ACCOUNT}:user/{who} is not authorized to perform: {action} because no \
                 identity-based policy allows the {action} action"
            ),
        )),
        _ => Ok(()),
    }
}

fn text<'a>(input: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    input.get(name).and_then(Value::as_str).ok_or_else(|| {
        Problem::validation(format!(
            "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// Finds the id of a key by its id, ARN, alias or alias ARN, if it is visible yet.
fn find(state: &mut State, input: &Map<String, Value>, name: &str) -> Result<String, Problem> {
    let given = text(input, name)?;
    // The ARNs of this account's keys and aliases end in their other names.
    let prefix = alias_arn("");
    let given = given.strip_prefix(&prefix).unwrap_or(given);
    let id = if given.starts_with("alias/") {
        let alias = state.aliases.get_mut(given);
        match alias.and_then(|alias| visible(&mut alias.hidden).then(|| alias.key.clone())) {
            Some(key) => key,
            None => {
                let text = format!("Alias {} is not found.", alias_arn(given));
                return Err(Problem::new("NotFoundException", text));
            }
        }
    } else if given.starts_with("arn:") {
        return Err(Problem::new("InvalidArnException", format!("Invalid arn {given}")));
    } else {
        given.strip_prefix("key/").unwrap_or(given).to_owned()
    };
    match state.keys.get_mut(&id).map(|key| visible(&mut key.hidden)) {
        Some(true) => Ok(id),
        _ => Err(Problem::unknown_key(&id)),
    }
}

/// Counts down the calls that do not show it.
fn visible(hidden: &mut u32) -> bool {
    let seen = *hidden == 0;
    *hidden = hidden.saturating_sub(1);
    seen
}

fn seconds(instant: Duration) -> Value {
    json!(instant.as_millis() as f64 / 1000.0)
}

fn metadata(state: &State, id: &str) -> Value {
    let key = &state.keys[id];
    let mut metadata = json!({
        "AWSAccountId": ACCOUNT,
        "KeyId": id,
        "Arn": key_arn(id),
        "CreationDate": seconds(key.created_at),
        "Enabled": key.state == KeyState::Enabled,
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state.as_str(),
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "KeySpec": key.spec,
        "CustomerMasterKeySpec": key.spec,
        "MultiRegion": false,
    });
    match key.usage {
        "SIGN_VERIFY" => metadata["SigningAlgorithms"] = json!(Material::signing_algorithms(&key.spec)),
        _ => metadata["EncryptionAlgorithms"] = json!(["SYMMETRIC_DEFAULT"]),
    }
    if let Some(deleted_at) = key.deleted_at {
        metadata["DeletionDate"] = seconds(deleted_at);
    }
    metadata
}

fn create_key(aws: &Aws, who: &str, input: &Map<String, Value>) -> Answer {
    let spec = input
        .get("KeySpec")
        .and_then(Value::as_str)
        .unwrap_or("SYMMETRIC_DEFAULT")
        .to_owned();
    let usage = match (spec.as_str(), input.get("KeyUsage").and_then(Value::as_str)) {
        ("SYMMETRIC_DEFAULT", None | Some("ENCRYPT_DECRYPT")) => "ENCRYPT_DECRYPT",
        ("SYMMETRIC_DEFAULT", _) | (_, None) | ("ECC_NIST_P256" | "ECC_NIST_EDWARDS25519", Some("ENCRYPT_DECRYPT")) => {
            return Err(Problem::validation("The KeyUsage is not compatible with the KeySpec"));
        }
        (_, Some("SIGN_VERIFY")) => "SIGN_VERIFY",
        _ => {
            return Err(Problem::new(
                "UnsupportedOperationException",
                "this fake signs and seals only",
            ));
        }
    };
    let description = described(input)?;
    let tags = tags(input)?;
    if !tags.is_empty() {
        authorize(&aws.state(), who, "TagResource")?;
    }
    if let Some(policy) = input.get("Policy").and_then(Value::as_str) {
        let policy: Value = serde_json::from_str(policy).unwrap_or(Value::Null);
        if !policy["Statement"].is_array() {
            return Err(Problem::new(
                "MalformedPolicyDocumentException",
                "Policy contains a statement with no actions",
            ));
        }
    }
    // Generated outside of the lock, because the longest RSA keys take nearly a second.
    let material = Material::new(&spec).ok_or_else(|| Problem::validation(format!("KeySpec {spec} is not known")))?;
    let state = &mut *aws.state();
    let (id, key) = (key_id(), key(state, spec, usage, material, description, tags));
    state.keys.insert(id.clone(), key);
    Ok(json!({"KeyMetadata": metadata(state, &id)}))
}

fn key(
    state: &State,
    spec: String,
    usage: &'static str,
    material: Material,
    description: String,
    tags: BTreeMap<String, String>,
) -> Key {
    Key {
        spec,
        usage,
        material: Arc::new(material),
        state: KeyState::Enabled,
        description,
        tags,
        created_at: state.now(),
        deleted_at: None,
        hidden: state.hide_new,
    }
}

/// Makes a key for sealing, and returns its ARN.
pub(crate) fn symmetric(state: &mut State) -> String {
    let spec = "SYMMETRIC_DEFAULT".to_owned();
    let material = Material::new(&spec).unwrap();
    let mut made = key(state, spec, "ENCRYPT_DECRYPT", material, String::new(), BTreeMap::new());
    made.hidden = 0;
    let id = key_id();
    state.keys.insert(id.clone(), made);
    key_arn(&id)
}

/// Makes a key of another tool, and returns its id.
pub(crate) fn signing(state: &mut State, description: &str) -> String {
    let spec = "ECC_NIST_P256".to_owned();
    let material = Material::new(&spec).unwrap();
    let made = key(
        state,
        spec,
        "SIGN_VERIFY",
        material,
        description.to_owned(),
        BTreeMap::new(),
    );
    let id = key_id();
    state.keys.insert(id.clone(), made);
    id
}

fn described(input: &Map<String, Value>) -> Result<String, Problem> {
    let description = input.get("Description").and_then(Value::as_str).unwrap_or_default();
    match description.chars().count() {
        0..=8192 => Ok(description.to_owned()),
        _ => Err(Problem::validation(
            "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length \
             less than or equal to 8192",
        )),
    }
}

fn tags(input: &Map<String, Value>) -> Result<BTreeMap<String, String>, Problem> {
    let mut tags = BTreeMap::new();
    for tag in input.get("Tags").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| tag[name].as_str().unwrap_or_default().to_owned();
        let (name, value) = (part("TagKey"), part("TagValue"));
        let allowed = |text: &str| {
            text.chars()
                .all(|character| character.is_alphanumeric() || " _.:/=+-@".contains(character))
        };
        if name.is_empty() || name.len() > 128 || value.len() > 256 || !allowed(&name) || !allowed(&value) {
            return Err(Problem::new("TagException", "Invalid tag"));
        }
        if name.starts_with("aws:") || tags.insert(name, value).is_some() || tags.len() > 50 {
            return Err(Problem::new(
                "TagException",
                "Duplicate or reserved tag keys, or too many",
            ));
        }
    }
    Ok(tags)
}

fn public_key(state: &mut State, input: &Map<String, Value>) -> Answer {
    let id = find(state, input, "KeyId")?;
    let key = &state.keys[&id];
    if key.usage != "SIGN_VERIFY" {
        return Err(Problem::new(
            "UnsupportedOperationException",
            "symmetric keys have no public key",
        ));
    }
    states::demand("GetPublicKey", &id, key.state)?;
    Ok(json!({
        "KeyId": key_arn(&id),
        "PublicKey": crypto::base64(&key.material.spki()),
        "KeySpec": key.spec,
        "CustomerMasterKeySpec": key.spec,
        "KeyUsage": key.usage,
        "SigningAlgorithms": Material::signing_algorithms(&key.spec),
    }))
}

fn create_alias(state: &mut State, input: &Map<String, Value>) -> Answer {
    let alias = text(input, "AliasName")?.to_owned();
    let rest = alias.strip_prefix("alias/").unwrap_or_default();
    let allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"/_-".contains(&octet);
    if rest.is_empty() || alias.len() > 256 || !rest.bytes().all(allowed) {
        return Err(Problem::validation(
            "1 validation error detected: Value at 'aliasName' failed to satisfy constraint",
        ));
    }
    if rest.starts_with("aws/") {
        return Err(Problem::new(
            "InvalidAliasNameException",
            "Alias must not begin with alias/aws/",
        ));
    }
    if text(input, "TargetKeyId")?.contains("alias/") {
        return Err(Problem::validation("Aliases must refer to keys. Not aliases"));
    }
    let id = find(state, input, "TargetKeyId")?;
    states::demand("CreateAlias", &id, state.keys[&id].state)?;
    if state.aliases.contains_key(&alias) {
        let text = format!("An alias with the name {} already exists", alias_arn(&alias));
        return Err(Problem::new("AlreadyExistsException", text));
    }
    state.name(&alias, &id);
    Ok(json!({}))
}

fn delete_alias(state: &mut State, input: &Map<String, Value>) -> Answer {
    let name = text(input, "AliasName")?;
    match state.aliases.remove(name) {
        Some(Alias { .. }) => Ok(json!({})),
        None => Err(Problem::new(
            "NotFoundException",
            format!("Alias {} is not found.", alias_arn(name)),
        )),
    }
}

/// The key of a call that changes it. Such calls accept its id or ARN, but no alias.
fn own(state: &mut State, input: &Map<String, Value>) -> Result<String, Problem> {
    let given = text(input, "KeyId")?;
    if given.contains("alias/") {
        return Err(Problem::new("NotFoundException", format!("Invalid keyId {given}")));
    }
    find(state, input, "KeyId")
}

fn describe(state: &mut State, input: &Map<String, Value>) -> Answer {
    let id = own(state, input)?;
    let description = described(input)?;
    let key = state.keys.get_mut(&id).unwrap();
    states::demand("UpdateKeyDescription", &id, key.state)?;
    key.description = description;
    Ok(json!({}))
}

fn change(state: &mut State, input: &Map<String, Value>, operation: &str, to: KeyState) -> Answer {
    let id = own(state, input)?;
    let key = state.keys.get_mut(&id).unwrap();
    states::demand(operation, &id, key.state)?;
    key.state = to;
    Ok(json!({}))
}

fn schedule(state: &mut State, input: &Map<String, Value>) -> Answer {
    let id = own(state, input)?;
    let days = input.get("PendingWindowInDays").map_or(Some(30), Value::as_u64);
    let Some(days) = days.filter(|days| (7..=30).contains(days)) else {
        return Err(Problem::validation("PendingWindowInDays must be between 7 and 30"));
    };
    let deleted_at = state.now() + Duration::from_secs(days * 86_400);
    let key = state.keys.get_mut(&id).unwrap();
    states::demand("ScheduleKeyDeletion", &id, key.state)?;
    key.state = KeyState::PendingDeletion;
    key.deleted_at = Some(deleted_at);
    Ok(json!({
        "KeyId": key_arn(&id),
        "DeletionDate": seconds(deleted_at),
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

fn cancel(state: &mut State, input: &Map<String, Value>) -> Answer {
    let id = own(state, input)?;
    let key = state.keys.get_mut(&id).unwrap();
    states::demand("CancelKeyDeletion", &id, key.state)?;
    key.state = KeyState::Disabled;
    key.deleted_at = None;
    Ok(json!({"KeyId": key_arn(&id)}))
}
