//! Starts the gateway with a plan, and ends it. Requests in progress may finish.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use signet_edge::tls::{Tls, TlsError};
use signet_edge::{Context, Limits, Workers, files, serve_tcp};
use signet_issuers::NoClient;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admin::readiness::Readiness;
use crate::admin::{self, Admin};
use crate::gateway::Gateway;
use crate::keys::Followers;
use crate::plan::Plan;
use crate::plan::rules::AGENT;
use crate::plan_file::PlanFile;
use crate::reload::Reloader;
use crate::serving::Serving;
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;
use crate::upstream::{NoClientTls, Pools};

/// The maximum number of simultaneous client connections.
const CONNECTIONS: usize = 10_000;
/// The maximum head of a request in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The listener could not be opened.
    #[error("listening on {address} failed; free the port, or change port or listen_ip")]
    Listen {
        /// The address of the listener.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The admin listener could not be opened.
    #[error("listening on {address} failed; free the port, or change SIGNET_GATEWAY_ADMIN_LISTEN")]
    AdminListen {
        /// The address of the listener.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The keys for tokens could not be set up.
    #[error(
        "fetching the keys for auth/validator could not be set up; where the reason names ca_file, correct \
             jwk_local_ca in the file"
    )]
    Keys(#[from] NoClient),
    /// The certificates of the listener could not be read.
    #[error("the listener cannot speak TLS")]
    Tls(#[from] TlsError),
    /// The certificates for backends could not be read.
    #[error("the certificates of backends cannot be verified")]
    ClientTls(#[from] NoClientTls),
    /// A thread or a signal handler could not be set up.
    #[error("the system refused {what}")]
    System {
        /// The thing that was refused.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Serves until SIGTERM or SIGINT. A second one ends the process at once. `plan` is that of the file, whose content had the digest `seen`.
///
/// # Errors
/// [`StartError`], if the gateway cannot start.
pub async fn run(
    file: PlanFile,
    seen: Option<u64>,
    mut plan: Plan,
    settings: &Settings,
    data_dir: &Path,
) -> Result<(), StartError> {
    let refused = |what| move |source| StartError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(refused("a handler for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused("a handler for SIGINT"))?;
    let hang_up = signal(SignalKind::hangup()).map_err(refused("a handler for SIGHUP"))?;
    files::allow(3, CONNECTIONS, "the gateway");
    let listener = listen(plan.listen).await?;
    let (telemetry, readiness) = (Arc::new(Telemetry::default()), Arc::new(Readiness::default()));
    plan.count_in(&telemetry.metrics);
    // The admin listener ends after the listener for clients, when the last request is answered.
    let (admin_tasks, admin_shutdown) = (TaskTracker::new(), CancellationToken::new());
    let admin_listener = admin::open(settings)
        .await
        .map_err(|(address, source)| StartError::AdminListen { address, source })?;
    let admin = admin_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    if let Some(listener) = admin_listener {
        let admin = Admin::new(Arc::clone(&telemetry), Arc::clone(&readiness));
        let served = admin.serve(listener, &admin_tasks, admin_shutdown.clone());
        served.map_err(refused("a thread for the admin listener"))?;
    }
    let upstream = Pools::new(plan.connections, &plan.clients)?;
    let tls = plan.tls.clone().map(Tls::load).transpose()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let context = Context {
        limits: Limits {
            connections: CONNECTIONS,
            setting: "the bound of the gateway",
            header_timeout: plan.header_timeout,
            tcp_head: LONGEST_HEAD,
        },
        shutdown: CancellationToken::new(),
        workers: Workers::start(threads).map_err(refused("threads"))?,
        tasks: TaskTracker::new(),
        record: Arc::<Metrics>::clone(&telemetry.metrics),
    };
    let (shutdown, tasks) = (context.shutdown.clone(), context.tasks.clone());
    let mut followers = Followers::new(
        data_dir,
        Arc::clone(&telemetry.metrics),
        plan.sidecar.clone(),
        tasks.clone(),
        shutdown.clone(),
    );
    let authenticators = followers.follow(&plan.validators).await?;
    let address = listener.local_addr().unwrap_or(plan.listen);
    let admin = admin.map(|address| format!("http://{address}/"));
    info!(version = AGENT, name = plan.name, endpoints = plan.endpoints.len(), %address, admin,
        "the gateway is serving");
    readiness.on_serving(followers.sources());
    let current = Arc::new(ArcSwap::from_pointee(Serving {
        plan,
        authenticators,
        upstream,
    }));
    let reloader = Reloader {
        file,
        seen,
        current: Arc::clone(&current),
        followers,
        tls: tls.clone(),
        metrics: Arc::clone(&telemetry.metrics),
        readiness: Arc::clone(&readiness),
    };
    tasks.spawn(reloader.run(hang_up, shutdown.clone()));
    let connected = Arc::clone(&current);
    let handler = move |client| Gateway::new(Arc::clone(&connected), Arc::clone(&telemetry), client);
    tasks.spawn(serve_tcp("gateway", listener, tls, handler, context));
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    stop().await;
    let drain = current.load().plan.drain;
    readiness.on_stopping();
    shutdown.cancel();
    info!(wait = %humantime::format_duration(drain), "stopping; requests in progress may finish");
    tasks.close();
    tokio::select! {
        drained = tokio::time::timeout(drain, tasks.wait()) => {
            if drained.is_err() {
                warn!("some requests did not finish within max_shutdown_wait_time and were aborted");
            }
        }
        () = stop() => warn!("a second signal to stop: requests under way were aborted"),
    }
    admin_shutdown.cancel();
    info!("stopped");
    Ok(())
}

/// On a machine without IPv6, listens on all IPv4 addresses instead.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen { address, source };
    match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            let ipv4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            TcpListener::bind(ipv4).await.map_err(failed)
        }
        bound => bound.map_err(failed),
    }
}
