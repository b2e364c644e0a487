//! The accept loop of all listeners.
//!
//! `serve.rs` serves each connection, and `crowd/` decides which one to close when there are too many.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use signet_base::LogLimit;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::crowd::{Crowd, Member};
use crate::handler::Handler;
use crate::peer::{AllowList, Peer};
use crate::serve::{ConnectionLimits, LONG_HEAD, serve};
use crate::tls::Tls;
use crate::workers::Workers;

/// The pause after `accept` failed, for example because of too many open files.
const BREATH: Duration = Duration::from_millis(50);

/// Counts events, for metrics.
pub trait Record: std::fmt::Debug + Send + Sync {
    /// Handles a new connection.
    fn on_opened(&self);

    /// Handles the end of a connection.
    fn on_closed(&self);

    /// Handles a peer that was refused because it is not on the socket's allow-list.
    fn on_peer_refused(&self);
}

/// The limits of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum number of simultaneous connections.
    pub connections: usize,
    /// The setting for this number, for the log.
    pub setting: &'static str,
    /// How long a new connection may take to finish its TLS handshake and send its first request.
    pub header_timeout: Duration,
    /// The maximum head of a request over HTTP/1.1 on a TCP listener, in bytes. On a socket it is 64 KiB.
    pub tcp_head: usize,
}

impl Limits {
    fn connection_limits(&self, longest_head: usize) -> ConnectionLimits {
        ConnectionLimits {
            header_timeout: self.header_timeout,
            longest_head,
        }
    }
}

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Context {
    /// The limits of the listener.
    pub limits: Limits,
    /// Cancelled at shutdown. Listeners then accept no more, and connections finish their current requests.
    pub shutdown: CancellationToken,
    /// The threads that serve connections.
    pub workers: Workers,
    /// The tasks of all connections, to wait for at shutdown.
    pub tasks: TaskTracker,
    /// Counts the listener's connections.
    pub record: Arc<dyn Record>,
}

/// Serves a TCP listener until shutdown. Each connection has a handler that knows its client's address.
pub async fn serve_tcp<H: Handler>(
    name: &'static str,
    listener: TcpListener,
    tls: Option<Tls>,
    handler: impl Fn(SocketAddr) -> H,
    context: Context,
) {
    let crowd = Crowd::new(name, context.limits.connections, context.limits.setting);
    let limits = context.limits.connection_limits(context.limits.tcp_head);
    while let Some((stream, client)) = next(name, || listener.accept(), &crowd, &context.shutdown).await {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(listener = name, %error, "cannot set TCP_NODELAY on a connection");
        }
        let Some(member) = admit(&crowd, &context.shutdown).await else {
            break;
        };
        let Some(stream) = leave(name, stream.into_std()) else {
            continue;
        };
        let (handler, tls, record) = (handler(client), tls.clone(), Arc::clone(&context.record));
        let serving = async move {
            let Some(stream) = leave(name, TcpStream::from_std(stream)) else {
                return;
            };
            serve_counted(serve(stream, tls, &handler, &member, limits), &*record).await;
        };
        context.tasks.spawn_on(serving, context.workers.next());
    }
    crowd.close();
}

/// Serves a Unix socket until shutdown, to the peers on the allow-list.
pub async fn serve_unix<H: Handler>(
    name: &'static str,
    listener: UnixListener,
    allow: AllowList,
    handler: impl Fn(Peer) -> H,
    context: Context,
) {
    let crowd = Crowd::new(name, context.limits.connections, context.limits.setting);
    let limits = context.limits.connection_limits(LONG_HEAD);
    while let Some((stream, _)) = next(name, || listener.accept(), &crowd, &context.shutdown).await {
        let peer = match stream.peer_cred() {
            Ok(cred) => Peer {
                uid: cred.uid(),
                gid: cred.gid(),
                pid: cred.pid(),
            },
            Err(error) => {
                static LOGGED: LogLimit<&str> = LogLimit::new();
                if let Some(held_back) = LOGGED.may_log(name) {
                    warn!(listener = name, %error, held_back,
                        "connection refused: the kernel does not report the user of the peer");
                }
                continue;
            }
        };
        if !allow.allows(&peer) {
            context.record.on_peer_refused();
            static LOGGED: LogLimit<(u32, u32)> = LogLimit::new();
            if let Some(held_back) = LOGGED.may_log((peer.uid, peer.gid)) {
                warn!(
                    listener = name,
                    uid = peer.uid,
                    gid = peer.gid,
                    pid = peer.pid,
                    held_back,
                    "connection refused: this user may not use the socket. If it runs one of your gateways, add its \
                     uid to SIGNET_SOCKET_ALLOW_UIDS or its gid to SIGNET_SOCKET_ALLOW_GIDS"
                );
            }
            continue;
        }
        let Some(member) = admit(&crowd, &context.shutdown).await else {
            break;
        };
        let Some(stream) = leave(name, stream.into_std()) else {
            continue;
        };
        let (handler, record) = (handler(peer), Arc::clone(&context.record));
        let serving = async move {
            let Some(stream) = leave(name, UnixStream::from_std(stream)) else {
                return;
            };
            serve_counted(serve(stream, None, &handler, &member, limits), &*record).await;
        };
        context.tasks.spawn_on(serving, context.workers.next());
    }
    crowd.close();
}

async fn serve_counted(serving: impl Future<Output = ()>, record: &dyn Record) {
    record.on_opened();
    serving.await;
    record.on_closed();
}

/// Waits for a place for a connection. `None` at shutdown.
async fn admit(crowd: &Arc<Crowd>, shutdown: &CancellationToken) -> Option<Member> {
    tokio::select! {
        () = shutdown.cancelled() => None,
        member = crowd.admit() => Some(member),
    }
}

/// Waits for the next connection. `None` at shutdown.
async fn next<S, Address, Accepting>(
    name: &'static str,
    accept: impl Fn() -> Accepting,
    crowd: &Crowd,
    shutdown: &CancellationToken,
) -> Option<(S, Address)>
where
    Accepting: Future<Output = io::Result<(S, Address)>>,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return None,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                static LOGGED: LogLimit<&str> = LogLimit::new();
                if let Some(held_back) = LOGGED.may_log(name) {
                    warn!(listener = name, %error, held_back,
                        "a new connection cannot be accepted; if the error says too many open files, raise ulimit -n");
                }
                // Closing another connection may free the missing file descriptor.
                crowd.make_place();
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

/// Moves a connection from the acceptor's runtime to a worker's. The system may refuse that if memory is short.
fn leave<S>(name: &'static str, moved: io::Result<S>) -> Option<S> {
    static LOGGED: LogLimit<&str> = LogLimit::new();
    moved
        .inspect_err(|error| {
            if let Some(held_back) = LOGGED.may_log(name) {
                warn!(listener = name, %error, held_back,
                    "a connection was lost, because no worker thread could take it");
            }
        })
        .ok()
}
