//! `signet check` for Vault: each permission on its own.
//!
//! Vault reports what a token may do on a path (`sys/capabilities-self`), so nothing that would
//! leave traces has to be tried.
//!
//! It does not report whether a policy's `allowed_parameters` match, or whether a quota or a control group blocks a
//! path at the moment. Therefore everything that can be read is also read.

use std::collections::BTreeMap;
use std::future::{Future, ready};

use signet_api::{ErrorKind, Failure, Operation, ProviderError, Trials};
use signet_core::Algorithm;
use signet_core::algorithm::RsaBits;

use crate::NAME;
use crate::capabilities::{CAPABILITIES, held};
use crate::client::{Client, grant};
use crate::handle::{Remote, RingState};
use crate::kv::Secret;
use crate::mount;
use crate::names::transit_key;

/// A capability on a path, and why it is needed.
struct Needed {
    path: String,
    capability: &'static str,
    needed_for: &'static str,
    /// The whole stanza that grants it, if it is more than the path with the capability.
    stanza: Option<String>,
}

impl Needed {
    fn new(path: impl Into<String>, capability: &'static str, needed_for: &'static str) -> Self {
        Self {
            path: path.into(),
            capability,
            needed_for,
            stanza: None,
        }
    }
}

async fn ask_capabilities(client: &Client, paths: Vec<&str>) -> Result<BTreeMap<String, Vec<String>>, ProviderError> {
    held(client, paths)
        .await
        .map_err(|failure| failure.at(NAME, Operation::Check))
}

/// Checks that the server can be reached and accepts the token.
async fn token(client: &Client, trials: &mut Trials) {
    let permission = format!("reach {} and log in ({})", client.address(), client.login());
    let stanza = grant(CAPABILITIES, "\"update\"");
    let granted = ask_capabilities(client, vec![CAPABILITIES]);
    trials.permission(permission, "everything", Some(stanza), granted).await;
}

/// Checks all needed capabilities, each in a row of its own.
async fn capabilities(client: &Client, mut needed: Vec<Needed>, trials: &mut Trials) {
    needed.push(Needed::new(
        "auth/token/lookup-self",
        "read",
        "telling an expired token from a missing permission",
    ));
    needed.push(Needed::new(
        "auth/token/renew-self",
        "update",
        "keeping the token alive",
    ));
    if trials.is_over() {
        return;
    }
    let granted = ask_capabilities(client, needed.iter().map(|needed| needed.path.as_str()).collect()).await;
    for needed in needed {
        let capability = needed.capability;
        let permission = format!("{capability} {}", needed.path);
        let stanza = needed
            .stanza
            .unwrap_or_else(|| grant(&needed.path, &format!("\"{capability}\"")));
        let granted = match &granted {
            Ok(granted) => granted,
            // The missing permission already has a row of its own.
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                let why = format!(
                    "Vault does not say what the token may do: {}",
                    grant(CAPABILITIES, "\"update\"")
                );
                trials.not_tried(permission, needed.needed_for, why);
                continue;
            }
            Err(error) => {
                let failed = ProviderError::new(error.provider, error.operation, error.kind, error.source.to_string());
                trials
                    .permission(permission, needed.needed_for, Some(stanza), ready(Err::<(), _>(failed)))
                    .await;
                continue;
            }
        };
        let has = |held: &String| held == capability || held == "root";
        let outcome = match granted.get(&needed.path) {
            Some(held) if held.iter().any(has) => Ok(()),
            _ => {
                let text = format!("the token's policies lack: {stanza}");
                Err(Failure::new(ErrorKind::PermissionDenied, text).at(NAME, Operation::Check))
            }
        };
        trials
            .permission(permission, needed.needed_for, Some(stanza), ready(outcome))
            .await;
    }
}

async fn transit_is_mounted(client: &Client, mount: &str, path: &str, needed_for: &'static str, trials: &mut Trials) {
    let mounted = mount::expect_transit(client, mount, path);
    property(format!("transit is mounted at {mount}"), needed_for, mounted, trials).await;
}

async fn property<T>(
    what: String,
    needed_for: &'static str,
    call: impl Future<Output = Result<T, Failure>>,
    trials: &mut Trials,
) -> Option<T> {
    let call = async { call.await.map_err(|failure| failure.at(NAME, Operation::Check)) };
    trials.property(what, needed_for, call).await
}

/// Checks what sealed custody needs from transit.
pub(crate) async fn sealer(client: &Client, mount: &str, encrypt: &str, decrypt: &str, trials: &mut Trials) {
    let needed = vec![
        Needed::new(encrypt, "update", "encrypting private keys"),
        Needed::new(decrypt, "update", "decrypting private keys"),
    ];
    token(client, trials).await;
    capabilities(client, needed, trials).await;
    transit_is_mounted(client, mount, encrypt, "encrypting and decrypting private keys", trials).await;
}

