//! An endpoint: which requests it answers, which backends it calls, and how it merges their answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::backend::{Backend, EndpointContext, method};
use super::bots::Bots;
use super::filters::{HeaderFilter, QueryFilter};
use super::flatmap::Flatmap;
use super::schema::Schema;
use super::signer::Signer;
use super::template::Names;
use super::validator::Validator;
use crate::file::{At, Place, Section};
use crate::routes::Segment;
use crate::telemetry::series::EndpointSeries;
use crate::tree::{self, Members};

/// An endpoint, compiled.
#[derive(Debug)]
pub struct Endpoint {
    /// The method of its requests.
    pub method: Method,
    /// The path, as in the file.
    pub path: String,
    /// The path, for matching requests.
    pub route: Vec<Segment>,
    /// The place of the endpoint in the file.
    pub place: Place,
    /// The deadline for the whole request.
    pub timeout: Duration,
    /// The `Cache-Control` of a complete answer.
    pub cache_control: Option<HeaderValue>,
    /// The backends of the endpoint.
    pub backends: Vec<Backend>,
    /// How often the same request is sent to each backend. The first complete answer counts.
    pub calls: u32,
    /// The order in which the backends are called.
    pub flow: Flow,
    /// The format of the answer.
    pub output: Output,
    /// Operations on the merged answer.
    pub flatmap: Flatmap,
    /// Members to add to the answer.
    pub fixed: Option<Fixed>,
    /// What the body of a request must look like.
    pub schema: Option<Schema>,
    /// Which clients are refused here.
    pub bots: Option<Bots>,
    /// The number of the validator for tokens. `None` if no token is needed.
    pub validator: Option<usize>,
    /// The members of the answer that are signed.
    pub signer: Option<Signer>,
    /// The metrics of the endpoint.
    pub series: Arc<EndpointSeries>,
}

/// The order in which backends are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is one backend, and its answer is passed on as it arrives.
    Stream,
    /// There is one backend.
    Alone,
    /// All backends are called at once.
    Merge,
    /// The backends are called one after the other.
    Chain,
}

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// A JSON object.
    Json,
    /// The array under `collection`.
    Collection,
    /// The text under `content`.
    Text,
    /// The answer of the backend, as it arrives.
    Stream,
}

/// Members that are added to the answer, in place of others with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// The members to add.
    pub data: Members,
    /// When to add the members.
    pub when: When,
}

/// When fixed members are put into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The members are always added.
    Always,
    /// The members are added if no backend has failed.
    Success,
    /// The members are added if a backend has failed.
    Errored,
    /// The members are added if the answer is complete.
    Complete,
    /// The members are added if the answer is incomplete.
    Incomplete,
}

/// The settings of the root that endpoints inherit.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The default `timeout` of endpoints.
    pub timeout: Duration,
    /// The default `cache_ttl` of endpoints.
    pub cache_ttl: Duration,
    /// The default `output_encoding` of endpoints.
    pub output: Option<Output>,
    /// The default `host` of backends.
    pub hosts: Vec<At<String>>,
}

/// The maximum of `concurrent_calls`.
const MOST_CALLS: u64 = 16;

/// Paths that the gateway answers itself.
const RESERVED: [&str; 3] = ["/__debug", "/__echo", "/__health"];

