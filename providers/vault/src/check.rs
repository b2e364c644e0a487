//! `signet check`: each permission on its own. Vault tells what a token may do on a path (`sys/capabilities-self`), so that
//! nothing has to be tried that would leave something behind.
//!
//! Two things it does not tell: whether a policy's `allowed_parameters` fit, and whether a path that a quota or a control
//! group guards is open at this moment. What can be read is read, for that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use signet_api::{Check, ErrorKind, Operation};
use signet_core::Algorithm;
use signet_core::algorithm::RsaBits;

use crate::client::{Call, Client, grant};
use crate::error::Failure;
use crate::kv::Secret;
use crate::mount;
use crate::names::transit_key;
use crate::provider::Remote;

const CAPABILITIES: &str = "sys/capabilities-self";

#[derive(Serialize)]
struct Asked<'a> {
    paths: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Told(BTreeMap<String, Vec<String>>);

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

fn check(
    permission: impl Into<String>,
    needed_for: &'static str,
    outcome: Result<(), Failure>,
    grant: Option<String>,
) -> Check {
    Check {
        permission: permission.into(),
        needed_for,
        outcome: outcome.map_err(|failure| failure.at(Operation::Check)),
        grant,
    }
}

/// Every capability that is needed, each as a check of its own, behind one that tries the token.
async fn capabilities(client: &Client, mut needed: Vec<Needed>) -> Vec<Check> {
    needed.push(Needed::new(
        "auth/token/lookup-self",
        "read",
        "telling a token that has died from a permission that is missing",
    ));
    needed.push(Needed::new(
        "auth/token/renew-self",
        "update",
        "keeping the token alive",
    ));
    let body = Asked {
        paths: needed.iter().map(|needed| needed.path.as_str()).collect(),
    };
    let told: Result<Told, Failure> = match Call::post(CAPABILITIES, &body) {
        Ok(call) => client.read(call).await,
        Err(failure) => Err(failure),
    };
    let token = |outcome| {
        let permission = format!("reach {} and be known there ({})", client.address(), client.login());
        let stanza = grant(CAPABILITIES, "\"update\"");
        check(permission, "everything", outcome, Some(stanza))
    };
    let told = match told {
        Ok(told) => told.0,
        Err(failure) => return vec![token(Err(failure))],
    };
    let mut checks = vec![token(Ok(()))];
    checks.extend(needed.into_iter().map(|needed| {
        let capability = needed.capability;
        let stanza = needed
            .stanza
            .unwrap_or_else(|| grant(&needed.path, &format!("\"{capability}\"")));
        let has = |held: &String| held == capability || held == "root";
        let outcome = match told.get(&needed.path) {
            Some(held) if held.iter().any(has) => Ok(()),
            _ => {
                let text = format!("the token's policies lack: {stanza}");
                Err(Failure::new(ErrorKind::PermissionDenied, text))
            }
        };
        let permission = format!("{capability} {}", needed.path);
        check(permission, needed.needed_for, outcome, Some(stanza))
    }));
    checks
}

/// What sealed custody needs of transit.
pub(crate) async fn sealer(client: &Client, mount: &str, encrypt: &str, decrypt: &str) -> Vec<Check> {
    let needed = vec![
        Needed::new(encrypt, "update", "sealing private keys"),
        Needed::new(decrypt, "update", "unsealing private keys"),
    ];
    let mut checks = capabilities(client, needed).await;
    let transit = mount::expect_transit(client, mount).await;
    checks.push(check(
        format!("transit is mounted at {mount}"),
        "sealing and unsealing private keys",
        transit,
        None,
    ));
    checks
}

/// What the ring store needs of KV.
pub(crate) async fn store(client: &Client, secret: &Secret) -> Vec<Check> {
    let mut checks = capabilities(client, kv(secret, "the ring")).await;
    checks.push(kv_2(client, secret).await);
    checks
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

async fn kv_2(client: &Client, secret: &Secret) -> Check {
    let mounted = mount::expect_kv_2(client, secret.mount()).await;
    let permission = format!("KV version 2 is mounted at {}", secret.mount());
    check(permission, "changing the ring by check-and-set", mounted, None)
}

/// What remote custody needs of transit and KV.
pub(crate) async fn remote(remote: &Remote) -> Vec<Check> {
    let client = &remote.client;
    let ring = remote.read_ring().await;
    // The algorithm is not this crate's to know: that of the newest key stands for it.
    let name = ring.as_ref().ok().and_then(|ring| {
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
    let mut checks = capabilities(client, needed).await;
    let transit = mount::expect_transit(client, remote.transit.mount()).await;
    let permission = format!("transit is mounted at {}", remote.transit.mount());
    checks.push(check(permission, "creating keys and signing with them", transit, None));
    checks.push(kv_2(client, &remote.record).await);
    let permission = format!("read the ring from {} and transit", remote.record.location());
    let (read, locked_in) = match ring {
        Ok(ring) => (Ok(()), locked_in(remote, &ring)),
        Err(failure) => (Err(failure), Ok(())),
    };
    checks.push(check(permission, "publishing and verifying", read, None));
    checks.push(check(
        "no transit key of the ring is exportable",
        "remote custody: the private keys never leave Vault",
        locked_in,
        None,
    ));
    checks
}

fn locked_in(remote: &Remote, ring: &crate::provider::Ring) -> Result<(), Failure> {
    let held = ring
        .transit
        .iter()
        .filter_map(|(name, held)| Some((name, held.as_ref()?)));
    for (name, held) in held {
        if held.exportable || held.allow_plaintext_backup {
            return Err(Failure::new(
                ErrorKind::InvalidConfig,
                format!(
                    "somebody made {} exportable or allowed its backup in plain text, which Vault does not take back. Go on \
                     with a ring under another SIGNET_KEY",
                    remote.transit.key_path(name)
                ),
            ));
        }
    }
    Ok(())
}
