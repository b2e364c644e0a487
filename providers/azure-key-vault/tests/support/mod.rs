//! A vault to test with: our own server, over https with its own certificate authority.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::PathBuf;
use std::sync::Arc;

use signet_api::{KeyProvider, NewKey, Variables};
use signet_azure_key_vault::AzureConfig;
use signet_base::ManualClock;
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, Timestamp};
use signet_fakes::azure::{Azure, Settings};
use signet_fakes::{Authority, Server};
use signet_testkit::terms;

pub(crate) struct Fake {
    pub(crate) azure: Arc<Azure>,
    pub(crate) server: Server,
    pub(crate) ca: PathBuf,
    directory: tempfile::TempDir,
}

impl Fake {
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let azure = Azure::new(settings);
        let authority = Authority::new();
        let directory = tempfile::tempdir().expect("a directory");
        let ca = directory.path().join("ca.pem");
        authority.write(&ca);
        let service = Arc::clone(&azure);
        let server = Server::start(service, Some(&authority)).expect("a server");
        Self {
            azure,
            server,
            ca,
            directory,
        }
    }

    /// Writes a file next to the authority's.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        Azure::variables(&self.server.url(), self.ca.to_str().expect("a path"))
    }

    pub(crate) fn variables(&self) -> Variables {
        self.pairs().into_iter().collect()
    }

    /// The variables with some removed or changed.
    pub(crate) fn variables_but(&self, changes: &[(&str, &str)]) -> Variables {
        let set = changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.pairs().into_iter().chain(set).collect()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/keys/{name}", self.server.url())
    }

    pub(crate) fn config(&self, name: &str) -> AzureConfig {
        AzureConfig::new(&self.variables(), &self.key(name)).expect("a configuration")
    }

    pub(crate) async fn remote(&self, name: &str) -> Arc<dyn KeyProvider> {
        let clock = Arc::new(ManualClock::default());
        signet_azure_key_vault::remote(self.config(name), clock)
            .await
            .expect("opens")
    }

    pub(crate) fn called(&self, operation: &str) -> u64 {
        self.server.calls().get(operation).copied().unwrap_or_default()
    }

    /// All calls since the last time, except challenges and tokens.
    pub(crate) fn counted(&self) -> Vec<(String, u64)> {
        let calls = self.server.calls();
        self.server.forget_calls();
        calls
            .into_iter()
            .filter(|(name, _)| name != "Challenge" && name != "Token")
            .collect()
    }
}

pub(crate) fn new_key(of: Option<&Kid>) -> NewKey {
    NewKey {
        successor_of: of.cloned(),
        algorithm: Algorithm::ES256,
        rsa_bits: RsaBits::B2048,
        terms: terms(),
    }
}

pub(crate) async fn create(provider: &dyn KeyProvider, of: Option<&Kid>) -> KeyRecord {
    provider.create(&new_key(of)).await.expect("a key")
}

pub(crate) fn revocation(reason: &str) -> Revocation {
    Revocation {
        at: Timestamp::from_millis(1_767_229_200_123),
        reason: reason.to_owned(),
    }
}

pub(crate) fn find(keys: &[KeyRecord], kid: &Kid) -> Option<KeyRecord> {
    keys.iter().find(|key| key.kid() == kid).cloned()
}
