//! Answers `HEAD` with the answer to `GET` without its body (RFC 9110 §9.3.2).
//!
//! hyper drops the body over HTTP/1.1 but sends it over HTTP/2, so it is removed here for all listeners.

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method};
use http_body_util::{Either, Full};
use hyper::body::Body as _;
use warp::{Filter, Rejection};

use crate::http::Response;

/// Turns an answer to `GET` into one for a request with this method.
#[must_use]
pub fn answer(method: &Method, response: Response) -> Response {
    if *method != Method::HEAD {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        // Use the length that GET would have. 204 and 304 have no such header (RFC 9110 §8.6), and
        // their bodies have no length.
        if length > 0 {
            parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
    }
    Response::from_parts(parts, Either::Left(Full::default()))
}

/// Accepts GET and HEAD.
pub fn read() -> impl Filter<Extract = (), Error = Rejection> + Copy {
    warp::get().or(warp::head()).unify()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use signet_edge::body::{empty, json};

    #[test]
    fn a_head_is_answered_with_the_length_and_without_the_body() {
        let response = answer(&Method::HEAD, json("{\"a\":1}"));
        assert_eq!(response.body().size_hint().exact(), Some(0));
        assert_eq!(response.headers()[CONTENT_LENGTH], "7");
        assert_eq!(response.headers()["content-type"], "application/json");
        let response = answer(&Method::GET, json("{\"a\":1}"));
        assert_eq!(response.body().size_hint().exact(), Some(7));
        let response = answer(&Method::HEAD, empty(StatusCode::NOT_MODIFIED));
        assert!(response.headers().get(CONTENT_LENGTH).is_none());
    }
}
