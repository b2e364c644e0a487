//! The paths that the gateway answers itself: health, `/__debug` and `/__echo`.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde_json::{Map, Value, json};
use signet_base::{Clock as _, SystemClock, rfc3339};
use signet_edge::body::{self, Arriving};
use tracing::debug;

use crate::answer::Response;
use crate::plan::Rules;
use crate::routes::decoded;

/// The maximum body in bytes that `/__echo` shows.
const LONGEST_ECHO: usize = 1024 * 1024;

/// A path that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Says that the process is alive.
    Health,
    /// Says that the gateway takes requests, for tests of a chain of proxies.
    Debug,
    /// Shows the request, as the gateway received it.
    Echo,
}

impl Own {
    /// The answer for this path, if the gateway gives it itself.
    #[must_use]
    pub fn find(rules: &Rules, method: &Method, path: &str) -> Option<Self> {
        let is_below = |base: &str| {
            path.strip_prefix(base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if rules.health_path.as_deref() == Some(path) && method == Method::GET {
            return Some(Self::Health);
        }
        match path.starts_with("/__") {
            true if rules.has_debug && is_below("/__debug") => Some(Self::Debug),
            true if rules.has_echo && is_below("/__echo") => Some(Self::Echo),
            _ => None,
        }
    }

    /// Answers a request.
    pub async fn answer(self, request: Request<Arriving>) -> Response {
        match self {
            Self::Health => {
                let now = rfc3339(SystemClock.now());
                body::json(Bytes::from(format!(r#"{{"agents":{{}},"now":"{now}","status":"ok"}}"#)))
            }
            Self::Debug => {
                // Headers and the query are not logged, because they may hold secrets.
                debug!(method = %request.method(), path = request.uri().path(), "a request to /__debug");
                written(&json!({"message": "pong"}))
            }
            Self::Echo => {
                let (head, body) = request.into_parts();
                match body::read(body, LONGEST_ECHO).await {
                    Ok(whole) => written(&echo(&head, &whole)),
                    Err(problem) => problem.into_response(),
                }
            }
        }
    }
}

fn written(value: &Value) -> Response {
    let mut response = body::json(Bytes::from(value.to_string()));
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The description of a request, with the members that KrakenD's has.
fn echo(head: &http::request::Parts, body: &[u8]) -> Value {
    let mut query: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        let values = query.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(value.into());
        }
    }
    let host = head
        .headers
        .get(HOST)
        .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let path = head.uri.path();
    json!({
        "req_uri": head.uri.path_and_query().map_or(path, |whole| whole.as_str()),
        "req_uri_details": {
            "user": "",
            "host": host.or_else(|| head.uri.authority().map(ToString::to_string)).unwrap_or_default(),
            "path": decoded(path).unwrap_or_else(|| path.to_owned()),
            "query": head.uri.query().unwrap_or_default(),
            "fragment": "",
        },
        "req_method": head.method.as_str(),
        "req_querystring": query,
        "req_body": String::from_utf8_lossy(body),
        "req_headers": headers(&head.headers),
    })
}

/// All headers but `Host`, with names as HTTP/1.1 usually writes them.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in headers.keys().filter(|name| **name != HOST) {
        let values = headers.get_all(name).iter();
        let values: Vec<Value> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
            .collect();
        shown.insert(usual(name), values.into());
    }
    shown
}

fn usual(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| match word.split_at_checked(1) {
        Some((first, rest)) => format!("{}{rest}", first.to_ascii_uppercase()),
        None => String::new(),
    });
    words.collect::<Vec<_>>().join("-")
}
