//! The public listener: the JWKS, and the discovery documents that lead to it.
//!
//! It serves `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §4),
//! `/.well-known/oauth-authorization-server` (RFC 8414 §3) and `/.well-known/jwks.json` (RFC 7517 §5), with caching
//! by RFC 9111 and RFC 5861.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{Either, Full};
use signet_base::Clock;
use signet_core::{Issuer, Policy, Timestamp, faults};
use signet_edge::body::{Arriving, empty};
use signet_edge::{Handler, Problem};

use crate::discovery::{DocumentKind, JWKS, Paths};
use crate::http::{Response, Streamed};
use crate::problems;
use crate::published::Published;
use crate::routes::head;
use crate::snapshot::Document;

/// The methods that the documents allow.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Answers the requests of anybody.
#[derive(Clone)]
pub struct Public {
    shared: Arc<Shared>,
}

struct Shared {
    published: Arc<Published>,
    paths: Paths,
    freshness: Freshness,
    clock: Arc<dyn Clock>,
}

impl Public {
    /// Encodes everything that does not change.
    #[must_use]
    pub fn new(published: Arc<Published>, issuer: &Issuer, policy: &Policy, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                published,
                paths: Paths::new(issuer),
                freshness: Freshness::new(policy),
                clock,
            }),
        }
    }
}

impl Handler for Public {
    type Streamed = Streamed;

    async fn handle(&self, request: Request<Arriving>) -> Response {
        head::answer(request.method(), self.answer(&request))
    }
}

impl Public {
    fn answer(&self, request: &Request<Arriving>) -> Response {
        let shared = &self.shared;
        let snapshot = shared.published.at(shared.clock.now());
        let found = shared.paths.find(request.uri().path());
        let mut response = match (&snapshot.asleep, found) {
            (_, Some(_)) if request.method() == Method::OPTIONS => options(),
            (Some(outage), _) => problems::asleep(outage).into_response(),
            (None, Some(DocumentKind::Jwks)) => {
                let freshness = shared.freshness.until(snapshot.set_changes_at, &*shared.clock);
                serve(request.method(), request.headers(), &snapshot.jwks, freshness)
            }
            (None, Some(DocumentKind::Discovery)) => {
                let freshness = shared.freshness.regular.clone();
                serve(request.method(), request.headers(), &snapshot.discovery, freshness)
            }
            (None, None) => {
                let detail = format!("this listener does not have this path; the keys are at {JWKS}");
                return Problem::not_found(detail).into_response();
            }
        };
        // Refusals have it too, or a script could not see the reason.
        let out = response.headers_mut();
        out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }
}

/// Answers `OPTIONS`. A browser sends it before a script of another origin may send `If-None-Match` (a CORS preflight).
fn options() -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let out = response.headers_mut();
    out.insert(ALLOW, HeaderValue::from_static(METHODS));
    out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    out.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("If-None-Match"));
    out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

fn serve(method: &Method, headers: &HeaderMap, document: &Document, freshness: HeaderValue) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Problem::method_not_allowed(METHODS).into_response();
    }
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|tags| names(tags, &document.etag));
    let mut response = if known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        http::Response::new(Either::Left(Full::new(document.body.clone())))
    };
    let out = response.headers_mut();
    out.reserve(6);
    if !known {
        out.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        out.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    out.insert(ETAG, document.etag.clone());
    out.insert(CACHE_CONTROL, freshness);
    // A script can send the tag back only if it can see it.
    out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag"));
    response
}

/// Whether a list of tags or `*` contains this tag, compared weakly (RFC 9110 §13.1.2).
fn names(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    tags.as_bytes()
        .split(|byte| *byte == b',')
        .map(|tag| tag.trim_ascii())
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

/// The values of `Cache-Control`.
///
/// `max-age` is M, but never beyond the next change of the set. A cache may serve a stale set while it refreshes, or
/// while we are down, as long as the lead allows verifiers to do so anyway (V).
#[derive(Clone, Debug)]
struct Freshness {
    max_age: Duration,
    stale: u64,
    regular: HeaderValue,
}

impl Freshness {
    fn new(policy: &Policy) -> Self {
        let durations = policy.durations();
        let stale = durations
            .verifier_cache
            .saturating_sub(durations.jwks_max_age)
            .as_secs();
        let regular = cache_control(durations.jwks_max_age.as_secs(), stale);
        Self {
            max_age: durations.jwks_max_age,
            stale,
            regular,
        }
    }

    fn until(&self, change: Option<Timestamp>, clock: &dyn Clock) -> HeaderValue {
        let max_age = max_age(self.max_age, change, clock.now());
        if max_age >= self.max_age {
            self.regular.clone()
        } else {
            cache_control(max_age.as_secs(), self.stale)
        }
    }
}

/// M, or the time until the set must change if that is shorter.
#[must_use]
pub fn max_age(most: Duration, change: Option<Timestamp>, now: Timestamp) -> Duration {
    match change {
        Some(change) if !faults::has("a cache outlives its key") => change.since(now).min(most),
        _ => most,
    }
}

fn cache_control(max_age: u64, stale: u64) -> HeaderValue {
    let text = format!("public, max-age={max_age}, stale-while-revalidate={stale}, stale-if-error={stale}");
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or_else(|_| HeaderValue::from_static("no-cache"))
}
