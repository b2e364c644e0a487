//! TLS to backends: whose certificates are good, what the gateway shows, and files that change.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::certificates::{Authority, directory, issue, path};
use crate::support::{Gateway, NO_SIDECAR, head};
use crate::tls::soon;

/// A backend that speaks TLS. It answers with the certificate that the gateway has shown, and which it demands of it.
struct TlsBackend(SocketAddr);

impl TlsBackend {
    fn start(authority: &Authority, clients: Option<&Authority>) -> Self {
        let (certificate, key) = authority.vouch_for(&["127.0.0.1"]);
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(clients.pem().as_bytes()).expect("a certificate");
                roots.add(root).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        let config = builder.with_single_cert(vec![certificate.der().clone()], key);
        let config = Arc::new(config.expect("a pair"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(StreamOwned::new(connection, tcp));
                    while head(&mut stream).is_ok() {
                        let shown = stream.get_ref().conn.peer_certificates().unwrap_or_default();
                        let shown: Vec<&[u8]> = shown.iter().map(|certificate| &certificate[..]).collect();
                        let body = json!({"shown": shown}).to_string();
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                        if stream.get_mut().write_all(format!("{head}{body}").as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self(address)
    }

    fn host(&self) -> String {
        format!("https://{}", self.0)
    }
}

fn endpoint(path: &str, host: &str, client_tls: Value) -> Value {
    let extra = match client_tls {
        Value::Null => json!({}),
        tls => json!({"backend/http/client": {"client_tls": tls}}),
    };
    json!({"endpoint": path, "backend": [{"host": [host], "url_pattern": "/x", "extra_config": extra}]})
}

#[test]
fn a_backend_is_verified_by_the_authorities_of_the_file() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, bad) = (TlsBackend::start(&authority, None), TlsBackend::start(&other, None));
    let directory = directory(&authority);
    let ca = path(&directory, "ca.pem");
    let own = json!({"ca_certs": [ca], "disable_system_ca_pool": true});
    let gateway = Gateway::start_in(
        directory,
        &json!({"client_tls": {"ca_certs": [ca]}, "endpoints": [
            endpoint("/good", &good.host(), Value::Null),
            endpoint("/bad", &bad.host(), Value::Null),
            endpoint("/own", &good.host(), own),
            endpoint("/own/bad", &bad.host(), json!({"ca_certs": [ca], "min_version": "TLS12"})),
            endpoint("/any", &bad.host(), json!({"allow_insecure_connections": true})),
            endpoint("/machine", &good.host(), json!({})),
        ]}),
    );
    for (path, status) in [
        ("/good", 200),
        ("/bad", 500),
        ("/own", 200),
        ("/own/bad", 500),
        ("/any", 200),
        ("/machine", 500),
    ] {
        assert_eq!(gateway.get(path).status, status, "{path}: {}", gateway.log());
    }
    assert!(gateway.log().contains("are not verified"), "{}", gateway.log());
}

/// A machine that trusts another authority than the file.
#[test]
fn the_authorities_of_the_machine_count_unless_the_file_says_otherwise() {
    let (of_machine, of_file) = (Authority::new(), Authority::new());
    let (first, second) = (TlsBackend::start(&of_machine, None), TlsBackend::start(&of_file, None));
    let directory = directory(&of_file);
    let machine = path(&directory, "machine.pem");
    std::fs::write(&machine, of_machine.pem()).expect("written");
    let both = json!({"ca_certs": [path(&directory, "ca.pem")]});
    let mut alone = both.clone();
    alone["disable_system_ca_pool"] = true.into();
    let file = json!({"endpoints": [
        endpoint("/plain/1", &first.host(), Value::Null),
        endpoint("/plain/2", &second.host(), Value::Null),
        endpoint("/both/1", &first.host(), both.clone()),
        endpoint("/both/2", &second.host(), both),
        endpoint("/alone/1", &first.host(), alone.clone()),
        endpoint("/alone/2", &second.host(), alone),
    ]});
    let variables = [NO_SIDECAR, &[("SSL_CERT_FILE", machine.as_str())]].concat();
    let gateway = Gateway::start_with(directory, &file, &variables);
    for (path, status) in [
        ("/plain/1", 200),
        ("/plain/2", 500),
        ("/both/1", 200),
        ("/both/2", 200),
        ("/alone/1", 500),
        ("/alone/2", 200),
    ] {
        assert_eq!(gateway.get(path).status, status, "{path}: {}", gateway.log());
    }
}

#[test]
fn all_backends_may_be_left_unverified_by_the_older_key() {
    let backend = TlsBackend::start(&Authority::new(), None);
    let gateway = Gateway::start(&json!({"allow_insecure_connections": true, "endpoints": [
        endpoint("/x", &backend.host(), Value::Null)]}));
    assert_eq!(gateway.get("/x").status, 200);
    assert!(
        gateway.log().contains("allow_insecure_connections"),
        "{}",
        gateway.log()
    );
}

#[test]
fn a_backend_that_asks_for_a_certificate_gets_the_one_that_it_trusts() {
    let (authority, partner, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let backend = TlsBackend::start(&authority, Some(&partner));
    let directory = directory(&authority);
    issue(&stranger, directory.path(), "stranger", &["client.test"]);
    issue(&partner, directory.path(), "client", &["client.test"]);
    let pair = |name: &str| json!({"certificate": path(&directory, &format!("{name}.crt")), "private_key": path(&directory, &format!("{name}.key"))});
    let ca = path(&directory, "ca.pem");
    let with = |pairs: &[Value]| json!({"ca_certs": [ca], "client_certs": pairs});
    let endpoints = [
        endpoint("/none", &backend.host(), with(&[])),
        endpoint("/stranger", &backend.host(), with(&[pair("stranger")])),
        endpoint("/client", &backend.host(), with(&[pair("stranger"), pair("client")])),
    ];
    let gateway = Gateway::start_in(directory, &json!({"endpoints": endpoints}));
    assert_eq!(gateway.get("/none").status, 500);
    assert_eq!(gateway.get("/stranger").status, 500);
    let first = gateway.get("/client");
    assert_eq!(first.status, 200, "{}", gateway.log());

    // A new certificate is shown on new connections. A bad one is not used.
    issue(&partner, &gateway.path(""), "client", &["client.test"]);
    let second = soon("the new certificate", || {
        let answer = gateway.get("/client");
        assert_eq!(answer.status, 200, "{}", gateway.log());
        (answer.body != first.body).then_some(answer)
    });
    crate::certificates::replace(&gateway.path("client.key"), "nonsense");
    gateway.logs("the new files of client_tls cannot be used", 1);
    assert_eq!(gateway.get("/client").body, second.body);
}

#[test]
fn what_cannot_verify_a_backend_is_refused_at_the_start() {
    let directory = directory(&Authority::new());
    let tried = |command: &str, settings: Value| {
        let file = json!({"client_tls": settings, "endpoints": [endpoint("/x", "https://127.0.0.1:1", Value::Null)]});
        Gateway::command(command, &file)
    };
    for (settings, text) in [
        (json!({"disable_system_ca_pool": true}), "no authority is left"),
        (
            json!({"client_certs": [{"certificate": "a.pem"}]}),
            "private_key is missing",
        ),
        (
            json!({"allow_insecure_connection": true}),
            "is allow_insecure_connections meant?",
        ),
    ] {
        let (code, errors) = tried("check", settings.clone());
        assert_eq!(code, Some(64), "{settings}: {errors}");
        assert!(errors.contains(text), "{settings}: {errors}");
    }
    for (name, text) in [
        ("server.key", "has a private key and no certificate"),
        ("missing.pem", "cannot be used"),
    ] {
        let (code, errors) = tried("run", json!({"ca_certs": [path(&directory, name)]}));
        assert_eq!(code, Some(78), "{errors}");
        assert!(
            errors.contains("client_tls.ca_certs") && errors.contains(text),
            "{errors}"
        );
    }
}