impl Endpoint {
    /// Reads an endpoint. Reports every problem, and returns `None` if the rest is unusable.
    pub fn read(endpoint: &Section<'_>, defaults: &Defaults, validators: &mut Vec<Validator>) -> Option<Self> {
        let namespace = endpoint.namespace("auth/validator");
        let validator = namespace.as_ref().and_then(Validator::read);
        let path = path(endpoint);
        let route = path.and_then(|path| route(endpoint, path));
        let method = method(endpoint).unwrap_or(Method::GET);
        let sections = endpoint.sections("backend");
        let output = output(endpoint, defaults.output)?;
        if sections.is_empty() {
            endpoint.refuse("backend", "an endpoint needs at least one backend");
        }
        let signer = endpoint.namespace("auth/signer");
        let signer = signer.and_then(|signer| Signer::read(&signer, output == Output::Json));
        let streams = output == Output::Stream;
        if streams && sections.len() > 1 {
            endpoint.refuse(
                "output_encoding",
                "an endpoint with output_encoding no-op must have exactly one backend",
            );
        }
        let is_chain = is_chain(endpoint);
        let headers = HeaderFilter::of_endpoint(endpoint);
        let query = QueryFilter::of_endpoint(endpoint);
        let parameters = route.as_deref().map(parameters).unwrap_or_default();
        let mut backends = Vec::new();
        for (index, backend) in sections.iter().enumerate() {
            let context = EndpointContext {
                method: &method,
                headers: &headers,
                query: &query,
                names: Names {
                    parameters: &parameters,
                    answers: if is_chain { index } else { 0 },
                    has_token: namespace.is_some(),
                },
                streams,
                hosts: &defaults.hosts,
            };
            backends.extend(Backend::read(backend, context));
        }
        let fixed = fixed(endpoint);
        let flatmap = flatmap(endpoint, sections.len());
        if streams && fixed.is_some() {
            endpoint.refuse(
                "output_encoding",
                "static cannot be used with output_encoding no-op, because the response is not parsed; remove static",
            );
        }
        let calls = calls(endpoint, &backends);
        let max_age = endpoint.duration("cache_ttl").unwrap_or(defaults.cache_ttl).as_secs();
        Some(Self {
            series: Arc::new(EndpointSeries::new(path?, method.as_str())),
            place: endpoint.at("endpoint"),
            path: path?.to_owned(),
            route: route?,
            calls,
            timeout: timeout(endpoint, defaults.timeout),
            cache_control: (max_age > 0 && !streams)
                .then(|| HeaderValue::from_str(&format!("public, max-age={max_age}")).ok())
                .flatten(),
            flow: match backends.len() {
                _ if streams => Flow::Stream,
                0 | 1 => Flow::Alone,
                _ if is_chain => Flow::Chain,
                _ => Flow::Merge,
            },
            method,
            backends,
            output,
            flatmap,
            fixed,
            schema: Schema::read(endpoint),
            bots: endpoint.namespace("security/bot-detector").as_ref().map(Bots::read),
            validator: validator.map(|validator| number(validator, validators)),
            signer,
        })
    }

    /// Whether a request may be sent more than once, so that its body must be read before.
    #[must_use]
    pub fn repeats_body(&self) -> bool {
        self.calls > 1 || self.backends.iter().any(|backend| backend.resends_body)
    }

    /// Whether the answer is the bytes of the only backend, after a check.
    #[must_use]
    pub fn hands_on_octets(&self) -> bool {
        self.flow == Flow::Alone
            && self.output == Output::Json
            && self.fixed.is_none()
            && self.signer.is_none()
            && self
                .backends
                .iter()
                .all(|backend| backend.encoding == super::backend::Encoding::Json && backend.shape.is_nothing())
    }
}

/// Reads `concurrent_calls`.
fn calls(endpoint: &Section<'_>, backends: &[Backend]) -> u32 {
    let calls = endpoint.number("concurrent_calls", 1..=MOST_CALLS).unwrap_or(1);
    let unsafe_method = backends
        .iter()
        .map(|backend| &backend.method)
        .find(|method| !method.is_safe());
    if let Some(method) = unsafe_method.filter(|_| calls > 1) {
        endpoint.warn(
            "concurrent_calls",
            format!("each {method} reaches the backend {calls} times; remove the key unless the backend expects that"),
        );
    }
    u32::try_from(calls).unwrap_or(1)
}

