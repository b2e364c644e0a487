//! `Sign`, `Encrypt` and `Decrypt`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Answer, Problem, find, states, text};
use crate::aws::Aws;
use crate::aws::material::Material;
use crate::aws::state::key_arn;

/// The length of a key id, with which a ciphertext begins.
const ID: usize = 36;

pub(crate) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

fn blob(input: &Map<String, Value>, name: &str, most: usize) -> Result<Vec<u8>, Problem> {
    let octets = STANDARD
        .decode(text(input, name)?)
        .map_err(|_| Problem::validation(format!("{name} is not base64")))?;
    match octets.len() {
        len if len > most => Err(Problem::validation(format!(
            "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must have length less \
             than or equal to {most}"
        ))),
        _ => Ok(octets),
    }
}

fn dry_run(input: &Map<String, Value>) -> Result<(), Problem> {
    match input.get("DryRun").and_then(Value::as_bool) {
        Some(true) => Err(Problem::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )),
        _ => Ok(()),
    }
}

/// Answers without holding the lock during the computation.
pub(crate) fn answer(aws: &Aws, operation: &str, input: &Map<String, Value>) -> Answer {
    match operation {
        "Sign" => sign(aws, input),
        "Encrypt" => encrypt(aws, input),
        "Decrypt" => decrypt(aws, input),
        _ => Err(Problem::new("UnsupportedOperationException", "not in this fake")),
    }
}

/// The named key, if it may be used like this.
fn usable(
    aws: &Aws,
    operation: &str,
    input: &Map<String, Value>,
    usage: &str,
) -> Result<(String, String, std::sync::Arc<Material>), Problem> {
    let state = &mut *aws.state();
    let id = find(state, input, "KeyId")?;
    let key = &state.keys[&id];
    states::demand(operation, &id, key.state)?;
    if key.usage != usage {
        let text = format!(
            "{} key usage is {} which is not valid for this call",
            key_arn(&id),
            key.usage
        );
        return Err(Problem::new("InvalidKeyUsageException", text));
    }
    Ok((id, key.spec.clone(), key.material.clone()))
}

fn sign(aws: &Aws, input: &Map<String, Value>) -> Answer {
    let message = blob(input, "Message", 4096)?;
    let algorithm = text(input, "SigningAlgorithm")?.to_owned();
    let is_digest = match input.get("MessageType").and_then(Value::as_str).unwrap_or("RAW") {
        "RAW" => false,
        "DIGEST" => true,
        _ => return Err(Problem::validation("MessageType")),
    };
    let (id, spec, material) = usable(aws, "Sign", input, "SIGN_VERIFY")?;
    if !Material::signing_algorithms(&spec).contains(&algorithm.as_str()) {
        let text = format!("Algorithm {algorithm} is incompatible with key spec {spec}.");
        return Err(Problem::new("InvalidKeyUsageException", text));
    }
    let signature = material
        .sign(&algorithm, &message, is_digest)
        .map_err(Problem::validation)?;
    dry_run(input)?;
    Ok(json!({"KeyId": key_arn(&id), "Signature": base64(&signature), "SigningAlgorithm": algorithm}))
}

/// The encryption context, sorted by name and with each part preceded by its length, and the id of the key.
fn context(input: &Map<String, Value>, id: &str) -> Result<Vec<u8>, Problem> {
    let mut pairs = BTreeMap::new();
    for (name, value) in input
        .get("EncryptionContext")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let value = value.as_str().ok_or_else(|| Problem::validation("EncryptionContext"))?;
        pairs.insert(name.as_str(), value);
    }
    let mut octets = id.as_bytes().to_vec();
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        octets.extend((part.len() as u64).to_be_bytes());
        octets.extend(part.as_bytes());
    }
    match octets.len() {
        0..=8192 => Ok(octets),
        _ => Err(Problem::validation("EncryptionContext is too long")),
    }
}

fn encrypt(aws: &Aws, input: &Map<String, Value>) -> Answer {
    let plaintext = blob(input, "Plaintext", 4096)?;
    if plaintext.is_empty() {
        return Err(Problem::validation(
            "Plaintext must have length greater than or equal to 1",
        ));
    }
    let (id, _, material) = usable(aws, "Encrypt", input, "ENCRYPT_DECRYPT")?;
    let context = context(input, &id)?;
    dry_run(input)?;
    let body = material.encrypt(&plaintext, &context).unwrap_or_default();
    let ciphertext = [id.as_bytes(), &body].concat();
    Ok(
        json!({"KeyId": key_arn(&id), "CiphertextBlob": base64(&ciphertext), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}),
    )
}

fn decrypt(aws: &Aws, input: &Map<String, Value>) -> Answer {
    let invalid = || Problem::new("InvalidCiphertextException", "");
    let ciphertext = blob(input, "CiphertextBlob", 6144)?;
    let (of, body) = ciphertext.split_at_checked(ID).ok_or_else(invalid)?;
    let of = std::str::from_utf8(of).map_err(|_| invalid())?;
    let mut named = input.clone();
    if !named.contains_key("KeyId") {
        named.insert("KeyId".to_owned(), json!(of));
    }
    let (id, _, material) = usable(aws, "Decrypt", &named, "ENCRYPT_DECRYPT")?;
    if of != id {
        // If no such key ever existed, the bytes are not a ciphertext.
        return match aws.state().keys.contains_key(of) {
            true => Err(Problem::new(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )),
            false => Err(invalid()),
        };
    }
    let plaintext = material.decrypt(body, &context(input, &id)?).ok_or_else(invalid)?;
    dry_run(input)?;
    Ok(json!({"KeyId": key_arn(&id), "Plaintext": base64(&plaintext), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
}
