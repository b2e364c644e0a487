//! The provider contract on LocalStack, which implements KMS and S3 independently of us.
//!
//! In its S3, an object cannot be read for seconds after a client has disconnected during a write. Store calls that
//! have started are therefore completed here even if their caller is gone; `conformance.rs` interrupts them.
//!
//! LocalStack has no Ed25519, so a wrapper here declares nine algorithms. It does not check request signatures and
//! knows neither dry runs nor bad key policies; `conformance.rs` tests these.
//!
//! `SIGNET_TEST_LOCALSTACK` names a Python 3.13 with `tests/clouds/localstack-requirements.txt` installed.

#![allow(
    clippy::disallowed_methods,
    reason = "the test is told by its environment where LocalStack is"
)]

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::{clock, unique};
use signet_api::{Capabilities, ExpiredKeys, KeyProvider, NewKey, ProviderError, Trials, Variables, async_trait};
use signet_aws_kms::{AwsKmsConfig, NAME, remote, sealer, store};
use signet_core::signing_key::Signature;
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, SigningKey};
use signet_sealed::{RingStore, Sealed, Stored, Swap, Version};
use signet_testkit::Subject;
use tokio::sync::Semaphore;

const AGAINST: &str = "LocalStack 2026.3.0";
const WITHOUT_EDDSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
];

/// Runs LocalStack. When its standard input ends, which means that this process has ended, it stops
/// LocalStack and deletes its files.
const SCRIPT: &str = r#"
"$0" -m localstack.runtime.main >"$TMPDIR/log" 2>&1 &
server=$!
read -r _
kill -9 $server
wait $server 2>/dev/null
rm -rf "$TMPDIR"
"#;

struct LocalStack {
    address: SocketAddr,
    key: String,
    _shell: Child,
}

impl LocalStack {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<LocalStack> = OnceLock::new();
        SHARED.get_or_init(|| std::thread::spawn(Self::start).join().expect("LocalStack runs"))
    }

    fn start() -> Self {
        let python = std::env::var("SIGNET_TEST_LOCALSTACK").expect(
            "SIGNET_TEST_LOCALSTACK names the Python 3.13 of a virtual environment: \
             python3.13 -m venv DIR && DIR/bin/pip install -r tests/clouds/localstack-requirements.txt, then DIR/bin/python",
        );
        let directory = tempfile::tempdir().expect("a directory").keep();
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, &python])
            .env("GATEWAY_LISTEN", address.to_string())
            .env("SERVICES", "kms,sts,s3")
            .env("EAGER_SERVICE_LOADING", "1")
            .envs([
                ("DISABLE_EVENTS", "1"),
                ("SKIP_SSL_CERT_DOWNLOAD", "1"),
                ("DNS_ADDRESS", "0"),
            ])
            .env("TMPDIR", &directory)
            .env("HOME", &directory)
            .env("XDG_CACHE_HOME", &directory)
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut server = Self {
            address,
            key: String::new(),
            _shell: shell,
        };
        server.wait(&directory);
        server.key = server.prepare(&python);
        server
    }

    fn wait(&self, directory: &std::path::Path) {
        for _ in 0..600 {
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            if log.contains("Ready.") && TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "LocalStack was not ready in 60 s: {:?}",
            std::fs::read_to_string(directory.join("log"))
        );
    }

    /// Creates what an operator would: a bucket, and a key for sealing.
    fn prepare(&self, python: &str) -> String {
        const OPERATOR: &str = "
import boto3, sys
a = dict(endpoint_url=sys.argv[1], region_name='eu-central-1', aws_access_key_id='a', aws_secret_access_key='b')
boto3.client('s3', **a).create_bucket(
    Bucket='rings', CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})
