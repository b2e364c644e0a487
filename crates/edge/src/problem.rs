//! Errors for clients: problem documents (RFC 9457). The log has a different text.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;

use crate::answer::Response;

/// A problem document. The code in its `type` is part of the interface; `docs/errors.md` lists all codes.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// The code, written as `urn:signet:problem:` and the code.
    #[serde(rename = "type", serialize_with = "as_urn")]
    code: &'static str,
    /// A short sentence, the same for all problems of this code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What exactly is wrong, and what to do.
    detail: String,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    challenge: Option<Box<HeaderValue>>,
    #[serde(skip)]
    allow: Option<&'static str>,
}

fn as_urn<S: serde::Serializer>(code: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("urn:signet:problem:{code}"))
}

impl Problem {
    /// A problem with the client's request (400).
    pub fn request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "The request is not valid", detail)
    }

    /// A problem with any status.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
            challenge: None,
            allow: None,
        }
    }

    /// The server is overloaded (503).
    #[must_use]
    pub fn overloaded(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Too many requests at once",
            detail,
        )
        .retry_after(1)
    }

    /// Nothing is at this path (404).
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    /// The path accepts other methods (405, RFC 9110 §15.5.6).
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this path allows only {allow}");
        let title = "The method is not allowed";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title, detail);
        Self {
            allow: Some(allow),
            ..problem
        }
    }

    /// The code in its `type`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What exactly is wrong, and what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Sets `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Sets a `WWW-Authenticate` challenge.
    #[must_use]
    pub fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(Box::new(challenge));
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and a number can always be encoded as JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The headers of the answer.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(challenge) = &self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::clone(challenge));
        }
        headers
    }

    /// The whole answer as octets of HTTP/1.1, for a connection that ends with it.
    pub(crate) fn to_last_answer(&self) -> Vec<u8> {
        let body = self.to_json();
        let mut answer = format!(
            "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            self.status(),
            body.len()
        )
        .into_bytes();
        for (name, value) in &self.headers() {
            answer.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        answer.extend([b"\r\n", &body[..]].concat());
        answer
    }

    /// The answer with this document.
    #[must_use]
    pub fn into_response<B>(self) -> Response<B> {
        let mut response = http::Response::new(Either::Left(Full::new(Bytes::from(self.to_json()))));
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response
    }
}
