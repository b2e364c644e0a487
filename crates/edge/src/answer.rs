//! Answers: whole, or of the kind that the program streams.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{Either, Full};

/// The body of an answer: whole, as all problem documents are, or of the kind that the program streams.
pub type Body<B> = Either<Full<Bytes>, B>;
/// An answer.
pub type Response<B> = http::Response<Body<B>>;

/// What a program's own kind of body must be.
pub trait AnswerBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> AnswerBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}
