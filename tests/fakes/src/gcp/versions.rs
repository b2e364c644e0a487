//! Versions of crypto keys, with their states.

use serde_json::{Value, json};

use super::Google;
use super::cipher::Material;
use super::keys::{Answer, key, mask, page};
use super::state::{State, Version};
use super::wire::{Problem, STATES, SYMMETRIC, body, chosen, crc, instant, pem, symbol};
use crate::server::Request;

pub(crate) fn parted(name: &str) -> (&str, Option<u64>) {
    let (key, number) = name.split_once("/cryptoKeyVersions/").unwrap_or((name, ""));
    (key, number.parse().ok())
}

pub(crate) fn with_version<T>(
    state: &mut State,
    name: &str,
    use_of_it: impl FnOnce(&mut Version) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let missing = || Problem::not_found(&format!("CryptoKeyVersion {name}"));
    let (key, number) = parted(name);
    let key = state.keys.get_mut(key).ok_or_else(missing)?;
    let version = key.versions.iter_mut().find(|version| Some(version.number) == number);
    let version = version.ok_or_else(missing)?;
    if !version.look() {
        return Err(missing());
    }
    use_of_it(version)
}

pub(crate) fn show_version(request: &Request, key: &str, version: &Version) -> Value {
    let mut shown = json!({
        "name": format!("{key}/cryptoKeyVersions/{}", version.number),
        "state": symbol(request, version.state),
        "protectionLevel": symbol(request, version.protection),
        "algorithm": symbol(request, version.algorithm),
        "createTime": instant(version.created),
    });
    if version.state == "GENERATION_FAILED" {
        shown["generationFailureReason"] = json!("the module has no more room");
    } else if version.state != "PENDING_GENERATION" {
        shown["generateTime"] = json!(instant(version.created));
    }
    if version.state == "DESTROY_SCHEDULED" {
        shown["destroyTime"] = json!(instant(version.created + 30 * 86_400_000_000));
    }
    shown
}

pub(crate) fn create_version(google: &Google, request: &Request, name: &str) -> Answer {
    body(request, &["name", "state"])?;
    let number = make_version(google, name)?;
    let state = google.state();
    let versions = &key(&state, name)?.versions;
    Ok(show_version(
        request,
        name,
        versions.iter().find(|version| version.number == number).unwrap(),
    ))
}

pub(crate) fn make_version(google: &Google, name: &str) -> Result<u64, Problem> {
    let algorithm = key(&google.state(), name)?.algorithm;
    // Generated outside of the lock, because an RSA key takes long.
    let material = Material::generate(algorithm);
    let mut state = google.state();
    let (created, pending, invisible, fails) = (state.now(), state.pending, state.invisible, state.failing);
    let key = state.keys.get_mut(name).ok_or_else(|| Problem::not_found(name))?;
    let number = key.versions.last().map_or(1, |last| last.number + 1);
    let asymmetric = key.purpose == "ASYMMETRIC_SIGN";
    let waits = asymmetric && (pending > 0 || fails);
    key.versions.push(Version {
        number,
        state: if waits { "PENDING_GENERATION" } else { "ENABLED" },
        algorithm,
        protection: key.protection,
        created,
        invisible,
        pending,
        fails,
        material,
    });
    Ok(number)
}

pub(crate) fn list_versions(state: &mut State, request: &Request, name: &str) -> Answer {
    key(state, name)?;
    let versions = &mut state.keys.get_mut(name).unwrap().versions;
    let seen: Vec<u64> = versions
        .iter_mut()
        .filter_map(|version| version.look().then_some(version.number))
        .collect();
    let versions = state.keys[name]
        .versions
        .iter()
        .filter(|version| seen.contains(&version.number));
    let all: Vec<Value> = versions.map(|version| show_version(request, name, version)).collect();
    page(state, request, "cryptoKeyVersions", &all)
}

pub(crate) fn one_version(request: &Request, operation: &str, name: &str, version: &mut Version) -> Answer {
    let (key, _) = parted(name);
    let wrong = |version: &Version| {
        let message = format!(
            "The request cannot be fulfilled. Resource {name} has value {} in field state.",
            version.state
        );
        Err(Problem::new(400, "FAILED_PRECONDITION", &message))
    };
    match operation {
        "GetCryptoKeyVersion" => {}
        "UpdateCryptoKeyVersion" => {
            let sent = body(request, &["name", "state"])?;
            if mask(request)? != ["state"] {
                return Err(Problem::invalid("Only the field state can be updated."));
            }
            if !STATES.contains(&version.state) {
                return wrong(version);
            }
            version.state = chosen(&sent["state"], STATES)?;
        }
        "DestroyCryptoKeyVersion" if STATES.contains(&version.state) => version.state = "DESTROY_SCHEDULED",
        "RestoreCryptoKeyVersion" if version.state == "DESTROY_SCHEDULED" => version.state = "DISABLED",
        _ => return wrong(version),
    }
    Ok(show_version(request, key, version))
}

pub(crate) fn public_key(state: &mut State, request: &Request, name: &str) -> Answer {
    with_version(state, name, |version| {
        if version.algorithm == SYMMETRIC {
            return Err(Problem::invalid("The key's purpose does not have a public key."));
        }
        if version.state != "ENABLED" {
            return Err(Problem::state(name, version.state));
        }
        let pem = pem("PUBLIC KEY", &version.material.public());
        Ok(json!({
            "pem": pem,
            "pemCrc32c": crc(pem.as_bytes()),
            "algorithm": symbol(request, version.algorithm),
            "name": name,
            "protectionLevel": symbol(request, version.protection),
            "publicKeyFormat": symbol(request, "PEM"),
        }))
    })
}
