//! The clients of a plan, each with TLS settings of its own. They outlive the plan if the next one needs them too.

use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::ClientConfig;
use signet_base::chain;
use signet_files::Stamp;
use tracing::{error, info};

use super::tls::{self, NoClientTls};
use crate::plan::{Client as Settings, Connections};

/// A client for backends.
#[derive(Debug)]
pub(super) struct Client {
    connections: Connections,
    settings: Settings,
    /// Replaced when the files change. New requests then use connections with the new ones.
    shared: ArcSwap<Shared>,
    /// The stamp of the files when they were read last.
    stamp: Mutex<Stamp>,
}

/// What the connections of all threads share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The settings of connections.
    pub(super) connections: Connections,
    /// Opens connections.
    pub(super) connector: TowerToHyperService<HttpsConnector<HttpConnector>>,
}

impl Client {
    pub(super) fn new(connections: Connections, settings: Settings) -> Result<Self, NoClientTls> {
        // Before they are read, so that a change in between is found later.
        let stamp = tls::stamp(&settings.tls);
        Ok(Self {
            connections,
            shared: ArcSwap::from_pointee(Shared::read(connections, &settings)?),
            settings,
            stamp: Mutex::new(stamp),
        })
    }

    /// Whether the client has these settings.
    pub(super) fn is_of(&self, connections: Connections, settings: &Settings) -> bool {
        self.connections == connections && self.settings == *settings
    }

    /// The settings of new requests.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.load_full()
    }

    /// Reads the files again if they have changed, and logs the result. Returns whether they could be used.
    pub(super) fn renew(&self) -> Option<bool> {
        let mut seen = self.stamp.lock();
        let stamp = tls::stamp(&self.settings.tls);
        if stamp == *seen {
            return None;
        }
        *seen = stamp;
        Some(match Shared::read(self.connections, &self.settings) {
            Ok(shared) => {
                self.shared.store(Arc::new(shared));
                info!("the new files of client_tls are in use");
                true
            }
            Err(failure) => {
                let why = chain(&failure);
                error!("the new files of client_tls cannot be used, so the last ones stay in use: {why}");
                false
            }
        })
    }
}

impl Shared {
    fn read(connections: Connections, settings: &Settings) -> Result<Self, NoClientTls> {
        let tls = tls::read(&settings.tls, settings.speaks_tls)?;
        Ok(Self {
            connector: connector(&connections, tls),
            connections,
        })
    }
}

fn connector(connections: &Connections, tls: ClientConfig) -> TowerToHyperService<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(connections.keep_alive);
    http.set_connect_timeout(connections.connect_timeout);
    http.set_happy_eyeballs_timeout(Some(connections.fallback_delay));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    TowerToHyperService::new(connector)
}
