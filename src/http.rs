//! The answers of this program: whole ones, and the kinds that it streams.

use http_body_util::Either;

/// What a `warp` filter made, or gRPC's.
pub type Streamed = Either<WarpBody, tonic::body::Body>;
/// The body type of `warp` replies, which `warp` does not name.
pub type WarpBody = <warp::reply::Response as Carries>::Body;
/// An answer.
pub type Response = signet_edge::Response<Streamed>;

/// Names the body type of a response.
pub trait Carries {
    /// The body type.
    type Body;
}

impl<B> Carries for http::Response<B> {
    type Body = B;
}
