//! HTTP on sockets of our own: the accept loop, its limits, who the peer is, TLS, and how errors look.

pub mod accept;
pub mod body;
pub mod client;
pub mod codings;
pub mod connection;
pub mod crowd;
pub mod files;
pub mod filters;
pub mod host;
pub mod peer;
pub mod problem;
pub mod serve;
pub mod stream;
pub mod tls;
pub mod unix;
pub mod workers;

use bytes::Bytes;
use http_body_util::{Either, Full};

/// A body: whole, or as a `warp` filter made it, or gRPC's.
pub type Body = Either<Full<Bytes>, Either<WarpBody, tonic::body::Body>>;
/// The body type of `warp` replies, which `warp` does not name.
pub type WarpBody = <warp::reply::Response as Carries>::Body;
/// An answer.
pub type Response = http::Response<Body>;

/// Names the body type of a response.
pub trait Carries {
    /// The body type.
    type Body;
}

impl<B> Carries for http::Response<B> {
    type Body = B;
}
