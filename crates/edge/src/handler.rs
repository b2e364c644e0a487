//! What a program gives to its listeners: a function from a request to its answer.

use std::future::Future;

use http::Request;

use crate::answer::{AnswerBody, Response};
use crate::body::Arriving;

/// What answers requests. Called once a request.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The kind of body that it streams; [`http_body_util::Full`] if none.
    type Streamed: AnswerBody;

    /// Answers.
    fn handle(&self, request: Request<Arriving>) -> impl Future<Output = Response<Self::Streamed>> + Send;
}
