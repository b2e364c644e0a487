//! The sealed ring in Blob Storage with Azurite (npm), over https, with the vault's identity and with a shared key.
//!
//! Needs `SIGNET_TEST_AZURITE`, the directory of Azurite's programs (`node_modules/.bin`).

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signet_api::{ErrorKind, KeyProvider, Trials, Variables};
use signet_azure_key_vault::{NAME, sealer, store};
use signet_base::ManualClock;
use signet_fakes::azure::{CLIENT, SECRET, TENANT};
use signet_sealed::{RingStore, Sealed, Swap};
use signet_testkit::Subject;
use support::Fake;

/// Azurite's default account and key, which are public.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "rings";

/// Runs a command and kills it when standard input ends, which means that this program has ended.
const UNTIL_THE_END: &str = r#""$@" & cat > /dev/null; kill -9 $!"#;

/// A running Azurite.
struct Azurite {
    fake: Fake,
    endpoint: String,
    trust: String,
    _child: Child,
}

impl Azurite {
    fn start() -> Self {
        let programs = std::env::vars().find(|(name, _)| name == "SIGNET_TEST_AZURITE");
        let (_, programs) = programs.expect(
            "SIGNET_TEST_AZURITE is not set: install Azurite (npm install azurite) and set it to node_modules/.bin, or \
             leave out the feature azurite",
        );
        let fake = Fake::start();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let certificate = fake.file("azurite.pem", &cert.pem());
        let key = fake.file("azurite.key", &signing_key.serialize_pem());
        let authority = std::fs::read_to_string(&fake.ca).expect("the authority");
        let trust = fake.file("trust.pem", &format!("{authority}{}", cert.pem()));
        let mut child = Command::new("sh")
            .args(["-c", UNTIL_THE_END, "sh"])
            .arg(Path::new(&programs).join("azurite-blob"))
            // The system chooses a free port, and the ring is kept in memory.
            .args([
                "--blobPort",
                "0",
                "--inMemoryPersistence",
                "--skipApiVersionCheck",
                "--disableTelemetry",
            ])
            .args(["--oauth", "basic", "--silent", "--cert"])
            .arg(&certificate)
            .arg("--key")
            .arg(&key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Azurite starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut lines = output.lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.rsplit_once("listens on https://127.0.0.1:")
                .map(|(_, port)| port.to_owned())
        });
        // Keep reading, because Azurite stops if nobody reads its output.
        std::thread::spawn(move || lines.for_each(drop));
        let port = port.expect("Azurite says where it listens");
        let azurite = Self {
            endpoint: format!("https://localhost:{port}/{ACCOUNT}"),
            trust: trust.to_str().expect("a path").to_owned(),
            fake,
            _child: child,
        };
        let making = azurite.make_container();
        std::thread::spawn(move || signet_testkit::run(making))
            .join()
            .expect("the container is made");
        azurite
    }

    fn variables(&self, more: &[(&str, &str)]) -> Variables {
        let own = [
            ("AZURE_STORAGE_ENDPOINT", self.endpoint.as_str()),
            ("SSL_CERT_FILE", &self.trust),
        ];
        self.fake.variables_but(&[&own, more].concat())
    }

    /// Creates a container, which the object store's client cannot do.
    fn make_container(&self) -> impl Future<Output = ()> + Send + 'static {
        let trust = std::fs::read(&self.trust).expect("read");
        let token = format!("{}/{TENANT}/oauth2/v2.0/token", self.fake.server.url());
        let container = format!("{}/{CONTAINER}?restype=container", self.endpoint);
        async move {
            let trust = reqwest::tls::Certificate::from_pem_bundle(&trust).expect("certificates");
            let client = reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only(trust)
                .build()
                .expect("a client");
            let form = format!(
                "grant_type=client_credentials&client_id={CLIENT}&client_secret={SECRET}&\
                 scope=https%3A%2F%2Fstorage.azure.com%2F.default"
            );
            let answer = client.post(token).body(form).send().await.expect("a token");
            let answer: serde_json::Value = answer.json().await.expect("a token");
            let made = client
                .put(container)
                .bearer_auth(answer["access_token"].as_str().expect("a token"))
                .header("x-ms-version", "2023-11-03")
                .header("content-length", "0")
                .send()
                .await
                .expect("an answer");
            assert_eq!(made.status(), 201, "{:?}", made.text().await);
        }
    }
}

fn azurite() -> &'static Azurite {
    static AZURITE: OnceLock<Azurite> = OnceLock::new();
    AZURITE.get_or_init(Azurite::start)
}

fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("ring-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

async fn open(variables: &Variables, name: &str) -> Arc<dyn RingStore> {
    let location = format!("az://{ACCOUNT}/{CONTAINER}/{name}/ring.json");
    store(variables, &location).await.expect("opens")
}

async fn fresh() -> Subject {
    let name = fresh_name();
    azurite().fake.azure.create_elsewhere(&name, "RSA", "2048");
    let clock = Arc::new(ManualClock::default());
    let handle = move || {
        let (name, clock) = (name.clone(), Arc::clone(&clock));
        async move {
            let sealer = sealer(azurite().fake.config(&name)).await.expect("opens");
            let store = open(&azurite().variables(&[]), &name).await;
            Arc::new(Sealed::new(name, NAME, sealer, store, clock)) as Arc<dyn KeyProvider>
        }
    };
    Subject::new(handle().await, handle, ()).against("our own server, ring in Azurite")
}

signet_testkit::conformance!(sealed, fresh);

#[test]
fn a_shared_key_opens_the_same_ring_and_a_wrong_one_says_who_must_act() {
    signet_testkit::run(async {
        let name = fresh_name();
        let as_identity = open(&azurite().variables(&[]), &name).await;
        let shared = azurite().variables(&[("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY)]);
        let with_key = open(&shared, &name).await;
        assert_eq!(with_key.load().await.expect("loaded"), None);
        let swap = with_key.compare_and_swap(None, b"first").await.expect("swapped");
        let Swap::Stored(version) = swap else {
            panic!("nobody else writes")
        };
        let stored = as_identity.load().await.expect("loaded").expect("it is there");
        assert_eq!(
            (stored.bytes.as_slice(), &stored.version),
            (b"first".as_slice(), &version)
        );
        assert_eq!(
            as_identity.compare_and_swap(None, b"other").await.expect("an answer"),
            Swap::Lost
        );
        for check in Trials::of(async |trials| with_key.check(trials).await).await {
            assert!(check.answer.is_yes(), "{}: {:?}", check.permission, check.answer);
        }

        let wrong = azurite().variables(&[("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaC1odXNo")]);
        let error = open(&wrong, &name).await.load().await.expect_err("refused");
        assert!(
            matches!(error.kind, ErrorKind::Unauthenticated | ErrorKind::PermissionDenied),
            "{:?}: {}",
            error.kind,
            error.source
        );
        assert!(!format!("{error:?}").contains("aHVzaC1odXNo"));

        let missing = azurite().variables(&[]);
        let elsewhere = store(&missing, &format!("az://{ACCOUNT}/nowhere/ring.json"))
            .await
            .expect("opens");
        let error = elsewhere
            .compare_and_swap(None, b"x")
            .await
            .expect_err("there is no container");
        assert_eq!(error.kind, ErrorKind::NotFound, "{}", error.source);
    });
}
