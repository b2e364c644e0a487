//! Tests with a real OpenBao server: the contract in both custodies, logins, faults, policies.

mod certificates;
mod custody;
mod faults;
mod login;
mod mounts;
mod policies;
mod relay;
mod revocation;
mod succession;

use signet_harness::openbao as server;

use std::error::Error as _;
use std::sync::Arc;

use serde_json::json;
use server::{shared, unique};
use signet_api::{KeyProvider, ProviderError, Variables};
use signet_base::ManualClock;
use signet_sealed::{FileStore, Sealed, disk::Disk};
use signet_testkit::Subject;
use signet_vault::VaultConfig;

const SERVER: &str = "OpenBao 2.7.2";

/// Opens a handle in remote custody.
async fn remote(variables: Variables, ring: String) -> Arc<dyn KeyProvider> {
    remote_with(variables, &ring, Arc::new(ManualClock::default())).await
}

async fn remote_with(variables: Variables, ring: &str, clock: Arc<ManualClock>) -> Arc<dyn KeyProvider> {
    let config = VaultConfig::new(&variables, ring).expect("a configuration");
    signet_vault::remote(config, clock).await.expect("opens")
}

/// Opens a handle in sealed custody, with the ring in KV.
async fn sealed(variables: Variables, ring: String) -> Arc<dyn KeyProvider> {
    let config = VaultConfig::new(&variables, &ring).expect("a configuration");
    let place = format!("vault:secret/signet-sealed/{ring}");
    let sealer = signet_vault::sealer(config).await.expect("a sealer");
    let store = signet_vault::store(&variables, &place).await.expect("a store");
    let clock = Arc::new(ManualClock::default());
    Arc::new(Sealed::new(ring, signet_vault::NAME, sealer, store, clock))
}

/// The repository's policy files, adapted to another ring.
fn policy(file: &str, ring: &str) -> String {
    let path = format!("{}/../../deploy/policies/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the policy");
    text.replace("/signet.*", &format!("/{ring}.*"))
        .replace("/signet\"", &format!("/{ring}\""))
}

/// The variables for an AppRole with exactly these policy files.
async fn app_role(ring: &str, files: &[&str]) -> Variables {
    let mut names = Vec::new();
    for file in files {
        let name = unique("policy");
        shared().policy(&name, &policy(file, ring)).await;
        names.push(name);
    }
    let settings = json!({"token_policies": names, "token_no_default_policy": true, "token_ttl": "1h"});
    let (role_id, secret_id) = shared().app_role(&unique("role"), settings).await;
    shared().variables(&[("VAULT_ROLE_ID", &role_id), ("VAULT_SECRET_ID", &secret_id)])
}

fn chain(error: &ProviderError) -> String {
    format!("{error}: {}", error.source().expect("a source"))
}

async fn remote_as_root() -> Subject {
    let ring = unique("ring");
    let open = move || remote(shared().as_root(), ring.clone());
    Subject::new(open().await, open, ()).against(SERVER)
}

/// The contract includes destroying keys, which only the operator may do, so this handle has both policies.
async fn remote_as_sidecar_and_operator() -> Subject {
    let ring = unique("ring");
    let variables = app_role(&ring, &["vault-sidecar-remote.hcl", "vault-operator.hcl"]).await;
    let open = move || remote(variables.clone(), ring.clone());
    Subject::new(open().await, open, ()).against(SERVER)
}

async fn sealed_as_sidecar() -> Subject {
    let ring = unique("ring");
    shared().post(&format!("transit/keys/{ring}"), json!({})).await;
    let variables = app_role(&ring, &["vault-sidecar-sealed.hcl"]).await;
    let open = move || sealed(variables.clone(), ring.clone());
    Subject::new(open().await, open, ()).against(SERVER)
}

async fn sealed_over_a_file() -> Subject {
    let ring = unique("ring");
    shared().post(&format!("transit/keys/{ring}"), json!({})).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ring.json");
    let open = move || {
        let (ring, path) = (ring.clone(), path.clone());
        async move {
            let config = VaultConfig::new(&shared().as_root(), &ring).expect("a configuration");
            let sealer = signet_vault::sealer(config).await.expect("a sealer");
            let disk = Disk {
                provider: signet_vault::NAME,
                setting: "SIGNET_STORE",
            };
            let clock = Arc::new(ManualClock::default());
            let store = FileStore::new(path, disk);
            Arc::new(Sealed::new(ring, signet_vault::NAME, sealer, store, clock)) as Arc<dyn KeyProvider>
        }
    };
    Subject::new(open().await, open, directory).against(SERVER)
}

signet_testkit::conformance!(remote_custody, remote_as_root);
signet_testkit::conformance!(remote_custody_restricted, remote_as_sidecar_and_operator);
signet_testkit::conformance!(sealed_custody_restricted, sealed_as_sidecar);
signet_testkit::conformance!(sealed_custody_over_a_file, sealed_over_a_file);
