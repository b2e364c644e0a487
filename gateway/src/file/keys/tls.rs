//! The keys of `tls` and `client_tls`.

use super::{Holds, Key, holding, ignored, key, protecting};

const KEY_PAIR: &[Key] = &[key("public_key"), key("private_key")];
const CLIENT_CERTIFICATE: &[Key] = &[key("certificate"), key("private_key")];

/// The keys of `tls`.
pub(super) const TLS: &[Key] = &[
    key("disabled"),
    key("public_key"),
    key("private_key"),
    protecting(holding("keys", Holds::Objects(KEY_PAIR))),
    key("min_version"),
    key("max_version"),
    key("curve_preferences"),
    key("cipher_suites"),
    ignored(
        "prefer_server_cipher_suites",
        "the order of the client counts, because all suites that are spoken are good",
    ),
    key("enable_mtls"),
    key("ca_certs"),
    key("disable_system_ca_pool"),
];

/// The keys of `client_tls`.
pub(super) const CLIENT_TLS: &[Key] = &[
    key("allow_insecure_connections"),
    key("ca_certs"),
    key("disable_system_ca_pool"),
    key("min_version"),
    key("max_version"),
    key("curve_preferences"),
    key("cipher_suites"),
    protecting(holding("client_certs", Holds::Objects(CLIENT_CERTIFICATE))),
];
