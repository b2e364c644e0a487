//! A streamed answer of a backend. It is passed on as it arrives, and is aborted if nothing arrives for too long.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::telemetry::exchange::Streaming;
use crate::upstream::UpstreamBody;

/// The body of a streamed answer.
#[derive(Debug)]
pub struct Flowing {
    body: UpstreamBody,
    idle: Duration,
    rest: Option<Pin<Box<Sleep>>>,
    /// Whether `rest` has been running since the last piece.
    is_resting: bool,
    /// Records the answer when it ends.
    exchange: Option<Streaming>,
}

/// The error if nothing arrived for too long.
#[derive(Debug, thiserror::Error)]
#[error("the backend sent nothing for {} s", .0.as_secs())]
pub struct Silent(Duration);

impl Flowing {
    /// Streams the body of an answer. Each piece must arrive within `idle`.
    #[must_use]
    pub fn new(body: UpstreamBody, idle: Duration) -> Self {
        Self {
            body,
            idle,
            rest: None,
            is_resting: false,
            exchange: None,
        }
    }

    /// Tells these metrics about each piece. They end with the answer.
    pub fn watch(&mut self, exchange: Streaming) {
        self.exchange = Some(exchange);
    }
}

impl Body for Flowing {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                // Trailers belong to the connection to the backend.
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {}
                Poll::Ready(frame) => {
                    self.is_resting = false;
                    if let (Some(exchange), Some(Ok(frame))) = (&mut self.exchange, &frame) {
                        exchange.on_piece(frame.data_ref().map_or(0, Bytes::len));
                    }
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
                Poll::Pending => break,
            }
        }
        let idle = self.idle;
        let was_resting = std::mem::replace(&mut self.is_resting, true);
        let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !was_resting {
            rest.as_mut().reset(Instant::now() + idle);
        }
        ready!(rest.as_mut().poll(cx));
        Poll::Ready(Some(Err(Silent(idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
