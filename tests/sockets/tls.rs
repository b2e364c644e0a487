//! TLS on the public listener, with certificates that are made here and replaced while it runs.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::http::Connection;
use crate::harness::time::wait_for;
use crate::harness::{Home, PATIENCE, Sidecar, Spec};

pub(crate) const NAME: &str = "signet.test";

/// Writes a certificate and its key like a secret's volume, and returns what a client must trust.
pub(crate) fn issue(home: &Home) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    replace(&home.path("tls.key"), &signing_key.serialize_pem());
    replace(&home.path("tls.crt"), &cert.pem());
    cert.der().clone()
}

fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).expect("written");
    std::fs::rename(next, path).expect("renamed");
}

pub(crate) fn with_tls(home: &Home) -> Spec {
    Spec::new(home)
        .set("SIGNET_TLS_CERT_FILE", home.path("tls.crt").display())
        .set("SIGNET_TLS_KEY_FILE", home.path("tls.key").display())
}

/// Fetches the JWKS over TLS. A handshake with another certificate is an error.
fn fetch(
    sidecar: &Sidecar,
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let stream = StreamOwned::new(client, TcpStream::connect(sidecar.spec().listen())?);
    let answer = Connection::over(Box::new(stream))?.get("/.well-known/jwks.json")?;
    assert!(answer.json()["keys"].is_array());
    Ok(answer.status)
}

#[test]
fn the_public_listener_speaks_tls_and_takes_up_a_replaced_certificate() {
    let home = Home::new();
    let first = issue(&home);
    let sidecar = with_tls(&home).set("SIGNET_HEADER_TIMEOUT", "1s").start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert_eq!(fetch(&sidecar, &first, version).expect("an answer"), 200);
    }
    let mut plain = sidecar.public();
    let _ = plain.send(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: signet\r\n\r\n");
    assert!(plain.head().is_err(), "no plain HTTP beside it");
    let mut silent = sidecar.public();
    assert!(
        silent.is_closed_within(Duration::from_secs(4)),
        "a handshake that never comes is not waited for"
    );

    // If a certificate does not match its key, the first one stays in use. The files are checked every 10 s.
    let key = std::fs::read_to_string(home.path("tls.key")).expect("the key");
    let second = issue(&home);
    let second_key = std::fs::read_to_string(home.path("tls.key")).expect("the key");
    replace(&home.path("tls.key"), &key);
    wait_for("the misfit to be noticed", PATIENCE, || {
        (!sidecar.logged("the new TLS files cannot be used").is_empty()).then_some(())
    });
    assert_eq!(
        fetch(&sidecar, &first, &rustls::version::TLS13).expect("an answer"),
        200
    );
    replace(&home.path("tls.key"), &second_key);
    wait_for("the second certificate", PATIENCE, || {
        fetch(&sidecar, &second, &rustls::version::TLS13).ok()
    });
    assert!(
        fetch(&sidecar, &first, &rustls::version::TLS13).is_err(),
        "the first is gone"
    );
}

#[test]
fn tls_files_that_cannot_be_used_are_named_at_the_start() {
    let home = Home::new();
    issue(&home);
    let key = std::fs::read_to_string(home.path("tls.key")).expect("the key");
    issue(&home);
    let refused = |what: &str| {
        let ran = with_tls(&home).run(&["serve"]);
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
    };
    replace(&home.path("tls.key"), &key);
    refused("SIGNET_TLS_CERT_FILE and SIGNET_TLS_KEY_FILE do not belong together");
    replace(&home.path("tls.key"), "nonsense");
    refused("SIGNET_TLS_KEY_FILE");
    std::fs::remove_file(home.path("tls.crt")).expect("removed");
    refused("SIGNET_TLS_CERT_FILE");
}
