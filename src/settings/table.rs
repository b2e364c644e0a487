//! The only table of settings. Flags, environment variables, keys of the settings file, `--help` and the tables of
//! `docs/configuration.md` come from it, so they always agree.

use signet_config::{Fallback, Kind, Setting, Table};

const fn row(group: &'static str, name: &'static str, kind: Kind, fallback: Fallback, help: &'static str) -> Setting {
    Setting {
        name,
        group,
        kind,
        fallback,
        help,
    }
}

const GENERAL: &str = "General";
const KEYS: &str = "Where keys are kept";
const TOKENS: &str = "Tokens";
const ROTATION: &str = "Rotation";
const LISTENERS: &str = "Listeners";
const SOCKET: &str = "Local socket";
const PROCESS: &str = "Process";

use Fallback::{Absent, Derived, Literal};

/// The settings of the sidecar.
pub static TABLE: Table = Table {
    settings: SETTINGS,
    prefix: "SIGNET_",
    list: "signet serve --help",
    file: Some("config"),
};

/// All settings, in the order of the documentation.
#[rustfmt::skip] // One setting, one row.
pub const SETTINGS: &[Setting] = &[
    row(GENERAL, "config", Kind::Path, Absent, "settings file (TOML)"),
    row(GENERAL, "log", Kind::List, Literal("info"), "what is logged: off, error, warn, info, debug, trace; per module as signet::keeper=debug; at info libraries are heard from warn on, unless a module names them"),
    row(GENERAL, "log_format", Kind::Text, Literal("auto"), "text, json, or auto: json when standard error is not a terminal"),
    row(GENERAL, "data_dir", Kind::Path, Derived("$XDG_STATE_HOME/signet, else $HOME/.local/state/signet; /var/lib/signet for root or without a home"), "directory of the local ring, of the last good public ring, and of the last good keys of trusted issuers"),

    row(KEYS, "provider", Kind::Text, Literal("local"), "provider: local, vault, aws-kms, azure-key-vault or gcp-kms"),
    row(KEYS, "custody", Kind::Text, Derived("remote (sealed for local)"), "who computes signatures: remote (the provider) or sealed (signet, with keys that the provider wraps)"),
    row(KEYS, "key", Kind::Text, Literal("signet"), "the provider's name for the key: a name, ARN, resource path or URL"),
    row(KEYS, "store", Kind::Text, Derived("file:ring.json in the data directory for local, vault:secret/signet-sealed/KEY for vault, else none"), "where a sealed ring is kept: file:PATH, vault:MOUNT/PATH, s3://BUCKET/PATH, gs://BUCKET/PATH or az://ACCOUNT/CONTAINER/PATH"),
    row(KEYS, "also_publish", Kind::List, Absent, "other providers whose public keys are published and accepted too, for switching between them; their settings are SIGNET_ALSO_PROVIDER_KEY and the like"),
    row(KEYS, "replicas", Kind::Number, Literal("10"), "how many replicas share the provider's quota; more than it bears are refused at start"),
    row(KEYS, "local_key_file", Kind::Path, Derived("local.key in the data directory"), "key file under which the local provider wraps the ring; made on the first start"),
    row(KEYS, "expired_keys", Kind::Text, Literal("disable"), "what becomes of keys that are no longer published: keep, disable or destroy"),
    row(KEYS, "sign_timeout", Kind::Duration, Literal("2s"), "how long a request may wait for a signature that the provider computes"),
    row(KEYS, "sign_concurrency", Kind::Number, Literal("64"), "most signatures that the provider computes at once for this process"),
    row(KEYS, "sign_rate", Kind::Number, Literal("1000"), "most signatures a second that the provider computes for this process"),

    row(TOKENS, "issuer", Kind::Url, Literal("http://localhost:8080"), "iss of tokens, and the base of the discovery documents"),
    row(TOKENS, "audience", Kind::List, Absent, "audiences of which a token must have one when verify or authorize names none; with neither, the request is refused"),
    row(TOKENS, "trusted_issuers", Kind::List, Absent, "other issuers whose tokens are accepted; in the settings file a table [trusted_issuers.\"URL\"] for each says what differs from the defaults"),
    row(TOKENS, "claim_headers", Kind::List, Absent, "claims that authorize and Envoy's check give a header of their own, each as CLAIM:x-header; the claim is a name, or a JSON pointer such as /realm_access/roles"),
    row(TOKENS, "claim_headers_join", Kind::Text, Literal(","), "what stands between the members of an array there: one character, or the word space"),
    row(TOKENS, "claim_headers_max", Kind::Number, Literal("8192"), "most octets of all identity headers of a token together; a token with more is refused"),
    row(TOKENS, "sign_audience", Kind::List, Absent, "aud of signed tokens when the request has none"),
    row(TOKENS, "sign_subject", Kind::Text, Absent, "sub of signed tokens when the request has none"),
    row(TOKENS, "algorithm", Kind::Text, Literal("ES256"), "algorithm of new keys: RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"),
    row(TOKENS, "rsa_bits", Kind::Number, Literal("2048"), "modulus of new RSA keys: 2048, 3072 or 4096"),

    row(ROTATION, "rotation_period", Kind::Duration, Literal("24h"), "P: how long a key signs"),
    row(ROTATION, "publish_lead", Kind::Duration, Literal("1h"), "L: how long a key is published before it signs"),
    row(ROTATION, "token_ttl", Kind::Duration, Literal("5m"), "life of a token for which none was asked"),
    row(ROTATION, "token_max_ttl", Kind::Duration, Literal("1h"), "T: longest life of any token"),
    row(ROTATION, "refresh_interval", Kind::Duration, Literal("1m"), "R: time between two readings of the provider"),
    row(ROTATION, "jwks_max_age", Kind::Duration, Literal("5m"), "M: max-age of the JWKS"),
    row(ROTATION, "verifier_cache", Kind::Duration, Literal("20m"), "V: how long a verifier may keep the JWKS whatever its max-age says"),
    row(ROTATION, "clock_skew", Kind::Duration, Literal("1m"), "S: the most that any clock is off, the provider's included"),

    row(LISTENERS, "listen", Kind::Address, Literal("127.0.0.1:8080"), "public HTTP: JWKS and discovery documents"),
    row(LISTENERS, "tls_cert_file", Kind::Path, Absent, "certificate chain (PEM) of the public listener; together with tls_key_file"),
    row(LISTENERS, "tls_key_file", Kind::Path, Absent, "private key (PEM) of the public listener; together with tls_cert_file"),
    row(LISTENERS, "admin_listen", Kind::Address, Literal("127.0.0.1:9464"), "health, metrics and status page"),

    row(SOCKET, "socket", Kind::Path, Derived("$XDG_RUNTIME_DIR/signet.sock, else /run/signet/signet.sock where this user may use it, else signet.sock in $XDG_STATE_HOME/signet or $HOME/.local/state/signet"), "path of the local socket"),
    row(SOCKET, "socket_mode", Kind::Mode, Literal("0660"), "permission bits of the socket file"),
    row(SOCKET, "socket_group", Kind::Text, Absent, "group that the socket file gets, by name or number: a gateway that runs as this group may connect (socket_allow_gids includes it)"),
    row(SOCKET, "socket_allow_uids", Kind::List, Derived("own uid and 0"), "user ids that may connect"),
    row(SOCKET, "socket_allow_gids", Kind::List, Absent, "group ids that may connect, whatever their user id"),
    row(SOCKET, "kubernetes", Kind::Switch, Literal("false"), "sign the tokens of service accounts for the API server of Kubernetes (ExternalJWTSigner)"),

    row(PROCESS, "max_connections", Kind::Number, Literal("1024"), "most connections open at once, per listener"),
    row(PROCESS, "header_timeout", Kind::Duration, Literal("10s"), "how long a client may take to send a request's headers"),
    row(PROCESS, "drain_timeout", Kind::Duration, Literal("20s"), "how long requests under way may take to finish after SIGTERM"),
    row(PROCESS, "verify_cache_entries", Kind::Number, Literal("10000"), "most verified tokens remembered, 4 KiB each (a larger one counts as several); 0 turns the cache off"),
    row(PROCESS, "require_locked_memory", Kind::Switch, Literal("false"), "refuse to start when key memory cannot be locked"),
    row(PROCESS, "threads", Kind::Number, Literal("0"), "threads that serve connections; 0 is one for every two cores, at most 4"),
];

#[cfg(test)]
mod tests {
    use signet_config::is_from_kubernetes;

    use super::*;

    #[test]
    fn no_setting_has_a_name_that_kubernetes_could_inject() {
        for setting in SETTINGS {
            assert!(
                !is_from_kubernetes(&TABLE, &TABLE.variable(setting), "tcp://10.0.0.1:8080"),
                "{}",
                setting.name
            );
        }
    }
}
