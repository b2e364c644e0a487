//! One backend: builds its request, and parses its answer.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use http::{Request, Response, StatusCode, Uri, uri};
use http_body::Body as _;
use http_body_util::Either;
use tokio::time::{Instant, timeout_at};

use crate::failed::{Failed, LONGEST};
use crate::plan::hosts::Host;
use crate::plan::rules::AGENT;
use crate::plan::template::{NoUrl, Value, Values};
use crate::plan::{Backend, Encoding, OnError};
use crate::redirect::{self, BodyOnRedirect};
use crate::room::Room;
use crate::tree::{self, Members, Tree, Unfit};
use crate::upstream::{RequestBody, Upstream, UpstreamBody};
use crate::whole::{self, Coding};

/// The maximum body in bytes of an error that is shown.
const LONGEST_ERROR: usize = 64 * 1024;
/// A longer array is no part of a URL.
const LONGEST_ARRAY: usize = 64 * 1024;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_VIA: HeaderName = HeaderName::from_static("x-forwarded-via");

/// The parts of a client's request that backends can get.
#[derive(Debug)]
pub struct Call {
    /// The parameters of the path, decoded.
    pub parameters: Vec<String>,
    /// All headers of the client's request.
    pub headers: HeaderMap,
    /// The query. Empty if there is none.
    pub query: String,
    /// The address of the client.
    pub client: HeaderValue,
    /// The scheme of the client's request.
    pub scheme: HeaderValue,
    /// The `Host` of the client's request.
    pub host: Option<HeaderValue>,
    /// The claims of the client's token.
    pub claims: Option<Arc<Members>>,
}

/// The values for a URL, from the client's path and from earlier answers.
struct TemplateValues<'a> {
    call: &'a Call,
    answers: &'a [Answered],
}

impl Values for TemplateValues<'_> {
    fn text(&self, value: &Value) -> Option<Cow<'_, str>> {
        match value {
            Value::Parameter(index) => self.call.parameters.get(*index).map(|text| text.as_str().into()),
            Value::Answer { backend, path } => {
                text(tree::find(&self.answers.get(*backend)?.0.members, path)?).map(Cow::Owned)
            }
            Value::Claim(name) => text(tree::find(self.call.claims.as_deref()?, &[name])?).map(Cow::Owned),
        }
    }
}

/// A value of an answer as text. A scalar has a text, and so has an array of scalars, separated by
/// commas. Others have none.
fn text(tree: Tree) -> Option<String> {
    let Tree::Raw(raw) = tree else {
        return None;
    };
    let scalar = |raw: &Bytes| match raw.first() {
        Some(b'"') => tree::unquoted(raw),
        Some(b'{' | b'[' | b'n') | None => None,
        Some(_) => std::str::from_utf8(raw).ok().map(str::to_owned),
    };
    match raw.first() {
        Some(b'[') => {
            let items = if raw.len() > LONGEST_ARRAY {
                return None;
            } else {
                tree::items(&raw)
            };
            let items: Option<Vec<String>> = items.iter().map(scalar).collect();
            Some(items?.join(","))
        }
        _ => scalar(&raw),
    }
}

/// Builds the request for a backend.
fn request(
    backend: &Backend,
    host: &Host,
    call: &Call,
    answers: &[Answered],
    body: RequestBody,
) -> Result<Request<RequestBody>, NoUrl> {
    let query = backend.query.pass(&call.query);
    let path = backend
        .template
        .expand(&TemplateValues { call, answers }, &host.below, &query)?;
    let mut parts = uri::Parts::default();
    parts.scheme = Some(host.scheme.clone());
    parts.authority = Some(host.authority.clone());
    parts.path_and_query = Some(path);
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| NoUrl::TooLong)?;
    *request.method_mut() = backend.method.clone();
    *request.headers_mut() = headers(backend, call);
    Ok(request)
}

/// The headers for a backend: those of the client that may pass, and those that the gateway adds.
fn headers(backend: &Backend, call: &Call) -> HeaderMap {
    let mut headers = backend
        .headers
        .pass(&call.headers, backend.encoding != Encoding::Stream);
    let agent = HeaderValue::from_static(AGENT);
    match headers.contains_key(USER_AGENT) {
        true => drop(headers.insert(FORWARDED_VIA, agent)),
        false => drop(headers.insert(USER_AGENT, agent)),
    }
    headers.insert(FORWARDED_FOR, call.client.clone());
    headers.insert(FORWARDED_PROTO, call.scheme.clone());
    if let Some(host) = &call.host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
    headers
}

