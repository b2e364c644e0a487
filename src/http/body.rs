//! Reading a request's body, with a limit and a deadline, and writing JSON.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Incoming};

use crate::http::Response;
use crate::http::problem::Problem;

/// How long a client may take to send a body.
const DEADLINE: Duration = Duration::from_secs(10);

/// Reads the whole body. The common body of one frame is not copied.
///
/// # Errors
/// [`Problem`] if it is longer than `limit`, too slow, or broken off.
pub async fn read(body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    let announced = body.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // Most bodies have arrived with their headers: the timer is made only for those that have not.
    let reading = collect(body, limit);
    tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| {
        Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The body came too slowly",
            "10 s are allowed",
        ))
    })
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(data) = next(&mut body).await? {
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::request("broken_body", "the body was broken off"))?;
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
        format!("at most {limit} octets are read here"),
    )
}

/// A whole answer of JSON.
#[must_use]
pub fn json(body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Either::Left(Full::new(body.into())));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = http::Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}