/// The number of this validator. Endpoints with equal requirements share one, with its cache.
fn number(validator: Validator, validators: &mut Vec<Validator>) -> usize {
    validators
        .iter()
        .position(|known| *known == validator)
        .unwrap_or_else(|| {
            validators.push(validator);
            validators.len() - 1
        })
}

fn path<'a>(endpoint: &Section<'a>) -> Option<&'a str> {
    let Some(path) = endpoint.text("endpoint") else {
        if !endpoint.has("endpoint") {
            endpoint.refuse(
                "endpoint",
                "the path of the endpoint is missing; write for example \"endpoint\": \"/users/{id}\"",
            );
        }
        return None;
    };
    let reserved = RESERVED.iter().find(|reserved| path.starts_with(**reserved));
    if let Some(reserved) = reserved {
        endpoint.refuse(
            "endpoint",
            format!("paths that begin with {reserved} belong to the gateway"),
        );
    }
    Some(path)
}

fn route(endpoint: &Section<'_>, path: &str) -> Option<Vec<Segment>> {
    let refuse = |why: &str| {
        endpoint.refuse("endpoint", format!("{path:?} {why}"));
        None
    };
    let Some(rest) = path.strip_prefix('/') else {
        return refuse("does not begin with a slash");
    };
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let mut route: Vec<Segment> = Vec::new();
    let segments: Vec<&str> = rest.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match name {
            Some(name) if name.is_empty() || !name.chars().all(is_name) => {
                return refuse("has a parameter whose name is not letters, digits, _, - and .");
            }
            Some(name) if route.contains(&Segment::Parameter(name.to_owned())) => {
                return refuse("has two parameters of one name");
            }
            Some(name) => route.push(Segment::Parameter(name.to_owned())),
            None if segment.contains(['{', '}']) => {
                return refuse(
                    "has a parameter that is not a whole segment, which this version of signet-gateway does not support",
                );
            }
            None if segment.contains('*') || segment.starts_with(':') => {
                return refuse(
                    "has a wildcard, which this version of signet-gateway does not support; write {name} for one segment",
                );
            }
            None if segment.contains(['?', '#']) => {
                return refuse("has a query or a fragment, which do not belong to a path");
            }
            None if segment.is_empty() && index + 1 < segments.len() => return refuse("has an empty segment"),
            None if *segment == "." || *segment == ".." => {
                return refuse("has a segment . or .., which clients remove");
            }
            None => match crate::routes::decoded(segment) {
                Some(text) => route.push(Segment::Literal(text)),
                None => return refuse("has a percent sign that encodes no character"),
            },
        }
    }
    Some(route)
}

fn parameters(route: &[Segment]) -> Vec<String> {
    let names = route.iter().filter_map(|segment| match segment {
        Segment::Literal(_) => None,
        Segment::Parameter(name) => Some(name.clone()),
    });
    names.collect()
}

fn timeout(endpoint: &Section<'_>, default: Duration) -> Duration {
    match endpoint.duration("timeout") {
        None => default,
        Some(timeout) if timeout.is_zero() => {
            endpoint.refuse(
                "timeout",
                "no backend can answer in 0 s; remove the key to use the default",
            );
            default
        }
        Some(timeout) => timeout,
    }
}

/// Reads `output_encoding` of the root or of an endpoint.
pub(super) fn output(section: &Section<'_>, default: Option<Output>) -> Option<Output> {
    const LATER: &str =
        "is not supported by this version of signet-gateway; write json, json-collection, string, negotiate or no-op";
    let Some(text) = section.text("output_encoding") else {
        return default.filter(|_| !section.has("output_encoding"));
    };
    match text {
        // A client may request a format with `Accept`, but only JSON is available.
        "json" | "negotiate" => Some(Output::Json),
        "fast-json" => {
            section.warn(
                "output_encoding",
                "fast-json is a feature of KrakenD Enterprise; json is used instead",
            );
            Some(Output::Json)
        }
        "json-collection" => Some(Output::Collection),
        "string" => Some(Output::Text),
        "no-op" => Some(Output::Stream),
        other => {
            section.refuse("output_encoding", format!("{other:?} {LATER}"));
            None
        }
    }
}

