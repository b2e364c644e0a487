//! Listeners that are safe for any client: the accept loop and its limits, worker threads, TLS, Unix sockets and the
//! identity of peers, bodies within a memory budget, and errors as problem documents (RFC 9457).
//!
//! [`serve_tcp`] and [`serve_unix`] are the entry points; a program passes them a [`Handler`]. This crate knows no
//! routes and no tokens, uses no web framework, and does not know what a program streams.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use signet_edge::body::{Arriving, json};
//! use signet_edge::{Context, Handler, Limits, Record, Response, Workers, serve_tcp};
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//! use tokio_util::task::TaskTracker;
//!
//! #[derive(Clone)]
//! struct Hello;
//!
//! impl Handler for Hello {
//!     type Streamed = Full<Bytes>;
//!
//!     async fn handle(&self, _: Request<Arriving>) -> Response<Full<Bytes>> {
//!         json(r#"{"hello":"world"}"#)
//!     }
//! }
//!
//! /// Counts nothing.
//! #[derive(Debug)]
//! struct Silent;
//!
//! impl Record for Silent {
//!     fn on_opened(&self) {}
//!     fn on_closed(&self) {}
//!     fn on_peer_refused(&self) {}
//! }
//!
//! async fn serve(listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
//!     let context = Context {
//!         limits: Limits {
//!             connections: 1024,
//!             setting: "max_connections",
//!             header_timeout: Duration::from_secs(10),
//!             tcp_head: 16 * 1024,
//!         },
//!         shutdown,
//!         workers: Workers::start(2)?,
//!         tasks: TaskTracker::new(),
//!         record: Arc::new(Silent),
//!     };
//!     serve_tcp("public", listener, None, |_| Hello, context).await;
//!     Ok(())
//! }
//! ```

mod accept;
mod answer;
pub mod body;
mod codings;
mod crowd;
pub mod files;
mod fragment;
mod handler;
mod host;
mod peer;
mod problem;
mod serve;
mod stream;
pub mod tls;
pub mod unix;
mod workers;

pub use accept::{Context, Limits, Record, serve_tcp, serve_unix};
pub use answer::{AnswerBody, Body, PassedOn, Response};
pub use handler::Handler;
pub use peer::{AllowList, Peer};
pub use problem::Problem;
pub use workers::Workers;
