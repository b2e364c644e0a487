//! Errors as the client sees them: problem documents (RFC 9457). What the log says is another text.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;
use signet_api::ProviderError;
use signet_core::mint::MintRefusal;

use crate::http::Response;
use crate::kinds::http_status;
use crate::snapshot::NoSigner;
use signet_base::Outage;
use signet_verify::NoKeys;

/// A problem document. The word in its `type` is part of the interface; `docs/errors.md` has them all.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// `urn:signet:problem:` and the word.
    #[serde(rename = "type", serialize_with = "as_urn")]
    code: &'static str,
    /// A short sentence for this kind of problem.
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
    /// A problem with the client's request.
    pub fn request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "The request is not acceptable", detail)
    }

    /// A problem of any kind.
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

    /// No key can sign now.
    #[must_use]
    pub fn signing_unavailable(none: &NoSigner) -> Self {
        let since = signet_base::rfc3339(none.outage.since);
        // The reason may name files and hosts: it is for the log and for /readyz, not for every client.
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "signing_unavailable",
            "No key can sign now",
            format!("no key can sign since {since}; the reason stands in /readyz of the admin listener"),
        )
        .retry_after(5)
    }

    /// The ring is not open yet.
    #[must_use]
    pub fn starting() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "starting",
            "The sidecar is starting",
            "the ring is opened and read for the first time; /readyz says since when",
        )
        .retry_after(1)
    }

    /// This process was stopped for so long that what it knows of the ring may be wrong by now. Reading it is under way.
    #[must_use]
    pub fn asleep(outage: &Outage) -> Self {
        let since = signet_base::rfc3339(outage.since);
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "asleep",
            "The ring must be read first",
            format!(
                "this process did not run since {since}, and reads its ring before it answers; try again in a second"
            ),
        )
        .retry_after(1)
    }

    /// The keys of a trusted issuer are not known, or too old to be believed. Why stands in the log and in `/readyz`.
    #[must_use]
    pub fn issuer_unavailable(why: NoKeys) -> Self {
        let detail = match why {
            NoKeys::Never => "the keys of the token's issuer could not be fetched yet",
            NoKeys::TooOld => "the keys of the token's issuer could not be fetched for too long",
        };
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "issuer_unavailable",
            "The keys of the issuer are not known",
            format!("{detail}, so that nothing can be said of the token; /readyz of the admin listener has the reason"),
        )
        .retry_after(5)
    }

    /// The provider did not sign. What it said may name accounts and hosts: that is for the log.
    #[must_use]
    pub fn not_signed(error: &ProviderError) -> Self {
        let (status, kind) = (http_status(error.kind), error.kind.as_str());
        let detail = format!("{} did not sign ({kind}); the log has more", error.provider);
        if !error.kind.is_transient() {
            return Self::new(status, "provider_refused", "The provider refused to sign", detail);
        }
        // Whole seconds, rounded up: sooner than asked for would be refused again.
        let wait = error
            .retry_after
            .map_or(0, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX));
        Self::new(status, "provider_unavailable", "The provider does not sign now", detail)
            .retry_after(wait.saturating_add(1))
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

    /// There is nothing at this path.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here", detail)
    }

    /// The path takes other methods (RFC 9110 §15.5.6).
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow}");
        let title = "The method is not allowed";
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", title, detail);
        Self {
            allow: Some(allow),
            ..problem
        }
    }

    /// The word in its `type`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What exactly is wrong, and what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
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
        self.challenge = Some(Box::new(challenge));
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

    /// The headers that go with it.
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

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut response = http::Response::new(Either::Left(Full::new(Bytes::from(self.to_json()))));
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response
    }
}

impl From<MintRefusal> for Problem {
    fn from(refusal: MintRefusal) -> Self {
        Self::request(refusal.code(), refusal.to_string())
    }
}