fn is_chain(endpoint: &Section<'_>) -> bool {
    let Some(proxy) = endpoint.namespace("proxy") else {
        return false;
    };
    let is_sequential = proxy.flag("sequential");
    match proxy.text("strategy") {
        None | Some("parallel") => is_sequential,
        Some("sequential") => true,
        Some("fallback") => {
            proxy.refuse(
                "strategy",
                "fallback is a feature of KrakenD Enterprise and not supported; write parallel or sequential",
            );
            false
        }
        Some(other) => {
            proxy.refuse("strategy", format!("{other:?} is not one of parallel, sequential"));
            false
        }
    }
}

fn fixed(endpoint: &Section<'_>) -> Option<Fixed> {
    let section = endpoint.namespace("proxy")?.section("static")?;
    if !section.has("data") {
        section.refuse("data", "data is missing; it lists the members to add to the response");
    }
    let mut data = Members::new();
    for (name, node, _) in section.members("data") {
        data.insert(name.to_owned(), tree::Tree::Raw(Bytes::from(node.to_string())));
    }
    let when = section.word(
        "strategy",
        &[
            ("always", When::Always),
            ("success", When::Success),
            ("errored", When::Errored),
            ("complete", When::Complete),
            ("incomplete", When::Incomplete),
        ],
    )?;
    Some(Fixed { data, when })
}

fn flatmap(endpoint: &Section<'_>, backends: usize) -> Flatmap {
    let Some(proxy) = endpoint.namespace("proxy") else {
        return Flatmap::default();
    };
    let flatmap = Flatmap::read(&proxy);
    if !flatmap.is_nothing() && backends == 1 {
        proxy.refuse(
            "flatmap_filter",
            "with one backend, KrakenD ignores the filter of the endpoint; move it to extra_config.proxy of the backend",
        );
    }
    flatmap
}

/// Describes the pipeline in one line.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.method, self.path)?;
        if self.bots.is_some() {
            f.write_str("-> no bots ")?;
        }
        if self.validator.is_some() {
            f.write_str("-> token ")?;
        }
        if self.schema.is_some() {
            f.write_str("-> schema ")?;
        }
        let backends: Vec<String> = self.backends.iter().map(ToString::to_string).collect();
        match self.flow {
            Flow::Stream => write!(f, "-> stream {}", backends.join(""))?,
            Flow::Alone => write!(f, "-> {}", backends.join(""))?,
            Flow::Merge => write!(f, "-> merge ({})", backends.join(" + "))?,
            Flow::Chain => write!(f, "-> chain ({})", backends.join(", then "))?,
        }
        if !self.flatmap.is_nothing() {
            write!(f, " -> {}", self.flatmap)?;
        }
        if let Some(fixed) = &self.fixed {
            write!(f, " -> static {}", format!("{:?}", fixed.when).to_lowercase())?;
        }
        if let Some(signer) = &self.signer {
            write!(f, " -> sign {}", signer.members.join(", "))?;
        }
        match self.output {
            Output::Json if self.hands_on_octets() => f.write_str(" -> json, as it came")?,
            Output::Json => f.write_str(" -> json")?,
            Output::Collection => f.write_str(" -> json array")?,
            Output::Text => f.write_str(" -> text")?,
            Output::Stream => {}
        }
        if self.calls > 1 {
            write!(f, ", first of {} calls", self.calls)?;
        }
        write!(f, " in {}", humantime::format_duration(self.timeout))?;
        if let Some(backend) = self.backends.first() {
            write!(f, "; headers {}", backend.headers)?;
            if !backend.query.is_nothing() {
                write!(f, "; query {}", backend.query)?;
            }
        }
        Ok(())
    }
}
