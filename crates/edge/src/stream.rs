//! Two layers around the stream of a connection. One observes the bytes on the wire; the other reads the first bytes to
//! tell HTTP/2 from HTTP/1.1.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use crate::crowd::connection::Connection;
use crate::fragment::{Received, Watch};

/// The first bytes of every HTTP/2 connection (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The maximum to read at once. hyper starts with a buffer of 8 KiB and doubles it when a read fills it. With
/// this limit, it never grows.
const PIECE: usize = 8 * 1024 - 1;
/// How long a client that is still sending may take to notice its answer, in total and between two bytes.
const LINGER: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(1);
/// How many bytes it may send during that time.
const LINGER_MOST: usize = 32 * 1024 * 1024;

thread_local! {
    static SCRATCH: RefCell<[u8; PIECE]> = const { RefCell::new([0; PIECE]) };
}

/// The stream on the wire, below TLS. It tells the connection what arrives and whether the peer accepts bytes.
///
/// While the peer accepts none, nothing is read from it either: a client that does not read its answers
/// cannot send more requests.
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    connection: Arc<Connection>,
    withheld: Option<Waker>,
}

impl<S> Metered<S> {
    /// Wraps a stream.
    pub(crate) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self {
            stream,
            connection,
            withheld: None,
        }
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if self.connection.on_writing(written.is_ready())
            && let Some(reader) = self.withheld.take()
        {
            reader.wake();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.connection.is_blocked() {
            self.connection.on_waiting()?;
            self.withheld = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // The task was woken because the connection was told to end.
        if self.connection.is_deaf(cx) {
            return Poll::Pending;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let length = buf.remaining().min(scratch.len());
            let mut piece = ReadBuf::new(&mut scratch[..length]);
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
            self.connection.on_looked();
            if polled.is_pending() {
                self.connection.on_waiting()?;
            }
            ready!(polled)?;
            self.connection.on_received(piece.filled().len());
            buf.put_slice(piece.filled());
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.connection.on_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stream whose first bytes were examined and are returned again. It looks for a `#` in the targets of all requests.
///
/// While an endless answer is written, it checks whether the client is still there. hyper does not read during that
/// time, because it allows clients to close their sending side.
#[derive(Debug)]
pub(crate) struct Sniffed<S> {
    stream: S,
    connection: Arc<Connection>,
    first: [u8; PREFACE.len()],
    from: usize,
    to: usize,
    watch: Watch,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sniffed<S> {
    /// Reads until it is clear whether this is HTTP/2.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub(crate) async fn new(stream: S, connection: Arc<Connection>) -> io::Result<(Self, bool)> {
        let mut this = Self {
            stream,
            connection,
            first: [0; PREFACE.len()],
            from: 0,
            to: 0,
            watch: Watch::new(false),
        };
        loop {
            let read = this.stream.read(&mut this.first[this.to..]).await?;
            this.to += read;
            let is_http2 = this.to == PREFACE.len() && this.first == *PREFACE;
            if read == 0 || is_http2 || this.first[..this.to] != PREFACE[..this.to] {
                this.watch = Watch::new(is_http2);
                return Ok((this, is_http2));
            }
        }
    }

    /// Fails if the client has closed its sending side. Bytes that arrive are kept for later, and
    /// then it is not checked again.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.from < self.to {
            return Ok(());
        }
        let mut piece = ReadBuf::new(&mut self.first);
        match Pin::new(&mut self.stream).poll_read(cx, &mut piece) {
            Poll::Ready(Ok(())) if piece.filled().is_empty() => Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the client aborted the stream before its end",
            )),
            Poll::Ready(Ok(())) => {
                (self.from, self.to) = (0, piece.filled().len());
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(()),
        }
    }

    /// Sends a last message, if that is possible at once.
    pub(crate) async fn say(&mut self, words: &[u8]) {
        let _ = timeout(SILENCE, self.stream.write_all(words)).await;
        let _ = timeout(SILENCE, self.stream.shutdown()).await;
    }

    /// Ends the connection after its last answer.
    ///
    /// The client may still be sending. If the connection were closed with unread bytes, the system would reset it, and
    /// the client could lose the answer (RFC 9112 §9.6).
    pub(crate) async fn linger(&mut self) {
        self.connection.on_lingering();
        if timeout(SILENCE, self.stream.shutdown()).await.is_err() {
            return;
        }
        // Small, because many connections may be ending at once.
        let mut scratch = [0; 1024];
        let drain = async {
            let mut left = LINGER_MOST;
            while left > 0 {
                match timeout(SILENCE, self.stream.read(&mut scratch)).await {
                    Ok(Ok(read)) if read > 0 => left = left.saturating_sub(read),
                    _ => break,
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if this.from == this.to {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        } else {
            let to = this.to.min(this.from + buf.remaining());
            buf.put_slice(&this.first[this.from..to]);
            this.from = to;
        }
        let connection = &this.connection;
        this.watch
            .on_octets(&mut buf.filled_mut()[before..], |found| match found {
                Received::Head { has_fragment } => connection.on_head(has_fragment),
                Received::Fields => connection.on_fields(),
                Received::Fragment => connection.on_fragment(),
            });
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.connection.is_endless() {
            self.look(cx)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
