//! A server: accepts connections, counts calls, plays faults, and passes requests to a service.

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

/// A request with its complete body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method of the request.
    pub method: Method,
    /// The path as it arrived, with its percent-encoding.
    pub path: String,
    /// The decoded pairs of the query.
    pub query: Vec<(String, String)>,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The body of the request.
    pub body: Bytes,
}

impl Request {
    /// The first value of a query parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON, or null if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The body of the answer.
    pub body: Bytes,
}

impl Response {
    /// An answer with this content type.
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

    /// Adds a header to this answer.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        self.headers
            .insert(name, HeaderValue::from_str(value).expect("a field value"));
        self
    }
}

/// What a server does. It may compute for a long time, because calls on other connections continue meanwhile.
pub trait Service: Send + Sync + 'static {
    /// The vendor's name for the call (`AsymmetricSign`). It is used for counting and for scripted faults.
    fn operation(&self, request: &Request) -> String;

    /// The answer to a request.
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
    /// Starts a service on a free loopback port, over https if an authority is given, or else over http.
    ///
    /// # Errors
    /// The system has no free port or cannot start a thread.
    pub fn start(service: Arc<dyn Service>, authority: Option<&Authority>) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), service, authority)
    }

    /// Starts a service at this address.
    ///
    /// # Errors
    /// The address is not available.
    pub fn start_on(address: SocketAddr, service: Arc<dyn Service>, authority: Option<&Authority>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("fake")
            .build()?;
        // Bound without async code, so a test can start a server inside its own runtime.
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

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        match self.scheme {
            // The URL has the host's name, because cookies and some SDKs do not accept addresses as hosts.
            "https" => format!("https://localhost:{}", self.address.port()),
            scheme => format!("{scheme}://{}", self.address),
        }
    }

    /// Adds a fault to the script. The next call of this operation (`*` for any) meets it,
    /// unless an earlier line applies.
    pub fn script(&self, operation: &str, fault: Fault) {
        self.shared.script.add(operation, fault);
    }

    /// Removes the faults that have not happened yet.
    pub fn unscript(&self) {
        self.shared.script.clear();
    }

    /// How often each operation was called, including faults.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.calls.lock().clone()
    }

    /// Resets the counts.
    pub fn forget_calls(&self) {
        self.shared.calls.lock().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A call that hangs must not block the test.
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
        // Without this, an answer may wait 40 ms for an acknowledgement.
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
    // An error means that the client left, or that a scripted fault closes the connection.
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Closes the connection without an answer.
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

/// Whether this request may have no `User-Agent`. Firewalls refuse requests without one, so all services here do, too.
/// But Google's library for logins sends none and accepts no HTTP client of ours.
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
