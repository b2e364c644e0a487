//! A real OpenBao with storage on disk, and the objects of a ring in it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Home, Spec};
use crate::openbao::Server;

/// The name of the ring in the policies of `deploy/policies`.
const RING: &str = "signet";
/// The record of remote custody, below `secret/data/`.
const RECORD: &str = "signet/signet";
/// The ring of sealed custody.
const STORE: &str = "signet-sealed/signet";

/// Who computes signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Custody {
    Remote,
    Sealed,
}

impl Custody {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Sealed => "sealed",
        }
    }

    const fn document(self) -> &'static str {
        match self {
            Self::Remote => RECORD,
            Self::Sealed => STORE,
        }
    }
}

pub(crate) struct Bao {
    server: Server,
    runtime: tokio::runtime::Runtime,
    custody: Custody,
    /// A token with the policy for sidecars.
    token: String,
}

impl Bao {
    pub(crate) fn start(custody: Custody) -> Self {
        // Here "disk" means what survives a killed process. A real disk would slow the test down on a busy machine.
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            // The other test may have set it already.
            let _ = tempfile::env::override_temp_dir(memory);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let policy = format!(
            "{}/deploy/policies/vault-sidecar-{}.hcl",
            env!("CARGO_MANIFEST_DIR"),
            custody.name()
        );
        let policy = std::fs::read_to_string(policy).expect("the policy");
        let (server, token) = runtime.block_on(async {
            let server = Server::start_on_disk().await;
            if custody == Custody::Sealed {
                let key = format!("transit/keys/{RING}");
                server.post(&key, json!({ "type": "aes256-gcm96" })).await;
            }
            server.policy("sidecar", &policy).await;
            let token = server.token(&["sidecar"], "1h").await;
            (server, token)
        });
        Self {
            server,
            runtime,
            custody,
            token,
        }
    }

    pub(crate) const fn custody(&self) -> Custody {
        self.custody
    }

    /// A replica on a machine of its own.
    pub(crate) fn replica(&self) -> Spec {
        self.spec(&self.token)
    }

    /// The command line of an operator with all permissions, on another machine.
    pub(crate) fn operator(&self) -> Spec {
        self.spec(self.server.root())
    }

    fn spec(&self, token: &str) -> Spec {
        let home = Home::in_memory();
        // Each port is free when it is chosen, so both can be the same.
        let mut specs = std::iter::repeat_with(|| Spec::new(&home));
        let spec = specs.find(|spec| spec.listen() != spec.admin_listen());
        let spec = spec
            .expect("endless")
            .set("SIGNET_PROVIDER", "vault")
            .set("SIGNET_KEY", RING)
            .set("VAULT_ADDR", self.server.address())
            .set("VAULT_CACERT", self.server.authority().display())
            .set("VAULT_TOKEN", token);
        match self.custody {
            Custody::Remote => spec,
            Custody::Sealed => spec
                .set("SIGNET_CUSTODY", "sealed")
                .set("SIGNET_STORE", format!("vault:secret/{STORE}")),
        }
    }

    /// SIGSTOP: it accepts connections and does not answer.
    pub(crate) fn freeze(&self) {
        self.server.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.server.thaw();
    }

    /// Kills the server and starts it with the same storage.
    pub(crate) fn restart(&mut self) {
        self.server.kill();
        self.runtime.block_on(self.server.restart());
    }

    fn get(&self, path: &str) -> Value {
        self.runtime.block_on(self.server.get(path))["data"].clone()
    }

    fn names(&self, path: &str) -> BTreeSet<String> {
        let (status, answer) = self.runtime.block_on(self.server.request("LIST", path, None));
        assert!(matches!(status, 200 | 404), "LIST {path}: {status} {answer}");
        let names = answer["data"]["keys"].as_array().cloned().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    /// The current document of the ring.
    pub(crate) fn document(&self) -> Value {
        self.get(&format!("secret/data/{}", self.custody.document()))["data"].clone()
    }

    /// Replaces the ring's document, as `vault kv rollback` does with an earlier one.
    pub(crate) fn replace_document(&self, document: &Value) {
        let path = format!("secret/data/{}", self.custody.document());
        self.runtime
            .block_on(self.server.post(&path, json!({ "data": document })));
    }

    /// The record of remote custody.
    fn record(&self) -> Value {
        let document = self.document();
        serde_json::from_str(document["record"].as_str().expect("a text")).expect("JSON")
    }

    /// The transit key and version of this key, according to the record.
    pub(crate) fn place(&self, kid: &str) -> (String, u64) {
        let record = self.record();
        let keys = record["keys"].as_array().expect("the record's keys");
        let entry = keys.iter().find(|entry| entry["kid"] == kid).expect("the key");
        let name = entry["place"]["transit_key"].as_str().expect("a transit key");
        (name.to_owned(), entry["place"]["version"].as_u64().expect("a version"))
    }

    /// Whether transit itself would sign with a version.
    pub(crate) fn signs(&self, name: &str, version: u64) -> bool {
        let body = json!({ "input": "c2lnbmV0", "key_version": version });
        let path = format!("transit/sign/{name}");
        let (status, _) = self.runtime.block_on(self.server.request("POST", &path, Some(body)));
        status == 200
    }

    /// Allows transit to sign with all versions of a key again.
    pub(crate) fn enable_all_versions(&self, name: &str) {
        let path = format!("transit/keys/{name}/config");
        self.runtime
            .block_on(self.server.post(&path, json!({ "min_encryption_version": 1 })));
    }

    /// Objects in OpenBao that should not be there, for a ring of `keys` keys.
    pub(crate) fn orphans(&self, keys: usize) -> Vec<String> {
        let mut orphans = Vec::new();
        let mut expect = |what: &str, found: &dyn std::fmt::Debug, is_right: bool| {
            if !is_right {
                orphans.push(format!("{what}: {found:?}"));
            }
        };
        let names = self.names("transit/keys");
        let (folder, file) = self.custody.document().split_once('/').expect("a folder");
        let documents = self.names(&format!("secret/metadata/{folder}"));
        expect("documents", &documents, documents.iter().eq([file]));
        let folders = self.names("secret/metadata");
        expect("folders", &folders, folders.iter().eq([&format!("{folder}/")]));
        let versions: usize = names
            .iter()
            .map(|name| {
                let key = self.get(&format!("transit/keys/{name}"));
                key["keys"].as_object().map_or(0, serde_json::Map::len)
            })
            .sum();
        match self.custody {
            Custody::Remote => {
                expect("transit keys", &names, names.len() == 1);
                expect("versions of transit", &versions, versions == keys);
                let claim = self.record()["claim"].clone();
                expect("an open claim", &claim, claim.is_null());
            }
            Custody::Sealed => {
                expect("transit keys", &names, names.iter().eq([RING]));
                expect("versions of the wrapping key", &versions, versions == 1);
            }
        }
        orphans
    }
}
