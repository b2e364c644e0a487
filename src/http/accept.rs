//! The accept loop of every listener, and the life of each connection.
//!
//! The server of `warp` has no limits, no time-outs and no peer credentials; this one has. A connection that has not
//! sent a request in time is closed, whether it is silent or sends a byte a second; so is one that has been idle.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::http::peer::{AllowList, Peer};
use crate::http::tls::Tls;
use crate::http::workers::Workers;
use crate::http::{Body, Response};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::seldom::Seldom;

/// How long a connection may rest between two requests. Longer than the keep-alive of common gateway pools.
const IDLE: Duration = Duration::from_secs(90);
/// The wait after a failed `accept`, such as too many open files.
const BREATH: Duration = Duration::from_millis(50);
const MAX_STREAMS: u32 = 256;
const MAX_BUFFER: usize = 64 * 1024;

/// What answers requests. Called once a request.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// The bounds of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long a new connection may take to send its first request, and to finish its TLS handshake.
    pub header_timeout: Duration,
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Context {
    /// The bounds.
    pub limits: Limits,
    /// Shutdown: no new connections, and those at work finish their requests.
    pub shutdown: CancellationToken,
    /// Where connections are served.
    pub workers: Workers,
    /// Every connection's task, to wait for at shutdown.
    pub tasks: TaskTracker,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Serves a TCP listener until shutdown.
pub async fn serve_tcp<H: Handler>(
    name: &'static str,
    listener: TcpListener,
    tls: Option<Tls>,
    handler: H,
    context: Context,
) {
    let slots = Arc::new(Semaphore::new(context.limits.connections));
    while let Some((stream, slot)) = next(name, || listener.accept(), &slots, &context.shutdown).await {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(listener = name, %error, "TCP_NODELAY was refused");
        }
        let Some(stream) = leave(name, stream.into_std()) else {
            continue;
        };
        let (handler, tls, context_) = (handler.clone(), tls.clone(), context.clone());
        let serve = async move {
            let _slot = slot;
            let Some(stream) = leave(name, TcpStream::from_std(stream)) else {
                return;
            };
            match tls {
                None => serve_connection(stream, handler, &context_).await,
                Some(tls) => match tokio::time::timeout(context_.limits.header_timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve_connection(stream, handler, &context_).await,
                    Ok(Err(error)) => debug!(listener = name, %error, "a TLS handshake failed"),
                    Err(_) => debug!(listener = name, "a TLS handshake took too long"),
                },
            }
        };
        context.tasks.spawn_on(serve, context.workers.next());
    }
}

/// Serves a Unix socket until shutdown, to those on the list.
pub async fn serve_unix<H: Handler>(
    name: &'static str,
    listener: UnixListener,
    allow: AllowList,
    handler: impl Fn(Peer) -> H,
    context: Context,
) {
    let slots = Arc::new(Semaphore::new(context.limits.connections));
    while let Some((stream, slot)) = next(name, || listener.accept(), &slots, &context.shutdown).await {
        let peer = match stream.peer_cred() {
            Ok(cred) => Peer {
                uid: cred.uid(),
                gid: cred.gid(),
                pid: cred.pid(),
            },
            Err(error) => {
                static LOGGED: Seldom<&str> = Seldom::new();
                if let Some(held_back) = LOGGED.may_log(name) {
                    warn!(listener = name, %error, held_back, "a peer without credentials was turned away");
                }
                continue;
            }
        };
        if !allow.allows(&peer) {
            context.metrics.peers_refused.inc();
            static LOGGED: Seldom<(u32, u32)> = Seldom::new();
            if let Some(held_back) = LOGGED.may_log((peer.uid, peer.gid)) {
                warn!(
                    listener = name,
                    uid = peer.uid,
                    gid = peer.gid,
                    pid = peer.pid,
                    held_back,
                    "a peer was turned away; to let it in, add its uid to SIGNET_SOCKET_ALLOW_UIDS or its gid to \
                     SIGNET_SOCKET_ALLOW_GIDS"
                );
            }
            continue;
        }
        let Some(stream) = leave(name, stream.into_std()) else {
            continue;
        };
        let (handler, context_) = (handler(peer), context.clone());
        let serve = async move {
            let _slot = slot;
            let Some(stream) = leave(name, UnixStream::from_std(stream)) else {
                return;
            };
            serve_connection(stream, handler, &context_).await;
        };
        context.tasks.spawn_on(serve, context.workers.next());
    }
}

/// The next connection, with the slot that it takes; `None` at shutdown. Without a free slot none is accepted.
async fn next<S, Address, Accepting>(
    name: &'static str,
    accept: impl Fn() -> Accepting,
    slots: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(S, OwnedSemaphorePermit)>
where
    Accepting: Future<Output = io::Result<(S, Address)>>,
{
    loop {
        let slot = tokio::select! {
            () = shutdown.cancelled() => return None,
            slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return None,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some((stream, slot)),
            Err(error) => {
                static LOGGED: Seldom<&str> = Seldom::new();
                if let Some(held_back) = LOGGED.may_log(name) {
                    warn!(listener = name, %error, held_back, "accept failed; if it says too many open files, raise ulimit -n");
                }
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// A connection changes from the acceptor's runtime to a worker's; the system may refuse that for want of memory.
fn leave<S>(name: &'static str, moved: io::Result<S>) -> Option<S> {
    static LOGGED: Seldom<&str> = Seldom::new();
    moved
        .inspect_err(|error| {
            if let Some(held_back) = LOGGED.may_log(name) {
                warn!(listener = name, %error, held_back, "a connection could not be handed to a worker");
            }
        })
        .ok()
}

/// Counts what shows that a connection is alive: its requests, and the pieces of the bodies that it takes.
type Activity = Arc<AtomicU64>;

/// A body whose pieces count. A client that stops reading takes no more of them, and the server no more of its requests.
struct Held {
    body: Body,
    activity: Activity,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.activity.fetch_add(1, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn serve_connection<S, H>(stream: S, handler: H, context: &Context)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let activity = Activity::default();
    let service = service_fn(|request| {
        activity.fetch_add(1, Ordering::Relaxed);
        let (handler, activity) = (handler.clone(), Arc::clone(&activity));
        async move {
            let response = handler.handle(request).await;
            Ok::<_, Infallible>(response.map(|body| Held { body, activity }))
        }
    });

    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The connection's own watch (below) bounds headers too; hyper's timer would be made anew for every request.
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(MAX_BUFFER)
        .pipeline_flush(true)
        .timer(TokioTimer::new());
    builder
        .http2()
        .max_concurrent_streams(MAX_STREAMS)
        .timer(TokioTimer::new());
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

    context.metrics.connections.inc();
    let mut watch = pin!(until_idle(&activity, context.limits.header_timeout));
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    debug!(%error, "a connection ended early");
                }
                break;
            }
            () = context.shutdown.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = watch.as_mut() => {
                debug!("a silent connection was closed");
                break;
            }
        }
    }
    context.metrics.connections.dec();
}

/// Returns when a connection's first request has not come in time, or nothing has happened for the idle time: no other
/// request, and no piece of a body taken. No request takes that long to answer. Costs a request two counters, and no timer.
async fn until_idle(activity: &AtomicU64, first: Duration) {
    tokio::time::sleep(first).await;
    let mut seen = 0;
    loop {
        let now = activity.load(Ordering::Relaxed);
        if now == seen {
            return;
        }
        seen = now;
        tokio::time::sleep(IDLE).await;
    }
}
