//! The versions of TLS that are spoken, with their cipher suites and curves.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

/// The versions of TLS that are spoken, with their cipher suites and curves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Whether TLS 1.2 is spoken.
    pub tls12: bool,
    /// Whether TLS 1.3 is spoken.
    pub tls13: bool,
    /// The allowed cipher suites. If empty, all good ones.
    pub suites: Vec<CipherSuite>,
    /// The allowed groups for the exchange of keys. If empty, all good ones.
    pub groups: Vec<NamedGroup>,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            tls12: true,
            tls13: true,
            suites: Vec::new(),
            groups: Vec::new(),
        }
    }
}

impl Protocol {
    /// The cryptography with these suites and groups.
    #[must_use]
    pub fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = default_provider();
        if !self.suites.is_empty() {
            provider
                .cipher_suites
                .retain(|suite| self.suites.contains(&suite.suite()));
        }
        if !self.groups.is_empty() {
            provider.kx_groups.retain(|group| self.groups.contains(&group.name()));
        }
        Arc::new(provider)
    }

    /// The versions, for rustls.
    #[must_use]
    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let versions = [(self.tls13, &TLS13), (self.tls12, &TLS12)];
        let spoken = versions.into_iter().filter(|(is_spoken, _)| *is_spoken);
        spoken.map(|(_, version)| version).collect()
    }
}
