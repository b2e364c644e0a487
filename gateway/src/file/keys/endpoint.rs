//! The keys of an endpoint.

use super::backend::BACKEND;
use super::{Holds, Key, Scope, holding, key, protecting, refused};

/// The keys of an endpoint.
pub(super) const ENDPOINT: &[Key] = &[
    key("endpoint"),
    key("method"),
    holding("backend", Holds::Objects(BACKEND)),
    key("timeout"),
    key("cache_ttl"),
    key("output_encoding"),
    key("input_headers"),
    key("input_query_strings"),
    key("concurrent_calls"),
    protecting(holding("extra_config", Holds::Namespaces(Scope::Endpoint))),
    refused(
        "headers_to_pass",
        "this is the name of version 2 of the file; write input_headers",
    ),
    refused(
        "querystring_params",
        "this is the name of version 2 of the file; write input_query_strings",
    ),
];
