//! What each supported key does, for the reference. A key that is refused or ignored says itself why.

mod namespaces;

pub use namespaces::NAMESPACES;

/// The description of a key.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name of the key, below the names of the objects around it.
    pub key: &'static str,
    /// The kind of its value.
    pub kind: &'static str,
    /// The value of a missing key.
    pub default: &'static str,
    /// What the key does.
    pub text: &'static str,
}

const fn about(key: &'static str, kind: &'static str, default: &'static str, text: &'static str) -> About {
    About {
        key,
        kind,
        default,
        text,
    }
}

/// The descriptions of the keys of the root.
pub const ROOT: &[About] = &[
    about("version", "number", "none, required", "must be 3"),
    about("name", "text", "none", "names the gateway in its log"),
    about("listen_ip", "text", "all addresses", "the address to listen on"),
    about("port", "number", "8080", "the port to listen on"),
    about("host", "list of texts", "none", "the hosts of backends that name none"),
    about(
        "timeout",
        "duration",
        "2s",
        "the time for a whole request, for endpoints that set no timeout",
    ),
    about(
        "cache_ttl",
        "duration",
        "0s",
        "`Cache-Control: public, max-age=…` of complete answers; nothing is cached here",
    ),
    about(
        "output_encoding",
        "text",
        "`json`",
        "the format of the answers of endpoints that set none",
    ),
    about(
        "read_header_timeout",
        "duration",
        "10s",
        "how long a client may take to send the head of a request",
    ),
    about(
        "max_idle_connections_per_host",
        "number",
        "250",
        "idle connections that each thread keeps to a host",
    ),
    about(
        "idle_connection_timeout",
        "duration",
        "none",
        "how long an idle connection to a backend is kept",
    ),
    about(
        "response_header_timeout",
        "duration",
        "none",
        "how long a backend may take to send the head of its answer",
    ),
    about(
        "dialer_timeout",
        "duration",
        "none",
        "how long connecting to a backend may take",
    ),
    about(
        "dialer_keep_alive",
        "duration",
        "15s",
        "after how long TCP probes a silent connection to a backend",
    ),
    about(
        "dialer_fallback_delay",
        "duration",
        "300ms",
        "how long IPv6 is tried alone before IPv4",
    ),
    about(
        "disable_keep_alives",
        "flag",
        "`false`",
        "a connection to a backend serves one request only",
    ),
    about(
        "debug_endpoint",
        "flag",
        "`false`",
        "every path below `/__debug` answers `{\"message\":\"pong\"}`; `run -d` sets it too",
    ),
    about(
        "echo_endpoint",
        "flag",
        "`false`",
        "every path below `/__echo` answers with the request as the gateway received it",
    ),
    about(
        "max_shutdown_wait_time",
        "duration",
        "30s",
        "how long requests may take after SIGTERM",
    ),
    about(
        "allow_insecure_connections",
        "flag",
        "`false`",
        "certificates of backends are not verified; name their authority in `client_tls.ca_certs` instead",
    ),
    about(
        "tls",
        "object",
        "none",
        "certificates of the listener, and of clients; see [TLS](gateway.md#tls)",
    ),
    about(
        "client_tls",
        "object",
        "none",
        "how backends are verified; see [TLS](gateway.md#tls)",
    ),
    about(
        "endpoints",
        "list of objects",
        "none",
        "see [below](#an-endpoint-endpoints)",
    ),
    about("extra_config", "object", "none", "namespaces of the service"),
];

/// The descriptions of the keys of an endpoint.
pub const ENDPOINT: &[About] = &[
    about(
        "endpoint",
        "text",
        "none, required",
        "the path; `{name}` is a whole segment. A literal segment has precedence over a parameter",
    ),
    about("method", "text", "`GET`", "`GET`, `POST`, `PUT`, `PATCH` or `DELETE`"),
    about(
        "backend",
        "list of objects",
        "none, required",
        "see [below](#a-backend-endpointsbackend)",
    ),
    about(
        "timeout",
        "duration",
        "that of the root",
        "the time for a whole request",
    ),
    about(
        "cache_ttl",
        "duration",
        "that of the root",
        "`Cache-Control` of complete answers",
    ),
    about(
        "output_encoding",
        "text",
        "that of the root",
        "`json`, `json-collection`, `string`, `negotiate` (as JSON), or `no-op`: the answer of the only backend, unchanged",
    ),
    about(
        "input_headers",
        "list of texts",
        "none",
        "the headers of a client that backends get; `[\"*\"]` for all",
    ),
    about(
        "input_query_strings",
        "list of texts",
        "none",
        "the query parameters that backends get; `[\"*\"]` for all",
    ),
    about(
        "concurrent_calls",
        "number 1–16",
        "1",
        "sends each request this many times; the first complete answer counts. Each call has 75 % of the timeout",
    ),
    about("extra_config", "object", "none", "namespaces of the endpoint"),
];

/// The descriptions of the keys of a backend.
pub const BACKEND: &[About] = &[
    about(
        "host",
        "list of texts",
        "that of the root",
        "hosts, used in turn; one that is listed twice is used twice as often",
    ),
    about(
        "url_pattern",
        "text",
        "none, required",
        "path and query, with `{name}`, `{JWT.claim}` and `{respN_field}`, each percent-encoded for its place",
    ),
    about(
        "method",
        "text",
        "that of the endpoint",
        "`GET`, `POST`, `PUT`, `PATCH` or `DELETE`",
    ),
    about(
        "encoding",
        "text",
        "`json`",
        "how the answer is read: `json`, `safejson`, `string` or `no-op`",
    ),
    about(
        "is_collection",
        "flag",
        "`false`",
        "the answer is an array, which becomes the member `collection`",
    ),
    about(
        "target",
        "text",
        "none",
        "the path of the object that becomes the answer",
    ),
    about(
        "allow",
        "list of texts",
        "all",
        "the paths of the members that are kept",
    ),
    about(
        "deny",
        "list of texts",
        "none",
        "the paths of the members that are removed, if `allow` is missing",
    ),
    about("mapping", "object", "none", "new names for top-level members"),
    about("group", "text", "none", "the member that the whole answer is put into"),
    about("disable_host_sanitize", "flag", "`false`", "a host may have a path"),
    about("sd", "text", "`static`", "how hosts are found"),
    about(
        "input_headers",
        "list of texts",
        "that of the endpoint",
        "those of the endpoint's headers that this backend gets",
    ),
    about(
        "input_query_strings",
        "list of texts",
        "that of the endpoint",
        "those of the endpoint's query parameters that this backend gets",
    ),
    about("extra_config", "object", "none", "namespaces of the backend"),
];
