//! What the gateway does, compiled once from the file. Every path, pattern, filter and header is prepared here, so a
//! request looks up nothing of the file by name.
//!
//! [`Plan::read`] is the entry point. All problems are reported with their places. This module knows no network.

pub mod backend;
pub mod bots;
pub mod cors;
pub mod endpoint;
pub mod filters;
pub mod flatmap;
pub mod hosts;
pub mod lookup;
pub mod proxies;
pub mod rules;
pub mod schema;
pub mod secure;
pub mod shape;
pub mod signer;
pub mod template;
pub mod tls;
pub mod validator;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::Method;

pub use backend::{Backend, Encoding, OnError};
pub use endpoint::{Endpoint, Fixed, Flow, Output, When};
pub use rules::Rules;
pub use tls::ClientTls;
pub use validator::Validator;

use crate::file::{Document, Report, Section};
use crate::routes::{RouteMatch, Routes};
use crate::sidecar_settings::SidecarSettings;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::series::EndpointSeries;
use endpoint::Defaults;

/// A compiled file.
#[derive(Debug)]
pub struct Plan {
    /// A name for the log.
    pub name: Option<String>,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The TLS settings of the listener. `None` if it speaks plain HTTP.
    pub tls: Option<signet_edge::tls::Options>,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long requests in progress may take when the process ends.
    pub drain: Duration,
    /// The settings of connections to backends.
    pub connections: Connections,
    /// The clients that send requests to backends. Backends refer to them by number.
    pub clients: Vec<Client>,
    /// The settings that all endpoints share.
    pub rules: Rules,
    /// The endpoint for each path.
    pub routes: Routes,
    /// The endpoints, by number.
    pub endpoints: Vec<Endpoint>,
    /// The validators of tokens. Endpoints refer to them by number.
    pub validators: Vec<Validator>,
    /// The sidecar, which signs and has keys. It comes from the environment.
    pub sidecar: Option<SidecarSettings>,
    /// The metrics of requests that belong to no endpoint.
    pub elsewhere: Arc<EndpointSeries>,
    /// The most verbose level of the log, and whether it is JSON.
    pub log: Log,
}

/// The settings of connections to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// The maximum number of idle connections that each thread keeps to one host.
    pub idle_per_host: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Option<Duration>,
    /// How long a backend may take to send the head of its answer.
    pub header_timeout: Option<Duration>,
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// After how long TCP probes a silent connection.
    pub keep_alive: Option<Duration>,
    /// How long the first address family is tried alone.
    pub fallback_delay: Duration,
}

/// A client for the backends with equal TLS settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The TLS settings.
    pub tls: ClientTls,
    /// Whether any backend is reached over TLS. If none is, the certificate authorities of the machine are not read.
    pub speaks_tls: bool,
}

/// The settings of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The most verbose level.
    pub level: tracing::Level,
    /// Whether the log is JSON. `None` if the file does not say.
    pub as_json: Option<bool>,
}

impl Plan {
    /// Counts the requests of this plan in these metrics.
    pub fn count_in(&mut self, metrics: &Metrics) {
        self.elsewhere = metrics.endpoint(&self.elsewhere);
        for endpoint in &mut self.endpoints {
            endpoint.series = metrics.endpoint(&endpoint.series);
            for backend in &mut endpoint.backends {
                backend.hosts.count_in(metrics);
            }
        }
    }

    /// Compiles a document. The result may be used only if the report has no problem.
    pub fn read(document: &Document, report: &mut Report) -> Option<Self> {
        let shared = RefCell::new(std::mem::take(report));
        let plan = read(&document.root(&shared));
        *report = shared.into_inner();
        plan.filter(|_| report.is_good())
    }
}

