//! Certificates for one test, in files, and clients that trust them.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use crate::support::Answer;

/// An answer over TLS.
pub(crate) type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// An authority that nobody trusts yet.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        // A name of its own, because clients choose their certificate by the names of authorities.
        let name = format!("Authority {:?}", &key.public_key_raw()[..8]);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// The certificate of the authority, in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a certificate for these names, and its key.
    pub(crate) fn vouch_for(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &self.issuer));
        (certificate.expect("a certificate"), key)
    }
}

/// Puts a file in place of another one.
pub(crate) fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).expect("written");
    std::fs::rename(next, path).expect("renamed");
}

/// Writes a certificate for these names to `NAME.crt` and its key to `NAME.key`.
pub(crate) fn issue(authority: &Authority, directory: &Path, name: &str, names: &[&str]) {
    let (certificate, key) = authority.vouch_for(names);
    replace(&directory.join(format!("{name}.key")), &key.serialize_pem());
    replace(&directory.join(format!("{name}.crt")), &certificate.pem());
}

/// A directory with `ca.pem`, and `server.crt` for `gateway.test`.
pub(crate) fn directory(authority: &Authority) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    replace(&directory.path().join("ca.pem"), authority.pem());
    issue(authority, directory.path(), "server", &["gateway.test"]);
    directory
}

pub(crate) fn path(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

/// A client of the gateway.
#[derive(Clone)]
pub(crate) struct TlsClient {
    pub(crate) trusted: String,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    pub(crate) protocols: Vec<&'static str>,
    /// The files of its own certificate.
    pub(crate) own: Option<(String, String)>,
}

impl TlsClient {
    pub(crate) fn of(authority: &Authority) -> Self {
        Self {
            trusted: authority.pem().to_owned(),
            versions: vec![&rustls::version::TLS13, &rustls::version::TLS12],
            protocols: vec!["http/1.1"],
            own: None,
        }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(self.trusted.as_bytes()).expect("a certificate");
        roots.add(trusted).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Connects, and finishes the handshake. A refusal may come only with the first answer.
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
        let client = ClientConnection::new(self.config(), name).map_err(std::io::Error::other)?;
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut stream = StreamOwned::new(client, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(BufReader::new(stream))
    }

    pub(crate) fn get(&self, address: SocketAddr, name: &str, target: &str) -> std::io::Result<Answer> {
        get(&mut self.connect(address, name)?, target, "")
    }
}

/// Sends a request with these lines of headers.
pub(crate) fn get(stream: &mut Stream, target: &str, headers: &str) -> std::io::Result<Answer> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: gateway.test\r\n{headers}\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    Answer::read(stream)
}
