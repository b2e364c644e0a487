//! Where the real binary's requests go if the environment names a proxy: one rule for all providers.

use signet_harness as harness;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use harness::time::wait_for;
use harness::{Home, PATIENCE, Ran, Spec};

/// Records the first line of each request, and refuses to forward it.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        Self::answering("502 Bad Gateway")
    }

    fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || refuse(&stream, &log, status));
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the log").clone()
    }
}

fn refuse(mut stream: &TcpStream, log: &Mutex<Vec<String>>, status: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    log.lock().expect("the log").extend(lines.next());
    for line in lines {
        if line.is_empty() {
            break;
        }
    }
    // The client may have left.
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes());
}

const FEDERATED: &str = "AZURE_FEDERATED_TOKEN_FILE";

type Variables = Vec<(&'static str, &'static str)>;

/// Each provider with a server that is not on this machine, and the expected request to a proxy.
fn places() -> [(&'static str, Variables, &'static str); 6] {
    let aws = vec![
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret-of-tests"),
    ];
    let bundle = [aws.clone(), vec![("AWS_CA_BUNDLE", "PEM")]].concat();
    let s3 = [
        aws.clone(),
        vec![("SIGNET_CUSTODY", "sealed"), ("SIGNET_STORE", "s3://rings/signet.json")],
    ]
    .concat();
    [
        (
            "vault",
            vec![
                ("VAULT_ADDR", "https://vault.test:8200"),
                ("VAULT_TOKEN", "hvs.of-tests"),
            ],
            "CONNECT vault.test:8200 ",
        ),
        ("aws-kms", aws, "CONNECT kms.eu-central-1.amazonaws.com:443 "),
        ("aws-kms", bundle, "CONNECT kms.eu-central-1.amazonaws.com:443 "),
        ("aws-kms", s3, "CONNECT s3.eu-central-1.amazonaws.com:443 "),
        (
            "azure-key-vault",
            vec![
                ("SIGNET_KEY", "https://v.vault.azure.net/keys/signet"),
                ("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000000"),
                ("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000001"),
                (FEDERATED, "TOKEN"),
            ],
            "CONNECT v.vault.azure.net:443 ",
        ),
        (
            "gcp-kms",
            vec![
                ("SIGNET_KEY", "projects/p/locations/global/keyRings/r/cryptoKeys/signet"),
                ("GOOGLE_APPLICATION_CREDENTIALS", "USER"),
            ],
            "CONNECT oauth2.googleapis.com:443 ",
        ),
    ]
}

/// Reads the ring with these variables.
fn list(provider: &str, variables: &[(&str, &str)], proxies: &[(&str, &str)]) -> Ran {
    spec(provider, variables, proxies).run(&["keys", "list"])
}

/// A command with these variables. A value in upper case means the file with that name.
fn spec(provider: &str, variables: &[(&str, &str)], proxies: &[(&str, &str)]) -> Spec {
    let home = Home::new();
    let user = r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}"#;
    let authority = signet_fakes::Authority::new();
    authority.write(&home.path("PEM"));
    for (name, content) in [("TOKEN", "a.b.c"), ("USER", user)] {
        std::fs::write(home.path(name), content).expect("written");
    }
    let mut spec = Spec::new(&home)
        .set("SIGNET_PROVIDER", provider)
        .set("SIGNET_LOG", "info");
    for (name, value) in variables.iter().chain(proxies) {
        spec = match ["PEM", "TOKEN", "USER"].contains(value) {
            true => spec.set(name, home.path(value).display()),
            false => spec.set(name, value),
        };
    }
    spec
}

/// Reads the ring until the proxy got this request.
fn asks(proxy: &Proxy, spec: &Spec, expected: &str) {
    let mut child = spec
        .command(&["keys", "list"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    wait_for(&format!("{expected:?} at the proxy"), PATIENCE, || {
        proxy
            .asked()
            .iter()
            .any(|line| line.starts_with(expected))
            .then_some(())
    });
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("ended");
}

/// The operator chooses the proxy, so its name is allowed even if the resolver of the issuer's client would refuse it.
#[test]
fn a_proxy_on_this_machine_is_asked_for_the_keys_of_an_issuer() {
    let proxy = Proxy::start();
    let ran = Spec::new(&Home::new())
        .set("SIGNET_AUDIENCE", "https://api.test")
        .set("SIGNET_TRUSTED_ISSUERS", "https://login.test/")
        .set("HTTPS_PROXY", format!("http://localhost:{}", proxy.address.port()))
        .run(&["check"]);
    let asked = proxy.asked();
    assert!(
        asked.iter().any(|line| line.starts_with("CONNECT login.test:443 ")),
        "{asked:?} {}",
        ran.stdout
    );
}

#[test]
fn every_provider_asks_the_proxy_of_the_environment_whatever_its_spelling() {
    for (provider, variables, expected) in places() {
        for (variable, end) in [("HTTPS_PROXY", "\n"), ("https_proxy", "")] {
            let proxy = Proxy::start();
            let spec = spec(provider, &variables, &[(variable, &(proxy.url() + end))]);
            asks(&proxy, &spec, expected);
        }
    }
}

/// None of these failures is a fault of the server or of its settings.
#[test]
fn a_failure_of_the_proxy_names_the_proxy_and_its_variable_at_every_provider() {
    let free = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("an address")
    };
    let (asks, refuses) = (
        Proxy::answering("407 Proxy Authentication Required"),
        Proxy::answering("403 Forbidden"),
    );
    let told = |(provider, variables, _): (&str, Variables, &str), at: SocketAddr, variable: &str, says: &str| {
        let url = format!("http://ann:hush@{at}");
        let ran = list(provider, &variables, &[(variable, &url)]);
        assert_eq!(ran.code, 75, "{provider}: {}", ran.stderr);
        let named = format!("the proxy {at} ({variable}) {says}");
        assert!(ran.stderr.contains(&named), "{provider}: {named}\n{}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{provider}: {}", ran.stderr);
    };
    // All run in parallel, because each retries for a while.
    std::thread::scope(|scope| {
        for place in places() {
            let told = &told;
            for (at, variable, says) in [
                (free, "HTTPS_PROXY", "cannot be reached (Connection refused"),
                (asks.address, "ALL_PROXY", "asks for a login (407)"),
                (refuses.address, "HTTPS_PROXY", "did not connect to the server"),
            ] {
                let place = place.clone();
                scope.spawn(move || told(place, at, variable, says));
            }
        }
    });
}

/// The proxy accepts the connection and stays silent. A timeout does not show whether the proxy or the server was slow.
#[test]
fn a_proxy_that_is_silent_is_named_as_the_way_to_who_did_not_answer() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let at = silent.local_addr().expect("an address");
    let told = |(provider, variables, _): (&str, Variables, &str)| {
        let ran = list(
            provider,
            &variables,
            &[("HTTPS_PROXY", &format!("http://ann:hush@{at}"))],
        );
        assert_eq!(ran.code, 75, "{provider}: {}", ran.stderr);
        let named = format!("The connection uses the proxy {at} (HTTPS_PROXY)");
        assert!(ran.stderr.contains(&named), "{provider}: {}", ran.stderr);
        assert!(!ran.stderr.contains("hush"), "{provider}: {}", ran.stderr);
    };
    std::thread::scope(|scope| {
        for place in places() {
            let told = &told;
            scope.spawn(move || told(place));
        }
    });
}

