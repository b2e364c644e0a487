//! The files of TLS: certificates with their keys, and certificate authorities.

use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::VerifierBuilderError;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use signet_files::{Refused, Rule, no_authorities};

/// Why the files cannot be used. The text never contains the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate file cannot be parsed.
    #[error("{0} {1} has no readable certificate chain in PEM")]
    Certificate(&'static str, PathBuf, #[source] rustls::pki_types::pem::Error),
    /// The key file cannot be parsed.
    #[error("{0} {1} has no readable private key in PEM")]
    Key(&'static str, PathBuf, #[source] rustls::pki_types::pem::Error),
    /// A file cannot be read, or others could have written it.
    #[error("{0} cannot be used")]
    File(&'static str, #[source] Refused),
    /// The certificate and the key do not belong together.
    #[error("{0} and {1} do not belong together: the private key is not that of the certificate")]
    Pair(&'static str, &'static str, #[source] rustls::Error),
    /// The certificate or its key is of a kind that cannot be used.
    #[error("{0} {1} and its key cannot be used")]
    Unfit(&'static str, PathBuf, #[source] rustls::Error),
    /// The file should hold certificate authorities, and does not.
    #[error("{0} {1} {2}")]
    NoAuthorities(&'static str, PathBuf, &'static str),
    /// A certificate of an authority cannot be used.
    #[error("{0} {1} has a certificate that cannot be used; it may be damaged")]
    Authority(&'static str, PathBuf, #[source] rustls::Error),
    /// The certificates of clients cannot be verified by these authorities.
    #[error("the certificates of clients cannot be verified by the authorities in {0}")]
    Clients(&'static str, #[source] VerifierBuilderError),
    /// The versions, the cipher suites and the curves do not fit together.
    #[error("the TLS versions, cipher suites and curves of the settings do not fit together")]
    Protocol(#[source] rustls::Error),
}

/// A certificate with its key, and the settings that name their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// The setting for the certificate.
    pub certificate_setting: &'static str,
    /// The private key, in PEM.
    pub key: PathBuf,
    /// The setting for the key.
    pub key_setting: &'static str,
}

impl Files {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let certificates = read(self.certificate_setting, &self.certificate)?;
        let key = Rule::Trusted
            .read(&self.key)
            .map_err(|error| TlsError::File(self.key_setting, error))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| TlsError::Key(self.key_setting, self.key.clone(), error))?;
        CertifiedKey::from_der(certificates, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Pair(self.certificate_setting, self.key_setting, error)
            }
            _ => TlsError::Unfit(self.certificate_setting, self.certificate.clone(), error),
        })
    }
}

/// Files with the certificates of authorities, and the setting that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// The files, in PEM.
    pub paths: Vec<PathBuf>,
    /// The setting for the files.
    pub setting: &'static str,
}

impl AuthorityFiles {
    /// Reads the certificates of all files. Each file must have one at least.
    ///
    /// # Errors
    /// [`TlsError`] if a file cannot be used.
    pub fn read(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let mut all = Vec::new();
        for path in &self.paths {
            let content = Rule::Trusted
                .read(path)
                .map_err(|error| TlsError::File(self.setting, error))?;
            if let Some(what) = no_authorities(&content) {
                return Err(TlsError::NoAuthorities(self.setting, path.clone(), what));
            }
            for certificate in CertificateDer::pem_slice_iter(&content) {
                let certificate =
                    certificate.map_err(|error| TlsError::Certificate(self.setting, path.clone(), error))?;
                // Into a store of its own, to name the file with the damage.
                RootCertStore::empty()
                    .add(certificate.clone())
                    .map_err(|error| TlsError::Authority(self.setting, path.clone(), error))?;
                all.push(certificate);
            }
        }
        Ok(all)
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = Rule::Trusted
        .read(path)
        .map_err(|error| TlsError::File(setting, error))?;
    let chain = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err(rustls::pki_types::pem::Error::NoItemsFound),
        chain => chain,
    }
    .map_err(|error| TlsError::Certificate(setting, path.to_owned(), error))
}
