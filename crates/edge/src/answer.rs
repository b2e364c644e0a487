//! The types of answers: a complete body, or a stream of the program's own type.

use std::error::Error;

use bytes::Bytes;
use http_body_util::{Either, Full};

/// The body of an answer: either complete, as for all problem documents, or the program's own streamed type.
pub type Body<B> = Either<Full<Bytes>, B>;
/// An answer to a request.
pub type Response<B> = http::Response<Body<B>>;

/// The requirements for a program's own type of body.
pub trait AnswerBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> AnswerBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

/// Marks an answer, in its extensions, that is passed on piece by piece. Only one piece of it is in memory, whatever its
/// length. Without the mark, the whole length of an answer counts as memory.
#[derive(Clone, Copy, Debug)]
pub struct PassedOn;
