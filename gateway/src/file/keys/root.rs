//! The keys of the root.

use super::endpoint::ENDPOINT;
use super::{Holds, Key, Scope, holding, ignored, key, only, protecting, refused};

const OWN_BOUNDS: &str = "the listener has its own limits: a head must arrive within read_header_timeout, a connection \
                          that is idle for 90 s is closed, and one that stops reading is closed when others need its \
                          memory";

/// The keys of the root.
pub const ROOT: &[Key] = &[
    key("version"),
    key("name"),
    key("listen_ip"),
    key("port"),
    key("host"),
    key("timeout"),
    key("cache_ttl"),
    key("output_encoding"),
    key("read_header_timeout"),
    ignored("read_timeout", OWN_BOUNDS),
    ignored("write_timeout", OWN_BOUNDS),
    ignored("idle_timeout", OWN_BOUNDS),
    ignored("max_header_bytes", "the head of a request may always have up to 64 KiB"),
    ignored(
        "max_idle_connections",
        "max_idle_connections_per_host bounds the idle connections of each thread",
    ),
    key("max_idle_connections_per_host"),
    key("idle_connection_timeout"),
    key("response_header_timeout"),
    ignored(
        "expect_continue_timeout",
        "no request to a backend has an Expect header",
    ),
    key("dialer_timeout"),
    key("dialer_keep_alive"),
    key("dialer_fallback_delay"),
    key("disable_keep_alives"),
    ignored(
        "disable_compression",
        "the gateway requests compression from no backend",
    ),
    only(
        "disable_rest",
        "false",
        "in this version of signet-gateway, a path parameter must be a whole segment",
    ),
    key("debug_endpoint"),
    key("echo_endpoint"),
    ignored("dns_cache_ttl", "it has an effect only with sd: dns"),
    key("max_shutdown_wait_time"),
    ignored(
        "sequential_start",
        "the gateway sends no requests to backends at the start",
    ),
    ignored(
        "use_h2c",
        "the listener always accepts cleartext HTTP/2 with prior knowledge",
    ),
    protecting(key("allow_insecure_connections")),
    protecting(holding("tls", Holds::Object(super::tls::TLS))),
    protecting(holding("client_tls", Holds::Object(super::tls::CLIENT_TLS))),
    refused(
        "plugin",
        "plugins are code for KrakenD and cannot run here; move them to a separate service",
    ),
    refused(
        "async_agent",
        "asynchronous agents are not supported by signet-gateway; run them as a separate service",
    ),
    holding("endpoints", Holds::Objects(ENDPOINT)),
    protecting(holding("extra_config", Holds::Namespaces(Scope::Service))),
];
