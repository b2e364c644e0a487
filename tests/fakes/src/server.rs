//! One server: accepts connections, counts calls, plays faults, and lets a service answer.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::fault::{Fault, Script};

/// A request, read whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path, as it came: percent-encoding is not taken off.
    pub path: String,
    /// The pairs of its query, decoded.
    pub query: Vec<(String, String)>,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Request {
    /// The first value of a parameter of the query.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A header field as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// An answer of this type.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = HeaderMap::new();
        let status = StatusCode::from_u16(status).expect("a status");
        let body = body.into();
        Self { status, headers, body }.with("content-type", content_type)
    }

    /// A JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// This answer with a header field more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        self.headers
            .insert(name, HeaderValue::from_str(value).expect("a field value"));
        self
    }
}

/// What a server does. It may compute for as long as it likes: calls of other connections go on meanwhile.
pub trait Service: Send + Sync + 'static {
    /// The vendor's name for the call, under which it is counted and faults are scripted (`AsymmetricSign`).
    fn operation(&self, request: &Request) -> String;

    /// The answer.
    fn answer(&self, request: &Request) -> Response;
}

/// A running server. It stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    service: Arc<dyn Service>,
    calls: Mutex<BTreeMap<String, u64>>,
    script: Script,
}

impl Server {
    /// Starts a service on a free port of the loopback interface: over https if an authority vouches for it, else http.
    ///
    /// # Errors
    /// If the system gives no port or thread.
    pub fn start(service: Arc<dyn Service>, authority: Option<&Authority>) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), service, authority)
    }

    /// The same at this address.
    ///
    /// # Errors
    /// If it cannot be had.
    pub fn start_on(address: SocketAddr, service: Arc<dyn Service>, authority: Option<&Authority>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("fake")
            .build()?;
        // Bound without waiting, so that a test may start a server from within a runtime of its own.
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            service,
            calls: Mutex::default(),
            script: Script::default(),
        });
        let tls = authority.map(|authority| TlsAcceptor::from(authority.server_config()));
        let scheme = if tls.is_some() { "https" } else { "http" };
        runtime.spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self {
            address,
            scheme,
            shared,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        match self.scheme {
            // By name, as cookies and some SDKs do not take addresses for hosts.
            "https" => format!("https://localhost:{}", self.address.port()),
            scheme => format!("{scheme}://{}", self.address),
        }
    }

    /// Adds a fault to the script: the next call of this operation (`*` for any) that no earlier line is for meets it.
    pub fn script(&self, operation: &str, fault: Fault) {
        self.shared.script.add(operation, fault);
    }

    /// Takes back the faults that did not happen yet.
    pub fn unscript(&self) {
        self.shared.script.clear();
    }

    /// How often each operation was called, faults included.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.calls.lock().clone()
    }

    /// Counts from zero again.
    pub fn forget_calls(&self) {
        self.shared.calls.lock().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A hanging call must not hold the test.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({})", self.url())
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Without it an answer may wait 40 ms for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
                None => serve(stream, shared).await,
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    // An error is a client that went, or a fault of ours that closes the connection.
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed")
    }
}

impl std::error::Error for Closed {}

async fn answer(request: http::Request<Incoming>, shared: Arc<Shared>) -> Result<http::Response<Full<Bytes>>, Closed> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let query = parts.uri.query().unwrap_or_default();
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts.headers,
        body,
    };
    let operation = shared.service.operation(&request);
    *shared.calls.lock().entry(operation.clone()).or_default() += 1;
    let fault = shared.script.next(&operation);
    match &fault {
        Some(Fault::Answer(response)) => return Ok(written(response.clone())),
        Some(Fault::Refused) => return Err(Closed),
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Slow(span)) => tokio::time::sleep(*span).await,
        _ => {}
    }
    if request.headers.get(USER_AGENT).is_none() && !is_of_a_bare_login(&request) {
        return Ok(written(Response::new(
            403,
            "text/html",
            "<html>Forbidden: no User-Agent</html>",
        )));
    }
    let service = Arc::clone(&shared.service);
    let response = tokio::task::spawn_blocking(move || service.answer(&request))
        .await
        .map_err(|_| Closed)?;
    match fault {
        Some(Fault::LostAnswer) => Err(Closed),
        Some(Fault::Changed(change)) => Ok(written(change(response))),
        _ => Ok(written(response)),
    }
}

/// Firewalls refuse requests without a `User-Agent`, so every service does here. Google's library for logins sends none and
/// takes no client of ours.
fn is_of_a_bare_login(request: &Request) -> bool {
    request.headers.contains_key("metadata-flavor")
        || request.path.ends_with("/token")
        || request.path.ends_with(":generateAccessToken")
}

fn written(response: Response) -> http::Response<Full<Bytes>> {
    let mut answer = http::Response::new(Full::new(response.body));
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    answer
}
