//! What each key of a namespace does.

use super::{About, about};

/// The descriptions of the keys of namespaces, by the name of the namespace.
pub const NAMESPACES: &[(&str, &[About])] = &[
    ("router", ROUTER),
    ("proxy", PROXY),
    ("backend/http", BACKEND_HTTP),
    ("backend/http/client", HTTP_CLIENT),
    ("auth/validator", VALIDATOR),
    ("auth/signer", SIGNER),
    ("security/cors", CORS),
    ("security/http", SECURE),
    ("security/bot-detector", BOTS),
    ("validation/json-schema", SCHEMA),
    ("telemetry/logging", LOGGING),
];

const SECURE: &[About] = &[
    about(
        "allowed_hosts",
        "list of texts",
        "all",
        "the hosts that clients may ask for, with their port; others get 500",
    ),
    about(
        "allowed_hosts_are_regex",
        "flag",
        "`false`",
        "they are patterns, and each must match the whole host",
    ),
    about(
        "host_proxy_headers",
        "list of texts",
        "none",
        "headers in which trusted proxies send the client's host",
    ),
    about(
        "sts_seconds",
        "number",
        "0",
        "`Strict-Transport-Security` over https, for this time",
    ),
    about("sts_include_subdomains", "flag", "`false`", "it includes subdomains"),
    about("force_sts_header", "flag", "`false`", "it is sent without https too"),
    about("frame_deny", "flag", "`false`", "`X-Frame-Options: DENY`"),
    about(
        "custom_frame_options_value",
        "text",
        "none",
        "another value of `X-Frame-Options`",
    ),
    about(
        "content_type_nosniff",
        "flag",
        "`false`",
        "`X-Content-Type-Options: nosniff`",
    ),
    about(
        "browser_xss_filter",
        "flag",
        "`false`",
        "`X-XSS-Protection: 1; mode=block`",
    ),
    about(
        "content_security_policy",
        "text",
        "none",
        "the value of `Content-Security-Policy`",
    ),
    about("referrer_policy", "text", "none", "the value of `Referrer-Policy`"),
    about(
        "ssl_redirect",
        "flag",
        "`false`",
        "requests without https are redirected to it with 301",
    ),
    about("ssl_host", "text", "the client's", "the host to redirect to"),
    about(
        "ssl_proxy_headers",
        "object",
        "none",
        "headers and values with which trusted proxies report https",
    ),
    about(
        "hpkp_public_key",
        "text",
        "none",
        "the value of `Public-Key-Pins` over https",
    ),
    about(
        "is_development",
        "flag",
        "`false`",
        "hosts, redirects and the headers for https are off",
    ),
];

const BOTS: &[About] = &[
    about(
        "allow",
        "list of texts",
        "none",
        "values of `User-Agent` that always pass",
    ),
    about("deny", "list of texts", "none", "values of `User-Agent` that get 403"),
    about(
        "patterns",
        "list of texts",
        "none",
        "a `User-Agent` that one of these matches gets 403",
    ),
    about(
        "empty_user_agent_is_bot",
        "flag",
        "`false`",
        "a request without `User-Agent` gets 403",
    ),
];

const SCHEMA: &[About] = &[about(
    "*",
    "JSON schema",
    "none",
    "a request whose body does not fit the schema gets 400",
)];

const ROUTER: &[About] = &[
    about(
        "return_error_msg",
        "flag",
        "`false`",
        "a client is told why there is no answer",
    ),
    about("error_body", "object", "texts", "the JSON bodies of `404` and `405`"),
    about(
        "auto_options",
        "flag",
        "`false`",
        "`OPTIONS` is answered with the methods of the path in `Allow`",
    ),
    about(
        "health_path",
        "text",
        "`/__health`",
        "the path that answers whether the process is alive",
    ),
    about("disable_health", "flag", "`false`", "there is no health path"),
    about(
        "hide_version_header",
        "flag",
        "`false`",
        "`X-Krakend` is `Version undefined`",
    ),
    about(
        "disable_redirect_trailing_slash",
        "flag",
        "`false`",
        "a path that differs only in its trailing slash gets 404, not a redirect",
    ),
    about(
        "disable_redirect_fixed_path",
        "flag",
        "`false`",
        "a path that differs only in upper and lower case gets 404, not a redirect",
    ),
    about("forwarded_by_client_ip", "flag", "`true`", "`false` believes no proxy"),
    about(
        "remote_ip_headers",
        "list of texts",
        "`X-Forwarded-For`",
        "the headers in which trusted proxies name the client; the first one that a request has counts",
    ),
    about(
        "trusted_proxies",
        "list of texts",
        "none",
        "addresses and networks of the proxies whose headers are believed",
    ),
];

