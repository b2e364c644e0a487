//! TLS for a listener. The files are read again when they change, for example by cert-manager.

mod files;
mod protocol;
mod resolve;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use signet_files::Stamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use files::{AuthorityFiles, Files, TlsError};
pub use protocol::Protocol;

/// How often [`Tls::follow_files`] checks the files for changes.
const LOOK: Duration = Duration::from_secs(10);

/// How much is encrypted in advance for a client that does not read.
const UNWRITTEN: usize = 16 * 1024;

/// The TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The certificates with their keys. Each client gets one that fits. Not empty.
    pub files: Vec<Files>,
    /// The versions of TLS that are spoken.
    pub protocol: Protocol,
    /// If set, a client must show a certificate that one of these authorities has signed.
    pub clients: Option<AuthorityFiles>,
}

impl Options {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = self.protocol.provider();
        let certificates = self.files.iter().map(|files| files.read(&provider).map(Arc::new));
        let certificates = resolve::Certificates(certificates.collect::<Result<_, _>>()?);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.protocol.versions())
            .map_err(TlsError::Protocol)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(authorities.read()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| TlsError::Clients(authorities.setting, error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn stamp(&self) -> Stamp {
        let certificates = self.files.iter().flat_map(|files| [&files.certificate, &files.key]);
        let authorities = self.clients.iter().flat_map(|authorities| &authorities.paths);
        Stamp::of(certificates.chain(authorities).map(PathBuf::as_path))
    }
}

/// The current certificates, shared by all connections.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
    /// The settings, and the stamp of the files when they were read last.
    source: Arc<Mutex<(Options, Stamp)>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] if they cannot be used.
    pub fn load(options: Options) -> Result<Self, TlsError> {
        // Before they are read, so that a change in between is found later.
        let stamp = options.stamp();
        let config = options.read()?;
        Ok(Self {
            config: Arc::new(ArcSwap::from(config)),
            source: Arc::new(Mutex::new((options, stamp))),
        })
    }

    /// Performs the TLS handshake with a client, using the current certificate.
    ///
    /// # Errors
    /// The handshake fails, for example because the client speaks no version that is allowed.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        acceptor
            .accept_with(stream, |tls| tls.set_buffer_limit(Some(UNWRITTEN)))
            .await
    }

    /// Uses other settings for new connections. `read` was made by [`Tls::load`] with them.
    pub fn replace(&self, read: &Self) {
        let source = read.source.lock().clone();
        let mut own = self.source.lock();
        self.config.store(read.config.load_full());
        *own = source;
    }

    /// Reads the files again if they have changed since they were read last. `None` if they have not. If they cannot be used, the
    /// last good certificates stay in use. This blocks as long as the file system does.
    pub fn renew(&self) -> Option<Result<(), TlsError>> {
        let mut source = self.source.lock();
        let stamp = source.0.stamp();
        if stamp == source.1 {
            return None;
        }
        source.1 = stamp;
        Some(source.0.read().map(|config| self.config.store(config)))
    }

    /// Renews the files until shutdown.
    pub async fn follow_files(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(renewed) = self.renew() {
                log_renewal(&renewed);
            }
        }
    }
}

/// Logs the end of [`Tls::renew`].
pub fn log_renewal(renewed: &Result<(), TlsError>) {
    match renewed {
        Ok(()) => info!("the new TLS certificate is in use"),
        Err(failure) => {
            let failure = signet_base::chain(failure);
            error!("the new TLS files cannot be used, so the last certificate stays in use: {failure}");
        }
    }
}
