//! Answers that no good server gives: redirects, unexpected forms, oversized answers, other versions. A few lines of
//! HTTP replace the server, so this proves nothing about Vault itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use signet_api::{ErrorKind, KeyProvider, ProviderError, Variables};
use signet_base::ManualClock;
use signet_core::Kid;
use signet_sealed::{Context, Purpose};
use signet_testkit::run;
use signet_vault::VaultConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Answers every request in the same way, and records the heads of the requests.
struct Scripted {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(answer: String) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                let mut octet = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut octet).await.unwrap_or(0) == 1 {
                    head.push(octet[0]);
                }
                log.lock()
                    .expect("the log")
                    .push(String::from_utf8_lossy(&head).into_owned());
                // The client may stop reading a long answer.
                if stream.write_all(answer.as_bytes()).await.is_ok() {
                    // Read the rest of the request, or closing would reset the connection.
                    let mut rest = [0; 1024];
                    let reading = async { while stream.read(&mut rest).await.unwrap_or(0) > 0 {} };
                    drop(stream_end(reading).await);
                }
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("the log").clone()
    }
}

async fn stream_end(reading: impl Future<Output = ()>) -> Result<(), tokio::time::error::Elapsed> {
    tokio::time::timeout(Duration::from_millis(20), reading).await
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\nconnection: close\r\n{headers}\r\n{body}")
}

fn variables(address: &str) -> Variables {
    let pairs = [
        ("VAULT_ADDR", address),
        ("VAULT_TOKEN", "hvs.hush"),
        ("VAULT_CLIENT_TIMEOUT", "2s"),
    ];
    let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    owned.into_iter().collect()
}

async fn remote(address: &str) -> Arc<dyn KeyProvider> {
    let config = VaultConfig::new(&variables(address), "signet").expect("good");
    signet_vault::remote(config, Arc::new(ManualClock::default()))
        .await
        .expect("opens")
}

fn text(error: &ProviderError) -> String {
    format!("{error:?} {error} {}", error.source)
}

/// The number of requests, without the lookup of the token's lease, which may come at any time after the first.
fn reads(seen: &[String]) -> usize {
    seen.iter().filter(|head| !head.contains("lookup-self")).count()
}

