//! TLS to backends: which certificates are good, and which one the gateway shows.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use signet_edge::tls::TlsError;
use signet_files::Stamp;

use crate::plan::ClientTls;

/// Why backends cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum NoClientTls {
    /// A file of `client_tls` cannot be used.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// The machine has no certificate authorities.
    #[error(
        "the certificate authorities that this machine trusts cannot be read; install them (Debian: ca-certificates), or set client_tls.ca_certs and client_tls.disable_system_ca_pool"
    )]
    Machine(#[source] Error),
}

/// Reads the files. The authorities of the machine are read only if a backend speaks TLS.
///
/// # Errors
/// [`NoClientTls`] if they cannot be used.
pub(super) fn read(tls: &ClientTls, is_spoken: bool) -> Result<ClientConfig, NoClientTls> {
    let provider = tls.protocol.provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&tls.protocol.versions())
        .map_err(TlsError::Protocol)?;
    let authorities = tls.authorities.read()?;
    let builder = if tls.is_unverified {
        let verifier = Unverified(Arc::clone(&provider));
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    } else if tls.trusts_machine && is_spoken {
        let verifier =
            Verifier::new_with_extra_roots(authorities, Arc::clone(&provider)).map_err(NoClientTls::Machine)?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        builder.with_root_certificates(roots)
    };
    let own: Result<Vec<Arc<CertifiedKey>>, TlsError> = tls
        .certificates
        .iter()
        .map(|files| files.read(&provider).map(Arc::new))
        .collect();
    let own = own?;
    Ok(match own.is_empty() {
        true => builder.with_no_client_auth(),
        false => builder.with_client_cert_resolver(Arc::new(Own(own))),
    })
}

/// The stamp of all files.
pub(super) fn stamp(tls: &ClientTls) -> Stamp {
    let own = tls
        .certificates
        .iter()
        .flat_map(|files| [&files.certificate, &files.key]);
    Stamp::of(tls.authorities.paths.iter().chain(own).map(|path| path.as_path()))
}

/// The gateway's own certificates, in the order of the file.
#[derive(Debug)]
struct Own(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for Own {
    /// The first certificate that the backend can verify and whose chain has an authority that the backend trusts. If the
    /// backend names none, or there is only one certificate, the authority does not matter.
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let is_alone = authorities.is_empty() || self.0.len() == 1;
        let is_of_one = |certified: &CertifiedKey| {
            let mut chain = certified.cert.iter();
            chain.any(|certificate| authorities.iter().any(|name| holds(certificate, name)))
        };
        let mut fit = self
            .0
            .iter()
            .filter(|certified| certified.key.choose_scheme(schemes).is_some());
        fit.find(|certified| is_alone || is_of_one(certified)).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Whether a certificate has this name as that of its issuer or its subject, which have one encoding (RFC 5280 §7.1).
fn holds(certificate: &CertificateDer<'_>, name: &[u8]) -> bool {
    !name.is_empty() && certificate.windows(name.len()).any(|part| part == name)
}

/// Takes every certificate (`allow_insecure_connections`).
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
