//! Answers the requests of an endpoint: calls its backends in the order of its flow, and merges their answers.

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::{Either, Full};
use signet_base::{LogLimit, chain};
use signet_edge::body::{self, Arriving, Whole};
use signet_edge::{PassedOn, Problem};
use tokio::time::Instant;
use tracing::warn;

use crate::ask::{self, Answered, Call};
use crate::failed::Failed;
use crate::flowing::Flowing;
use crate::merged::{Brought, gathered};
use crate::plan::filters::remove_hop_by_hop;
use crate::plan::schema::{self, Unfit};
use crate::plan::signer::Signer;
use crate::plan::template::NoUrl;
use crate::plan::{Backend, Endpoint, Flow, OnError, Output, Plan};
use crate::race::race;
use crate::sign::{self, NotSigned};
use crate::tree::{self, Members, Tree};
use crate::upstream::{RequestBody, Upstream, UpstreamBody};

/// An answer to a client.
pub type Response = signet_edge::Response<Flowing>;

/// The header that says whether the answer is complete.
pub const COMPLETED: HeaderName = HeaderName::from_static("x-krakend-completed");
/// The maximum body in bytes that is sent to several backends.
const LONGEST_BODY: usize = 8 * 1024 * 1024;
/// How long a streamed answer may pause.
const IDLE: std::time::Duration = std::time::Duration::from_secs(60);

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers a request.
pub async fn answer<U: Upstream>(
    upstream: &U,
    plan: &Plan,
    endpoint: &Endpoint,
    call: &Call,
    body: Arriving,
) -> Response {
    let now = Instant::now();
    let deadline = now + endpoint.timeout;
    let asking = Asking {
        upstream,
        plan,
        endpoint,
        call,
    };
    let checked;
    let body = match &endpoint.schema {
        None => Sent::Arriving(body),
        Some(schema) => {
            checked = match body::read(body, schema::LONGEST).await {
                Ok(whole) => whole,
                Err(problem) => return problem.into_response(),
            };
            if let Err(unfit) = schema.check(&checked) {
                return asking.unfit(unfit);
            }
            Sent::Whole(&checked)
        }
    };
    match endpoint.flow {
        Flow::Stream | Flow::Alone => match body {
            Sent::Whole(whole) => asking.one(copy(whole), deadline).await,
            Sent::Arriving(body) if endpoint.repeats_body() => match body::read(body, LONGEST_BODY).await {
                Ok(whole) => asking.one(copy(&whole), deadline).await,
                Err(problem) => problem.into_response(),
            },
            Sent::Arriving(body) => asking.one(passed_on(body), deadline).await,
        },
        Flow::Merge | Flow::Chain => {
            // The remaining time is for merging the answers.
            let deadline = now + endpoint.timeout * 85 / 100;
            let read;
            let whole = match body {
                Sent::Whole(whole) => whole,
                Sent::Arriving(body) => {
                    read = match body::read(body, LONGEST_BODY).await {
                        Ok(whole) => whole,
                        Err(problem) => return problem.into_response(),
                    };
                    &read
                }
            };
            let brought = match endpoint.flow {
                Flow::Merge => asking.merge(whole, deadline).await,
                _ => asking.chain(whole, deadline).await,
            };
            asking.finish(brought, now + endpoint.timeout).await
        }
    }
}

/// The body of a client's request.
enum Sent<'a> {
    /// The body is still arriving, or there is none.
    Arriving(Arriving),
    /// The body was read to be checked.
    Whole(&'a Whole),
}

struct Asking<'a, U> {
    upstream: &'a U,
    plan: &'a Plan,
    endpoint: &'a Endpoint,
    call: &'a Call,
}

