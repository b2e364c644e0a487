//! Cloud KMS: <https://cloud.google.com/kms/docs/reference/rest>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Google;
use super::login::caller;
use super::routes::Route;
use super::state::{Key, State};
use super::using::{decrypt, encrypt, sign};
use super::versions::{
    create_version, list_versions, make_version, one_version, public_key, show_version, with_version,
};
use super::wire::{LEVELS, PURPOSES, Problem, SYMMETRIC, algorithms, body, chosen, instant, only, symbol};
use crate::server::{Request, Response};

pub(crate) type Answer = Result<Value, Problem>;

pub(crate) fn answer(google: &Google, request: &Request, route: &Route) -> Result<Response, Problem> {
    let who = caller(&mut google.state(), request)?;
    let (name, state) = (route.resource.as_str(), || google.state());
    if route.operation == "Unknown" {
        return Err(Problem::new(404, "NOT_FOUND", "Method not found."));
    }
    if !route.permission.is_empty() && !state().may(&who, route.permission) {
        return Err(Problem::denied(route.permission, name));
    }
    let answer = match route.operation {
        "TestIamPermissions" => permissions(&state(), request, &who),
        "ListKeyRings" => list_rings(&state(), request, name),
        "CreateKeyRing" => create_ring(&mut state(), request, name),
        "GetKeyRing" => get_ring(&state(), name),
        "ListCryptoKeys" => list_keys(&state(), request, name),
        "CreateCryptoKey" => create_key(google, request, name),
        "GetCryptoKey" => key(&state(), name).map(|key| show_key(request, name, key)),
        "UpdateCryptoKey" => update_key(&mut state(), request, name),
        "Encrypt" => encrypt(&state(), request, name),
        "Decrypt" => decrypt(&state(), request, name),
        "ListCryptoKeyVersions" => list_versions(&mut state(), request, name),
        "CreateCryptoKeyVersion" => create_version(google, request, name),
        "AsymmetricSign" => sign(&state(), request, name),
        "GetPublicKey" => public_key(&mut state(), request, name),
        other => with_version(&mut state(), name, |version| one_version(request, other, name, version)),
    };
    Ok(Response::json(200, &answer?))
}

pub(crate) fn key<'a>(state: &'a State, name: &str) -> Result<&'a Key, Problem> {
    state
        .keys
        .get(name)
        .ok_or_else(|| Problem::not_found(&format!("CryptoKey {name}")))
}

fn permissions(state: &State, request: &Request, who: &str) -> Answer {
    let asked = body(request, &["permissions", "resource"])?;
    let asked = asked["permissions"].as_array().cloned().unwrap_or_default();
    let granted: Vec<Value> = asked
        .into_iter()
        .filter(|permission| state.may(who, permission.as_str().unwrap_or_default()))
        .collect();
    // An empty repeated field is left out.
    Ok(if granted.is_empty() {
        json!({})
    } else {
        json!({ "permissions": granted })
    })
}

fn show_key(request: &Request, name: &str, key: &Key) -> Value {
    let mut shown = json!({
        "name": name,
        "purpose": symbol(request, key.purpose),
        "createTime": instant(key.created),
        "versionTemplate": {
            "protectionLevel": symbol(request, key.protection),
            "algorithm": symbol(request, key.algorithm),
        },
        "destroyScheduledDuration": "2592000s",
    });
    if !key.labels.is_empty() {
        shown["labels"] = json!(key.labels);
    }
    if let (Some(primary), "ENCRYPT_DECRYPT") = (key.versions.last(), key.purpose) {
        shown["primary"] = show_version(request, name, primary);
    }
    shown
}

