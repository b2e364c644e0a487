//! The servers, and the settings with which a sidecar keeps its ring there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use signet_fakes::{Authority, Fault, Server, aws, azure, gcp};
use tempfile::TempDir;

use crate::harness::Spec;
use crate::openbao;

/// A provider with its settings and variables.
#[derive(Clone)]
pub(crate) struct Place {
    provider: &'static str,
    key: String,
    variables: Vec<(String, String)>,
    /// The store of a sealed ring. `None` for remote custody.
    store: Option<String>,
}

impl Place {
    pub(crate) fn local() -> Self {
        Self {
            provider: "local",
            key: "signet".to_owned(),
            variables: Vec::new(),
            store: None,
        }
    }

    /// Uses the same key to seal a ring in this store.
    pub(crate) fn sealing(self, store: &str) -> Self {
        Self {
            store: Some(store.to_owned()),
            ..self
        }
    }

    /// Adds the variables of another ecosystem, whose store is used.
    pub(crate) fn knowing(mut self, other: &Self) -> Self {
        self.variables.extend(other.variables.iter().cloned());
        self
    }

    /// Changes the value of one variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.retain(|(given, _)| given != name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Configures a sidecar that signs here and publishes the ring of another place.
    pub(crate) fn configure(&self, spec: &Spec, also: Option<&Self>) -> Spec {
        let mut spec = spec
            .clone()
            .set("SIGNET_PROVIDER", self.provider)
            .set("SIGNET_KEY", &self.key);
        for (name, value) in also.iter().flat_map(|also| &also.variables).chain(&self.variables) {
            spec = spec.set(name, value);
        }
        if let Some(store) = &self.store {
            spec = spec.set("SIGNET_CUSTODY", "sealed").set("SIGNET_STORE", store);
        }
        if let Some(also) = also {
            let name = also.provider.to_ascii_uppercase().replace('-', "_");
            spec = spec
                .set("SIGNET_ALSO_PUBLISH", also.provider)
                .set(&format!("SIGNET_ALSO_{name}_KEY"), &also.key);
            if let Some(store) = &also.store {
                spec = spec
                    .set(&format!("SIGNET_ALSO_{name}_CUSTODY"), "sealed")
                    .set(&format!("SIGNET_ALSO_{name}_STORE"), store);
            }
        }
        spec
    }
}

/// A server that counts its calls.
pub(crate) trait Counted {
    fn provider(&self) -> &'static str;
    fn calls(&self) -> u64;
    /// A ring with this name in remote custody.
    fn place(&self, name: &str) -> Place;
}

/// A provider that can be made to stop answering.
pub(crate) trait Fails: Sync {
    fn fail(&self);
    fn recover(&self);
}

/// More calls than any test makes during an outage.
const OUTAGE: usize = 5000;

/// One of our own servers, with the files that its clients read.
struct Fake {
    server: Server,
    directory: TempDir,
}

impl Fake {
    fn start(service: Arc<dyn signet_fakes::Service>) -> Self {
        let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::new());
        authority.write(&directory.path().join("ca.pem"));
        Self {
            server: Server::start(service, Some(&authority)).expect("a server"),
            directory,
        }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn calls(&self) -> u64 {
        self.server.calls().values().sum()
    }
}

impl Fails for Fake {
    fn fail(&self) {
        for _ in 0..OUTAGE {
            self.server.script("*", Fault::Refused);
        }
    }

    fn recover(&self) {
        self.server.unscript();
    }
}

fn owned<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// A policy from the repository.
fn policy(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policies/");
    std::fs::read_to_string(format!("{folder}{name}")).expect("the policy")
}

/// A fake of AWS KMS and S3.
pub(crate) struct Aws {
    cloud: aws::Aws,
    fake: Fake,
}

impl Aws {
    pub(crate) fn start() -> Self {
        let cloud = aws::Aws::new();
        cloud.admit("AKIDSIDECAR", "a-secret-of-tests");
        Self {
            fake: Fake::start(cloud.service()),
            cloud,
        }
    }

    pub(crate) fn remote(&self, name: &str) -> Place {
        self.of(name, "AKIDSIDECAR")
    }

    /// A ring with this name, for a caller with all permissions except signing.
    pub(crate) fn without_permission_to_sign(&self, name: &str) -> Place {
        self.with_policy_without(name, "aws-kms-remote-sidecar.json", "kms:Sign")
    }

    /// A ring with this name, for an operator without this permission.
    pub(crate) fn as_operator_without(&self, name: &str, action: &str) -> Place {
        self.with_policy_without(name, "aws-kms-remote-operator.json", action)
    }

