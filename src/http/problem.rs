//! Errors as the client sees them: problem documents (RFC 9457). What the log says is another text.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;
use signet_core::mint::MintRefusal;

use crate::http::Response;
use crate::snapshot::Outage;

/// A problem document. The word in its `type` is part of the interface; `docs/errors.md` has them all.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// `urn:signet:problem:` and the word.
    #[serde(rename = "type")]
    kind: String,
    /// A short sentence for this kind of problem.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What exactly is wrong, and what to do.
    detail: String,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    challenge: Option<HeaderValue>,
}

impl Problem {
    /// A problem with the client's request.
    pub fn request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "The request is not acceptable", detail)
    }

    /// A problem of any kind.
    pub fn new(status: StatusCode, code: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:signet:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            retry_after: None,
            challenge: None,
        }
    }

    /// No key can sign now.
    #[must_use]
    pub fn signing_unavailable(outage: &Outage) -> Self {
        let since = crate::clock::rfc3339(outage.since);
        // The reason may name files and hosts: it is for the log and for /readyz, not for every client.
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "signing_unavailable",
            "No key can sign now",
            format!("no key can sign since {since}; the reason stands in /readyz of the admin listener"),
        )
        .retry_after(5)
    }

    /// Too much at once.
    #[must_use]
    pub fn overloaded(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "Too much at once",
            detail,
        )
        .retry_after(1)
    }

    /// Says when to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds a `WWW-Authenticate` challenge.
    #[must_use]
    pub fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of strings and a number always has a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut response = http::Response::new(Either::Left(Full::new(Bytes::from(self.to_json()))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<MintRefusal> for Problem {
    fn from(refusal: MintRefusal) -> Self {
        Self::request(refusal.code(), refusal.to_string())
    }
}
