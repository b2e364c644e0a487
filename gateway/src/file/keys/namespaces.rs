//! The namespaces of `extra_config`.
//!
//! Those of KrakenD Enterprise are refused too: the community edition silently ignores them. The file
//! then protects less than its author believes.

use super::Scope::{Backend, Endpoint, Service};
use super::Support::{Ignored, Refused, Supported};
use super::{Holds, Key, Namespace, Scope, Support, holding, ignored, key, only, protecting, refused};

type At = (Scope, Support, &'static [Key]);

const fn namespace(name: &'static str, scopes: &'static [At]) -> Namespace {
    Namespace {
        name,
        scopes,
        protects: false,
    }
}

const fn guard(name: &'static str, scopes: &'static [At]) -> Namespace {
    Namespace {
        name,
        scopes,
        protects: true,
    }
}

const fn everywhere(support: Support) -> [At; 3] {
    [
        (Service, support, &[]),
        (Endpoint, support, &[]),
        (Backend, support, &[]),
    ]
}

const LATER: Support = Refused(
    "this namespace is not supported by this version of signet-gateway; remove it, or wait for a later version",
);
const NEVER: Support =
    Refused("signet-gateway does not run KrakenD plugins and supports only HTTP; move this to a separate service");
const ENTERPRISE: Support = Refused(
    "this namespace is a feature of KrakenD Enterprise. It is not supported, and the community edition silently \
     ignores it; remove it if you do not need it",
);
const NO_EFFECT: Support = Ignored("it changes no response, and is not supported by this version of signet-gateway");

const ROUTER: &[Key] = &[
    key("return_error_msg"),
    holding("error_body", Holds::Anything),
    key("auto_options"),
    ignored(
        "disable_access_log",
        "this version of signet-gateway writes no access log",
    ),
    ignored(
        "logger_skip_paths",
        "this version of signet-gateway writes no access log",
    ),
    key("health_path"),
    key("disable_health"),
    key("hide_version_header"),
    key("disable_redirect_trailing_slash"),
    key("disable_redirect_fixed_path"),
    only(
        "disable_handle_method_not_allowed",
        "false",
        "a known path with another method always gets 405; remove the key",
    ),
    only(
        "disable_path_decoding",
        "false",
        "parameters are always decoded and encoded again; remove the key",
    ),
    only(
        "remove_extra_slash",
        "false",
        "the gateway never removes empty segments from a path; remove the key",
    ),
    protecting(key("forwarded_by_client_ip")),
    protecting(key("remote_ip_headers")),
    protecting(key("trusted_proxies")),
    ignored("app_engine", "signet-gateway does not run on Google App Engine"),
    ignored("max_multipart_memory", "the gateway parses no multipart bodies"),
    ignored(
        "use_h2c",
        "the listener always accepts cleartext HTTP/2 with prior knowledge",
    ),
];

const STATIC: &[Key] = &[holding("data", Holds::Anything), key("strategy")];

const FLATMAP: &[Key] = &[key("type"), key("args")];

const PROXY_OF_ENDPOINT: &[Key] = &[
    key("sequential"),
    key("strategy"),
    refused(
        "sequential_propagated_params",
        "sequential_propagated_params is not supported by this version of signet-gateway; use {respN_field} in a url_pattern",
    ),
    holding("static", Holds::Object(STATIC)),
    only(
        "combiner",
        "\"default\"",
        "other combiners are code for KrakenD and cannot run here; remove the key",
    ),
    protecting(holding("flatmap_filter", Holds::Objects(FLATMAP))),
    ignored(
        "force_sandboxed_request",
        "every backend always gets a separate request",
    ),
];

const PROXY_OF_BACKEND: &[Key] = &[
    protecting(holding("flatmap_filter", Holds::Objects(FLATMAP))),
    only(
        "shadow",
        "false",
        "shadow backends are not supported by this version of signet-gateway; remove the backend",
    ),
    ignored("shadow_timeout", "it has an effect only together with shadow"),
];

const BACKEND_HTTP: &[Key] = &[key("return_error_code"), key("return_error_details")];

const HTTP_CLIENT: &[Key] = &[
    key("send_body_on_redirect"),
    key("no_redirect"),
    refused(
        "proxy_address",
        "a proxy for a backend is not supported by this version of signet-gateway",
    ),
    protecting(holding("client_tls", Holds::Object(super::tls::CLIENT_TLS))),
];

const ONLY_KID: &str = "keys are found by kid in this version of signet-gateway; remove the key";

const VALIDATOR: &[Key] = &[
    key("alg"),
    key("jwk_url"),
    refused(
        "jwk_local_path",
        "keys in a file are not supported by this version of signet-gateway; serve them at a jwk_url",
    ),
    key("disable_jwk_security"),
    key("jwk_local_ca"),
    refused(
        "jwk_fingerprints",
        "fingerprints are not supported by this version of signet-gateway; name the authority of the server in jwk_local_ca",
    ),
    ignored(
        "cipher_suites",
        "the gateway supports TLS 1.2 and 1.3 with the cipher suites of rustls, all of which are secure",
    ),
    // Keys are always kept, and fetched ahead of their end.
    key("cache"),
    key("cache_duration"),
    ignored(
        "failed_jwk_key_cooldown",
        "an unknown kid causes at most one fetch every 10 s",
    ),
    only("key_identify_strategy", "\"kid\"", ONLY_KID),
    key("issuer"),
    key("audience"),
    key("roles"),
    key("roles_key"),
    key("roles_key_is_nested"),
    key("scopes"),
    key("scopes_key"),
    key("scopes_matcher"),
    holding("propagate_claims", Holds::Anything),
    only(
        "propagate_claims_preserve_array",
        "false",
        "arrays in headers are not supported by this version of signet-gateway; remove the key",
    ),
    key("auth_header_name"),
    key("cookie_key"),
    key("leeway"),
    only(
        "require_exp",
        "true",
        "tokens without exp are not supported by this version of signet-gateway; remove the key",
    ),
    refused(
        "issuers",
        "several issuers for one endpoint are not supported by this version of signet-gateway",
    ),
    ignored("operation_debug", "the challenge of a refusal says why"),
    refused(
        "secret_url",
        "the gateway decrypts no file of keys; remove the key, and serve the keys at a jwk_url",
    ),
    refused(
        "cypher_key",
        "the gateway decrypts no file of keys; remove the key, and serve the keys at a jwk_url",
    ),
];

const NO_KEY: &str = "the sidecar has the key and signs (SIGNET_SOCKET), so the gateway reads none; remove the key";
const SIDECAR_SEALS: &str = "the gateway decrypts no key. The sidecar keeps keys encrypted: SIGNET_PROVIDER, SIGNET_KEY and SIGNET_CUSTODY=sealed \
     name the key of the provider that wraps them; remove the key";

const SIGNER: &[Key] = &[
    key("alg"),
    refused(
        "kid",
        "the sidecar signs with the key that is active, and its kid changes at each rotation; remove the key",
    ),
    key("jwk_url"),
    key("keys_to_sign"),
    key("full"),
    key("typ"),
    refused("jwk_local_path", NO_KEY),
    refused("jwk_local_ca", NO_KEY),
    refused("jwk_fingerprints", NO_KEY),
    ignored("cipher_suites", "no key is fetched"),
    ignored("disable_jwk_security", "no key is fetched"),
    refused("secret_url", SIDECAR_SEALS),
    refused("cypher_key", SIDECAR_SEALS),
];

const VALIDATOR_OF_SERVICE: &[Key] = &[ignored(
    "shared_cache_duration",
    "endpoints with one jwk_url always share its keys",
)];

const CORS: &[Key] = &[
    key("allow_origins"),
    key("allow_methods"),
    key("allow_headers"),
    key("expose_headers"),
    key("allow_credentials"),
    key("max_age"),
    key("allow_private_network"),
    key("options_passthrough"),
    key("options_success_status"),
    ignored("debug", "preflights are not logged"),
];

const SECURE: &[Key] = &[
    key("allowed_hosts"),
    key("allowed_hosts_are_regex"),
    key("host_proxy_headers"),
    key("sts_seconds"),
    key("sts_include_subdomains"),
    key("force_sts_header"),
    key("frame_deny"),
    key("custom_frame_options_value"),
    key("content_type_nosniff"),
    key("browser_xss_filter"),
    key("content_security_policy"),
    key("referrer_policy"),
    key("ssl_redirect"),
    key("ssl_host"),
    holding("ssl_proxy_headers", Holds::Anything),
    key("hpkp_public_key"),
    key("is_development"),
];

const BOTS: &[Key] = &[
    key("allow"),
    key("deny"),
    key("patterns"),
    ignored("cache_size", "the patterns are matched at once, so no verdict is kept"),
    key("empty_user_agent_is_bot"),
];

/// The keys of a JSON schema, which are checked where it is compiled.
const ANY_KEYS: &[Key] = &[holding(super::ANY_KEY, Holds::Anything)];

const LOGGING: &[Key] = &[
    key("level"),
    ignored("prefix", "lines of the log have no prefix"),
    ignored("stdout", "the log is written to standard error"),
    ignored("syslog", "the log is written to standard error"),
    ignored("syslog_facility", "the log is written to standard error"),
    key("format"),
    ignored("custom_format", "the log is text at a terminal, and JSON elsewhere"),
];

/// All of them.
pub const NAMESPACES: &[Namespace] = &[
    namespace("router", &[(Service, Supported, ROUTER)]),
    namespace(
        "proxy",
        &[
            (Endpoint, Supported, PROXY_OF_ENDPOINT),
            (Backend, Supported, PROXY_OF_BACKEND),
        ],
    ),
    namespace("backend/http", &[(Backend, Supported, BACKEND_HTTP)]),
    namespace("backend/http/client", &[(Backend, Supported, HTTP_CLIENT)]),
    guard(
        "auth/validator",
        &[
            (Endpoint, Supported, VALIDATOR),
            (Service, Supported, VALIDATOR_OF_SERVICE),
        ],
    ),
    guard("auth/signer", &[(Endpoint, Supported, SIGNER)]),
    guard("auth/client-credentials", &[(Backend, LATER, &[])]),
    guard("auth/revoker", &[(Service, LATER, &[])]),
    guard("auth/", &everywhere(ENTERPRISE)),
    guard("qos/ratelimit/router", &[(Endpoint, LATER, &[]), (Service, LATER, &[])]),
    guard("qos/ratelimit/proxy", &[(Backend, LATER, &[])]),
    guard("qos/circuit-breaker", &[(Backend, LATER, &[])]),
    namespace(
        "qos/http-cache",
        &[(
            Backend,
            Refused("this version of signet-gateway does not cache backend responses; remove the namespace"),
            &[],
        )],
    ),
    guard("qos/", &everywhere(ENTERPRISE)),
    guard("security/cors", &[(Service, Supported, CORS)]),
    guard("security/http", &[(Service, Supported, SECURE)]),
    guard(
        "security/bot-detector",
        &[(Service, Supported, BOTS), (Endpoint, Supported, BOTS)],
    ),
    guard("security/", &everywhere(ENTERPRISE)),
    guard("validation/json-schema", &[(Endpoint, Supported, ANY_KEYS)]),
    guard("validation/cel", &[(Endpoint, LATER, &[]), (Backend, LATER, &[])]),
    guard("validation/", &everywhere(ENTERPRISE)),
    namespace("telemetry/logging", &[(Service, Supported, LOGGING)]),
    namespace("telemetry/", &everywhere(NO_EFFECT)),
    namespace("documentation/", &everywhere(NO_EFFECT)),
    namespace("server/", &everywhere(NO_EFFECT)),
    namespace("modifier/", &everywhere(NEVER)),
    namespace("plugin/", &everywhere(NEVER)),
    namespace("backend/", &everywhere(NEVER)),
    namespace("async_agent", &everywhere(NEVER)),
    guard("governance/", &everywhere(ENTERPRISE)),
    namespace("redis", &everywhere(ENTERPRISE)),
    namespace("websocket", &everywhere(ENTERPRISE)),
    namespace("workflow", &everywhere(ENTERPRISE)),
    namespace("grpc", &everywhere(ENTERPRISE)),
    guard(
        "github.com/",
        &everywhere(Refused(
            "this is the name of an older version of KrakenD; write the short name, such as auth/validator",
        )),
    ),
    guard(
        "github_com/",
        &everywhere(Refused(
            "this is the name of an older version of KrakenD; write the short name, such as auth/validator",
        )),
    ),
];
