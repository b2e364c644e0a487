//! Sends requests to backends. Each thread has its own connections, so threads share no lock.
//!
//! The pipelines know only [`Upstream`]. Its implementation is [`Pools`]. A connection is polled by the task of the
//! request that uses it (`connection`), and waits in the pool of its thread between two requests (`pool`).

mod body;
mod client;
mod connection;
mod pool;
mod tls;
mod wakeups;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{Either, Full};
use hyper::service::Service as _;
use signet_base::chain;
use signet_edge::body::Arriving;

pub use self::body::UpstreamBody;
use self::client::{Client, Shared};
use self::connection::Connection;
use self::pool::Lease;
pub use self::tls::NoClientTls;
use crate::plan::{Client as Settings, Connections};

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
    /// Sends a request with this client of the plan, and returns when the head of the answer has arrived.
    fn send(
        &self,
        client: usize,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, Unreached>> + Send;
}

/// The clients of a plan. Each has a pool of connections for each thread.
#[derive(Clone, Debug)]
pub struct Pools(Arc<[Arc<Client>]>);

impl Pools {
    /// Makes pools without connections, one for each of these clients.
    ///
    /// # Errors
    /// The certificates for a client cannot be read.
    pub fn new(connections: Connections, clients: &[Settings]) -> Result<Self, NoClientTls> {
        Self(Arc::new([])).adapted(connections, clients)
    }

    /// Pools for these clients: the same ones, with their connections, wherever the settings are the same.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn adapted(&self, connections: Connections, clients: &[Settings]) -> Result<Self, NoClientTls> {
        let client = |settings: &Settings| {
            let mut known = self.0.iter();
            match known.find(|client| client.is_of(connections, settings)) {
                Some(known) => Ok(Arc::clone(known)),
                None => Client::new(connections, settings.clone()).map(Arc::new),
            }
        };
        Ok(Self(clients.iter().map(client).collect::<Result<_, _>>()?))
    }

    /// Reads the files of each `client_tls` again if they have changed, and logs the result. If they cannot be used, the last good
    /// ones stay in use. This blocks as long as the file system does. Returns whether those that have changed could be used.
    #[must_use]
    pub fn renew(&self) -> Vec<bool> {
        self.0.iter().filter_map(|client| client.renew()).collect()
    }
}

/// Opens a connection to the host of this URL.
async fn open(shared: &Arc<Shared>, url: Uri, is_tls: bool, authority: Authority) -> Result<Box<Lease>, Unreached> {
    let stream = shared.connector.call(url).await;
    let stream = stream.map_err(|error| Unreached::Connect(chain(&*error)))?;
    let connection = Connection::new(stream).await;
    Ok(Box::new(Lease {
        connection: connection.map_err(|error| Unreached::Connect(chain(&error)))?,
        shared: Arc::downgrade(shared),
        is_tls,
        authority,
    }))
}

impl Upstream for Pools {
    async fn send(
        &self,
        client: usize,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, Unreached> {
        let no_client = || Unreached::Connect("the plan has no such client".to_owned());
        let shared = self.0.get(client).ok_or_else(no_client)?.shared();
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
            let kept = pool::take(&shared, is_tls, authority);
            let was_kept = kept.is_some();
            let mut lease = match kept {
                Some(lease) => lease,
                None => open(&shared, url.clone(), is_tls, authority.clone()).await?,
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
