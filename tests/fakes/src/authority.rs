//! A certificate authority for one test run.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A private authority that signs certificates for servers on the loopback interface.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    names: Vec<&'static str>,
    are_expired: bool,
}

impl Authority {
    /// A new authority, which no client trusts yet.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Signet test authority");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
            names: vec!["localhost", "127.0.0.1"],
            are_expired: false,
        }
    }

    /// From now on, the certificates of servers have only this name.
    pub fn name_servers(&mut self, name: &'static str) {
        self.names = vec![name];
    }

    /// From now on, the certificates of servers are expired.
    pub fn let_expire(&mut self) {
        self.are_expired = true;
    }

    /// The certificate of the authority, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the certificate to a file for a client.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).expect("the certificate is written");
    }

    /// Makes a certificate for a server with these names, and its key.
    #[must_use]
    pub fn vouch_for(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).and_then(|mut params| {
            if self.are_expired {
                params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                params.not_after = rcgen::date_time_ymd(2021, 1, 1);
            }
            params.signed_by(&key, &self.issuer)
        });
        (certificate.expect("a certificate"), key)
    }

    /// The TLS configuration of a server on the loopback interface.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let (certificate, key) = self.vouch_for(&self.names);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate with its key");
        Arc::new(config)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}