/// One page of a list, with the token of the next page and the total number.
pub(crate) fn page(state: &State, request: &Request, field: &str, all: &[Value]) -> Answer {
    let number = |name: &str| request.parameter(name).filter(|text| !text.is_empty());
    let size = match number("pageSize").map(str::parse) {
        None | Some(Ok(0)) => 100,
        Some(Ok(size)) => size,
        Some(Err(_)) => return Err(Problem::invalid("Invalid value at 'page_size' (TYPE_INT32)")),
    };
    let from = match number("pageToken") {
        None => 0,
        Some(token) => token
            .strip_prefix("after-")
            .and_then(|text| text.parse().ok())
            .filter(|from| *from < all.len())
            .ok_or_else(|| Problem::invalid("The page token is invalid."))?,
    };
    let until = all.len().min(from + std::cmp::min(size, state.page));
    let mut shown = json!({ "totalSize": all.len() });
    if from < until {
        shown[field] = json!(all[from..until]);
    }
    if until < all.len() {
        shown["nextPageToken"] = json!(format!("after-{until}"));
    }
    Ok(shown)
}

fn list_rings(state: &State, request: &Request, location: &str) -> Answer {
    let prefix = format!("{location}/keyRings/");
    let rings = state.rings.iter().filter(|(name, _)| name.starts_with(&prefix));
    let all: Vec<Value> = rings
        .map(|(name, at)| json!({ "name": name, "createTime": instant(*at) }))
        .collect();
    page(state, request, "keyRings", &all)
}

fn get_ring(state: &State, name: &str) -> Answer {
    let created = state
        .rings
        .get(name)
        .ok_or_else(|| Problem::not_found(&format!("KeyRing {name}")))?;
    Ok(json!({ "name": name, "createTime": instant(*created) }))
}

fn create_ring(state: &mut State, request: &Request, location: &str) -> Answer {
    body(request, &["name", "createTime"])?;
    let name = format!("{location}/keyRings/{}", id(request, "keyRingId")?);
    if state.rings.contains_key(&name) {
        return Err(Problem::new(
            409,
            "ALREADY_EXISTS",
            &format!("KeyRing {name} already exists."),
        ));
    }
    let now = state.now();
    state.rings.insert(name.clone(), now);
    get_ring(state, &name)
}

fn id<'a>(request: &'a Request, parameter: &str) -> Result<&'a str, Problem> {
    let id = request.parameter(parameter).unwrap_or_default();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (1..=63).contains(&id.len()) && id.chars().all(good) {
        true => Ok(id),
        false => Err(Problem::invalid(&format!(
            "{parameter} must match [a-zA-Z0-9_-]{{1,63}}"
        ))),
    }
}

fn list_keys(state: &State, request: &Request, ring: &str) -> Answer {
    get_ring(state, ring)?;
    let prefix = format!("{ring}/cryptoKeys/");
    let keys = state.keys.iter().filter(|(name, _)| name.starts_with(&prefix));
    let all: Vec<Value> = keys.map(|(name, key)| show_key(request, name, key)).collect();
    page(state, request, "cryptoKeys", &all)
}

fn labels(value: &Value) -> Result<BTreeMap<String, String>, Problem> {
    let empty = serde_json::Map::new();
    let object = value.as_object().unwrap_or(&empty);
    let good = |text: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        text.len() <= 63 && text.chars().all(allowed)
    };
    let mut labels = BTreeMap::new();
    for (key, value) in object {
        let value = value.as_str().unwrap_or("?");
        if !good(key) || !good(value) || !key.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Problem::invalid(&format!(
                "Label {key}: {value} does not match [a-z0-9_-]{{0,63}}"
            )));
        }
        labels.insert(key.clone(), value.to_owned());
    }
    match labels.len() > 64 {
        true => Err(Problem::invalid(
            "No more than 64 labels can be associated with a given resource.",
        )),
        false => Ok(labels),
    }
}

/// The algorithm of a template, if versions with this purpose can have it.
fn algorithm(value: &Value, purpose: &str) -> Result<&'static str, Problem> {
    let algorithm = chosen(value, &algorithms())?;
    match (algorithm == SYMMETRIC) == (purpose == "ENCRYPT_DECRYPT") {
        true => Ok(algorithm),
        false => Err(Problem::invalid(&format!(
            "Algorithm {algorithm} is not valid for purpose {purpose}."
        ))),
    }
}

