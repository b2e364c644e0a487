//! Signet: the process that holds the signing keys of an API gateway.
//!
//! It runs beside each gateway pod, takes its keys from a secrets provider, rotates them on schedule, publishes them as
//! a JWKS, and signs and validates tokens over a local socket.
//!
//! [`serve`] puts the parts together, and [`app`] is the only module that names providers. The data path
//! ([`routes`]) reads one immutable [`snapshot`] and never waits for the control path ([`keeper`]).
//! `docs/architecture.md` has a map and the invariants.

pub mod accepted_keys;
pub mod answers;
pub mod app;
pub mod cli;
pub mod conditions;
pub mod discovery;
pub mod error_kinds;
pub mod filters;
pub mod grpc;
pub mod hardening;
pub mod http;
pub mod keeper;
pub mod last_good;
pub mod nudge;
pub mod own_keys;
pub mod problems;
pub mod proxies;
pub mod published;
pub mod readiness;
pub mod reading;
pub mod ring_view;
pub mod routes;
pub mod serve;
pub mod settings;
pub mod signing;
pub mod snapshot;
pub mod support;
pub mod telemetry;
pub mod timeline;
pub mod unique;
