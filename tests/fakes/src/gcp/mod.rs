//! Google: Cloud KMS over REST, Cloud Storage over its XML API, and the places that hand out tokens.
//!
//! [`Google`] is the cloud; every handle and every server of it share one state. It enforces what the reference says:
//! tokens, permissions, states, masks, labels, checksums, limits, in Google's own error bodies.
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

/// The cloud.
#[derive(Clone, Default)]
pub struct Google(Arc<Mutex<State>>);

impl Google {
    /// A cloud with nothing in it and nobody known to it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All of it as one service: it tells the APIs apart by their paths.
    #[must_use]
    pub fn service(&self) -> Arc<dyn Service> {
        Arc::new(self.clone())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Makes a key ring, as an operator does.
    pub fn create_ring(&self, name: &str) {
        let mut state = self.state();
        let now = state.now();
        state.rings.insert(name.to_owned(), now);
    }

    /// Makes a bucket. One that is `open` needs no credentials, as with an emulator.
    pub fn create_bucket(&self, name: &str, open: bool) {
        self.state().buckets.insert(name.to_owned(), open);
    }

    /// A service account that may do everything, and its key file.
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

    /// Lets the service account of a key file that was made before do everything here too.
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

    /// Makes a key that encrypts, with its first version, as an operator does.
    pub fn create_symmetric_key(&self, name: &str) {
        keys::insert(self, name, "ENCRYPT_DECRYPT", wire::SYMMETRIC);
    }

    /// Makes a key that signs, without versions, as an operator does.
    pub fn create_empty_signing_key(&self, name: &str, algorithm: &'static str) {
        keys::insert(self, name, "ASYMMETRIC_SIGN", algorithm);
        self.state().keys.get_mut(name).unwrap().versions.clear();
    }

    /// Makes a key that signs, with a first version, as an operator does who forgets `--skip-initial-version-creation`.
    pub fn create_signing_key(&self, name: &str, algorithm: &'static str) {
        keys::insert(self, name, "ASYMMETRIC_SIGN", algorithm);
    }

    /// An account that may do everything, known to workload identity federation by this subject token. The file that it
    /// stands in and the address of the token exchange are named by `external_account`.
    pub fn federate(&self, email: &str, subject_token: &str) {
        let mut state = self.state();
        state.subjects.insert(subject_token.to_owned(), email.to_owned());
        state.principals.entry(email.to_owned()).or_default();
    }

    /// The credentials file of workload identity federation against a server of this cloud.
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

    /// The account that the metadata server speaks for.
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

    /// Lets an account do only this. `None`: everything.
    pub fn allow(&self, email: &str, permissions: Option<&[&str]>) {
        let mut state = self.state();
        let principal = state.principals.entry(email.to_owned()).or_default();
        principal.allowed = permissions.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
    }

    /// How long tokens live that are issued from now on.
    pub fn set_token_life(&self, life: Duration) {
        self.state().token_life = life;
    }

    /// Takes every token back, as a policy or the end of their time does.
    pub fn revoke_tokens(&self) {
        self.state().tokens.clear();
    }

    /// How many looks at a new version of an asymmetric key show it as still being generated.
    pub fn set_pending(&self, looks: u32) {
        self.state().pending = looks;
    }

    /// How many looks do not show a new version at all.
    pub fn set_invisible(&self, looks: u32) {
        self.state().invisible = looks;
    }

    /// Whether the generation of new versions fails.
    pub fn set_failing(&self, failing: bool) {
        self.state().failing = failing;
    }

    /// Whether disabled versions go on signing, as they do at Google's for a minute, and sometimes for hours.
    pub fn set_disabling_lags(&self, lags: bool) {
        self.state().disabling_lags = lags;
    }

    /// The most resources on a page, whatever is asked for.
    pub fn set_page(&self, most: usize) {
        self.state().page = most;
    }

    /// Moves the cloud's clock.
    pub fn set_clock_ahead(&self, span: Duration) {
        self.state().ahead = span;
    }

    /// The states of a key's versions, in order of their numbers.
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

    /// The labels of a key, if there is such a key.
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

/// A cloud for clients in other processes: a key ring, keys of every kind as an operator makes them, buckets, and somebody
/// with a key file.
#[must_use]
pub fn start(_authority: &Authority) -> Started {
    const RING: &str = "projects/p/locations/global/keyRings/signet";
    let google = Google::new();
    google.create_ring(RING);
    google.create_bucket("rings", false);
    // As for an RSA key at Google's: the first looks at a version find it unfinished.
    google.set_pending(2);
    google.create_symmetric_key(&format!("{RING}/cryptoKeys/sealing"));
    google.federate("workload@p.iam.gserviceaccount.com", "subject");
    let service_account = google.service_account("sidecar@p.iam.gserviceaccount.com");
    // Over http: Google's own clients take no certificates of a private authority but by the environment of the process.
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
