//! The calls of the vault, with its rules.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::answers::{bad_parameter, challenge, error, key_not_found, no_permission, text};
use super::keys::{EC_OPERATIONS, RSA_OPERATIONS, Version};
use super::{Azure, State, base};
use crate::server::{Request, Response};

const API_VERSIONS: [&str; 4] = ["7.4", "7.5", "7.6", "2025-07-01"];
const MOST_TAGS: usize = 15;
const LONGEST_TAG: usize = 256;
const MOST_RESULTS: usize = 25;

/// A call of the vault.
pub(super) struct Call<'a> {
    pub(super) operation: &'static str,
    action: &'static str,
    name: &'a str,
    version: &'a str,
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: &'static str, action: &'static str, name: &'a str, version: &'a str) -> Self {
        Self {
            operation,
            action,
            name,
            version,
        }
    }
}

type Answer = Result<Response, Response>;

impl Azure {
    /// Authenticates and authorises the caller before it looks at the object of the call.
    pub(super) fn vault(&self, request: &Request, call: &Call<'_>) -> Response {
        let caller = match self.caller(request) {
            Ok(caller) => caller,
            Err(why) => return challenge(&base(request), why),
        };
        match request.parameter("api-version") {
            Some(version) if API_VERSIONS.contains(&version) => {}
            Some(_) => return bad_parameter("The specified version is not recognized."),
            None => return bad_parameter("The request URI does not have an api-version."),
        }
        let action = format!("Microsoft.KeyVault/vaults/keys/{}", call.action);
        let allowed = self
            .state()
            .allowed
            .get(&caller)
            .is_none_or(|set| set.contains(&action));
        if !allowed {
            return no_permission(&caller, &action, call.name);
        }
        let well_named = |name: &str| {
            (1..=127).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        };
        if call.operation != "GetKeys" && !well_named(call.name) {
            return bad_parameter("The request URI contains an invalid name.");
        }
        let answer = match call.operation {
            "CreateKey" => self.create(request, call.name),
            "GetKeys" => self.keys(request),
            "GetKeyVersions" => self.key_versions(request, call.name),
            "GetKey" => self.on_version(call, |version, _| {
                // Sources disagree about whether Azure allows this. The stricter behaviour is used here.
                enabled(version, "get")?;
                Ok(bundle(request, call.name, version))
            }),
            "UpdateKey" => self.update(request, call),
            "DeleteKey" | "GetDeletedKey" | "RecoverDeletedKey" | "PurgeDeletedKey" => self.deletion(request, call),
            _ => self.compute(request, call),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    /// Creates a version: <https://learn.microsoft.com/rest/api/keyvault/keys/create-key>.
    fn create(&self, request: &Request, name: &str) -> Answer {
        let body = request.json();
        let kty = text(&body, "kty")?;
        let shape = match kty {
            "EC" | "EC-HSM" => body.get("crv").and_then(Value::as_str).unwrap_or("P-256").to_owned(),
            _ => body.get("key_size").and_then(Value::as_i64).unwrap_or(2048).to_string(),
        };
        let now = self.now();
        if self.state().deleted.contains_key(name) {
            let message =
                format!("Key {name} is currently in a deleted but recoverable state, and its name cannot be reused.");
            return Err(error(409, "Conflict", Some("ObjectIsDeletedButRecoverable"), &message));
        }
        let mut version = Version::generate(kty, &shape, now)?;
        change(&mut version, &body)?;
        version.hidden = self.settings.hidden_for;
        let answer = bundle(request, name, &version);
        self.state().keys.entry(name.to_owned()).or_default().push(version);
        Ok(answer)
    }

    /// Updates a version: <https://learn.microsoft.com/rest/api/keyvault/keys/update-key>. Attributes that are named
    /// change; tags are replaced as a whole.
    fn update(&self, request: &Request, call: &Call<'_>) -> Answer {
        let body = request.json();
        self.on_version(call, |version, now| {
            change(version, &body)?;
            version.updated = now;
            Ok(bundle(request, call.name, version))
        })
    }

    /// Runs on the named version, or on the latest.
    fn on_version(&self, call: &Call<'_>, run: impl FnOnce(&mut Version, i64) -> Answer) -> Answer {
        let now = self.now();
        let mut state = self.state();
        let versions = state.keys.get_mut(call.name).map(Vec::as_mut_slice).unwrap_or_default();
        let found = match call.version {
            "" => versions.iter_mut().rev().find(|version| version.hidden == 0),
            id => versions.iter_mut().find(|version| version.id == id),
        };
        match found {
            Some(version) if version.hidden == 0 => run(version, now),
            Some(version) => {
                version.hidden -= 1;
                Err(key_not_found(call.name, call.version))
            }
            None => Err(key_not_found(call.name, call.version)),
        }
    }

    /// Lists versions: <https://learn.microsoft.com/rest/api/keyvault/keys/get-key-versions>. A key
    /// that does not exist has none.
    fn key_versions(&self, request: &Request, name: &str) -> Answer {
        let mut state = self.state();
        let mut items = Vec::new();
        for version in state.keys.get_mut(name).into_iter().flatten() {
            if version.hidden > 0 {
                version.hidden -= 1;
                continue;
            }
            let kid = format!("{}/keys/{name}/{}", base(request), version.id);
            let item = json!({ "kid": kid, "attributes": version.attributes(), "tags": version.tags });
            items.push((version.id.clone(), item));
        }
        self.page(request, items)
    }

    fn keys(&self, request: &Request) -> Answer {
        let state = self.state();
        let items = state.keys.iter().filter_map(|(name, versions)| {
            let latest = versions.last()?;
            let kid = format!("{}/keys/{name}", base(request));
            let item = json!({ "kid": kid, "attributes": latest.attributes(), "tags": latest.tags });
            Some((name.clone(), item))
        });
        self.page(request, items.collect())
    }

    /// One page of results. The order has no meaning.
    fn page(&self, request: &Request, mut items: Vec<(String, Value)>) -> Answer {
        let most = match request.parameter("maxresults").map(str::parse::<usize>) {
            None => MOST_RESULTS,
            Some(Ok(most)) if (1..=MOST_RESULTS).contains(&most) => most,
            Some(_) => return Err(bad_parameter("maxresults must be between 1 and 25")),
        };
        let most = most.min(self.settings.page);
        items.sort_by(|(a, _), (b, _)| a.cmp(b));
        let after = request.parameter("$skiptoken").unwrap_or_default();
        let mut rest = items.into_iter().filter(|(id, _)| id.as_str() > after);
        let page: Vec<(String, Value)> = rest.by_ref().take(most).collect();
        let next = match (page.last(), rest.next()) {
            (Some((id, _)), Some(_)) => {
                let version = request.parameter("api-version").unwrap_or_default();
                let path = &request.path;
                json!(format!(
                    "{}{path}?api-version={version}&$skiptoken={id}&maxresults={most}",
                    base(request)
                ))
            }
            _ => Value::Null,
        };
        let values: Vec<Value> = page.into_iter().map(|(_, item)| item).collect();
        Ok(Response::json(200, &json!({ "value": values, "nextLink": next })))
    }

    fn deletion(&self, request: &Request, call: &Call<'_>) -> Answer {
        let mut state = self.state();
        let State { keys, deleted, .. } = &mut *state;
        let (from, to) = match call.operation {
            "DeleteKey" => (keys, deleted),
            "GetDeletedKey" => {
                let versions = deleted.get(call.name).and_then(|versions| versions.last());
                return versions
                    .map(|version| deleted_bundle(request, call.name, version))
                    .ok_or_else(|| key_not_found(call.name, ""));
            }
            _ => (deleted, keys),
        };
        let versions = from.remove(call.name).ok_or_else(|| key_not_found(call.name, ""))?;
        let latest = versions.last().ok_or_else(|| key_not_found(call.name, ""))?;
        let answer = match call.operation {
            "PurgeDeletedKey" => return Ok(Response::new(204, "application/json", "")),
            "DeleteKey" => deleted_bundle(request, call.name, latest),
            _ => bundle(request, call.name, latest),
        };
        to.insert(call.name.to_owned(), versions);
        Ok(answer)
    }

    /// Signs or decrypts: <https://learn.microsoft.com/rest/api/keyvault/keys/sign> and similar calls.
    fn compute(&self, request: &Request, call: &Call<'_>) -> Answer {
        let body = request.json();
        self.on_version(call, |version, now| {
            let operation = match call.operation {
                "Sign" => "sign",
                "UnwrapKey" => "unwrapKey",
                "Decrypt" => "decrypt",
                "Verify" => "verify",
                "WrapKey" => "wrapKey",
                _ => "encrypt",
            };
            enabled(version, operation)?;
            let early = version.nbf.is_some_and(|nbf| now < nbf);
            let late = version.exp.is_some_and(|exp| now >= exp);
            if (early || late) && !matches!(call.operation, "Decrypt" | "UnwrapKey" | "Verify") {
                let message =
                    format!("Operation {operation} is not allowed on a key that is not yet valid or expired.");
                return Err(error(403, "Forbidden", Some("KeyNotYetValidOrExpired"), &message));
            }
            if !version.operations.iter().any(|allowed| allowed == operation) {
                let message = format!("Operation {operation} is not permitted on this key.");
                return Err(error(403, "Forbidden", Some("KeyOperationForbidden"), &message));
            }
            let algorithm = text(&body, "alg")?;
            let value = octets(&body, "value")?;
            let result = match call.operation {
                "Sign" => version.sign(algorithm, &value)?,
                "Verify" => {
                    let holds = version.verify(algorithm, &octets(&body, "digest")?, &value)?;
                    return Ok(Response::json(200, &json!({ "value": holds })));
                }
                "WrapKey" | "Encrypt" => version.encrypt(algorithm, &value)?,
                _ => version.decrypt(algorithm, &value)?,
            };
            let kid = format!("{}/keys/{}/{}", base(request), call.name, version.id);
            Ok(Response::json(
                200,
                &json!({ "kid": kid, "value": URL_SAFE_NO_PAD.encode(result) }),
            ))
        })
    }
}

/// Refuses a disabled version. <https://learn.microsoft.com/azure/key-vault/keys/about-keys-details>: "enabled …
/// specifies if the key is enabled and useable for cryptographic operations".
fn enabled(version: &Version, operation: &str) -> Result<(), Response> {
    match version.enabled {
        true => Ok(()),
        false => {
            let message = format!("Operation {operation} is not allowed on a disabled key.");
            Err(error(403, "Forbidden", Some("KeyDisabled"), &message))
        }
    }
}

fn octets(body: &Value, name: &str) -> Result<Vec<u8>, Response> {
    URL_SAFE_NO_PAD
        .decode(text(body, name)?)
        .map_err(|_| bad_parameter(&format!("Property {name} is not base64url")))
}

/// Applies the attributes that `create` and `update` share.
fn change(version: &mut Version, body: &Value) -> Result<(), Response> {
    if let Some(tags) = body.get("tags").and_then(Value::as_object) {
        if tags.len() > MOST_TAGS {
            return Err(bad_parameter("The number of tags must not exceed 15."));
        }
        let mut taken = BTreeMap::new();
        for (name, value) in tags {
            let value = value
                .as_str()
                .ok_or_else(|| bad_parameter("A tag's value must be text."))?;
            if name.chars().count() > LONGEST_TAG || value.chars().count() > LONGEST_TAG {
                return Err(bad_parameter("The tag name or value exceeds 256 characters."));
            }
            taken.insert(name.clone(), value.to_owned());
        }
        version.tags = taken;
    }
    if let Some(attributes) = body.get("attributes") {
        let instant = |name: &str| attributes.get(name).and_then(Value::as_i64);
        let (nbf, exp) = (instant("nbf").or(version.nbf), instant("exp").or(version.exp));
        if nbf.zip(exp).is_some_and(|(nbf, exp)| exp <= nbf) {
            return Err(bad_parameter("exp must be later than nbf"));
        }
        (version.nbf, version.exp) = (nbf, exp);
        if let Some(enabled) = attributes.get("enabled").and_then(Value::as_bool) {
            version.enabled = enabled;
        }
    }
    if let Some(operations) = body.get("key_ops").and_then(Value::as_array) {
        let possible: &[&str] = match version.kty.starts_with("RSA") {
            true => &RSA_OPERATIONS,
            false => &EC_OPERATIONS,
        };
        let wanted: Vec<String> = operations
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect();
        if let Some(wrong) = wanted.iter().find(|one| !possible.contains(&one.as_str())) {
            return Err(bad_parameter(&format!(
                "Operation {wrong} is not supported by this key."
            )));
        }
        version.operations = wanted;
    }
    Ok(())
}

fn bundle_value(request: &Request, name: &str, version: &Version) -> Value {
    let kid = format!("{}/keys/{name}/{}", base(request), version.id);
    let mut bundle = json!({ "key": version.jwk(&kid), "attributes": version.attributes() });
    if !version.tags.is_empty() {
        bundle["tags"] = json!(version.tags);
    }
    bundle
}

fn bundle(request: &Request, name: &str, version: &Version) -> Response {
    Response::json(200, &bundle_value(request, name, version))
}

fn deleted_bundle(request: &Request, name: &str, version: &Version) -> Response {
    let mut bundle = bundle_value(request, name, version);
    bundle["recoveryId"] = json!(format!("{}/deletedkeys/{name}", base(request)));
    bundle["deletedDate"] = json!(version.updated);
    bundle["scheduledPurgeDate"] = json!(version.updated + 90 * 86_400);
    Response::json(200, &bundle)
}
