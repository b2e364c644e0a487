//! A backend: where requests go, and what is made of the answers.

use std::fmt;

use http::Method;

use super::filters::{HeaderFilter, QueryFilter};
use super::hosts::Hosts;
use super::shape::Shape;
use super::template::{Names, Template};
use super::tls::{self, ClientTls};
use crate::file::{At, Section};

/// A backend, compiled.
#[derive(Debug)]
pub struct Backend {
    /// The method of requests to the backend.
    pub method: Method,
    /// The hosts of the backend.
    pub hosts: Hosts,
    /// The path and query of requests.
    pub template: Template,
    /// Which headers of the client are passed on.
    pub headers: HeaderFilter,
    /// Which query strings of the client are passed on.
    pub query: QueryFilter,
    /// The encoding of the answers.
    pub encoding: Encoding,
    /// The filters for the answer's object.
    pub shape: Shape,
    /// What to do with an error.
    pub on_error: OnError,
    /// Whether to follow a redirect to one of the hosts.
    pub follows: bool,
    /// Whether a redirect with status 307 or 308 is followed with the body of the request.
    pub resends_body: bool,
    /// The backend's own `client_tls`, instead of that of the root.
    pub tls: Option<ClientTls>,
    /// The number of the client that sends the requests.
    pub client: usize,
}

/// How an answer is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The answer is a JSON object.
    Json,
    /// The answer is a JSON array.
    Collection,
    /// The answer may be any JSON value.
    Safe,
    /// The answer is a text.
    Text,
    /// The answer is not parsed, but passed on as it arrives.
    Stream,
}

/// What to do with an answer whose status is not 200, 201 or 204.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The backend counts as failed.
    Fail,
    /// The backend counts as failed. If it is the only one, the endpoint answers with its status.
    Code,
    /// The error becomes a member of the answer with this name.
    Details(String),
}

/// The properties of the endpoint that a backend needs.
#[derive(Clone, Copy, Debug)]
pub struct EndpointContext<'a> {
    /// The method of the endpoint.
    pub method: &'a Method,
    /// Which headers the endpoint passes on.
    pub headers: &'a HeaderFilter,
    /// Which query strings the endpoint passes on.
    pub query: &'a QueryFilter,
    /// The names that a pattern may use.
    pub names: Names<'a>,
    /// Whether the answer is passed on as it arrives.
    pub streams: bool,
    /// The hosts of the root.
    pub hosts: &'a [At<String>],
}

/// The methods of endpoints and backends.
pub(super) const METHODS: [(&str, Method); 5] = [
    ("GET", Method::GET),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
];

/// Reads a method, in upper or lower case.
pub(super) fn method(section: &Section<'_>) -> Option<Method> {
    let text = section.text("method")?;
    let found = METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    if found.is_none() {
        section.refuse(
            "method",
            format!("{text:?} is not one of GET, POST, PUT, PATCH, DELETE"),
        );
    }
    found.map(|(_, method)| method.clone())
}

impl Backend {
    /// Reads a backend. Reports every problem, and returns `None` if the rest is unusable.
    pub fn read(backend: &Section<'_>, context: EndpointContext<'_>) -> Option<Self> {
        let hosts = Hosts::read(backend, context.hosts);
        let encoding = encoding(backend, context.streams);
        let shape = Shape::read(backend);
        if context.streams && !shape.is_nothing() {
            backend.refuse(
                "encoding",
                format!("a response with encoding no-op is not parsed and cannot be filtered; remove {shape}"),
            );
        }
        let template = template(backend, context.names);
        let client = backend.namespace("backend/http/client");
        let flag = |key: &str| client.as_ref().is_some_and(|client| client.flag(key));
        Some(Self {
            method: method(backend).unwrap_or_else(|| context.method.clone()),
            hosts,
            template: template?,
            headers: context.headers.of_backend(backend),
            query: context.query.of_backend(backend),
            encoding: encoding?,
            shape,
            on_error: on_error(backend, context.streams),
            follows: !flag("no_redirect"),
            resends_body: flag("send_body_on_redirect"),
            tls: client.as_ref().and_then(tls::client),
            client: 0,
        })
    }
}

fn template(backend: &Section<'_>, names: Names<'_>) -> Option<Template> {
    let Some(pattern) = backend.text("url_pattern") else {
        if !backend.has("url_pattern") {
            backend.refuse("url_pattern", "url_pattern is missing; write for example \"/\"");
        }
        return None;
    };
    Template::parse(pattern, names)
        .map_err(|why| backend.refuse("url_pattern", why))
        .ok()
}

fn encoding(backend: &Section<'_>, streams: bool) -> Option<Encoding> {
    const LATER: &str = "is not supported by this version of signet-gateway; write json, safejson, string or no-op";
    let is_collection = backend.flag("is_collection");
    if streams {
        return Some(Encoding::Stream);
    }
    match backend.text("encoding").unwrap_or("json") {
        "json" if is_collection => Some(Encoding::Collection),
        "json" => Some(Encoding::Json),
        "safejson" => Some(Encoding::Safe),
        "string" => Some(Encoding::Text),
        "no-op" => {
            backend.refuse(
                "encoding",
                "encoding no-op is possible only if output_encoding of the endpoint is no-op too",
            );
            None
        }
        "xml" | "rss" => {
            backend.refuse("encoding", format!("reading XML and RSS {LATER}"));
            None
        }
        other => {
            backend.refuse("encoding", format!("{other:?} {LATER}"));
            None
        }
    }
}

fn on_error(backend: &Section<'_>, streams: bool) -> OnError {
    let Some(http) = backend.namespace("backend/http") else {
        return OnError::Fail;
    };
    let details = http.text("return_error_details");
    let code = http.flag("return_error_code");
    if streams && (details.is_some() || code) {
        http.warn(
            "return_error_code",
            "ignored: with no-op, status and body are always those of the backend",
        );
        return OnError::Fail;
    }
    match (details, code) {
        (Some(name), _) if !name.is_empty() => OnError::Details(format!("error_{name}")),
        (_, true) => OnError::Code,
        _ => OnError::Fail,
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.hosts, self.template)?;
        let encoding = match self.encoding {
            Encoding::Json => "json",
            Encoding::Collection => "json array",
            Encoding::Safe => "safejson",
            Encoding::Text => "string",
            Encoding::Stream => return Ok(()),
        };
        write!(f, " {encoding}")?;
        if !self.shape.is_nothing() {
            write!(f, " [{}]", self.shape)?;
        }
        match &self.on_error {
            OnError::Fail => Ok(()),
            OnError::Code => f.write_str(" [error code]"),
            OnError::Details(name) => write!(f, " [error in {name}]"),
        }
    }
}
