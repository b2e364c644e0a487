//! A request in progress, until the client has read the whole answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONNECTION;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{Either, Full};

use super::{Connection, Instruction, octets};
use crate::answer::{AnswerBody, Body, PassedOn, Response};
use crate::problem::Problem;

/// Shorter answers over HTTP/1.1 are not counted.
const SHORT: u64 = 16 * 1024;
/// The memory of an HTTP/2 stream besides headers and body: the state of h2, hyper's task, and the head of the answer.
const STREAM: usize = 4 * 1024;
/// A connection is closed after this many streams in a row were refused for lack of memory, because each refusal takes some.
const MOST_REFUSED: u64 = 16;
/// The memory of a header besides its bytes.
const HEADER: usize = 128;

/// A request, from its head to the last piece of its answer.
#[derive(Debug)]
pub(crate) struct UnderWay {
    connection: Arc<Connection>,
    held: u64,
    is_http2: bool,
    /// Whether the request began after the connection was told to finish. HTTP/2 clients send such requests until they
    /// notice. They do not count as activity, or a client could keep the connection open by sending requests again and
    /// again.
    is_late: bool,
}

impl UnderWay {
    /// Starts a request over HTTP/1.1. There is only one at a time, so it is not counted as memory.
    pub(crate) fn begin(connection: &Arc<Connection>) -> Self {
        let is_late = connection.is_told();
        if !is_late {
            connection.activity.add(1);
        }
        connection.in_turn.add(1);
        connection.under_way.add(1);
        connection.head_is_complete();
        Self {
            connection: Arc::clone(connection),
            held: 0,
            is_http2: false,
            is_late,
        }
    }

    /// Starts a request over HTTP/2, one of many.
    ///
    /// # Errors
    /// Returns the request to be refused, if this listener has too many.
    pub(crate) fn begin_stream(connection: &Arc<Connection>, headers: &HeaderMap) -> Result<Self, Self> {
        let mut way = Self::begin(connection);
        way.is_http2 = true;
        let head: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + HEADER)
            .sum();
        if way.hold(STREAM + head) {
            connection.refused.set(0);
            return Ok(way);
        }
        connection.refused.add(1);
        // The client keeps sending requests, and does not read the answers or ignores the refusals.
        if connection.is_peer_slow() || connection.refused.count() > MOST_REFUSED {
            connection.tell(Instruction::Go);
        }
        Err(way)
    }

    /// Answers that there is no memory for this request.
    pub(crate) fn refuse<B: AnswerBody>(self) -> http::Response<Answer<B>> {
        let refusal = too_much(self.is_http2);
        self.answer(refusal)
    }

    /// Sends this answer, and counts its memory until the client has read it.
    pub(crate) fn answer<B: AnswerBody>(mut self, response: Response<B>) -> http::Response<Answer<B>> {
        let exact = response.body().size_hint().exact();
        let is_passed_on = response.extensions().get::<PassedOn>().is_some();
        let length = if is_passed_on { 0 } else { exact.unwrap_or(0) };
        // Another server's answer without a length usually has an end, and may be slow to come. A client that closed its
        // sending side still wants it.
        let is_endless = exact.is_none() && !is_passed_on;
        self.connection
            .endless
            .store(is_endless && !self.is_http2, Ordering::Relaxed);
        let counts = length > if self.is_http2 { 0 } else { SHORT };
        let mut response = match !counts || self.hold(octets(length)) {
            true => response,
            false => too_much(self.is_http2),
        };
        if !self.is_http2 && self.connection.is_last() {
            response
                .headers_mut()
                .insert(CONNECTION, http::HeaderValue::from_static("close"));
        }
        response.map(|body| {
            self.connection.answers.add(1);
            Answer {
                body,
                untaken: true,
                way: self,
            }
        })
    }

    fn hold(&mut self, more: usize) -> bool {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let taken = self.connection.hold(more);
        if taken {
            self.held += more;
        }
        taken
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.under_way.sub(1);
        connection.endless.store(false, Ordering::Relaxed);
        if connection.under_way.count() == 0 {
            connection.rested.set(connection.crowd.now());
            if !self.is_http2 {
                // The rest of a body's frame is not part of a head.
                connection.head.set(0);
            }
        }
        connection.written.add(self.held);
        if connection.ended.load(Ordering::Relaxed) {
            connection.on_flushed();
        }
    }
}

/// The refusal of a request for lack of memory. Over HTTP/2 it has no body, because a body would have to wait in memory
/// until the client reads it.
fn too_much<B>(is_http2: bool) -> Response<B> {
    let detail = "too many responses are waiting for clients that do not read them; try again in a second";
    let refusal = Problem::overloaded(detail).into_response();
    match is_http2 {
        true => refusal.map(|_| Either::Left(Full::default())),
        false => refusal,
    }
}

/// The body of an answer whose pieces are counted as activity. If a client stops reading, no more pieces are sent.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    body: Body<B>,
    untaken: bool,
    way: UnderWay,
}

impl<B: AnswerBody> http_body::Body for Answer<B> {
    type Data = Bytes;
    type Error = <Body<B> as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let connection = &self.way.connection;
        let untaken = frame.is_ready();
        if untaken && !self.way.is_late {
            connection.activity.add(1);
        }
        match (self.untaken, untaken) {
            (true, false) => connection.answers.sub(1),
            (false, true) => connection.answers.add(1),
            _ => {}
        }
        self.untaken = untaken;
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answer<B> {
    fn drop(&mut self) {
        if self.untaken {
            self.way.connection.answers.sub(1);
        }
    }
}