fn read(root: &Section<'_>) -> Option<Plan> {
    version(root);
    let defaults = Defaults {
        timeout: root.span("timeout").unwrap_or(Duration::from_secs(2)),
        cache_ttl: root.duration("cache_ttl").unwrap_or_default(),
        output: endpoint::output(root, Some(Output::Json)),
        hosts: root
            .texts("host")
            .into_iter()
            .map(|text| crate::file::At {
                value: text.value.to_owned(),
                place: text.place,
            })
            .collect(),
    };
    if !root.has("endpoints") {
        root.warn("endpoints", "there are no endpoints, so every request gets 404");
    }
    let mut routes = Routes::default();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut validators = Vec::new();
    for section in root.sections("endpoints") {
        let Some(endpoint) = Endpoint::read(&section, &defaults, &mut validators) else {
            continue;
        };
        match routes.add(endpoint.method.clone(), &endpoint.route, endpoints.len()) {
            Ok(()) => endpoints.push(endpoint),
            Err(other) => {
                let other = &endpoints[other];
                section.refuse(
                    "endpoint",
                    format!(
                        "{} {} answers the same requests as {} in line {}; remove one of them",
                        endpoint.method, endpoint.path, other.path, other.place.line
                    ),
                );
            }
        }
    }
    let rules = Rules::read(root);
    let health = rules.health_path.as_deref();
    if let Some(Ok(RouteMatch::Endpoint(number, _))) = health.map(|path| routes.find(&Method::GET, path)) {
        let other = &endpoints[number];
        root.refuse_at(
            &other.place,
            format!(
                "{} is also the health path, which the gateway answers itself; change health_path, or set disable_health",
                other.path
            ),
        );
    }
    let clients = clients(root, &mut endpoints);
    Some(Plan {
        name: root.text("name").map(str::to_owned),
        listen: listen(root),
        tls: tls::listener(root),
        header_timeout: root.span("read_header_timeout").unwrap_or(Duration::from_secs(10)),
        drain: root.span("max_shutdown_wait_time").unwrap_or(Duration::from_secs(30)),
        connections: connections(root),
        clients,
        rules,
        routes,
        endpoints,
        validators,
        sidecar: None,
        elsewhere: Arc::new(EndpointSeries::elsewhere()),
        log: log(root),
    })
}

/// The clients that the backends need, each once, and gives each backend the number of its own.
fn clients(root: &Section<'_>, endpoints: &mut [Endpoint]) -> Vec<Client> {
    let of_root = tls::of_root(root);
    let mut clients: Vec<Client> = Vec::new();
    for backend in endpoints.iter_mut().flat_map(|endpoint| &mut endpoint.backends) {
        let tls = backend.tls.clone().unwrap_or_else(|| of_root.clone());
        backend.client = clients.iter().position(|known| known.tls == tls).unwrap_or_else(|| {
            clients.push(Client { tls, speaks_tls: false });
            clients.len() - 1
        });
        clients[backend.client].speaks_tls |= backend.hosts.are_over_tls();
    }
    clients
}

fn version(root: &Section<'_>) {
    match root.number("version", 0..=u64::MAX) {
        Some(3) => {}
        Some(other) => root.refuse(
            "version",
            format!("version {other} is not supported; convert the file to version 3 with KrakenD's migration tool"),
        ),
        None if root.has("version") => {}
        None => root.refuse("version", "version is missing; write \"version\": 3"),
    }
}

fn listen(root: &Section<'_>) -> SocketAddr {
    let port = root.number("port", 1..=65_535).unwrap_or(8080);
    let port = u16::try_from(port).unwrap_or(8080);
    // This address also accepts IPv4, unless the system forbids it.
    let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let address = match root.text("listen_ip") {
        None | Some("") => everywhere,
        Some(text) => text.parse().unwrap_or_else(|_| {
            root.refuse(
                "listen_ip",
                format!("{text:?} is not an IP address; write for example 127.0.0.1 or ::"),
            );
            everywhere
        }),
    };
    SocketAddr::new(address, port)
}

fn connections(root: &Section<'_>) -> Connections {
    let idle = root
        .number("max_idle_connections_per_host", 0..=1_000_000)
        .filter(|most| *most > 0);
    let idle = idle.and_then(|most| usize::try_from(most).ok()).unwrap_or(250);
    Connections {
        idle_per_host: if root.flag("disable_keep_alives") { 0 } else { idle },
        idle_timeout: root.span("idle_connection_timeout"),
        header_timeout: root.span("response_header_timeout"),
        connect_timeout: root.span("dialer_timeout"),
        keep_alive: Some(root.duration("dialer_keep_alive").unwrap_or(Duration::from_secs(15)))
            .filter(|span| !span.is_zero()),
        fallback_delay: root.span("dialer_fallback_delay").unwrap_or(Duration::from_millis(300)),
    }
}

fn log(root: &Section<'_>) -> Log {
    let mut log = Log {
        level: tracing::Level::INFO,
        as_json: None,
    };
    let Some(logging) = root.namespace("telemetry/logging") else {
        return log;
    };
    if let Some(level) = logging.text("level") {
        match level.to_ascii_uppercase().as_str() {
            "DEBUG" => log.level = tracing::Level::DEBUG,
            "INFO" => log.level = tracing::Level::INFO,
            "WARNING" => log.level = tracing::Level::WARN,
            "ERROR" | "CRITICAL" => log.level = tracing::Level::ERROR,
            _ => logging.refuse(
                "level",
                format!("{level:?} is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
            ),
        }
    }
    match logging.text("format") {
        None => {}
        Some("default") => log.as_json = Some(false),
        Some("logstash") => log.as_json = Some(true),
        Some(other) => logging.warn(
            "format",
            format!("{other:?} is not supported: the log is text at a terminal, and JSON elsewhere"),
        ),
    }
    log
}

#[cfg(test)]
mod tests;
