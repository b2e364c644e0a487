//! Sends requests to backends. Each thread has its own connections, so threads share no lock.
//!
//! The pipelines know only [`Upstream`]. Its implementation is [`Pools`], with one client of
//! hyper-util for each thread.

use std::cell::RefCell;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_platform_verifier::BuilderVerifierExt as _;
use signet_base::chain;
use signet_edge::body::Arriving;

use crate::plan::Connections;

/// The body of a request to a backend: a complete one, or the client's as it arrives.
pub type RequestBody = Either<Full<Bytes>, Arriving>;

/// The maximum head of an answer in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The connection failed. The text is for the log.
    Connect(String),
    /// The connection broke, or the answer is malformed. The text is for the log.
    Broken(String),
}

/// Sends requests to backends.
pub trait Upstream: Clone + Send + Sync + 'static {
    /// Sends a request, and returns when the head of the answer has arrived.
    fn send(&self, request: Request<RequestBody>)
    -> impl Future<Output = Result<Response<Incoming>, Unreached>> + Send;
}

type PooledClient = Client<HttpsConnector<HttpConnector>, RequestBody>;

/// The connection pools, one for each thread. They live as long as a plan that uses them.
#[derive(Clone, Debug)]
pub struct Pools(Arc<Shared>);

/// What the pools of all threads share.
#[derive(Debug)]
struct Shared {
    connections: Connections,
    tls: Arc<ClientConfig>,
}

thread_local! {
    /// The clients of this thread. Their connections are open as long as their pools are in use.
    static CLIENTS: RefCell<Vec<(Weak<Shared>, PooledClient)>> = const { RefCell::new(Vec::new()) };
}

impl Pools {
    /// Makes pools without connections.
    ///
    /// # Errors
    /// The certificate authorities that the machine trusts cannot be read.
    pub fn new(connections: Connections) -> io::Result<Self> {
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(io::Error::other)?
            .with_no_client_auth();
        Ok(Self(Arc::new(Shared {
            connections,
            tls: Arc::new(tls),
        })))
    }

    /// Pools with these settings: the same ones, with their connections, if the settings are the same.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn adapted(&self, connections: Connections) -> io::Result<Self> {
        match self.0.connections == connections {
            true => Ok(self.clone()),
            false => Self::new(connections),
        }
    }

    /// The client of the current thread.
    fn client(&self) -> PooledClient {
        CLIENTS.with_borrow_mut(|clients| {
            let own = Arc::as_ptr(&self.0);
            if let Some((_, client)) = clients.iter().find(|(shared, _)| shared.as_ptr() == own) {
                return client.clone();
            }
            clients.retain(|(shared, _)| shared.strong_count() > 0);
            let client = self.0.start();
            clients.push((Arc::downgrade(&self.0), client.clone()));
            client
        })
    }
}

impl Shared {
    fn start(&self) -> PooledClient {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(self.connections.keep_alive);
        http.set_connect_timeout(self.connections.connect_timeout);
        http.set_happy_eyeballs_timeout(Some(self.connections.fallback_delay));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*self.tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(self.connections.idle_per_host)
            .pool_idle_timeout(self.connections.idle_timeout)
            .http1_max_buf_size(LONGEST_HEAD)
            .build(connector)
    }
}

impl Upstream for Pools {
    async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Unreached> {
        let sent = self.client().request(request).await;
        sent.map_err(|error| {
            let why = error.source().map_or_else(|| error.to_string(), chain);
            match error.is_connect() {
                true => Unreached::Connect(why),
                false => Unreached::Broken(why),
            }
        })
    }
}
