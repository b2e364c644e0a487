//! Connects to the sidecar's socket, and checks which user serves it.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::sidecar_settings::{SIDECAR_UIDS, SidecarSettings};

/// How long connecting may take. A connection to a socket on this machine succeeds at once, unless the process that
/// serves it is stopped.
const DEADLINE: Duration = Duration::from_secs(5);
/// The maximum length of an answer in bytes.
const LONGEST_ANSWER: usize = 128 * 1024;

/// The maximum number of idle connections that a thread keeps.
const MOST_IDLE: usize = 16;

/// Why the gateway cannot connect to the sidecar.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody serves the socket.
    #[error("the sidecar's socket {} cannot be connected to", path.display())]
    Unreachable {
        /// The path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A user who is not trusted serves the socket.
    #[error(
        "user {uid} serves the sidecar's socket {}, so the gateway does not use it; if that is the sidecar's user, set \
         {SIDECAR_UIDS}={uid}",
        path.display()
    )]
    Stranger {
        /// The path of the socket.
        path: PathBuf,
        /// The user who serves it.
        uid: u32,
    },
}

impl ConnectError {
    /// Whether there is no socket at this path, as on a machine without a sidecar.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Connects to the socket. Nothing is sent to, or read from, a socket of a user who is not trusted.
///
/// # Errors
/// [`ConnectError`], if nobody serves the socket, or a user who may not serve it.
pub async fn connect(settings: &SidecarSettings) -> Result<UnixStream, ConnectError> {
    let path = || settings.socket.clone();
    let unreachable = |source| ConnectError::Unreachable { path: path(), source };
    let connected = timeout(DEADLINE, UnixStream::connect(&settings.socket)).await;
    let stream = connected
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(unreachable)?;
    // The kernel recorded this user when the socket began to listen (unix(7), SO_PEERCRED).
    let uid = stream.peer_cred().map_err(unreachable)?.uid();
    match settings.may_serve(uid) {
        true => Ok(stream),
        false => Err(ConnectError::Stranger { path: path(), uid }),
    }
}

/// Why a request to the sidecar has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or the answer cannot be read.
    #[error("the connection to the sidecar broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

type Sender = http1::SendRequest<Full<Bytes>>;

thread_local! {
    /// The idle connections of this thread, each with the path of its socket.
    static IDLE: RefCell<Vec<(PathBuf, Sender)>> = const { RefCell::new(Vec::new()) };
}

/// Sends a request with a JSON body, and returns the status and the body of the answer. A connection that is still open
/// from an earlier request is used again. If it has just been closed, the request is sent once more.
///
/// # Errors
/// [`AskError`], if there is no complete answer.
pub async fn post(
    settings: &SidecarSettings,
    path: &'static str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), AskError> {
    if let Some(sender) = idle(settings)
        && let Ok(answer) = exchange(settings, sender, path, body.clone()).await
    {
        return Ok(answer);
    }
    let stream = connect(settings).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // The connection ends when the sender is dropped, or when the sidecar closes it.
    tokio::spawn(connection);
    exchange(settings, sender, path, body).await
}

fn broken(error: hyper::Error) -> AskError {
    AskError::Broken(Box::new(error))
}

fn idle(settings: &SidecarSettings) -> Option<Sender> {
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|(_, sender)| !sender.is_closed());
        let at = idle.iter().position(|(path, _)| *path == settings.socket)?;
        Some(idle.swap_remove(at).1)
    })
}

async fn exchange(
    settings: &SidecarSettings,
    mut sender: Sender,
    path: &'static str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), AskError> {
    sender.ready().await.map_err(broken)?;
    let answer = sender
        .send_request(request(path, Full::new(body)))
        .await
        .map_err(broken)?;
    let answer = read(answer).await?;
    IDLE.with_borrow_mut(|idle| {
        if idle.len() < MOST_IDLE {
            idle.push((settings.socket.clone(), sender));
        }
    });
    Ok(answer)
}

/// A request with a JSON body.
fn request(path: &'static str, body: Full<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(path);
    request.headers_mut().insert(HOST, HeaderValue::from_static("signet"));
    request
}

async fn read(answer: http::Response<Incoming>) -> Result<(StatusCode, Bytes), AskError> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    Ok((status, body.map_err(AskError::Broken)?.to_bytes()))
}
