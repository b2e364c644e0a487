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
    /// The local socket could not be opened.
    #[error("the local socket cannot be opened")]
    Socket(#[from] SocketError),
    /// A TCP listener could not be opened.
    #[error("cannot listen on {address}; free the port, or change {setting}")]
    Listen {
        /// The address of the listener.
        address: SocketAddr,
        /// The setting for the address.
        setting: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate of the public listener cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The memory could not be locked.
    #[error("memory cannot be locked")]
    Memory(#[from] NotLocked),
    /// The keys of the signing ring cannot be read.
    #[error("the ring cannot be opened")]
    Provider(#[from] ProviderError),
    /// The keys of a ring that is also published cannot be read.
    #[error(
        "the ring of {provider} cannot be read, but SIGNET_ALSO_PUBLISH names it: without its keys valid tokens \
         would be refused. Bring {provider} back, or remove it from SIGNET_ALSO_PUBLISH if all tokens of its \
         keys have expired",
        provider = .0.provider
    )]
    Also(#[source] ProviderError),
    /// The keys of trusted issuers cannot be fetched at all.
    #[error("the keys of SIGNET_TRUSTED_ISSUERS cannot be fetched")]
    Issuers(#[from] NoClient),
    /// The system refused a thread or a signal handler.
    #[error("the system refused {what}")]
    System {
        /// The operation that failed.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Makes the error for an operation that the system refused.
pub(super) fn refused(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}