print(boto3.client('kms', **a).create_key()['KeyMetadata']['Arn'])
";
        let url = format!("http://{}", self.address);
        let output = Command::new(python)
            .args(["-c", OPERATOR, &url])
            .output()
            .expect("python");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn variables(&self) -> Variables {
        let url = format!("http://{}", self.address);
        [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_ENDPOINT_URL", &url),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    async fn remote(&self, ring: &str) -> Arc<dyn KeyProvider> {
        let config = AwsKmsConfig::new(&self.variables(), ring).expect("a configuration");
        Arc::new(WithoutEdDsa(remote(config, clock()).await.expect("a provider")))
    }

    async fn sealed(&self, object: &str) -> Arc<dyn KeyProvider> {
        let variables = self.variables();
        let config = AwsKmsConfig::new(&variables, &self.key).expect("a configuration");
        let sealer = sealer(config).await.expect("a sealer");
        let store = store(&variables, &format!("s3://rings/{object}"))
            .await
            .expect("a store");
        Arc::new(Sealed::new(
            "https://issuer.example",
            NAME,
            sealer,
            Unbroken(store),
            clock(),
        ))
    }
}

/// Declares the algorithms that LocalStack has. LocalStack itself refuses all others.
#[derive(Debug)]
struct WithoutEdDsa(Arc<dyn KeyProvider>);

#[async_trait]
impl KeyProvider for WithoutEdDsa {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            algorithms: WITHOUT_EDDSA,
            ..self.0.capabilities()
        }
    }

    async fn list(&self) -> Result<Vec<KeyRecord>, ProviderError> {
        self.0.list().await
    }

    async fn create(&self, new: &NewKey) -> Result<KeyRecord, ProviderError> {
        self.0.create(new).await
    }

    async fn sign(&self, kid: &Kid, message: &[u8]) -> Result<Signature, ProviderError> {
        self.0.sign(kid, message).await
    }

    async fn unseal(&self, kid: &Kid) -> Result<Option<SigningKey>, ProviderError> {
        self.0.unseal(kid).await
    }

    async fn retire(&self, kid: &Kid, action: ExpiredKeys) -> Result<(), ProviderError> {
        self.0.retire(kid, action).await
    }

    async fn revoke(&self, kid: &Kid, revocation: &Revocation) -> Result<(), ProviderError> {
        self.0.revoke(kid, revocation).await
    }

    async fn check(&self, trials: &mut Trials) {
        self.0.check(trials).await;
    }

    async fn prune(&self) -> Result<Vec<String>, ProviderError> {
        self.0.prune().await
    }
}

/// A store whose calls are never interrupted.
#[derive(Debug)]
struct Unbroken(Arc<dyn RingStore>);

#[async_trait]
impl RingStore for Unbroken {
    fn location(&self) -> String {
        self.0.location()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        let store = Arc::clone(&self.0);
        tokio::spawn(async move { store.load().await }).await.expect("it ends")
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        let (store, expected, bytes) = (Arc::clone(&self.0), expected.cloned(), bytes.to_vec());
        tokio::spawn(async move { store.compare_and_swap(expected.as_ref(), &bytes).await })
            .await
            .expect("it ends")
    }

    async fn check(&self, trials: &mut Trials) {
        self.0.check(trials).await;
    }
}

/// LocalStack is written in Python. With more tests at once, their calls would time out.
static SEATS: Semaphore = Semaphore::const_new(3);

async fn fresh_remote() -> Subject {
    let seat = SEATS.acquire().await.expect("open");
    let ring = unique("ring");
    let provider = LocalStack::shared().remote(&ring).await;
    let reopen = move || {
        let ring = ring.clone();
        async move { LocalStack::shared().remote(&ring).await }
    };
    Subject::new(provider, reopen, seat).against(AGAINST)
}

async fn fresh_sealed() -> Subject {
    let seat = SEATS.acquire().await.expect("open");
    let object = unique("eu/ring.json");
    let provider = LocalStack::shared().sealed(&object).await;
    let reopen = move || {
        let object = object.clone();
        async move { LocalStack::shared().sealed(&object).await }
    };
    Subject::new(provider, reopen, seat).against(AGAINST)
}

signet_testkit::conformance!(remote, fresh_remote);
signet_testkit::conformance!(sealed, fresh_sealed);
