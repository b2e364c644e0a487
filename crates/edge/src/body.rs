//! Reads request bodies with a size limit, a deadline and a memory budget, and writes JSON answers.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::answer::Response;
use crate::crowd::Connection;
use crate::problem::Problem;

/// How long a client may take to send a body.
const DEADLINE: Duration = Duration::from_secs(10);
/// The memory budget of this process in bytes, for all bodies that have partly arrived or are being processed.
const BUDGET: usize = 32 * 1024 * 1024;
/// What each body costs in addition to its bytes: its connection, and the buffers for its next piece. Over HTTP/2
/// the bodies of a connection share its buffers: 16 KiB for writing and up to 32 KiB for reading.
const BESIDE: usize = 32 * 1024;
/// Once this much of a body has arrived, memory for all of it is reserved. The system provides
/// the memory as it is written.
const MUCH: usize = 1024 * 1024;

static BODIES: Semaphore = Semaphore::const_new(BUDGET);

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum NoBody {
    /// The client aborted the body, or its framing is invalid.
    #[error("the connection ended before the end of the body")]
    Broken(#[source] hyper::Error),
    /// The memory budget is used up.
    #[error("too many request bodies are in progress; try again in a second")]
    NoRoom,
}

/// A request body that is still arriving. Its share of the budget grows with it and is released when it is dropped. A
/// body of one piece, which is the usual case, needs no share.
#[derive(Debug)]
pub struct Arriving {
    body: Incoming,
    connection: Option<Arc<Connection>>,
    waiting: bool,
    /// hyper does not report the end of a chunked body, so it is recorded here.
    ended: bool,
    arrived: usize,
    /// The reader passes on each piece and holds one at a time.
    is_passed_on: bool,
    room: Option<SemaphorePermit<'static>>,
}

impl Arriving {
    /// The body of a request on this connection.
    pub(crate) fn new(body: Incoming, connection: &Arc<Connection>) -> Self {
        let connection = (!body.is_end_stream()).then(|| Arc::clone(connection));
        Self {
            body,
            connection,
            waiting: false,
            ended: false,
            arrived: 0,
            is_passed_on: false,
            room: None,
        }
    }

    /// Marks the body as passed on piece by piece. It then takes nothing from the memory budget, however long it is.
    /// The reader must pass on each piece before it reads the next.
    #[must_use]
    pub fn passed_on(mut self) -> Self {
        self.is_passed_on = true;
        self
    }

    fn wait(&mut self, waits: bool) {
        if waits != self.waiting {
            self.waiting = waits;
            if let Some(connection) = &self.connection {
                connection.on_waiting_for_body(waits);
            }
        }
    }

    /// Raises this body's share of the budget to `octets` and [`BESIDE`].
    fn make_room(&mut self, octets: usize) -> Result<(), NoBody> {
        let taken = self.room.as_ref().map_or(0, SemaphorePermit::num_permits);
        let Some(more) = (octets + BESIDE).checked_sub(taken).filter(|more| *more > 0) else {
            return Ok(());
        };
        let more = u32::try_from(more).map_err(|_| NoBody::NoRoom)?;
        let more = BODIES.try_acquire_many(more).map_err(|_| NoBody::NoRoom)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        Ok(())
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = NoBody;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, NoBody>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.wait(polled.is_pending());
        let frame = match ready!(polled) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(NoBody::Broken(error)))),
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
        };
        let octets = frame.data_ref().map_or(0, Bytes::len);
        if let Some(connection) = &self.connection {
            connection.on_body(octets);
        }
        self.arrived += octets;
        if !self.is_passed_on && (self.room.is_some() || !self.body.is_end_stream()) {
            let arrived = self.arrived;
            self.make_room(arrived)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.wait(false);
        let Some(connection) = &self.connection else {
            return;
        };
        // Reads the part of the body that arrived together with the head, because the connection can continue only
        // then. Nothing needs to be woken.
        let mut nobody = task::Context::from_waker(Waker::noop());
        if !self.is_end_stream() {
            let first = Pin::new(&mut self.body).poll_frame(&mut nobody);
            self.ended = matches!(first, Poll::Ready(None));
        }
        if !self.is_end_stream() {
            connection.end_after_this_answer();
        }
    }
}

/// A complete body, with its share of the budget.
#[derive(Debug, Default)]
pub struct Whole {
    octets: Bytes,
    _room: Option<SemaphorePermit<'static>>,
}

impl Whole {
    /// The bytes of the body, to pass them on. They count against the memory budget for as long as this body lives.
    #[must_use]
    pub fn octets(&self) -> Bytes {
        self.octets.clone()
    }
}

impl Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.octets
    }
}

/// Reads the whole body. A body of one frame, the usual case, is not copied.
///
/// # Errors
/// [`Problem`] if the body is longer than `limit`, too slow or aborted, or if the budget is used up.
pub async fn read(body: Arriving, limit: usize) -> Result<Whole, Problem> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Whole::default());
    }
    // Most bodies have arrived with their headers. The timer is made only for the others.
    let reading = collect(body, limit, usize::try_from(announced).unwrap_or(limit));
    tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The body arrived too slowly",
            "the body must arrive within 10 s",
        ))
    })
}

async fn collect(mut body: Arriving, limit: usize, announced: usize) -> Result<Whole, Problem> {
    let Some(first) = next(&mut body).await? else {
        return Ok(Whole::default());
    };
    if first.len() > limit {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Whole {
            octets: first,
            _room: body.room.take(),
        });
    }
    let most = if announced == 0 { limit } else { announced };
    let reserve = reserved(first.len(), most);
    if first.len() < MUCH {
        body.make_room(reserve).map_err(no_body)?;
    }
    let mut whole = BytesMut::with_capacity(reserve);
    whole.extend_from_slice(&first);
    drop(first);
    while let Some(data) = next(&mut body).await? {
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        let arrived = whole.len() + data.len();
        if arrived > whole.capacity() {
            let reserve = reserved(arrived, most);
            if arrived < MUCH {
                body.make_room(reserve).map_err(no_body)?;
            }
            whole.reserve(reserve - whole.len());
        }
        whole.extend_from_slice(&data);
    }
    Ok(Whole {
        octets: whole.freeze(),
        _room: body.room.take(),
    })
}

/// How much to reserve for a body of which `arrived` bytes have arrived: a quarter more at first, and the whole body
/// once much of it has arrived. The announced length is not trusted earlier, because reserved memory may count even if
/// it is not used.
fn reserved(arrived: usize, most: usize) -> usize {
    let more = if arrived >= MUCH {
        most
    } else {
        most.min(arrived + arrived / 4)
    };
    more.max(arrived)
}

fn no_body(why: NoBody) -> Problem {
    match why {
        NoBody::Broken(_) => Problem::request("broken_body", "the connection ended before the end of the body"),
        NoBody::NoRoom => Problem::overloaded(why.to_string()),
    }
}

async fn next(body: &mut Arriving) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(no_body)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        "The body is too large",
        format!("the body may have at most {limit} bytes"),
    )
}

/// A complete JSON answer.
#[must_use]
pub fn json<B>(body: impl Into<Bytes>) -> Response<B> {
    let mut response = http::Response::new(Either::Left(Full::new(body.into())));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
#[must_use]
pub fn empty<B>(status: StatusCode) -> Response<B> {
    let mut response = http::Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}