impl<U: Upstream> Asking<'_, U> {
    /// The answer of the only backend.
    async fn one(&self, body: RequestBody, deadline: Instant) -> Response {
        match self.endpoint.flow {
            Flow::Stream => self.stream(body, deadline).await,
            _ if self.endpoint.hands_on_octets() => self.octets(body, deadline).await,
            _ => {
                let asked = self.alone(body, deadline).await;
                self.finish(asked, deadline).await
            }
        }
    }

    async fn head(
        &self,
        backend: &Backend,
        answers: &[Answered],
        body: RequestBody,
        deadline: Instant,
    ) -> Result<http::Response<UpstreamBody>, Failed> {
        let head = ask::head_deadline(deadline, self.plan.connections.header_timeout);
        ask::ask(self.upstream, backend, self.call, answers, body, head).await
    }

    async fn object(
        &self,
        backend: &Backend,
        answers: &[Answered],
        body: RequestBody,
        deadline: Instant,
    ) -> Result<Answered, Failed> {
        let ask = |body, deadline| async move {
            let response = self.head(backend, answers, body, deadline).await?;
            ask::object(backend, response, deadline).await
        };
        race(self.endpoint, body, deadline, ask, |(part, _): &Answered| {
            part.is_complete
        })
        .await
    }

    /// Streams the answer of a backend to the client.
    async fn stream(&self, body: RequestBody, deadline: Instant) -> Response {
        let Some(backend) = self.endpoint.backends.first() else {
            return self.failed(Vec::new());
        };
        let ask = |body, deadline| self.head(backend, &[], body, deadline);
        match race(self.endpoint, body, deadline, ask, |_| true).await {
            // The gateway never requests another protocol.
            Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.failed(vec![Failed::Broken("it switched protocols".to_owned())])
            }
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                remove_hop_by_hop(&mut head.headers);
                head.headers.insert(COMPLETED, HeaderValue::from_static("false"));
                head.version = http::Version::default();
                head.extensions = http::Extensions::default();
                head.extensions.insert(PassedOn);
                // The length is that of the body. If that is unknown, remove the header.
                if body.size_hint().exact().is_none() {
                    head.headers.remove(CONTENT_LENGTH);
                }
                let idle = IDLE.max(self.endpoint.timeout);
                http::Response::from_parts(head, Either::Right(Flowing::new(body, idle)))
            }
            Err(failed) => self.failed(vec![failed]),
        }
    }

    /// Passes on the object of the only backend without parsing it.
    async fn octets(&self, body: RequestBody, deadline: Instant) -> Response {
        let Some(backend) = self.endpoint.backends.first() else {
            return self.failed(Vec::new());
        };
        if matches!(backend.on_error, OnError::Details(_)) {
            let brought = self.alone(body, deadline).await;
            return self.finish(brought, deadline).await;
        }
        let ask = |body, deadline| async move {
            let response = self.head(backend, &[], body, deadline).await?;
            ask::octets(backend, response, deadline).await
        };
        match race(self.endpoint, body, deadline, ask, |_| true).await {
            Ok((octets, _room)) => {
                let is_complete = !tree::is_empty_object(&octets);
                self.written(JSON, octets, is_complete)
            }
            Err(failed) => self.failed(vec![failed]),
        }
    }

    async fn alone(&self, body: RequestBody, deadline: Instant) -> Brought {
        let Some(backend) = self.endpoint.backends.first() else {
            return Brought::default();
        };
        gathered(vec![self.object(backend, &[], body, deadline).await])
    }

    /// Calls all backends at once. If two members have the same name, the member of the later backend in the file wins.
    async fn merge(&self, whole: &Whole, deadline: Instant) -> Brought {
        let asking = self
            .endpoint
            .backends
            .iter()
            .map(|backend| self.object(backend, &[], copy(whole), deadline));
        gathered(join_all(asking).await)
    }

    /// Calls one backend after the other, until one fails or gives an incomplete answer.
    async fn chain(&self, whole: &Whole, deadline: Instant) -> Brought {
        let mut answers: Vec<Answered> = Vec::new();
        let mut failed = None;
        for backend in &self.endpoint.backends {
            match self.object(backend, &answers, copy(whole), deadline).await {
                Ok(answered) => {
                    let goes_on = answered.0.is_complete;
                    answers.push(answered);
                    if !goes_on {
                        break;
                    }
                }
                Err(why) => {
                    failed = Some(why);
                    break;
                }
            }
        }
        let is_whole = answers.len() == self.endpoint.backends.len();
        let mut brought = gathered(answers.into_iter().map(Ok).chain(failed.map(Err)).collect());
        brought.is_complete &= is_whole;
        brought
    }

    /// Writes the merged answers of the backends, and signs the members that the file names.
    async fn finish(&self, mut brought: Brought, deadline: Instant) -> Response {
        if let Some(members) = brought.members.take() {
            match self.endpoint.flatmap.apply(members, &mut brought.room) {
                Ok(members) => brought.members = Some(members.unwrap_or_default()),
                Err(none) => {
                    brought.is_complete = false;
                    brought.failures.push(none.into());
                }
            }
        }
        if let Some(fixed) = &self.endpoint.fixed {
            brought.add(fixed);
        }
        let Some(mut members) = brought.members else {
            return self.failed(brought.failures);
        };
        self.tell(&brought.failures);
        if let Some(signer) = &self.endpoint.signer
            && let Err(failure) = self.sign(signer, &mut members, deadline).await
        {
            return self.not_signed(&failure);
        }
        let is_complete = brought.is_complete && !members.is_empty();
        match self.endpoint.output {
            Output::Json | Output::Stream => self.written(JSON, tree::write(&members).into(), is_complete),
            Output::Collection => {
                let mut out = Vec::new();
                match members.get("collection") {
                    Some(Tree::Raw(array)) if array.starts_with(b"[") => tree::write_raw(array, &mut out),
                    _ => out.extend_from_slice(b"[]"),
                }
                self.written(JSON, out.into(), is_complete)
            }
            Output::Text => {
                let text = match members.get("content") {
                    Some(Tree::Raw(text)) => tree::unquoted(text).unwrap_or_default(),
                    _ => String::new(),
                };
                self.written(TEXT, text.into(), is_complete)
            }
        }
    }

    async fn sign(&self, signer: &Signer, members: &mut Members, deadline: Instant) -> Result<(), NotSigned> {
        let sidecar = self.plan.sidecar.as_ref().ok_or(NotSigned::NoSidecar)?;
        sign::sign(signer, members, sidecar, deadline).await
    }

    /// The answer if a member could not be signed. Claims without a signature are not sent.
    fn not_signed(&self, failure: &NotSigned) -> Response {
        static LOGGED: LogLimit<usize> = LogLimit::new();
        if let Some(held_back) = LOGGED.may_log(self.endpoint.place.line) {
            let why = chain(failure);
            warn!(endpoint = %self.endpoint.path, method = %self.endpoint.method, held_back, "an answer was not signed: {why}");
        }
        let mut response = body::empty(StatusCode::INTERNAL_SERVER_ERROR);
        if failure.is_temporary() {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
            .headers_mut()
            .insert(COMPLETED, HeaderValue::from_static("false"));
        response
    }

    fn written(&self, content_type: HeaderValue, body: Bytes, is_complete: bool) -> Response {
        let mut response = http::Response::new(Either::Left(Full::new(body)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(
            COMPLETED,
            HeaderValue::from_static(if is_complete { "true" } else { "false" }),
        );
        if let Some(value) = self.endpoint.cache_control.as_ref().filter(|_| is_complete) {
            headers.insert(CACHE_CONTROL, value.clone());
        }
        response
    }

    /// The answer if no backend gave one.
    fn failed(&self, failures: Vec<Failed>) -> Response {
        if let [Failed::NoUrl(NoUrl::DotSegment | NoUrl::TooLong)] = failures.as_slice()
            && self.endpoint.flow != Flow::Chain
        {
            // A value from the path is not valid in a URL.
            return body::empty(StatusCode::BAD_REQUEST);
        }
        self.tell(&failures);
        // A status is passed on only from the only backend, or from the first of a chain.
        let code = match (failures.as_slice(), self.endpoint.flow, self.endpoint.backends.first()) {
            (
                [
                    Failed::Status {
                        status,
                        body,
                        content_type,
                    },
                ],
                flow,
                Some(backend),
            ) if flow != Flow::Merge && backend.on_error == OnError::Code => {
                Some((*status, body.clone(), content_type.clone()))
            }
            _ => None,
        };
        let (status, body, content_type) = code.unwrap_or_else(|| {
            let texts: Vec<String> = failures.iter().map(ToString::to_string).collect();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                Bytes::from(texts.join("\n")),
                Some(TEXT),
            )
        });
        let mut response = http::Response::new(Either::Left(Full::default()));
        // An informational status would affect the connection itself, so it cannot be the answer.
        *response.status_mut() = if status.is_informational() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            status
        };
        response
            .headers_mut()
            .insert(COMPLETED, HeaderValue::from_static("false"));
        if self.plan.rules.tells_errors && !body.is_empty() {
            response = response.map(|_| Either::Left(Full::new(body)));
            if let Some(content_type) = content_type {
                response.headers_mut().insert(CONTENT_TYPE, content_type);
            }
        }
        response
    }

    /// The answer to a request whose body does not fit the schema.
    fn unfit(&self, unfit: Unfit) -> Response {
        let text = match unfit {
            Unfit::Body(text) => text,
            Unfit::NoMemory => return Problem::overloaded("too many long bodies are being checked").into_response(),
        };
        let mut response = body::empty(StatusCode::BAD_REQUEST);
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(COMPLETED, HeaderValue::from_static("false"));
        if self.plan.rules.tells_errors {
            headers.insert(CONTENT_TYPE, TEXT);
            response = response.map(|_| Either::Left(Full::new(text.into())));
        }
        response
    }

    /// Logs the failures. For each endpoint and kind, the number of lines is limited.
    fn tell(&self, failures: &[Failed]) {
        static LOGGED: LogLimit<(usize, String)> = LogLimit::new();
        for failed in failures {
            self.endpoint.series.on_failed(failed.reason());
            let line = self.endpoint.place.line;
            if let Some(held_back) = LOGGED.may_log((line, failed.to_string())) {
                let why = failed.detail();
                warn!(endpoint = %self.endpoint.path, method = %self.endpoint.method, why, held_back, "{failed}");
            }
        }
    }
}

/// The client's body, for the only backend.
fn passed_on(body: Arriving) -> RequestBody {
    match body.is_end_stream() {
        true => Either::Left(Full::default()),
        false => Either::Right(body.passed_on()),
    }
}

/// The client's body, for one of several backends.
fn copy(whole: &Whole) -> RequestBody {
    Either::Left(Full::new(whole.octets()))
}