/// Checks what the ring store needs from KV.
pub(crate) async fn store(client: &Client, secret: &Secret, trials: &mut Trials) {
    token(client, trials).await;
    capabilities(client, kv(secret, "the ring"), trials).await;
    kv_2(client, secret, trials).await;
}

fn kv(secret: &Secret, what: &'static str) -> Vec<Needed> {
    let (reading, first, next) = match what {
        "the ring" => ("reading the ring", "writing the first ring", "writing the next ring"),
        _ => (
            "reading the record",
            "writing the first record",
            "writing the next record",
        ),
    };
    [("read", reading), ("create", first), ("update", next)]
        .map(|(capability, needed_for)| Needed::new(secret.data_path(), capability, needed_for))
        .into()
}

async fn kv_2(client: &Client, secret: &Secret, trials: &mut Trials) {
    let mounted = mount::expect_kv_2(client, secret.mount(), secret.data_path());
    let what = format!("KV version 2 is mounted at {}", secret.mount());
    property(what, "changing the ring by check-and-set", mounted, trials).await;
}

/// Checks what remote custody needs from transit and KV.
pub(crate) async fn remote(remote: &Remote, trials: &mut Trials) {
    let client = &remote.client;
    token(client, trials).await;
    if trials.is_over() {
        return;
    }
    // This row comes after those of the permissions. For a token that may not look itself up, Signet cannot tell a
    // missing permission from an expired token, and an expired token ends the table.
    let read = remote.read_ring().await;
    // This crate does not know the configured algorithm, so that of the newest key is used.
    let name = read.as_ref().ok().and_then(|ring| {
        let entry = ring.record.keys.last()?;
        Some(entry.place.transit_key.clone())
    });
    let name = name.unwrap_or_else(|| transit_key(&remote.ring, Algorithm::ES256, RsaBits::B2048));
    let key = remote.transit.key_path(&name);
    let keys = format!("{}.*", remote.ring);
    let stanza = |path: String, capabilities: &str, parameters: &str| {
        Some(format!(
            "path \"{path}\" {{ capabilities = [{capabilities}]{parameters} }}"
        ))
    };
    let on_keys = stanza(
        remote.transit.key_path(&keys),
        "\"create\", \"read\", \"update\"",
        " allowed_parameters = { \"type\" = [], \"exportable\" = [false], \"allow_plaintext_backup\" = [false], \
         \"min_encryption_version\" = [] }",
    );
    let on_sign = stanza(remote.transit.sign_path(&keys), "\"update\"", "");
    let mut needed = vec![
        (
            Needed::new(remote.transit.sign_path(&name), "update", "signing"),
            &on_sign,
        ),
        (Needed::new(&key, "read", "publishing keys"), &on_keys),
        (Needed::new(&key, "create", "creating the first key"), &on_keys),
        (
            Needed::new(format!("{key}/rotate"), "update", "creating the next key"),
            &on_keys,
        ),
        (
            Needed::new(format!("{key}/config"), "update", "retiring and revoking keys"),
            &on_keys,
        ),
    ];
    for (needed, stanza) in &mut needed {
        needed.stanza.clone_from(stanza);
    }
    let mut needed: Vec<Needed> = needed.into_iter().map(|(needed, _)| needed).collect();
    needed.extend(kv(&remote.record, "the record"));
    capabilities(client, needed, trials).await;
    let what = format!("read the ring from {} and transit", remote.record.location());
    let ring = property(what, "publishing and verifying", ready(read), trials).await;
    let mount = remote.transit.mount();
    transit_is_mounted(client, mount, &key, "creating keys and signing with them", trials).await;
    kv_2(client, &remote.record, trials).await;
    let what = "no transit key of the ring is exportable";
    let needed_for = "remote custody: the private keys never leave Vault";
    match ring {
        Some(ring) if ring.transit.is_empty() => trials.not_tried(what, needed_for, "the ring has no keys yet"),
        Some(ring) => {
            property(what.to_owned(), needed_for, ready(locked_in(remote, &ring)), trials).await;
        }
        None => trials.not_tried(what, needed_for, "the ring could not be read"),
    }
}

fn locked_in(remote: &Remote, ring: &RingState) -> Result<(), Failure> {
    let held = ring
        .transit
        .iter()
        .filter_map(|(name, held)| Some((name, held.as_ref()?)));
    for (name, held) in held {
        if held.exportable || held.allow_plaintext_backup {
            return Err(Failure::new(
                ErrorKind::InvalidConfig,
                format!(
                    "somebody made {} exportable or allowed its backup in plain text, and Vault cannot undo that. \
                     Start a new ring with another SIGNET_KEY",
                    remote.transit.key_path(name)
                ),
            ));
        }
    }
    Ok(())
}
