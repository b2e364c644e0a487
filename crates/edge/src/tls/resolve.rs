//! Chooses one of several certificates for a client.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates with their keys, in the order of the settings.
#[derive(Debug)]
pub(super) struct Certificates(pub(super) Vec<Arc<CertifiedKey>>);

/// Takes the first certificate that is for the name that the client asks for, and whose key the client can verify. Without one, it
/// takes the first whose key the client can verify, and the client decides.
impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [only] = self.0.as_slice() {
            return Some(Arc::clone(only));
        }
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fit = || {
            self.0
                .iter()
                .filter(|certified| certified.key.choose_scheme(hello.signature_schemes()).is_some())
        };
        let named = name.and_then(|name| fit().find(|certified| is_for(certified, &name)));
        named.or_else(|| fit().next()).or_else(|| self.0.first()).cloned()
    }
}

fn is_for(certified: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let Some(certificate) = certified.cert.first() else {
        return false;
    };
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}