const PROXY: &[About] = &[
    about(
        "sequential",
        "flag",
        "`false`",
        "backends are called one after the other",
    ),
    about("strategy", "text", "`parallel`", "`parallel` or `sequential`"),
    about("static", "object", "none", "members that are put into the answer"),
    about("static.data", "object", "none, required", "the members"),
    about(
        "static.strategy",
        "text",
        "`always`",
        "when they are put in: `always`, `success`, `errored`, `complete` or `incomplete`",
    ),
];

const BACKEND_HTTP: &[About] = &[
    about(
        "return_error_code",
        "flag",
        "`false`",
        "an error of the only backend, or of the first of a chain, gives its status to the client",
    ),
    about(
        "return_error_details",
        "text",
        "none",
        "an error of the backend becomes the member whose name is `error_` and this text",
    ),
];

const HTTP_CLIENT: &[About] = &[
    about(
        "send_body_on_redirect",
        "flag",
        "`false`",
        "redirects 307 and 308 are followed with the body, which is then held in memory (8 MiB at most)",
    ),
    about("no_redirect", "flag", "`false`", "redirects are not followed"),
    about(
        "client_tls",
        "object",
        "that of the root",
        "how this backend is verified; see [TLS](gateway.md#tls)",
    ),
];

const VALIDATOR: &[About] = &[
    about(
        "alg",
        "text",
        "none, required",
        "the algorithm of tokens: `RS…`, `PS…`, `ES…` or `EdDSA`",
    ),
    about("jwk_url", "text", "found by `issuer`", "the URL of the keys"),
    about(
        "disable_jwk_security",
        "flag",
        "`false`",
        "the URL may be http; certificates of https are verified all the same",
    ),
    about(
        "jwk_local_ca",
        "text",
        "those of the machine",
        "a file with the certificate authorities for the URL",
    ),
    about("cache", "flag", "`true`", "has no effect: keys are always cached"),
    about(
        "cache_duration",
        "number",
        "900",
        "seconds after which keys are fetched again, 60 at least",
    ),
    about("issuer", "text", "any", "the `iss` that a token must have"),
    about(
        "audience",
        "list of texts",
        "any",
        "the values that `aud` must have, all of them",
    ),
    about("roles", "list of texts", "none", "roles of which a token must have one"),
    about("roles_key", "text", "`roles`", "the claim with the roles"),
    about(
        "roles_key_is_nested",
        "flag",
        "`false`",
        "a dot in `roles_key` stands between the names of nested members",
    ),
    about("scopes", "list of texts", "none", "scopes that a token must have"),
    about("scopes_key", "text", "none", "the claim with the scopes"),
    about("scopes_matcher", "text", "`any`", "`any` or `all` of the scopes"),
    about(
        "propagate_claims",
        "list of pairs",
        "none",
        "claims that backends get as headers: `[[\"sub\", \"x-user\"]]`",
    ),
    about(
        "auth_header_name",
        "text",
        "`Authorization`",
        "the header with the token",
    ),
    about(
        "cookie_key",
        "text",
        "none",
        "the cookie with the token, if the header is missing",
    ),
    about("leeway", "duration", "1s", "how far clocks may differ"),
];

const SIGNER: &[About] = &[
    about(
        "alg",
        "text",
        "that of the sidecar",
        "the algorithm that the signatures must have",
    ),
    about(
        "jwk_url",
        "text",
        "any",
        "the URL that the keys of the signing sidecar must have",
    ),
    about(
        "keys_to_sign",
        "list of texts",
        "none, required",
        "the members of the answer that are replaced by tokens with their claims",
    ),
    about(
        "full",
        "flag",
        "`false`",
        "a token is written as a JSON object (RFC 7515 §7.2.2)",
    ),
    about("typ", "text", "`JWT`", "the `typ` of the tokens"),
];

const CORS: &[About] = &[
    about(
        "allow_origins",
        "list of texts",
        "`[\"*\"]`",
        "the origins whose pages may read answers",
    ),
    about(
        "allow_methods",
        "list of texts",
        "`GET`, `HEAD`, `POST`",
        "the methods that they may use",
    ),
    about(
        "allow_headers",
        "list of texts",
        "`[\"*\"]`",
        "the headers that they may send",
    ),
    about(
        "expose_headers",
        "list of texts",
        "none",
        "the headers that they may read",
    ),
    about(
        "allow_credentials",
        "flag",
        "`false`",
        "they may send cookies; not for every origin (`*`)",
    ),
    about(
        "max_age",
        "duration",
        "none",
        "how long a browser may keep the answer to a preflight",
    ),
    about(
        "allow_private_network",
        "flag",
        "`false`",
        "pages from public networks may send requests to this gateway on a private one",
    ),
    about(
        "options_success_status",
        "number",
        "204",
        "the status of the answer to a preflight",
    ),
];

const LOGGING: &[About] = &[
    about(
        "level",
        "text",
        "`INFO`",
        "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`",
    ),
    about(
        "format",
        "text",
        "text at a terminal, else JSON",
        "`default` for text, `logstash` for JSON",
    ),
];
