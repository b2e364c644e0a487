//! The three listeners. They are opened before anything else, and served once their answers are available.

use std::net::SocketAddr;
use std::sync::Arc;

use signet_edge::tls::{self, Tls};
use signet_edge::unix::{Access, Bound, bind};
use signet_edge::{AllowList, Context, files, serve_tcp, serve_unix};
use tokio::net::{TcpListener, UnixListener};
use tracing::info;

use super::error::StartError;
use super::shared::{MAX_CONNECTIONS, Shared};
use crate::published::Published;
use crate::routes::admin::{About, Admin};
use crate::routes::public::Public;
use crate::routes::{Service, local};
use crate::settings::Settings;

/// The number of listeners: socket, public and admin.
const LISTENERS: usize = 3;

/// The listeners, open and not served yet.
pub(super) struct Listeners {
    pub(super) tls: Option<Tls>,
    pub(super) socket: UnixListener,
    /// The bound socket. Its file is removed when this is dropped.
    pub(super) bound: Bound,
    pub(super) public: TcpListener,
    pub(super) admin: TcpListener,
}

impl Listeners {
    pub(super) async fn open(settings: &Settings) -> Result<Self, StartError> {
        files::allow(LISTENERS, settings.limits.max_connections.into(), MAX_CONNECTIONS);
        let tls = settings.tls.as_ref().map(|files| {
            Tls::load(tls::Options {
                files: vec![tls::Files {
                    certificate: files.certificate.clone(),
                    certificate_setting: "SIGNET_TLS_CERT_FILE",
                    key: files.key.clone(),
                    key_setting: "SIGNET_TLS_KEY_FILE",
                }],
                protocol: tls::Protocol::default(),
                clients: None,
            })
        });
        let tls = tls.transpose()?;
        let access = Access {
            mode: settings.socket.mode,
            group: settings.socket.group.clone(),
        };
        let (socket, bound) = bind(&settings.socket.path, &access)?;
        Ok(Self {
            tls,
            socket,
            bound,
            public: listen(settings.listen, "SIGNET_LISTEN").await?,
            admin: listen(settings.admin_listen, "SIGNET_ADMIN_LISTEN").await?,
        })
    }
}

async fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen {
        address,
        setting,
        source,
    })
}

/// Serves the admin listener on its own thread, so a probe is answered even if the other listeners are busy. Until the
/// ring is open, the pages that need it say that the sidecar is starting.
pub(super) fn serve_admin(shared: &Shared, listener: TcpListener) -> Result<Admin, StartError> {
    let settings = &shared.settings;
    let pages = Admin::new(About {
        provider: settings.origin.provider.as_str(),
        issuer: settings.issuer.clone(),
        policy: settings.policy,
        clock: Arc::clone(&shared.clock),
        metrics: Arc::clone(&shared.metrics),
    });
    let served = {
        let pages = pages.clone();
        serve_tcp("admin", listener, None, move |_| pages.clone(), shared.context(1)?)
    };
    shared.tasks.spawn(served);
    Ok(pages)
}

/// Serves the local socket.
pub(super) fn serve_socket(shared: &Shared, listener: UnixListener, service: Arc<Service>, context: Context) {
    let allowed = AllowList {
        uids: shared.settings.socket.allow_uids.clone(),
        gids: shared.settings.socket.allow_gids.clone(),
    };
    let routes = local::routes(service, shared.shutdown.clone());
    shared
        .tasks
        .spawn(serve_unix("socket", listener, allowed, routes, context));
}

/// Serves the public listener, and reloads its certificate when the files change.
pub(super) fn serve_public(
    shared: &Shared,
    listener: TcpListener,
    tls: Option<Tls>,
    published: Arc<Published>,
    context: Context,
) {
    let settings = &shared.settings;
    if let Some(tls) = &tls {
        let followed = tls.clone().follow_files(shared.shutdown.clone());
        shared.tasks.spawn(followed);
    }
    let documents = Public::new(published, &settings.issuer, &settings.policy, Arc::clone(&shared.clock));
    shared
        .tasks
        .spawn(serve_tcp("public", listener, tls, move |_| documents.clone(), context));
}

/// Logs the addresses of all listeners.
pub(super) fn announce(settings: &Settings) {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        issuer = %settings.issuer,
        jwks = %format!("{scheme}://{}/.well-known/jwks.json", settings.listen),
        socket = %settings.socket.path.display(),
        admin = %format!("http://{}/", settings.admin_listen),
        "signet is serving"
    );
}