/// Calls a backend, and returns when the head of its answer has arrived.
///
/// # Errors
/// [`Failed`], if there is no usable answer.
pub async fn ask<U: Upstream>(
    upstream: &U,
    backend: &Backend,
    call: &Call,
    answers: &[Answered],
    body: RequestBody,
    deadline: Instant,
) -> Result<Response<UpstreamBody>, Failed> {
    let (host, series) = backend.hosts.next().ok_or(Failed::NoUrl(NoUrl::TooLong))?;
    let mut request = request(backend, host, call, answers, body).map_err(Failed::NoUrl)?;
    for _ in 0..=redirect::MOST {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let copy = match request.body() {
            Either::Left(whole) if backend.resends_body => Some(whole.clone()),
            _ => None,
        };
        let sent_body = match (request.body().is_end_stream(), &copy) {
            (true, _) => BodyOnRedirect::None,
            (false, Some(_)) => BodyOnRedirect::SentAgain,
            (false, None) => BodyOnRedirect::Gone,
        };
        let measured = series.begin();
        let response = match timeout_at(deadline, upstream.send(backend.client, request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(unreached)) => {
                measured.on_failed();
                return Err(unreached.into());
            }
            Err(_) => {
                measured.on_timed_out();
                return Err(Failed::Late);
            }
        };
        measured.on_answered(response.status());
        let status = response.status();
        let next = match backend.follows && status.is_redirection() {
            true => redirect::next(&backend.hosts, &method, &uri, sent_body, status, response.headers()),
            false => None,
        };
        let Some(next) = next else {
            return if_framed(response);
        };
        let body = copy.filter(|_| next.keeps_body).unwrap_or_default();
        request = Request::new(Either::Left(body));
        *request.method_mut() = next.method;
        *request.uri_mut() = next.uri;
        *request.headers_mut() = headers(backend, call);
    }
    Err(Failed::Redirects)
}

/// Refuses an answer in a transfer coding other than `chunked`. Nobody decodes it, and the header that names it is not passed
/// on (RFC 9112 §6.1).
fn if_framed(response: Response<UpstreamBody>) -> Result<Response<UpstreamBody>, Failed> {
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    let is_known = codings.all(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    match is_known {
        true => Ok(response),
        false => Err(Failed::Broken("its transfer coding is not supported".to_owned())),
    }
}

/// The contribution of a backend to the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The members of the backend's object.
    pub members: Members,
    /// Whether this is the requested content. It is not if it is an error that is shown to the client.
    pub is_complete: bool,
}

/// A part of the answer, with the memory that it takes.
pub type Answered = (Part, Room);

/// The object of a backend, with its filters applied.
///
/// # Errors
/// [`Failed`], if the answer is not a usable object.
pub async fn object(
    backend: &Backend,
    response: Response<UpstreamBody>,
    deadline: Instant,
) -> Result<Answered, Failed> {
    match succeed(backend, response, deadline).await {
        Ok((octets, mut room)) => {
            let members = members(backend.encoding, &octets, &mut room)?;
            let part = Part {
                members: backend.shape.apply(members, &mut room)?,
                is_complete: true,
            };
            Ok((part, room))
        }
        Err(Failed::Status {
            status,
            body,
            content_type,
        }) => match &backend.on_error {
            OnError::Details(name) => Ok((details(name, status, &body, content_type.as_ref()), Room::default())),
            _ => Err(Failed::Status {
                status,
                body,
                content_type,
            }),
        },
        Err(failed) => Err(failed),
    }
}

/// The bytes of a backend's object, after a check that they are an object.
///
/// # Errors
/// [`Failed`], if the answer is not a usable object.
pub async fn octets(
    backend: &Backend,
    response: Response<UpstreamBody>,
    deadline: Instant,
) -> Result<(Bytes, Room), Failed> {
    let (octets, room) = succeed(backend, response, deadline).await?;
    if octets.trim_ascii().is_empty() {
        return Ok((Bytes::from_static(b"{}"), Room::default()));
    }
    let first = tree::first(&octets).map_err(Failed::Unfit)?;
    match first.first() {
        Some(b'{') => Ok((first, room)),
        Some(b'n') => Ok((Bytes::from_static(b"{}"), Room::default())),
        _ => Err(Failed::Unfit(Unfit::NotAnObject)),
    }
}

/// The bytes of a successful answer, with their memory.
async fn succeed(
    backend: &Backend,
    response: Response<UpstreamBody>,
    deadline: Instant,
) -> Result<(Bytes, Room), Failed> {
    let (head, body) = response.into_parts();
    let is_good = matches!(
        head.status,
        StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT
    );
    let limit = if is_good { LONGEST } else { LONGEST_ERROR };
    let content_type = head.headers.get(CONTENT_TYPE).cloned();
    let coding = Coding::of(&head.headers);
    let status = |body| Failed::Status {
        status: head.status,
        body,
        content_type,
    };
    if !is_good && backend.on_error == OnError::Fail {
        return Err(status(Bytes::new()));
    }
    let read = match timeout_at(deadline, whole::read(body, coding, limit)).await {
        Ok(read) => read,
        Err(_) => Err(Failed::Late),
    };
    match is_good {
        true => read,
        // The status counts even if the body cannot be read.
        false => Err(status(read.map(|(octets, _)| octets).unwrap_or_default())),
    }
}

