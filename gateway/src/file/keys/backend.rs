//! The keys of a backend.

use super::{Holds, Key, Scope, holding, ignored, key, only, protecting, refused};

/// The keys of a backend.
pub(super) const BACKEND: &[Key] = &[
    key("host"),
    key("url_pattern"),
    key("method"),
    key("encoding"),
    key("is_collection"),
    protecting(key("target")),
    protecting(key("allow")),
    protecting(key("deny")),
    holding("mapping", Holds::Anything),
    key("group"),
    key("disable_host_sanitize"),
    only(
        "sd",
        "\"static\"",
        "service discovery is not supported by this version of signet-gateway; write the hosts, or a name that DNS resolves, into host",
    ),
    ignored("sd_scheme", "it has an effect only with sd: dns"),
    key("input_headers"),
    key("input_query_strings"),
    protecting(holding("extra_config", Holds::Namespaces(Scope::Backend))),
    protecting(refused(
        "whitelist",
        "this is the name of version 2 of the file; write allow",
    )),
    protecting(refused(
        "blacklist",
        "this is the name of version 2 of the file; write deny",
    )),
];