fn create_key(google: &Google, request: &Request, ring: &str) -> Answer {
    let sent = body(
        request,
        &[
            "purpose",
            "versionTemplate",
            "labels",
            "name",
            "destroyScheduledDuration",
        ],
    )?;
    let name = format!("{ring}/cryptoKeys/{}", id(request, "cryptoKeyId")?);
    let purpose = chosen(&sent["purpose"], PURPOSES)?;
    let template = &sent["versionTemplate"];
    if !template.is_null() {
        only(template, &["algorithm", "protectionLevel"])?;
    }
    let algorithm = match &template["algorithm"] {
        Value::Null if purpose == "ENCRYPT_DECRYPT" => SYMMETRIC,
        Value::Null => {
            return Err(Problem::invalid(
                "version_template.algorithm is required for this purpose.",
            ));
        }
        value => algorithm(value, purpose)?,
    };
    let protection = match &template["protectionLevel"] {
        Value::Null => "SOFTWARE",
        value if value.as_i64() == Some(0) => "SOFTWARE",
        value => chosen(value, LEVELS)?,
    };
    let labels = labels(&sent["labels"])?;
    {
        let mut state = google.state();
        get_ring(&state, ring)?;
        if state.keys.contains_key(&name) {
            return Err(Problem::new(
                409,
                "ALREADY_EXISTS",
                &format!("CryptoKey {name} already exists."),
            ));
        }
        let key = Key {
            purpose,
            algorithm,
            protection,
            created: state.now(),
            labels,
            versions: Vec::new(),
        };
        state.keys.insert(name.clone(), key);
    }
    if request.parameter("skipInitialVersionCreation") != Some("true") {
        make_version(google, &name)?;
    }
    let state = google.state();
    Ok(show_key(request, &name, key(&state, &name)?))
}

/// Creates a key with its first version.
pub(crate) fn insert(google: &Google, name: &str, purpose: &'static str, algorithm: &'static str) {
    let mut state = google.state();
    let key = Key {
        purpose,
        algorithm,
        protection: "SOFTWARE",
        created: state.now(),
        labels: BTreeMap::new(),
        versions: Vec::new(),
    };
    state.keys.insert(name.to_owned(), key);
    drop(state);
    make_version(google, name).unwrap();
}

/// The paths of a mask, as in JSON.
pub(crate) fn mask(request: &Request) -> Result<Vec<String>, Problem> {
    let text = request.parameter("updateMask").unwrap_or_default();
    if text.is_empty() {
        return Err(Problem::invalid("update_mask is required."));
    }
    let camel = |path: &str| {
        let mut words = path.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |all, word| all + &word[..1].to_ascii_uppercase() + &word[1..])
    };
    Ok(text.split(',').map(camel).collect())
}

fn update_key(state: &mut State, request: &Request, name: &str) -> Answer {
    let sent = body(
        request,
        &[
            "name",
            "purpose",
            "versionTemplate",
            "labels",
            "createTime",
            "primary",
            "destroyScheduledDuration",
        ],
    )?;
    let purpose = key(state, name)?.purpose;
    let (mut new_labels, mut new_algorithm) = (None, None);
    for path in mask(request)? {
        match path.as_str() {
            "labels" => new_labels = Some(labels(&sent["labels"])?),
            "versionTemplate.algorithm" => {
                new_algorithm = Some(algorithm(&sent["versionTemplate"]["algorithm"], purpose)?)
            }
            other => return Err(Problem::invalid(&format!("The field {other} cannot be updated."))),
        }
    }
    let key = state.keys.get_mut(name).unwrap();
    if let Some(labels) = new_labels {
        key.labels = labels;
    }
    if let Some(algorithm) = new_algorithm {
        key.algorithm = algorithm;
    }
    Ok(show_key(request, name, key))
}
