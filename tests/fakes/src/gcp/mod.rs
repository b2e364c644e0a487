//! Google: Cloud KMS with its REST API, Cloud Storage with its XML API, and the places that issue tokens.
//!
//! [`Google`] is the cloud; all its handles and servers share one state. It enforces the rules of the reference:
//! tokens, permissions, states, masks, labels, checksums and limits, with Google's own errors.
//!
//! ```text
//! let google = Google::new();
//! let server = Server::start(google.service(), None)?;
//! google.create_ring("projects/p/locations/l/keyRings/r");
//! std::fs::write(path, google.service_account("sidecar@p.iam.gserviceaccount.com"))?;
//! // CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS=server.url(), GOOGLE_APPLICATION_CREDENTIALS=path
//! ```

mod cipher;
mod keys;
mod login;
mod routes;
mod state;
mod storage;
mod using;
mod versions;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use signet_core::{Algorithm, SigningKey};

use crate::authority::Authority;
use crate::server::{Request, Response, Server, Service};
use crate::started::Started;
use routes::Route;
use state::{Principal, State};
pub use wire::{exhausted, problem};

/// A fake of Google's cloud.
#[derive(Clone, Default)]
pub struct Google(Arc<Mutex<State>>);

impl Google {
    /// An empty cloud without accounts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything as one service, which distinguishes the APIs by their paths.
    #[must_use]
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::new(self.clone())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Creates a key ring, as an operator does.
    pub fn create_ring(&self, name: &str) {
        let mut state = self.state();
        let now = state.now();
        state.rings.insert(name.to_owned(), now);
    }

    /// Creates a bucket. An `open` bucket needs no credentials, as in an emulator.
    pub fn create_bucket(&self, name: &str, open: bool) {
        self.state().buckets.insert(name.to_owned(), open);
    }

    /// Adds a service account with all permissions, and returns its key file.
    #[must_use]
    pub fn service_account(&self, email: &str) -> String {
        let key = SigningKey::generate(Algorithm::RS256, Default::default()).unwrap();
        let pkcs8 = key.to_pkcs8().unwrap();
        let file = serde_json::json!({
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "0123456789abcdef",
            "private_key": wire::pem("PRIVATE KEY", &pkcs8),
            "client_email": email,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        let file = file.to_string();
        self.adopt(email, &file);
        file
    }

    /// Adds the service account of an existing key file, with all permissions.
    pub fn adopt(&self, email: &str, file: &str) {
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let pkcs8 = wire::unpem(file["private_key"].as_str().unwrap());
        let key = SigningKey::from_pkcs8(Algorithm::RS256, &pkcs8).unwrap();
        let principal = Principal {
            allowed: None,
            public: Some(key.verifying_key().clone()),
        };
        self.state().principals.insert(email.to_owned(), principal);
    }

    /// Creates an encryption key with its first version, as an operator does.
    pub fn create_symmetric_key(&self, name: &str) {
        keys::insert(self, name, "ENCRYPT_DECRYPT", wire::SYMMETRIC);
    }

    /// Creates a signing key without versions, as an operator does.
    pub fn create_empty_signing_key(&self, name: &str, algorithm: &'static str) {
        keys::insert(self, name, "ASYMMETRIC_SIGN", algorithm);
        self.state().keys.get_mut(name).unwrap().versions.clear();
    }

    /// Creates a signing key with a first version, as an operator does who forgets `--skip-initial-version-creation`.
    pub fn create_signing_key(&self, name: &str, algorithm: &'static str) {
        keys::insert(self, name, "ASYMMETRIC_SIGN", algorithm);
    }

    /// Adds an account with all permissions, which workload identity federation knows by this subject token.
    /// `external_account` makes the credentials file that names the token's file and the address of the exchange.
    pub fn federate(&self, email: &str, subject_token: &str) {
        let mut state = self.state();
        state.subjects.insert(subject_token.to_owned(), email.to_owned());
        state.principals.entry(email.to_owned()).or_default();
    }

    /// The credentials file for workload identity federation with a server of this cloud.
    #[must_use]
    pub fn external_account(server: &str, subject_file: &str) -> String {
        serde_json::json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{server}/v1/token"),
            "credential_source": { "file": subject_file },
        })
        .to_string()
    }

    /// Sets the account for which the metadata server issues tokens.
    pub fn run_as(&self, email: &str) {
        let mut state = self.state();
        state.machine = Some(email.to_owned());
        state.principals.entry(email.to_owned()).or_default();
    }

    /// An access token for an account, for clients that are given one.
    #[must_use]
    pub fn token(&self, email: &str) -> String {
        let mut state = self.state();
        state.principals.entry(email.to_owned()).or_default();
        state.issue(email)
    }

