//! TLS for the public listener. The certificate files are reloaded when they change, for example by cert-manager.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use signet_files::{Refused, Rule};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How often the files are checked for changes.
const LOOK: Duration = Duration::from_secs(10);

/// How much is encrypted in advance for a client that does not read.
const UNWRITTEN: usize = 16 * 1024;

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
}

/// The current certificate, shared by all connections.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
    files: Arc<Files>,
}

/// The certificate files, and the settings that name them.
#[derive(Clone, Debug)]
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

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.files.certificate.display())
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let config = files.read()?;
        Ok(Self {
            config: Arc::new(ArcSwap::from(config)),
            files: Arc::new(files),
        })
    }

    /// Performs the TLS handshake with a client, using the current certificate.
    ///
    /// # Errors
    /// The handshake fails, for example because the client speaks neither TLS 1.2 nor 1.3.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        acceptor
            .accept_with(stream, |tls| tls.set_buffer_limit(Some(UNWRITTEN)))
            .await
    }

    /// Reloads the files when they change, until shutdown. If the new ones cannot be used, the last good
    /// certificate stays in use.
    pub async fn follow_files(self, shutdown: CancellationToken) {
        let mut seen = self.files.stamp();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let stamp = self.files.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            match self.files.read() {
                Ok(config) => {
                    self.config.store(config);
                    info!(file = %self.files.certificate.display(), "the new TLS certificate is in use");
                }
                Err(failure) => {
                    let failure = signet_base::chain(&failure);
                    error!("the new TLS files cannot be used, so the last certificate stays in use: {failure}");
                }
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let read = |setting, path| Rule::Trusted.read(path).map_err(|error| TlsError::File(setting, error));
        let certificates = read(self.certificate_setting, &self.certificate)?;
        let certificates = CertificateDer::pem_slice_iter(&certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::Certificate(self.certificate_setting, self.certificate.clone(), error))?;
        let key = read(self.key_setting, &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| TlsError::Key(self.key_setting, self.key.clone(), error))?;
        let unfit = |error| TlsError::Pair(self.certificate_setting, self.key_setting, error);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(unfit)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Values that change whenever a file changes, even if the link of a mounted secret is switched to another
    /// directory.
    fn stamp(&self) -> Vec<Option<(std::time::SystemTime, u64)>> {
        [&self.certificate, &self.key]
            .into_iter()
            .map(|path| {
                std::fs::metadata(path)
                    .ok()
                    .and_then(|file| Some((file.modified().ok()?, file.len())))
            })
            .collect()
    }
}
