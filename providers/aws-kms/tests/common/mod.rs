//! A fake account, and providers that use it.

#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use signet_api::{KeyProvider, Variables};
use signet_aws_kms::{AwsKmsConfig, NAME, remote, sealer, store};
use signet_base::Clock;
use signet_base::ManualClock;
use signet_core::Timestamp;
use signet_fakes::aws::{Aws, REGION};
use signet_fakes::{Authority, Server};
use signet_sealed::Sealed;

pub(crate) const KEY: &str = "AKIDSIDECAR";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

/// An account with its server, over https.
pub(crate) struct Cloud {
    pub(crate) aws: Aws,
    pub(crate) server: Server,
    _directory: tempfile::TempDir,
    bundle: String,
}

impl Cloud {
    pub(crate) fn new() -> Self {
        let (aws, authority) = (Aws::new(), Authority::new());
        let directory = tempfile::tempdir().expect("a directory");
        let bundle = directory.path().join("ca.pem");
        authority.write(&bundle);
        aws.admit(KEY, SECRET);
        aws.create_bucket("rings");
        let server = Server::start(aws.service(), Some(&authority)).expect("a server");
        let bundle = bundle.to_str().expect("text").to_owned();
        Self {
            aws,
            server,
            _directory: directory,
            bundle,
        }
    }

    /// One account for all tests of the program that do not disturb each other.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cloud> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    pub(crate) fn variables(&self, over: &[(&str, &str)]) -> Variables {
        let url = self.server.url();
        let mut pairs = vec![
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL", &url),
            ("AWS_CA_BUNDLE", &self.bundle),
        ];
        pairs.retain(|(name, _)| !over.iter().any(|(other, _)| name == other));
        pairs.extend_from_slice(over);
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    pub(crate) async fn remote(&self, ring: &str) -> Arc<dyn KeyProvider> {
        self.remote_with(ring, &[], clock()).await
    }

    pub(crate) async fn remote_with(
        &self,
        ring: &str,
        over: &[(&str, &str)],
        clock: Arc<dyn Clock>,
    ) -> Arc<dyn KeyProvider> {
        let config = AwsKmsConfig::new(&self.variables(over), ring).expect("a configuration");
        remote(config, clock).await.expect("a provider")
    }

    pub(crate) async fn sealed(&self, key: &str, object: &str, clock: Arc<dyn Clock>) -> Arc<dyn KeyProvider> {
        let variables = self.variables(&[]);
        let config = AwsKmsConfig::new(&variables, key).expect("a configuration");
        let sealer = sealer(config).await.expect("a sealer");
        let store = store(&variables, &format!("s3://rings/{object}"))
            .await
            .expect("a store");
        Arc::new(Sealed::new("https://issuer.example", NAME, sealer, store, clock))
    }
}

/// A clock that shows the current time and does not move.
pub(crate) fn clock() -> Arc<ManualClock> {
    #[allow(clippy::disallowed_methods, reason = "the fake has the real time, too")]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after the epoch");
    Arc::new(ManualClock::at(Timestamp::from_secs(
        i64::try_from(now.as_secs()).expect("a time"),
    )))
}

/// A name that no other test of this program uses.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

/// The text of an error, with its cause.
pub(crate) fn told(error: &signet_api::ProviderError) -> String {
    format!("{error}: {}", error.source)
}
