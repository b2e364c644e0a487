//! The types of this program's answers: complete ones, and those that it streams.

use http_body_util::Either;

/// A streamed body, from a `warp` filter or from gRPC.
pub type Streamed = Either<WarpBody, tonic::body::Body>;
/// The body type of `warp` replies. `warp` does not export its name.
pub type WarpBody = <warp::reply::Response as Carries>::Body;
/// An answer of this program.
pub type Response = signet_edge::Response<Streamed>;

/// Gives access to the body type of a response.
pub trait Carries {
    /// The body type.
    type Body;
}

impl<B> Carries for http::Response<B> {
    type Body = B;
}