    /// Limits the permissions of an account. `None` allows everything.
    pub fn allow(&self, email: &str, permissions: Option<&[&str]>) {
        let mut state = self.state();
        let principal = state.principals.entry(email.to_owned()).or_default();
        principal.allowed = permissions.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
    }

    /// Sets the lifetime of tokens from now on.
    pub fn set_token_life(&self, life: Duration) {
        self.state().token_life = life;
    }

    /// Revokes all tokens, as a policy or their expiry does.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    /// How many readings show a new version of an asymmetric key as still being generated.
    pub fn set_pending(&self, looks: u32) {
        self.state().pending = looks;
    }

    /// How many readings do not show a new version at all.
    pub fn set_invisible(&self, looks: u32) {
        self.state().invisible = looks;
    }

    /// Whether the generation of new versions fails.
    pub fn set_failing(&self, failing: bool) {
        self.state().failing = failing;
    }

    /// Whether disabled versions can still sign, as at Google for a minute and sometimes for hours.
    pub fn set_disabling_lags(&self, lags: bool) {
        self.state().disabling_lags = lags;
    }

    /// The maximum number of resources on a page, whatever is requested.
    pub fn set_page(&self, most: usize) {
        self.state().page = most;
    }

    /// Sets how far the cloud's clock is ahead.
    pub fn set_clock_ahead(&self, span: Duration) {
        self.state().ahead = span;
    }

    /// The states of a key's versions, ordered by number.
    #[must_use]
    pub fn states(&self, key: &str) -> Vec<&'static str> {
        let state = self.state();
        let versions = state.keys.get(key).map(|key| key.versions.iter());
        versions.into_iter().flatten().map(|version| version.state).collect()
    }

    /// Sets the state of a version, as somebody does in the console.
    pub fn set_state(&self, key: &str, number: u64, to: &'static str) {
        let mut state = self.state();
        let versions = &mut state.keys.get_mut(key).unwrap().versions;
        versions
            .iter_mut()
            .find(|version| version.number == number)
            .unwrap()
            .state = to;
    }

    /// The labels of a key. `None` if it does not exist.
    #[must_use]
    pub fn labels(&self, key: &str) -> Option<std::collections::BTreeMap<String, String>> {
        self.state().keys.get(key).map(|key| key.labels.clone())
    }

    /// Sets the labels of a key, as somebody does with another tool.
    pub fn set_labels(&self, key: &str, labels: std::collections::BTreeMap<String, String>) {
        self.state().keys.get_mut(key).unwrap().labels = labels;
    }

    /// The names of all crypto keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.state().keys.keys().cloned().collect()
    }
}

/// A cloud for clients in other processes: a key ring, keys of all types as an operator creates them, buckets, and
/// an account with a key file.
#[must_use]
pub fn start(_authority: &Authority) -> Started {
    const RING: &str = "projects/p/locations/global/keyRings/signet";
    let google = Google::new();
    google.create_ring(RING);
    google.create_bucket("rings", false);
    // As for an RSA key at Google, the first readings show a version as unfinished.
    google.set_pending(2);
    google.create_symmetric_key(&format!("{RING}/cryptoKeys/sealing"));
    google.federate("workload@p.iam.gserviceaccount.com", "subject");
    let service_account = google.service_account("sidecar@p.iam.gserviceaccount.com");
    // This uses http, because Google's own clients accept a private authority only through the
    // environment of the process.
    let server = Server::start(google.service(), None).unwrap();
    let told = serde_json::json!({
        "url": server.url(),
        "key_ring": RING,
        "signing_key": format!("{RING}/cryptoKeys/tokens"),
        "sealing_key": format!("{RING}/cryptoKeys/sealing"),
        "bucket": "rings",
        "service_account": service_account,
        "subject_token": "subject",
    });
    let servers = vec![server];
    Started { servers, told }
}

impl Service for Google {
    fn operation(&self, request: &Request) -> String {
        Route::of(request).operation.to_owned()
    }

    fn answer(&self, request: &Request) -> Response {
        let route = Route::of(request);
        match route.operation {
            "ExchangeToken" => login::exchange(self, request),
            "OauthToken" => login::oauth(self, request),
            "MetadataToken" => login::metadata(self, request),
            "GetObject" | "PutObject" | "HeadObject" | "JsonUpload" | "JsonGet" | "JsonDownload" => {
                storage::answer(self, request, &route)
            }
            _ => keys::answer(self, request, &route).unwrap_or_else(|problem| problem.response()),
        }
    }
}

impl fmt::Debug for Google {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Google")
    }
}
