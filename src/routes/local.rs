//! The routes of the local socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{Either, Full};
use serde_json::json;
use signet_base::{LogLimit, rfc3339};
use signet_edge::Problem;
use signet_edge::body::{self, Arriving};
use signet_edge::{Handler, Peer};
use tokio_util::sync::CancellationToken;
use warp::Filter as _;

use crate::filters::{self, Filters, into_filters};
use crate::grpc;
use crate::http::{Response, Streamed};
use crate::routes::Service;
use crate::routes::head::{self, read};
use crate::routes::introspect::is_form;
use crate::routes::sign::MOST_ITEMS;
use crate::routes::streams;
use crate::routes::turn::turn;

/// The maximum body of a single request: a token of 16 KiB with room for the rest.
const SINGLE: usize = 64 * 1024;
/// The maximum body of a batch.
const BATCH: usize = 4 * 1024 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers the requests of one peer.
#[derive(Clone)]
pub struct Local {
    service: Arc<Service>,
    filters: Filters,
    requests: Arc<RequestIds>,
    peer: Peer,
}

/// Returns a function that makes a [`Local`] for each peer.
pub fn routes(service: Arc<Service>, shutdown: CancellationToken) -> impl Fn(Peer) -> Local {
    let filters = filters(&service, shutdown);
    let requests = Arc::new(RequestIds::default());
    move |peer| Local {
        service: Arc::clone(&service),
        filters: filters.clone(),
        requests: Arc::clone(&requests),
        peer,
    }
}

impl Handler for Local {
    type Streamed = Streamed;

    async fn handle(&self, request: Request<Arriving>) -> Response {
        if grpc::is_grpc(&request) {
            return super::grpc::answer(Arc::clone(&self.service), request).await;
        }
        let method = request.method().clone();
        head::answer(&method, self.answer(request).await)
    }
}

impl Local {
    async fn answer(&self, request: Request<Arriving>) -> Response {
        let (parts, body) = request.into_parts();
        // The requirements for a token are in the body. One in the query would be ignored without notice.
        if parts.method == Method::POST && parts.uri.path() != "/v1/authorize" && parts.uri.query().is_some() {
            let problem = Problem::request(
                "invalid_request",
                "this path has no query parameters; write them in the body",
            );
            return self.failed(&parts, problem);
        }
        let outcome = match (&parts.method, parts.uri.path()) {
            (&Method::POST, "/v1/sign") => self.sign(body).await,
            (&Method::POST, "/v1/verify") => self.verify(body).await,
            (&Method::POST, "/v1/ring/refresh") => self.refresh(),
            (&Method::POST, "/v1/keys/refresh") => self.refresh_keys(body).await,
            (_, "/v1/authorize") => self.service.authorize(&parts),
            (&Method::POST, "/v1/introspect") => self.introspect(&parts, body).await,
            (&Method::POST, "/v1/sign/batch") => self.sign_batch(body).await,
            (&Method::POST, "/v1/verify/batch") => self.verify_batch(body).await,
            (
                _,
                "/v1/sign" | "/v1/verify" | "/v1/introspect" | "/v1/sign/batch" | "/v1/verify/batch"
                | "/v1/ring/refresh" | "/v1/keys/refresh",
            ) => Err(Problem::method_not_allowed("POST")),
            _ => return (self.filters)(Request::from_parts(parts, body)).await,
        };
        outcome.unwrap_or_else(|problem| self.failed(&parts, problem))
    }

    async fn sign(&self, body: Arriving) -> Result<Response, Problem> {
        self.service.sign(&body::read(body, SINGLE).await?).await
    }

    async fn sign_batch(&self, body: Arriving) -> Result<Response, Problem> {
        let batch = body::read(body, BATCH).await?;
        let _turn = turn(&batch, MOST_ITEMS).await;
        self.service.sign_batch(&batch).await
    }

    async fn verify(&self, body: Arriving) -> Result<Response, Problem> {
        self.service.verify(&body::read(body, SINGLE).await?)
    }