#[test]
fn a_failure_of_the_proxy_is_told_of_an_issuer_too() {
    let proxy = Proxy::answering("403 Forbidden");
    let ran = Spec::new(&Home::new())
        .set("SIGNET_AUDIENCE", "https://api.test")
        .set("SIGNET_TRUSTED_ISSUERS", "https://login.test/")
        .set("HTTPS_PROXY", proxy.url())
        .run(&["check"]);
    let named = format!(
        "the proxy {} (HTTPS_PROXY) did not connect to the server",
        proxy.address
    );
    assert!(ran.stdout.contains(&named), "{}", ran.stdout);
}

#[test]
fn what_no_proxy_names_is_asked_directly() {
    let direct = |(provider, variables, expected): (&str, Variables, &str)| {
        let proxy = Proxy::start();
        let host = expected.trim_start_matches("CONNECT ").trim_end();
        let proxies = [
            ("HTTPS_PROXY", &*proxy.url()),
            ("no_proxy", &format!("a.test {host}\n")),
        ];
        let ran = list(provider, &variables, &proxies);
        let asked = proxy.asked();
        assert!(
            !asked.iter().any(|line| line.starts_with(expected)),
            "{provider}: {asked:?}\n{}",
            ran.stderr
        );
    };
    // All run in parallel, because each retries for a while.
    std::thread::scope(|scope| {
        for place in places() {
            scope.spawn(|| direct(place));
        }
    });
}

#[test]
fn instance_metadata_is_asked_of_no_proxy() {
    for (provider, variables) in [
        ("aws-kms", vec![("AWS_REGION", "eu-central-1")]),
        (
            "aws-kms",
            vec![
                ("AWS_REGION", "eu-central-1"),
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    "http://169.254.170.23/v1/credentials",
                ),
            ],
        ),
        (
            "azure-key-vault",
            vec![("SIGNET_KEY", "https://v.vault.azure.net/keys/signet")],
        ),
        (
            "gcp-kms",
            vec![("SIGNET_KEY", "projects/p/locations/global/keyRings/r/cryptoKeys/signet")],
        ),
    ] {
        let proxy = Proxy::start();
        let url = proxy.url();
        let ran = list(provider, &variables, &[("HTTP_PROXY", &url), ("HTTPS_PROXY", &url)]);
        assert_ne!(ran.code, 0, "there is none here: {}", ran.stdout);
        let asked = proxy.asked();
        assert!(
            asked.iter().all(|line| line.starts_with("CONNECT ")),
            "{provider}: {asked:?}\n{}",
            ran.stderr
        );
    }
}

#[test]
fn a_proxy_that_is_no_url_ends_the_start_with_its_name() {
    let spec = Spec::new(&Home::new())
        .set("https_proxy", "hush hush")
        .set("NO_PROXY", "http://x/");
    let ran = spec.run(&["serve"]);
    assert_eq!(ran.code, 64, "{}", ran.stderr);
    assert!(ran.stderr.contains("https_proxy (environment): "), "{}", ran.stderr);
    assert!(ran.stderr.contains("http://proxy.example:3128"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hush"), "{}", ran.stderr);
}

#[test]
fn a_server_name_of_its_own_and_a_proxy_are_refused_together() {
    let vault = [
        ("VAULT_ADDR", "https://10.1.2.3:8200"),
        ("VAULT_TOKEN", "hvs.of-tests"),
        ("VAULT_TLS_SERVER_NAME", "vault.test"),
    ];
    let proxy = Proxy::start();
    let ran = list("vault", &vault, &[("HTTPS_PROXY", &proxy.url())]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("VAULT_TLS_SERVER_NAME"), "{}", ran.stderr);
    assert!(ran.stderr.contains("NO_PROXY"), "{}", ran.stderr);
}