#[test]
fn a_redirect_to_this_machine_is_followed_once_with_the_token() {
    run(async {
        let active = Scripted::start(answer(404, "", r#"{"errors":[]}"#)).await;
        let location = format!("location: {}/v1/secret/data/signet/signet\r\n", active.address);
        let standby = Scripted::start(answer(307, &location, "")).await;
        assert!(remote(&standby.address).await.list().await.expect("lists").is_empty());
        let seen = active.seen();
        let read = seen
            .iter()
            .find(|head| head.starts_with("GET /v1/secret/data"))
            .expect("redirected");
        assert!(read.contains("x-vault-token: hvs.hush"), "{read}");

        let location = format!("location: {}/again\r\n", standby.address);
        let circle = Scripted::start(answer(307, &location, "")).await;
        let error = remote(&circle.address)
            .await
            .list()
            .await
            .expect_err("no second redirect");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{error:?}");
    });
}

#[test]
fn a_redirect_to_another_machine_never_gets_the_token() {
    run(async {
        for elsewhere in [
            "http://192.0.2.1:8200/v1/x",
            "https://vault.example/v1/x",
            "ftp://127.0.0.1/x",
            "",
        ] {
            let location = format!("location: {elsewhere}\r\n");
            let standby = Scripted::start(answer(307, &location, "")).await;
            let error = remote(&standby.address).await.list().await.expect_err(elsewhere);
            if elsewhere.is_empty() {
                assert_eq!(error.kind, ErrorKind::BadAnswer, "to itself, once: {error:?}");
            } else {
                assert_eq!(
                    error.kind,
                    ErrorKind::Unavailable,
                    "a failover must end no start: {error:?}"
                );
                assert!(text(&error).contains("VAULT_ADDR"), "{error:?}");
            }
        }
    });
}

#[test]
fn an_answer_of_another_shape_is_refused_and_not_quoted() {
    run(async {
        for body in [
            r#"{"data":{"plaintext":{"hush":"hush"}}}"#,
            r#"{"data":"hush"}"#,
            "hush",
            r#"{"data":{"plaintext":"hush!"}}"#,
        ] {
            let server = Scripted::start(answer(200, "", body)).await;
            let config = VaultConfig::new(&variables(&server.address), "signet").expect("good");
            let sealer = signet_vault::sealer(config).await.expect("a sealer");
            let context = Context::new("ring", Purpose::RingKey);
            let error = sealer.unwrap(b"vault:v1:AAAA", &context).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{error:?}");
            assert!(!text(&error).contains("hush"), "{error:?}");
        }
    });
}

/// The system accepts the connection, but nobody answers the TLS handshake.
#[test]
fn a_server_of_tls_that_is_silent_is_given_up_after_the_time_that_is_told() {
    run(async {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("https://{}", silent.local_addr().expect("an address"));
        let pairs = [
            ("VAULT_ADDR", address.as_str()),
            ("VAULT_TOKEN", "hvs.hush"),
            ("VAULT_CLIENT_TIMEOUT", "5s"),
        ];
        let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables: Variables = owned.into_iter().collect();
        let config = VaultConfig::new(&variables, "signet").expect("good");
        let provider = signet_vault::remote(config, Arc::new(ManualClock::default()))
            .await
            .expect("opens");
        let error = provider.list().await.expect_err("silent");
        assert_eq!(error.kind, ErrorKind::TimedOut, "{error:?}");
        let text = text(&error);
        assert!(text.contains("within 2s") && !text.contains("5s"), "{text}");
    });
}

#[test]
fn an_answer_without_end_is_not_read_to_its_end() {
    run(async {
        let head = "HTTP/1.1 200 X\r\nconnection: close\r\n\r\n";
        let endless = format!("{head}{}", "x".repeat(17 * 1024 * 1024));
        let server = Scripted::start(endless).await;
        let error = remote(&server.address).await.list().await.expect_err("too long");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{error:?}");
        assert!(text(&error).contains("16777216"), "{error:?}");
    });
}

#[test]
fn the_server_s_word_on_when_to_come_back_is_passed_on() {
    run(async {
        for (status, kind) in [(429, ErrorKind::Throttled), (503, ErrorKind::Unavailable)] {
            let later = answer(status, "retry-after: 7\r\n", r#"{"errors":["later"]}"#);
            let server = Scripted::start(later).await;
            let error = remote(&server.address).await.list().await.expect_err("refused");
            assert_eq!(error.kind, kind);
            assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
            assert_eq!(reads(&server.seen()), 1, "nothing is retried here");
        }
    });
}

#[test]
fn a_namespace_the_token_and_our_name_go_with_every_request() {
    run(async {
        let server = Scripted::start(answer(404, "", r#"{"errors":[]}"#)).await;
        let more = [("VAULT_NAMESPACE".to_owned(), "/team/blue/\n".to_owned())];
        let all = variables(&server.address).overlaid(&more.into_iter().collect());
        let config = VaultConfig::new(&all, "signet").expect("good");
        let provider = signet_vault::remote(config, Arc::new(ManualClock::default()))
            .await
            .expect("opens");
        let error = provider.sign(&Kid::new("k"), b"m").await.expect_err("unknown");
        assert_eq!(error.kind, ErrorKind::NotFound);
        for head in server.seen() {
            assert!(head.contains("x-vault-namespace: team/blue\r\n"), "{head}");
            assert!(head.contains("x-vault-token: hvs.hush\r\n"), "{head}");
            let agent = format!("user-agent: signet/{}\r\n", env!("CARGO_PKG_VERSION"));
            assert!(head.contains(&agent), "{head}");
        }
    });
}