    async fn verify_batch(&self, body: Arriving) -> Result<Response, Problem> {
        let batch = body::read(body, BATCH).await?;
        let _turn = turn(&batch, MOST_ITEMS).await;
        self.service.verify_batch(&batch).await
    }

    async fn introspect(&self, head: &Parts, body: Arriving) -> Result<Response, Problem> {
        is_form(&head.headers)?;
        self.service.introspect(&body::read(body, SINGLE).await?)
    }

    /// Reads the rings now, for somebody who has just changed one. Only root and the user of this process may ask,
    /// because others could use up the provider's quota.
    fn refresh(&self) -> Result<Response, Problem> {
        let us = rustix::process::geteuid().as_raw();
        if ![0, us].contains(&self.peer.uid) {
            let detail = format!(
                "user {} may not request a reading of the ring; only user {us} and root may",
                self.peer.uid
            );
            let title = "This user may not request a reading";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", title, detail));
        }
        self.service.nudge.now();
        Ok(accepted())
    }

    /// Reads the keys of an issuer early. Every peer may ask, because a token with an unknown key has the same effect.
    async fn refresh_keys(&self, body: Arriving) -> Result<Response, Problem> {
        self.service.on_unknown_key(&body::read(body, SINGLE).await?)?;
        Ok(accepted())
    }

    /// Logs a problem with an id that the client receives, too. Of the request, only the path is logged.
    fn failed(&self, request: &Parts, problem: Problem) -> Response {
        let id = self.requests.of(request);
        let (status, path) = (problem.status(), request.uri.path());
        let id_text = id.to_str().unwrap_or_default();
        if path.starts_with("/v1/sign") {
            self.service.metrics.on_refused_to_sign(problem.code());
        }
        // The code is the kind, so one cause does not hide another.
        static LOGGED: LogLimit<&str> = LogLimit::new();
        if !status.is_server_error() {
            tracing::debug!(
                request_id = id_text,
                status = status.as_u16(),
                code = problem.code(),
                path,
                uid = self.peer.uid,
                "a request was refused"
            );
        } else if let Some(held_back) = LOGGED.may_log(problem.code()) {
            tracing::warn!(
                request_id = id_text,
                status = status.as_u16(),
                code = problem.code(),
                path,
                uid = self.peer.uid,
                held_back,
                "a request failed: {}",
                problem.detail()
            );
        }
        let mut response = problem.into_response();
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
}

/// The answer to a request that Signet carries out after it has answered (202).
fn accepted() -> Response {
    let mut response = http::Response::new(Either::Left(Full::new(Bytes::from_static(b"{}"))));
    *response.status_mut() = StatusCode::ACCEPTED;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// Makes ids for requests: the client's own if it is safe to log, or a number.
#[derive(Debug, Default)]
struct RequestIds(AtomicU64);

impl RequestIds {
    fn of(&self, request: &Parts) -> HeaderValue {
        let given = request.headers.get(REQUEST_ID).filter(|id| {
            (1..=64).contains(&id.len())
                && id
                    .as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        });
        given
            .cloned()
            .unwrap_or_else(|| HeaderValue::from(self.0.fetch_add(1, Ordering::Relaxed) + 1))
    }
}

fn filters(service: &Arc<Service>, shutdown: CancellationToken) -> Filters {
    let ring = warp::path!("v1" / "ring").and(read()).map({
        let published = Arc::clone(&service.published);
        move || filters::json(published.latest().ring_json.clone())
    });
    let clock = warp::path!("v1" / "clock").and(read()).map({
        let service = Arc::clone(service);
        move || filters::json(clock_of(&service))
    });
    let events = streams::routes(service, shutdown);
    into_filters(ring.or(events).unify().or(clock).unify().boxed())
}

/// The time of the wall clock, and why it is in doubt, if it is.
fn clock_of(service: &Service) -> Bytes {
    let doubt = service.clock_watch.doubt().map(|doubt| {
        let detail = format!("{doubt}. {}", doubt.advice());
        json!({ "since": rfc3339(doubt.since), "detail": detail })
    });
    let now = rfc3339(service.clock.now());
    Bytes::from(json!({ "now": now, "doubt": doubt }).to_string())
}
