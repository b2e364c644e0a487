//! A connection to a backend that is polled by the task of its request, not by a task of its own.
//!
//! A task of its own would have to be woken twice for each request, and would wake the task of the request as often.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::RequestBody;
use super::wakeups::Wakeups;

/// The stream below HTTP.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The maximum head of an answer in bytes.
const LONGEST_HEAD: usize = 64 * 1024;
/// How often a connection is polled without a break before other tasks get a turn.
const ROUNDS: usize = 16;

/// A connection to a backend.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    /// Reads and writes. `None` after its end.
    driver: Option<http1::Connection<Stream, RequestBody>>,
    wakeups: Arc<Wakeups>,
    /// The same as `wakeups`, as the driver sees it.
    waker: Waker,
}

impl Connection {
    /// Makes a connection of this stream.
    ///
    /// # Errors
    /// hyper refuses the stream.
    pub(super) async fn new(stream: Stream) -> hyper::Result<Self> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(LONGEST_HEAD);
        let (sender, driver) = builder.handshake(stream).await?;
        let wakeups = Wakeups::new();
        Ok(Self {
            sender,
            driver: Some(driver),
            waker: Waker::from(Arc::clone(&wakeups)),
            wakeups,
        })
    }

    /// Sends a request, and returns when the head of the answer has arrived.
    ///
    /// # Errors
    /// The connection broke. If nothing was sent, the error has the request.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        self.wakeups.set_due();
        poll_fn(|cx| self.drive(cx, |cx| answer.as_mut().poll(cx))).await
    }

    /// Polls something that comes from the connection, together with the connection.
    pub(super) fn drive<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.wakeups.is_due(cx) {
            return Poll::Pending;
        }
        for _ in 0..ROUNDS {
            self.wakeups.on_polling();
            self.poll_driver();
            if let Poll::Ready(done) = poll(&mut Context::from_waker(&self.waker)) {
                self.wakeups.set_due();
                return Poll::Ready(done);
            }
            if self.wakeups.on_polled() {
                return Poll::Pending;
            }
        }
        self.wakeups.set_due();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the connection can take another request. Call this when the answer has been read, or is no longer
    /// needed.
    pub(super) fn is_free(&mut self) -> bool {
        self.wakeups.set_due();
        if !self.sender.is_ready() {
            self.poll_driver();
        }
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Whether an unused connection is still open, as far as its thread has noticed.
    pub(super) fn is_open(&mut self) -> bool {
        self.wakeups.set_due();
        self.poll_driver();
        self.driver.is_some() && self.sender.is_ready()
    }

    fn poll_driver(&mut self) {
        let mut own = Context::from_waker(&self.waker);
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(&mut own).is_ready()
        {
            // The request learns of an error from the sender. Dropping the driver ensures that the request does not
            // wait for ever.
            self.driver = None;
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("is_open", &self.driver.is_some())
            .finish_non_exhaustive()
    }
}
