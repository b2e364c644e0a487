//! The fake Google cloud of `signet-fakes`, one per test program, with one ring per test.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use signet_api::{KeyProvider, NewKey, Variables};
use signet_base::Clock;
use signet_base::ManualClock;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, Timestamp};
use signet_fakes::Server;
use signet_fakes::gcp::Google;
use signet_gcp_kms::GcpConfig;
use signet_testkit::new_key;
use tempfile::TempDir;

/// The name of this cloud in the documentation.
pub(crate) const AGAINST: &str = "our own server";
pub(crate) const SIDECAR: &str = "sidecar@p.iam.gserviceaccount.com";
pub(crate) const RING: &str = "projects/p/locations/global/keyRings/signet";

/// A cloud with its server, and files for credentials.
pub(crate) struct Cloud {
    pub(crate) google: Google,
    pub(crate) server: Server,
    pub(crate) directory: TempDir,
}

impl Cloud {
    /// A new cloud.
    pub(crate) fn new() -> Self {
        let google = Google::new();
        google.create_ring(RING);
        google.create_bucket("rings", false);
        google.create_bucket("open", true);
        let server = Server::start(google.service(), None).expect("a server");
        let directory = tempfile::tempdir().expect("a directory");
        let cloud = Self {
            google,
            server,
            directory,
        };
        std::fs::write(cloud.file("sidecar.json"), account()).expect("written");
        cloud.google.adopt(SIDECAR, account());
        cloud
    }

    /// The cloud that all tests of this program share.
    pub(crate) fn shared() -> &'static Self {
        static CLOUD: OnceLock<Cloud> = OnceLock::new();
        CLOUD.get_or_init(Self::new)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The variables of a sidecar with this credentials file.
    pub(crate) fn variables(&self, credentials: &Path) -> Variables {
        let url = self.server.url();
        variables(&[
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &url),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", &url),
            ("GOOGLE_APPLICATION_CREDENTIALS", credentials.to_str().expect("text")),
        ])
    }

    pub(crate) fn usual(&self) -> Variables {
        self.variables(&self.file("sidecar.json"))
    }

    pub(crate) fn config(&self, key: &str) -> GcpConfig {
        GcpConfig::new(&self.usual(), key).expect("a configuration")
    }

    pub(crate) async fn remote(&self, key: &str) -> Arc<dyn KeyProvider> {
        signet_gcp_kms::remote(self.config(key), clock()).await.expect("opens")
    }
}

/// The key file of the sidecar's account. There is one per test program, because RSA keys take long.
fn account() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| Google::new().service_account(SIDECAR))
}

/// A crypto key that no other test uses.
pub(crate) fn fresh_key() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{RING}/cryptoKeys/test-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

pub(crate) fn variables(pairs: &[(&str, &str)]) -> Variables {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

pub(crate) fn es256(of: Option<&Kid>) -> NewKey {
    new_key(Algorithm::ES256, of)
}

pub(crate) async fn create(provider: &dyn KeyProvider, of: Option<&Kid>) -> KeyRecord {
    provider.create(&es256(of)).await.expect("a key")
}

pub(crate) fn revocation(reason: &str) -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: reason.to_owned(),
    }
}
