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
    row(GENERAL, "config", Kind::Path, Absent, "path of the settings file (TOML)"),
    row(GENERAL, "log", Kind::List, Literal("info"), "log level: off, error, warn, info, debug or trace; signet::keeper=debug sets the level of one module; at info, libraries log from warn on, unless the list names their module"),
    row(GENERAL, "log_format", Kind::Text, Literal("auto"), "format of log lines: text, json, or auto, which is json when standard error is not a terminal"),
    row(GENERAL, "data_dir", Kind::Path, Derived("$XDG_STATE_HOME/signet, else $HOME/.local/state/signet; /var/lib/signet for root or without a home"), "directory of the local ring, the last good public ring, and the last good keys of trusted issuers"),

    row(KEYS, "provider", Kind::Text, Literal("local"), "where keys are kept: local, vault, aws-kms, azure-key-vault or gcp-kms"),
    row(KEYS, "custody", Kind::Text, Derived("remote (sealed for local)"), "who computes signatures: remote (the provider) or sealed (Signet, with keys that the provider encrypts)"),
    row(KEYS, "key", Kind::Text, Literal("signet"), "the provider's name of the key: a name, ARN, resource path or URL"),
    row(KEYS, "store", Kind::Text, Derived("file:ring.json in the data directory for local, vault:secret/signet-sealed/KEY for vault, else none"), "where the sealed ring is kept: file:PATH, vault:MOUNT/PATH, s3://BUCKET/PATH, gs://BUCKET/PATH or az://ACCOUNT/CONTAINER/PATH"),
    row(KEYS, "also_publish", Kind::List, Absent, "other providers whose public keys are also published and accepted, for a switch of provider; set their options as SIGNET_ALSO_PROVIDER_KEY and so on"),
    row(KEYS, "replicas", Kind::Number, Literal("10"), "how many replicas share the provider's quota; a number that exceeds the quota is refused at start"),
    row(KEYS, "local_key_file", Kind::Path, Derived("local.key in the data directory"), "key file with which the provider local encrypts the ring; created on the first start"),
    row(KEYS, "expired_keys", Kind::Text, Literal("disable"), "what happens in the provider to keys that are no longer published: keep, disable or destroy"),
    row(KEYS, "sign_timeout", Kind::Duration, Literal("2s"), "how long a request waits for a signature from the provider, at most"),
    row(KEYS, "sign_concurrency", Kind::Number, Literal("64"), "how many signatures this process requests from the provider at the same time, at most"),
    row(KEYS, "sign_rate", Kind::Number, Literal("1000"), "how many signatures a second this process requests from the provider, at most"),

    row(TOKENS, "issuer", Kind::Url, Literal("http://localhost:8080"), "issuer of the tokens (iss), and base URL of the discovery documents"),
    row(TOKENS, "audience", Kind::List, Absent, "audiences that verify and authorize accept if the request names none; if neither names one, the request is refused"),
    row(TOKENS, "trusted_issuers", Kind::List, Absent, "other issuers whose tokens are accepted; a table [trusted_issuers.\"URL\"] in the settings file changes the defaults of one issuer"),
    row(TOKENS, "claim_headers", Kind::List, Absent, "claims that authorize and Envoy's check copy into a header of their own, each as CLAIM:x-header; the claim is a name, or a JSON pointer such as /realm_access/roles"),
    row(TOKENS, "claim_headers_join", Kind::Text, Literal(","), "separator between the elements of an array in these headers: one character, or the word space"),
    row(TOKENS, "claim_headers_max", Kind::Number, Literal("8192"), "size limit in bytes of all identity headers together; a token that needs more is refused"),
    row(TOKENS, "sign_audience", Kind::List, Absent, "audience (aud) of signed tokens if the request has none"),
    row(TOKENS, "sign_subject", Kind::Text, Absent, "subject (sub) of signed tokens if the request has none"),
    row(TOKENS, "algorithm", Kind::Text, Literal("ES256"), "algorithm of new keys: RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"),
    row(TOKENS, "rsa_bits", Kind::Number, Literal("2048"), "length of new RSA keys in bits: 2048, 3072 or 4096"),

    row(ROTATION, "rotation_period", Kind::Duration, Literal("24h"), "P: how long a key signs"),
    row(ROTATION, "publish_lead", Kind::Duration, Literal("1h"), "L: how long a key is published before it signs"),
    row(ROTATION, "token_ttl", Kind::Duration, Literal("5m"), "lifetime of a token if the request names none"),
    row(ROTATION, "token_max_ttl", Kind::Duration, Literal("1h"), "T: longest lifetime of a token"),
    row(ROTATION, "refresh_interval", Kind::Duration, Literal("1m"), "R: how often the ring is read from the provider"),
    row(ROTATION, "jwks_max_age", Kind::Duration, Literal("5m"), "M: how long caches may keep the JWKS (max-age)"),
    row(ROTATION, "verifier_cache", Kind::Duration, Literal("20m"), "V: how long a verifier may keep the JWKS, even if that is longer than max-age"),
    row(ROTATION, "clock_skew", Kind::Duration, Literal("1m"), "S: how far any clock may be off, including the provider's"),

    row(LISTENERS, "listen", Kind::Address, Literal("127.0.0.1:8080"), "address of the public listener, which serves the JWKS and the discovery documents"),
    row(LISTENERS, "tls_cert_file", Kind::Path, Absent, "certificate chain (PEM) of the public listener; needs tls_key_file"),
    row(LISTENERS, "tls_key_file", Kind::Path, Absent, "private key (PEM) of the public listener; needs tls_cert_file"),
    row(LISTENERS, "admin_listen", Kind::Address, Literal("127.0.0.1:9464"), "address of the admin listener, which serves health, metrics and the status page"),

    row(SOCKET, "socket", Kind::Path, Derived("$XDG_RUNTIME_DIR/signet.sock, else /run/signet/signet.sock where this user may use it, else signet.sock in $XDG_STATE_HOME/signet or $HOME/.local/state/signet"), "path of the local socket"),
    row(SOCKET, "socket_mode", Kind::Mode, Literal("0660"), "permission bits of the socket file"),
    row(SOCKET, "socket_group", Kind::Text, Absent, "group of the socket file, by name or number; a gateway that runs with this group may connect (it is added to socket_allow_gids)"),
    row(SOCKET, "socket_allow_uids", Kind::List, Derived("own uid and 0"), "user ids that may connect"),
    row(SOCKET, "socket_allow_gids", Kind::List, Absent, "group ids that may connect, with any user id"),
    row(SOCKET, "kubernetes", Kind::Switch, Literal("false"), "sign service account tokens for the API server of Kubernetes (ExternalJWTSigner)"),

    row(PROCESS, "max_connections", Kind::Number, Literal("1024"), "how many connections each listener holds open, at most"),
    row(PROCESS, "header_timeout", Kind::Duration, Literal("10s"), "how long a client may take to send the headers of a request"),
    row(PROCESS, "drain_timeout", Kind::Duration, Literal("20s"), "how long open requests may take to finish after SIGTERM"),
    row(PROCESS, "verify_cache_entries", Kind::Number, Literal("10000"), "how many verified tokens are remembered, 4 KiB each (a larger token counts as several); 0 turns the cache off"),
    row(PROCESS, "require_locked_memory", Kind::Switch, Literal("false"), "refuse to start if the memory for keys cannot be locked"),
    row(PROCESS, "threads", Kind::Number, Literal("0"), "how many threads serve connections; 0 means one for every two cores, at most 4"),
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