    fn with_policy_without(&self, name: &str, file: &str, action: &str) -> Place {
        self.cloud.admit("AKIDRESTRICTED", "a-secret-of-tests");
        let policy = policy(file);
        let actions = policy
            .split('"')
            .filter(|word| word.starts_with("kms:") && *word != action);
        let actions: Vec<&str> = actions
            .filter(|word| word.chars().skip(4).all(char::is_alphanumeric))
            .collect();
        self.cloud.allow("AKIDRESTRICTED", &actions);
        self.of(name, "AKIDRESTRICTED")
    }

    /// A new wrapping key, and a ring with this name in S3.
    pub(crate) fn sealed(&self, name: &str) -> Place {
        self.remote(&self.cloud.create_symmetric_key())
            .sealing(&self.bucket(name))
    }

    /// A place in S3 for a ring.
    pub(crate) fn bucket(&self, name: &str) -> String {
        self.cloud.create_bucket("rings");
        format!("s3://rings/{name}.json")
    }

    pub(crate) fn outage(&self) -> &dyn Fails {
        &self.fake
    }

    fn of(&self, name: &str, caller: &str) -> Place {
        Place {
            provider: "aws-kms",
            key: name.to_owned(),
            variables: owned([
                ("AWS_ENDPOINT_URL", self.fake.server.url()),
                ("AWS_CA_BUNDLE", self.fake.file("ca.pem")),
                ("AWS_REGION", aws::REGION.to_owned()),
                ("AWS_ACCESS_KEY_ID", caller.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "a-secret-of-tests".to_owned()),
            ]),
            store: None,
        }
    }

    /// The number of KMS keys that are not being deleted.
    pub(crate) fn keys_left(&self) -> usize {
        self.cloud.paid_keys()
    }

    /// All KMS keys: id, state, description, and whether an alias names them.
    pub(crate) fn keys(&self) -> Vec<(String, String, String, bool)> {
        self.cloud.keys()
    }

    pub(crate) fn script(&self, operation: &str, fault: Fault) {
        self.fake.server.script(operation, fault);
    }

    pub(crate) fn unscript(&self) {
        self.fake.server.unscript();
    }
}

impl Counted for Aws {
    fn provider(&self) -> &'static str {
        "aws-kms"
    }

    fn calls(&self) -> u64 {
        self.fake.calls()
    }

    fn place(&self, name: &str) -> Place {
        self.remote(name)
    }
}

/// Azure Key Vault.
pub(crate) struct Azure {
    cloud: Arc<azure::Azure>,
    fake: Fake,
}

impl Azure {
    pub(crate) fn start() -> Self {
        let cloud = azure::service();
        Self {
            fake: Fake::start(Arc::clone(&cloud) as Arc<dyn signet_fakes::Service>),
            cloud,
        }
    }

    /// A new wrapping key with this name, and a ring in that store.
    pub(crate) fn sealed(&self, name: &str, store: &str) -> Place {
        self.cloud.create_elsewhere(name, "RSA", "2048");
        self.remote(name).sealing(store)
    }

    pub(crate) fn shift_clock(&self, seconds: i64) {
        self.cloud.shift_clock(seconds);
    }

    pub(crate) fn outage(&self) -> &dyn Fails {
        &self.fake
    }

    pub(crate) fn remote(&self, name: &str) -> Place {
        let url = self.fake.server.url();
        Place {
            provider: "azure-key-vault",
            key: format!("{url}/keys/{name}"),
            variables: azure::Azure::variables(&url, &self.fake.file("ca.pem")),
            store: None,
        }
    }
}

impl Counted for Azure {
    fn provider(&self) -> &'static str {
        "azure-key-vault"
    }

    fn calls(&self) -> u64 {
        self.fake.calls()
    }

    fn place(&self, name: &str) -> Place {
        self.remote(name)
    }
}

const RING: &str = "projects/p/locations/global/keyRings/signet";
const ACCOUNT: &str = "sidecar@p.iam.gserviceaccount.com";

/// Google Cloud KMS.
pub(crate) struct Gcp {
    cloud: gcp::Google,
    fake: Fake,
}

