//! The certificate authorities for an issuer's server, and the error texts for TLS failures.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::Certificate;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use signet_base::rfc3339;
use signet_core::{Issuer, Timestamp};
use signet_files::{Refused, Rule};

use crate::TrustedIssuer;

/// How many names of a certificate an error shows.
const MOST_NAMES: usize = 8;

/// Why no HTTP client can be made for an issuer.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The file of certificate authorities cannot be read, or others could have written it.
    #[error("ca_file of the trusted issuer {issuer}, {}, cannot be used", path.display())]
    File {
        /// The issuer of the setting.
        issuer: Issuer,
        /// The path of the file.
        path: PathBuf,
        /// The underlying error.
        source: Refused,
    },
    /// The file has no certificate of an authority.
    #[error(
        "ca_file of the trusted issuer {issuer}, {}, has no certificate in PEM, which starts with BEGIN CERTIFICATE; \
         write the certificates of the authorities there, and no private key",
        path.display()
    )]
    Empty {
        /// The issuer of the setting.
        issuer: Issuer,
        /// The path of the file.
        path: PathBuf,
    },
    /// The file has a certificate that cannot be decoded.
    #[error("ca_file of the trusted issuer {issuer}, {}, has a certificate that cannot be used; it may be damaged", path.display())]
    Damaged {
        /// The issuer of the setting.
        issuer: Issuer,
        /// The path of the file.
        path: PathBuf,
        /// The underlying error.
        source: reqwest::Error,
    },
    /// The machine has no certificate authorities of its own.
    #[error(
        "the certificate authorities of this machine, which the trusted issuer {issuer} needs, cannot be read; \
         install them (Debian: ca-certificates), or set ca_file (jwk_local_ca in a krakend.json)"
    )]
    Machine {
        /// The issuer whose server cannot be verified.
        issuer: Issuer,
        /// The underlying error.
        source: reqwest::Error,
    },
}

impl NoClient {
    /// Makes the error for an HTTP client that could not be built with these authorities.
    pub(super) fn new(terms: &TrustedIssuer, source: reqwest::Error) -> Self {
        let issuer = terms.issuer.clone();
        match terms.ca_file.clone() {
            Some(path) => Self::Damaged { issuer, path, source },
            None => Self::Machine { issuer, source },
        }
    }
}

/// The authorities in `ca_file`, if it is set. They replace those of the machine, so the file must have at least one.
pub(super) fn authorities(terms: &TrustedIssuer) -> Result<Option<Vec<Certificate>>, NoClient> {
    let (Some(path), issuer) = (terms.ca_file.clone(), terms.issuer.clone()) else {
        return Ok(None);
    };
    let pem = match Rule::Trusted.read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(NoClient::File { issuer, path, source }),
    };
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(NoClient::Empty { issuer, path }),
        Ok(found) => Ok(Some(found)),
        Err(source) => Err(NoClient::Damaged { issuer, path, source }),
    }
}

/// The TLS error behind this one, if there is one.
pub(super) fn failure(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        // The source of such an error skips the error inside it, which is needed here.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = within.map_or_else(|| error.source(), |within| Some(within));
    }
    None
}

/// The text of a TLS failure, for an operator. Equal failures give equal texts, because a new text is logged again.
pub(super) fn in_words(failure: &rustls::Error, ca_file: Option<&Path>) -> String {
    use rustls::Error::{
        AlertReceived, InvalidCertificate, InvalidMessage as Invalid, PeerIncompatible as Incompatible,
    };
    match failure {
        InvalidCertificate(error) => of_certificate(error, ca_file).unwrap_or_else(|| failure.to_string()),
        Invalid(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS; check that the URL does not lead to plain HTTP or to a wrong port"
                .to_owned()
        }
        AlertReceived(AlertDescription::ProtocolVersion)
        | Incompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server supports neither TLS 1.2 nor TLS 1.3; older versions are not safe".to_owned()
        }
        _ => failure.to_string(),
    }
}

fn of_certificate(error: &CertificateError, ca_file: Option<&Path>) -> Option<String> {
    let at = |time: &UnixTime| rfc3339(Timestamp::from_secs(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)));
    Some(match (error, ca_file) {
        (CertificateError::UnknownIssuer, Some(path)) => format!(
            "none of the authorities in {} has signed the server's certificate, or the server does not send its \
             intermediate certificates",
            path.display()
        ),
        (CertificateError::UnknownIssuer, None) => {
            "no authority that this machine trusts has signed the server's certificate; set ca_file (jwk_local_ca in a \
             krakend.json) if you have your own authority, or make the server send its intermediate certificates"
                .to_owned()
        }
        (CertificateError::BadSignature, Some(path)) => format!(
            "the server's certificate is signed by an authority that has the name of one in {}, but another key; \
             check whether that authority was replaced",
            path.display()
        ),
        (CertificateError::ExpiredContext { not_after, .. }, _) => format!(
            "the server's certificate, or one of its intermediate certificates, expired at {}; renew it, or correct \
             the clock of this machine",
            at(not_after)
        ),
        (CertificateError::NotValidYetContext { not_before, .. }, _) => format!(
            "the server's certificate, or one of its intermediate certificates, is valid only from {}; check the \
             clock of this machine",
            at(not_before)
        ),
        (CertificateError::NotValidForNameContext { expected, presented }, _) => {
            let names: Vec<&str> = presented.iter().take(MOST_NAMES).map(String::as_str).collect();
            let names = match names.as_slice() {
                [] => "no name, because it has no subjectAltName".to_owned(),
                names => names.join(", "),
            };
            format!(
                "the server's certificate is not for {}, but for {names}",
                expected.to_str()
            )
        }
        // The error is matched by its text, because its type belongs to a crate that we do not depend on.
        (CertificateError::Other(other), _) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server presents a CA certificate (CA:TRUE) as its own, as `openssl req -x509` creates it; a server \
             needs a certificate with CA:FALSE"
                .to_owned()
        }
        _ => return None,
    })
}
