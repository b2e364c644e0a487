//! The trait that a program implements to answer requests.

use std::future::Future;

use http::Request;

use crate::answer::{AnswerBody, Response};
use crate::body::Arriving;

/// Answers requests. `handle` is called once per request. Clones must be cheap, because each request makes one.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The type of streamed bodies; [`http_body_util::Full`] if the program streams nothing.
    type Streamed: AnswerBody;

    /// Answers one request.
    fn handle(&self, request: Request<Arriving>) -> impl Future<Output = Response<Self::Streamed>> + Send;
}