/// Parses an answer according to its encoding. An empty answer and `null` count as an object without members.
fn members(encoding: Encoding, octets: &Bytes, room: &mut Room) -> Result<Members, Failed> {
    let one = |name: &str, value: Tree| Members::from([(name.to_owned(), value)]);
    if encoding == Encoding::Text {
        let text = tree::quoted(&String::from_utf8_lossy(octets));
        if let Tree::Raw(raw) = &text {
            room.grow(raw.len())?;
        }
        return Ok(one("content", text));
    }
    if octets.trim_ascii().is_empty() {
        return Ok(match encoding {
            Encoding::Collection => one("collection", Tree::Raw(Bytes::from_static(b"[]"))),
            _ => Members::new(),
        });
    }
    let value = tree::first(octets).map_err(Failed::Unfit)?;
    match (encoding, value.first()) {
        (Encoding::Collection, Some(b'[')) => Ok(one("collection", Tree::Raw(value))),
        (Encoding::Collection, _) => Err(Failed::Unfit(Unfit::NotAnArray)),
        (Encoding::Safe, Some(b'[')) => Ok(one("collection", Tree::Raw(value))),
        (_, Some(b'{')) => Ok(tree::open_within(&value, room)?),
        (Encoding::Safe, _) => Ok(one("content", Tree::Raw(value))),
        (_, Some(b'n')) => Ok(Members::new()),
        _ => Err(Failed::Unfit(Unfit::NotAnObject)),
    }
}

/// Converts an error to a member of the answer.
fn details(name: &str, status: StatusCode, body: &Bytes, content_type: Option<&HeaderValue>) -> Part {
    let encoding = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let code = Tree::Raw(status.as_u16().to_string().into());
    let mut members = Members::from([("http_status_code".to_owned(), code)]);
    // If there is nothing to show, there is no member.
    for (member, text) in [
        ("http_body", &*String::from_utf8_lossy(body)),
        ("http_body_encoding", encoding),
    ] {
        if !text.is_empty() {
            members.insert(member.to_owned(), tree::quoted(text));
        }
    }
    Part {
        members: Members::from([(name.to_owned(), Tree::Object(members))]),
        is_complete: false,
    }
}

/// When the head of an answer must have arrived, if a backend has a shorter deadline for that
/// than for the whole answer.
#[must_use]
pub fn head_deadline(deadline: Instant, header_timeout: Option<Duration>) -> Instant {
    match header_timeout {
        Some(timeout) => deadline.min(Instant::now() + timeout),
        None => deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(encoding: Encoding, text: &'static str) -> Result<String, Failed> {
        let members = members(encoding, &Bytes::from_static(text.as_bytes()), &mut Room::default())?;
        Ok(String::from_utf8(tree::write(&members)).expect("text"))
    }

    #[test]
    fn an_answer_is_read_by_its_encoding() {
        use Encoding::{Collection, Json, Safe, Text};
        let unfit = |unfit| Err(Failed::Unfit(unfit));
        for (encoding, text, expected) in [
            (Json, r#"{"a":1} x"#, Ok(r#"{"a":1}"#)),
            (Json, "", Ok("{}")),
            (Json, " \n", Ok("{}")),
            (Json, "null", Ok("{}")),
            (Json, "[1]", unfit(Unfit::NotAnObject)),
            (Json, "7", unfit(Unfit::NotAnObject)),
            (Json, "<html>", unfit(Unfit::NotJson)),
            (Collection, "[1, 2]", Ok(r#"{"collection":[1, 2]}"#)),
            (Collection, "", Ok(r#"{"collection":[]}"#)),
            (Collection, "{}", unfit(Unfit::NotAnArray)),
            (Safe, r#"{"a":1}"#, Ok(r#"{"a":1}"#)),
            (Safe, "[1]", Ok(r#"{"collection":[1]}"#)),
            (Safe, "7", Ok(r#"{"content":7}"#)),
            (Safe, "null", Ok(r#"{"content":null}"#)),
            (Safe, "nul", unfit(Unfit::NotJson)),
            (Text, "a \"b\"\n", Ok(r#"{"content":"a \"b\"\n"}"#)),
            (Text, "", Ok(r#"{"content":""}"#)),
        ] {
            assert_eq!(
                read(encoding, text),
                expected.map(str::to_owned),
                "{encoding:?} {text:?}"
            );
        }
    }

    #[test]
    fn of_an_answer_scalars_and_arrays_of_them_have_a_text() {
        let told = |json: &'static str| text(Tree::Raw(Bytes::from_static(json.as_bytes())));
        for (json, expected) in [
            ("\"a\\u00e9\"", Some("aé")),
            ("1.50", Some("1.50")),
            ("true", Some("true")),
            ("[1, \"a\", false]", Some("1,a,false")),
            ("[]", Some("")),
            ("null", None),
            ("{}", None),
            ("[null]", None),
            ("[[1]]", None),
        ] {
            assert_eq!(told(json).as_deref(), expected, "{json}");
        }
        assert_eq!(text(Tree::Object(Members::new())), None);
    }
}
