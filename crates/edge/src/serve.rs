//! The life of a connection: TLS, the choice between HTTP/1.1 and HTTP/2, its requests, and its end.
//!
//! A connection is closed if it sends no complete request in time, whether it is silent or sends one byte per second.
//! It is also closed if it is idle too long, if others need its place, and at shutdown when no request is in progress.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::debug;

use crate::answer::Response;
use crate::body::Arriving;
use crate::codings;
use crate::crowd::connection::{Connection, Instruction, UnderWay};
use crate::fragment;
use crate::handler::Handler;
use crate::host;
use crate::problem::Problem;
use crate::stream::{Metered, Sniffed};
use crate::tls::Tls;

/// How long a connection may be idle between two requests. It is longer than the keep-alive of common gateway pools.
const IDLE: Duration = Duration::from_secs(90);
/// How often a connection that was told to finish is checked.
const LOOK: Duration = Duration::from_millis(250);
/// After this many checks without a request in progress, the connection is closed. Requests that the client had already
/// sent have arrived by then.
const LOOKS_AT_REST: u32 = 4;
/// After this many checks at which the peer neither read nor sent anything and no other work was left, the connection
/// is closed.
const LOOKS_WAITING: u32 = 8;
/// How long a client that is still sending has to notice its last answer after the process was told to end.
const LINGER_AT_THE_END: Duration = Duration::from_secs(1);
/// The maximum head of a request on the socket. Gateways pass on the headers of their clients there.
pub(crate) const LONG_HEAD: usize = 64 * 1024;
/// HTTP/2 headers are compressed and take more memory after decoding, so less is allowed.
const LESS_OVER_HTTP2: usize = 2;
const MOST_OVER_HTTP2: usize = 16 * 1024;
/// As many as nginx allows (`http2_max_concurrent_streams`). Streams whose answers nobody reads take about 2.7 KiB each.
const MAX_STREAMS: u32 = 128;
/// How much of one body, and of all bodies, a client may send before any of it is read. Signet reads bodies at once, so
/// this does not slow the client down.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides are done, the client has left, or others need the connection's slot.
    Done,
    /// The last answer was written, and the client may still be sending.
    Sending,
    /// Nothing arrived for too long, or the client read nothing for too long.
    Silent,
    /// Nothing arrived for too long, and the rest of a request is missing. It gets an answer that says so.
    Late,
    /// There is no memory for the rest of a head, and the client can be told.
    Full,
}

/// The limits for the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// How long a new connection may take to finish its TLS handshake and send its first request.
    pub header_timeout: Duration,
    /// The maximum head of a request over HTTP/1.1, in bytes.
    pub longest_head: usize,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S, H>(
    stream: S,
    tls: Option<Tls>,
    handler: &H,
    connection: &Arc<Connection>,
    limits: ConnectionLimits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let stream = Metered::new(stream, Arc::clone(connection));
    match tls {
        None => speak(stream, handler, connection, limits).await,
        // This stage is in a box, to keep its buffers out of every connection's task.
        Some(tls) => Box::pin(serve_tls(stream, tls, handler, connection, limits)).await,
    }
}

async fn serve_tls<S, H>(
    stream: Metered<S>,
    tls: Tls,
    handler: &H,
    connection: &Arc<Connection>,
    limits: ConnectionLimits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    match unless_told(connection, timeout(limits.header_timeout, tls.accept(stream))).await {
        Some(Ok(Ok(stream))) => speak(Box::new(stream), handler, connection, limits).await,
        Some(Ok(Err(error))) => debug!(%error, "a TLS handshake failed"),
        Some(Err(_)) => debug!("a TLS handshake did not finish in time"),
        None => {}
    }
}

async fn speak<S, H>(stream: S, handler: &H, connection: &Arc<Connection>, limits: ConnectionLimits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let deadline = Instant::now() + limits.header_timeout;
    let head = limits.longest_head;
    // The later stages are in boxes, so an idle connection uses no memory for them.
    match unless_told(
        connection,
        timeout_at(deadline, Sniffed::new(stream, Arc::clone(connection))),
    )
    .await
    {
        Some(Ok(Ok((stream, true)))) => Box::pin(speak_http2(stream, handler, connection, head, deadline)).await,
        Some(Ok(Ok((stream, false)))) => Box::pin(speak_http1(stream, handler, connection, head, deadline)).await,
        _ => debug!("a connection ended before its first request"),
    }
}

