//! The body of a backend's answer. It drives its connection while it is read, and releases it at its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::{self, Lease};

/// The body of a backend's answer.
#[derive(Debug)]
pub struct UpstreamBody {
    /// The body as hyper returns it. `None` only while this value is being dropped.
    body: Option<Incoming>,
    /// The connection, until the body has ended.
    lease: Option<Box<Lease>>,
}

impl UpstreamBody {
    /// The body of an answer on this connection.
    pub(super) fn new(body: Incoming, lease: Box<Lease>) -> Self {
        let has_ended = body.is_end_stream();
        let mut this = Self {
            body: Some(body),
            lease: Some(lease),
        };
        if has_ended {
            this.release();
        }
        this
    }

    /// Returns the connection for the next request, unless this request still uses it.
    fn release(&mut self) {
        if let Some(mut lease) = self.lease.take()
            && lease.connection.is_free()
        {
            pool::put(lease);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(match &mut this.lease {
            Some(lease) => lease.connection.drive(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
            None => Pin::new(&mut *body).poll_frame(cx),
        });
        if frame.is_none() || body.is_end_stream() {
            this.release();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // If only a little of the body is left, hyper now reads the rest, and the connection can be used again.
        self.body = None;
        self.release();
    }
}
