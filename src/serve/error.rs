//! Why the sidecar did not start.

use std::io;
use std::net::SocketAddr;

use signet_api::ProviderError;
use signet_edge::tls::TlsError;
use signet_edge::unix::SocketError;
use signet_issuers::NoClient;

use crate::hardening::NotLocked;

/// Why the sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The local socket.
    #[error("the local socket cannot be opened")]
    Socket(#[from] SocketError),
    /// A TCP listener.
    #[error("listening on {address} failed; free the port, or change {setting}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The setting that says so.
        setting: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The certificate.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The memory.
    #[error("memory cannot be locked")]
    Memory(#[from] NotLocked),
    /// The keys.
    #[error("the ring cannot be opened")]
    Provider(#[from] ProviderError),
    /// The keys of a ring that is also published.
    #[error(
        "the ring of {provider}, which SIGNET_ALSO_PUBLISH names, cannot be read, and without its keys good tokens would \
         be refused; remove {provider} there if no token of it is alive",
        provider = .0.provider
    )]
    Also(#[source] ProviderError),
    /// The keys of other issuers.
    #[error("SIGNET_TRUSTED_ISSUERS cannot be followed")]
    Issuers(#[from] NoClient),
    /// Threads and signals.
    #[error("the system refused {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The system refused something.
pub(super) fn refused(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}