async fn speak_http1<S, H>(
    mut stream: Sniffed<S>,
    handler: &H,
    connection: &Arc<Connection>,
    longest_head: usize,
    deadline: Instant,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let service = service_fn(|request: Request<Incoming>| {
        let way = UnderWay::begin(connection);
        let whole = match connection.on_read() {
            true => {
                connection.on_fragment();
                Err(fragment::refusal())
            }
            false => Ok(()),
        };
        let checked = whole
            .and_then(|()| codings::check(&request))
            .and_then(|()| host::check(&request));
        let answering = checked.map(|()| handler.handle(request.map(|body| Arriving::new(body, connection))));
        async move {
            if connection.has_had_its_turn() {
                yield_now().await;
            }
            Ok::<_, Infallible>(match answering {
                Ok(answering) => way.answer(answering.await),
                Err(problem) => {
                    // The next bytes may be meant for another host or be part of a body.
                    connection.end_after_this_answer();
                    way.answer(problem.into_response())
                }
            })
        }
    });
    let mut builder = http1::Builder::new();
    // The timeout for headers is part of the connection's own watch, because hyper's timer would be
    // made again for every request.
    //
    // A client may close its sending side after its request (RFC 9112 §9.6). `Sniffed` notices when such a client
    // leaves an endless answer.
    builder
        .header_read_timeout(None)
        .max_buf_size(longest_head)
        .half_close(true);
    let end = {
        let serving = pin!(builder.serve_connection(TokioIo::new(&mut stream), service));
        drive(serving, http1::Connection::graceful_shutdown, connection, deadline).await
    };
    match end {
        End::Late => stream.say(&too_late().to_last_answer()).await,
        End::Full => {
            stream.say(&too_many_heads().to_last_answer()).await;
            unless_gone(connection, unless_hurried(connection, stream.linger())).await;
        }
        End::Sending => {
            unless_gone(connection, unless_hurried(connection, stream.linger())).await;
        }
        _ => {}
    }
}

