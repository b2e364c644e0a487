//! The admin listener: `/livez`, `/readyz` and `/metrics`.
//!
//! It works from the start of the process to its end, on a thread of its own, so a probe is answered even if the other
//! threads are busy. Liveness depends on nothing: a restart helps neither an issuer nor a backend.

pub mod readiness;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::{Either, Full};
use signet_edge::body::{Arriving, json};
use signet_edge::{Context, Handler, Limits, Problem, Record, Workers, serve_tcp};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::settings::Settings;
use crate::telemetry::Telemetry;
use readiness::Readiness;

type Response = signet_edge::Response<Full<Bytes>>;

/// The maximum number of simultaneous connections to the admin listener.
const CONNECTIONS: usize = 256;
/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum head of a request in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// Counts nothing: the metrics are about the clients of the gateway.
#[derive(Debug)]
struct Uncounted;

impl Record for Uncounted {
    fn on_opened(&self) {}
    fn on_closed(&self) {}
    fn on_peer_refused(&self) {}
}

/// Opens the admin listener. If the default address is taken, there is none: several gateways may run on one machine.
///
/// # Errors
/// The address that somebody wrote, if it cannot be listened on, and the system's error.
pub async fn open(settings: &Settings) -> Result<Option<TcpListener>, (SocketAddr, io::Error)> {
    let Some(address) = settings.admin_listen else {
        return Ok(None);
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) if settings.is_admin_listen_given => Err((address, source)),
        Err(error) => {
            warn!(%address, %error, "there is no admin listener, because its default address cannot be used; set \
                SIGNET_GATEWAY_ADMIN_LISTEN to another address, or to off");
            Ok(None)
        }
    }
}

/// Answers operators and monitoring.
#[derive(Clone, Debug)]
pub struct Admin {
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
}

impl Admin {
    /// Shows these.
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>, readiness: Arc<Readiness>) -> Self {
        Self { telemetry, readiness }
    }

    /// Serves a listener until shutdown.
    ///
    /// # Errors
    /// The system refused a thread.
    pub fn serve(self, listener: TcpListener, tasks: &TaskTracker, shutdown: CancellationToken) -> io::Result<()> {
        let context = Context {
            limits: Limits {
                connections: CONNECTIONS,
                setting: "the bound of the admin listener",
                header_timeout: HEADER_TIMEOUT,
                tcp_head: LONGEST_HEAD,
            },
            shutdown,
            workers: Workers::start(1)?,
            tasks: tasks.clone(),
            record: Arc::new(Uncounted),
        };
        tasks.spawn(serve_tcp(
            "admin",
            listener,
            None,
            move |_: SocketAddr| self.clone(),
            context,
        ));
        Ok(())
    }

    fn answer(&self, path: &str) -> Response {
        match path {
            "/livez" => text("text/plain; charset=utf-8", "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => {
                self.telemetry.metrics.on_readiness(self.readiness.report().ready);
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                text(kind, self.telemetry.metrics.text())
            }
            _ => Problem::not_found("the admin listener has /livez, /readyz and /metrics").into_response(),
        }
    }

    fn ready(&self) -> Response {
        let report = self.readiness.report();
        // A struct of texts can always be encoded as JSON.
        let mut response: Response = json(serde_json::to_vec(&report).unwrap_or_default());
        if !report.ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl Handler for Admin {
    type Streamed = Full<Bytes>;

    async fn handle(&self, request: Request<Arriving>) -> Response {
        match *request.method() {
            Method::GET => self.answer(request.uri().path()),
            Method::HEAD => without_body(self.answer(request.uri().path())),
            _ => Problem::method_not_allowed("GET, HEAD").into_response(),
        }
    }
}

fn text(kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Either::Left(Full::new(body.into())));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The answer to HEAD. hyper removes the body over HTTP/1.1, but sends it over HTTP/2.
fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Either::Left(Full::default()))
}
