//! A small server for tests: HTTP/1.1 and HTTP/2 on one port or socket, on its own thread, with
//! answers that the test chooses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;

/// What the server answers.
pub(crate) type Answer = Arc<dyn Fn(&Parts, Bytes) -> Response<Full<Bytes>> + Send + Sync>;

/// A running server. It stops when this is dropped.
pub(crate) struct TestServer {
    pub(crate) address: Option<SocketAddr>,
    _stop: oneshot::Sender<()>,
}

/// Answers every request with its own body.
pub(crate) fn echo() -> Answer {
    Arc::new(|_, body| Response::new(Full::new(body)))
}

impl TestServer {
    /// Starts a server on a free TCP port, or on the socket at `path`.
    pub(crate) fn start(path: Option<&Path>, answer: Answer) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, binding) = std::sync::mpsc::channel();
        let path = path.map(Path::to_owned);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let serve = async move {
                    match path {
                        Some(path) => {
                            let listener = UnixListener::bind(path).expect("a socket");
                            bound.send(None).expect("the test waits");
                            loop {
                                let (stream, _) = listener.accept().await.expect("a connection");
                                tokio::spawn(connection(stream, Arc::clone(&answer)));
                            }
                        }
                        None => {
                            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                            bound
                                .send(Some(listener.local_addr().expect("an address")))
                                .expect("the test waits");
                            loop {
                                let (stream, _) = listener.accept().await.expect("a connection");
                                stream.set_nodelay(true).expect("an option");
                                tokio::spawn(connection(stream, Arc::clone(&answer)));
                            }
                        }
                    }
                };
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            });
        });
        let address = binding.recv().expect("the server is bound");
        Self { address, _stop: stop }
    }
}

async fn connection<S>(stream: S, answer: Answer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Ok::<_, Infallible>(answer(&parts, body))
        }
    });
    // At the end of a test it fails, which does not matter.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