async fn speak_http2<S, H>(
    stream: Sniffed<S>,
    handler: &H,
    connection: &Arc<Connection>,
    longest_head: usize,
    deadline: Instant,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    connection.on_http2();
    let service = service_fn(|request: Request<Incoming>| {
        let begun = UnderWay::begin_stream(connection, request.headers());
        let answering = begun.map(|way| {
            let checked = host::check(&request).map_err(|problem| refusal(problem, request.method()));
            let answering = checked.map(|()| {
                let (handler, request) = (handler.clone(), request.map(|body| Arriving::new(body, connection)));
                // The handling of the request is in a box, which is dropped when there is an answer. The answer may wait long for its
                // client.
                Box::pin(async move { handler.handle(request).await })
            });
            (way, answering)
        });
        async move {
            Ok::<_, Infallible>(match answering {
                Ok((way, Ok(answering))) => way.answer(answering.await),
                Ok((way, Err(refusal))) => way.answer(refusal),
                Err(way) => way.refuse(),
            })
        }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let longest_list = (longest_head / LESS_OVER_HTTP2).min(MOST_OVER_HTTP2);
    builder
        .max_header_list_size(u32::try_from(longest_list).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    drive(serving, http2::Connection::graceful_shutdown, connection, deadline).await;
}

/// Polls a connection of hyper until it ends or must end.
async fn drive<C>(
    mut serving: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
    connection: &Connection,
    deadline: Instant,
) -> End
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut silent = pin!(until_silent(connection, deadline));
    let mut drained = pin!(until_drained(connection));
    let mut finishing = false;
    let ended = |outcome: hyper::Result<()>| match outcome {
        Ok(()) if connection.is_over() => End::Sending,
        Ok(()) => End::Done,
        Err(_) if connection.is_refused() => End::Full,
        Err(error) => {
            debug!(%error, "a connection ended with an error");
            if error.is_parse() { End::Sending } else { End::Done }
        }
    };
    poll_fn(|cx| {
        connection.on_turn();
        let instruction = connection.instruction(cx);
        if instruction != Instruction::Nothing && !finishing {
            finishing = true;
            // What has already arrived is answered.
            if let Poll::Ready(outcome) = connection.look_once_more(|| serving.as_mut().poll(cx)) {
                return Poll::Ready(ended(outcome));
            }
            finish(serving.as_mut());
        }
        // Requests that began before the connection was told to end are finished.
        if instruction == Instruction::Go && !connection.is_working() {
            debug!("an idle connection was closed, because the listener is full");
            return Poll::Ready(End::Done);
        }
        if let Poll::Ready(outcome) = serving.as_mut().poll(cx) {
            return Poll::Ready(ended(outcome));
        }
        if connection.is_over() {
            return Poll::Ready(End::Sending);
        }
        let over = match finishing {
            true => drained.as_mut().poll(cx),
            false => silent.as_mut().poll(cx),
        };
        over.map(|()| {
            debug!("an idle connection was closed");
            match connection.is_owed_a_request() {
                true => End::Late,
                false => End::Silent,
            }
        })
    })
    .await
}

/// Returns when the first request has not arrived in time, or when the connection has been idle too long: no
/// other request, and no piece of a body read. No request takes that long to answer. This costs a request
/// two counters and no timer.
async fn until_silent(connection: &Connection, first: Instant) {
    sleep_until(first).await;
    let mut seen = 0;
    loop {
        let now = connection.activity();
        if now == seen {
            return;
        }
        seen = now;
        sleep(IDLE).await;
    }
}

/// Returns when a connection that was told to finish has no request in progress, or only waits for a peer that neither
/// reads its answers nor sends its bodies. A request that is being worked on is waited for.
async fn until_drained(connection: &Connection) {
    let (mut at_rest, mut waiting, mut seen) = (0, 0, connection.progress());
    loop {
        sleep(LOOK).await;
        at_rest = if connection.is_idle() { at_rest + 1 } else { 0 };
        let progress = connection.progress();
        waiting = if connection.is_waiting() && progress == seen {
            waiting + 1
        } else {
            0
        };
        seen = progress;
        if at_rest == LOOKS_AT_REST || waiting == LOOKS_WAITING {
            return;
        }
    }
}

/// Runs a future, but drops it if it is still running some time after the connection was told to finish.
async fn unless_hurried<F: Future>(connection: &Connection, doing: F) {
    let hurried = async {
        poll_fn(|cx| match connection.instruction(cx) {
            Instruction::Nothing => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        sleep(LINGER_AT_THE_END).await;
    };
    tokio::select! {
        _ = doing => {}
        () = hurried => {}
    }
}

/// A client sent a part of a request, and the rest is not there in time.
fn too_late() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "request_timeout",
        "The request arrived too slowly",
        "the rest of the request did not arrive in time; send the whole request at once",
    )
}

/// Other clients have sent so many incomplete heads that there is no memory for one more.
fn too_many_heads() -> Problem {
    Problem::overloaded(
        "too many long requests have arrived only in part; send the whole request at once, or try \
                         again in a second",
    )
}

/// A problem over HTTP/2. hyper would also send its body in an answer to `HEAD`.
fn refusal<B>(problem: Problem, method: &Method) -> Response<B> {
    let response = problem.into_response();
    match *method {
        Method::HEAD => response.map(|_| Either::Left(Full::default())),
        _ => response,
    }
}

/// Runs a future, unless the connection is first told to finish or to end.
async fn unless_told<F: Future>(connection: &Connection, doing: F) -> Option<F::Output> {
    unless(connection, Instruction::Finish, doing).await
}

/// Runs a future, unless the connection is first told to end.
async fn unless_gone<F: Future>(connection: &Connection, doing: F) -> Option<F::Output> {
    unless(connection, Instruction::Go, doing).await
}

async fn unless<F: Future>(connection: &Connection, least: Instruction, doing: F) -> Option<F::Output> {
    let mut doing = pin!(doing);
    poll_fn(|cx| match connection.instruction(cx) >= least {
        // Bytes that have already arrived count as sent in time.
        true => match connection.look_once_more(|| doing.as_mut().poll(cx)) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        },
        false => doing.as_mut().poll(cx).map(Some),
    })
    .await
}

#[cfg(test)]
mod tests;
