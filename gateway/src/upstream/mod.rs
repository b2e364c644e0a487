//! Sends requests to backends. Each thread has its own connections, so threads share no lock.
//!
//! The pipelines know only [`Upstream`]. Its implementation is [`Pools`]. A connection is polled by the task of the
//! request that uses it ([`connection`]), and waits in the pool of its thread between two requests ([`pool`]).

mod body;
mod connection;
mod pool;
mod wakeups;

use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{Either, Full};
use hyper::service::Service as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::service::TowerToHyperService;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use signet_base::chain;
use signet_edge::body::Arriving;

pub use self::body::UpstreamBody;
use self::connection::Connection;
use self::pool::Lease;
use crate::plan::Connections;

/// The body of a request to a backend: a complete one, or the client's as it arrives.
pub type RequestBody = Either<Full<Bytes>, Arriving>;

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
    fn send(
        &self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, Unreached>> + Send;
}

/// The connection pools, one for each thread. They live as long as a plan that uses them.
#[derive(Clone, Debug)]
pub struct Pools(Arc<Shared>);

/// What the pools of all threads share.
#[derive(Debug)]
struct Shared {
    connections: Connections,
    connector: TowerToHyperService<HttpsConnector<HttpConnector>>,
}

impl Pools {
    /// Makes pools without connections.
    ///
    /// # Errors
    /// The certificate authorities that the machine trusts cannot be read.
    pub fn new(connections: Connections) -> io::Result<Self> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match connections.are_over_tls {
            true => builder.with_platform_verifier().map_err(io::Error::other)?,
            // Redirects lead only to hosts in the file, so no connection will use TLS. Reading some 150 certificates
            // would take a third of the start.
            false => builder.with_root_certificates(RootCertStore::empty()),
        };
        let tls = builder.with_no_client_auth();
        Ok(Self(Arc::new(Shared {
            connector: connector(&connections, tls),
            connections,
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

    /// Opens a connection to the host of this URL.
    async fn open(&self, url: Uri, is_tls: bool, authority: Authority) -> Result<Box<Lease>, Unreached> {
        let stream = self.0.connector.call(url).await;
        let stream = stream.map_err(|error| Unreached::Connect(chain(&*error)))?;
        let connection = Connection::new(stream).await;
        Ok(Box::new(Lease {
            connection: connection.map_err(|error| Unreached::Connect(chain(&error)))?,
            shared: Arc::downgrade(&self.0),
            is_tls,
            authority,
        }))
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

impl Upstream for Pools {
    async fn send(&self, mut request: Request<RequestBody>) -> Result<Response<UpstreamBody>, Unreached> {
        let no_host = || Unreached::Connect("the URL has no host".to_owned());
        let url = request.uri().clone();
        let authority = url.authority().ok_or_else(no_host)?;
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        // A request to a server names the path in its first line and the host in a header (RFC 9112 §3.2.1).
        let path = url.path_and_query().cloned();
        *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
        if !request.headers().contains_key(HOST) {
            let host = HeaderValue::from_str(host(authority, is_tls)).map_err(|_| no_host())?;
            request.headers_mut().insert(HOST, host);
        }
        loop {
            let kept = pool::take(&self.0, is_tls, authority);
            let was_kept = kept.is_some();
            let mut lease = match kept {
                Some(lease) => lease,
                None => self.open(url.clone(), is_tls, authority.clone()).await?,
            };
            match lease.connection.send(request).await {
                Ok(response) => return Ok(response.map(|body| UpstreamBody::new(body, lease))),
                Err(mut error) => match error.take_message() {
                    // The backend had closed the connection, and nothing of the request was sent.
                    Some(unsent) if was_kept => request = unsent,
                    _ => return Err(Unreached::Broken(chain(&error.into_error()))),
                },
            }
        }
    }
}

/// The host for the header, without the port if that is the usual one.
fn host(authority: &Authority, is_tls: bool) -> &str {
    let usual = if is_tls { ":443" } else { ":80" };
    let text = authority.as_str();
    text.strip_suffix(usual).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_is_not_part_of_the_host_header() {
        for (authority, is_tls, expected) in [
            ("api", false, "api"),
            ("api:80", false, "api"),
            ("api:80", true, "api:80"),
            ("api:443", true, "api"),
            ("[::1]:8080", false, "[::1]:8080"),
        ] {
            let authority: Authority = authority.parse().expect("an authority");
            assert_eq!(host(&authority, is_tls), expected);
        }
    }
}
