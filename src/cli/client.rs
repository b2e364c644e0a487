//! A small HTTP client for a Unix socket, with which the command line talks to the sidecar on this machine.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The deadline of one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody is listening, or we may not connect.
    #[error("cannot connect to {path}; check that `signet serve` is running and that this user may use its socket")]
    Connect {
        /// The path of the socket.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The connection broke. This also happens to a peer that is not on the allow-list.
    #[error(
        "the sidecar closed the connection; check that SIGNET_SOCKET_ALLOW_UIDS has this user, then see the \
         sidecar's log"
    )]
    Exchange(#[source] hyper::Error),
    /// The deadline has passed.
    #[error("the sidecar did not answer within 10 s")]
    TimedOut,
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// [`ClientError`] if there is no complete answer.
pub(super) async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), ClientError> {
    tokio::time::timeout(DEADLINE, exchange(socket, method, path, body))
        .await
        .map_err(|_| ClientError::TimedOut)?
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ClientError::Connect {
            path: socket.display().to_string(),
            source,
        })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(ClientError::Exchange)?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap_or_default();
    request
        .headers_mut()
        .insert(HOST, http::HeaderValue::from_static("signet"));
    request
        .headers_mut()
        .insert(USER_AGENT, http::HeaderValue::from_static(signet_base::USER_AGENT));
    request
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let response = sender.send_request(request).await.map_err(ClientError::Exchange)?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(ClientError::Exchange)?
        .to_bytes();
    connection.abort();
    Ok((status, body))
}