impl Gcp {
    pub(crate) fn start() -> Self {
        let google = gcp::Google::new();
        google.create_ring(RING);
        let account = google.service_account(ACCOUNT);
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("account.json"), account).expect("written");
        // Plain HTTP, because Google's client accepts no private authority.
        let server = Server::start(google.service(), None).expect("a server");
        Self {
            cloud: google,
            fake: Fake { server, directory },
        }
    }

    /// A new wrapping key with this name, and a ring in Cloud Storage.
    pub(crate) fn sealed(&self, name: &str) -> Place {
        self.cloud.create_symmetric_key(&format!("{RING}/cryptoKeys/{name}"));
        self.cloud.create_bucket("rings", false);
        self.remote(name).sealing(&format!("gs://rings/{name}.json"))
    }

    pub(crate) fn set_clock_ahead(&self, span: Duration) {
        self.cloud.set_clock_ahead(span);
    }

    pub(crate) fn outage(&self) -> &dyn Fails {
        &self.fake
    }

    pub(crate) fn remote(&self, name: &str) -> Place {
        Place {
            provider: "gcp-kms",
            key: format!("{RING}/cryptoKeys/{name}"),
            variables: owned([
                ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", self.fake.server.url()),
                ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", self.fake.server.url()),
                ("GOOGLE_APPLICATION_CREDENTIALS", self.fake.file("account.json")),
            ]),
            store: None,
        }
    }
}

impl Counted for Gcp {
    fn provider(&self) -> &'static str {
        "gcp-kms"
    }

    fn calls(&self) -> u64 {
        self.fake.calls()
    }

    fn place(&self, name: &str) -> Place {
        self.remote(name)
    }
}

/// A real OpenBao over https. Its audit log counts the calls.
pub(crate) struct Openbao {
    server: openbao::Server,
    runtime: tokio::runtime::Runtime,
}

impl Openbao {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            server: runtime.block_on(openbao::Server::start()),
            runtime,
        }
    }

    pub(crate) fn remote(&self, name: &str) -> Place {
        self.of(name, self.server.root().to_owned())
    }

    pub(crate) fn outage(&self) -> &dyn Fails {
        &self.server
    }

    /// A ring with this name, with a sidecar's policy that does not allow signing.
    pub(crate) fn without_permission_to_sign(&self, name: &str) -> Place {
        let policy = policy("vault-sidecar-remote.hcl").replace("/sign/", "/no-sign/");
        let token = self.runtime.block_on(async {
            self.server.policy("no-sign", &policy).await;
            self.server.token(&["no-sign"], "10m").await
        });
        self.of(name, token)
    }

    fn of(&self, name: &str, token: String) -> Place {
        Place {
            provider: "vault",
            key: name.to_owned(),
            variables: owned([
                ("VAULT_ADDR", self.server.address()),
                ("VAULT_CACERT", self.server.authority().display().to_string()),
                ("VAULT_TOKEN", token),
            ]),
            store: None,
        }
    }

    /// A new wrapping key with this name, and a ring in the KV store.
    pub(crate) fn sealed(&self, name: &str) -> Place {
        let key = format!("transit/keys/{name}");
        self.runtime
            .block_on(self.server.post(&key, json!({ "type": "aes256-gcm96" })));
        self.remote(name).sealing(&format!("vault:secret/signet/{name}-ring"))
    }

    /// Deletes that ring with all its versions, as an operator may do by mistake.
    pub(crate) fn delete_sealed(&self, name: &str) {
        let path = format!("secret/metadata/signet/{name}-ring");
        let (status, answer) = self.runtime.block_on(self.server.request("DELETE", &path, None));
        assert_eq!(status, 204, "{answer}");
    }

    /// A place with a root token that can be revoked, and that token.
    pub(crate) fn mortal(&self, name: &str) -> (Place, String) {
        let token = self.runtime.block_on(self.server.token(&["root"], "10m"));
        (self.of(name, token.clone()), token)
    }

    pub(crate) fn take_back(&self, token: &str) {
        let body = json!({ "token": token });
        self.runtime.block_on(self.server.post("auth/token/revoke", body));
    }

    /// How many signatures were requested.
    pub(crate) fn signatures(&self) -> u64 {
        self.audited("transit/sign/")
    }

    fn audited(&self, path: &str) -> u64 {
        let log = std::fs::read_to_string(self.audit_log()).unwrap_or_default();
        let is_request =
            |line: &&str| line.contains("\"type\":\"request\"") && line.contains(&format!("\"path\":\"{path}"));
        log.lines().filter(is_request).count() as u64
    }

    fn audit_log(&self) -> PathBuf {
        self.server.audit_log()
    }
}

/// Stops the process: it accepts connections and does not answer.
impl Fails for openbao::Server {
    fn fail(&self) {
        self.freeze();
    }

    fn recover(&self) {
        self.thaw();
    }
}

impl Counted for Openbao {
    fn provider(&self) -> &'static str {
        "vault"
    }

    fn calls(&self) -> u64 {
        self.audited("")
    }

    fn place(&self, name: &str) -> Place {
        self.remote(name)
    }
}
