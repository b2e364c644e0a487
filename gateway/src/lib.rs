//! signet-gateway: a small API gateway that runs a `krakend.json`, version 3.
//!
//! A file is read and checked key by key ([`mod@file`]), compiled to a plan ([`plan`]), and served ([`run`]). A request
//! passes the routes ([`routes`]), the validator ([`auth`]), the pipeline of an endpoint ([`answer`]), and its backends
//! ([`ask`], [`upstream`]), in this order. A changed file is loaded while the gateway serves requests ([`reload`]).
//! [`telemetry`] records each request, and [`admin`] shows it to operators.
//!
//! Keys come from the sidecar beside the gateway if there is one ([`sidecar`]), and from URLs otherwise ([`keys`]). The
//! sidecar also signs ([`sign`]).
//!
//! A file with an unsupported feature is refused; nothing in a file is ignored without notice. This crate
//! knows no provider and no ring.

pub mod admin;
pub mod answer;
pub mod ask;
pub mod auth;
pub mod cli;
pub mod failed;
pub mod file;
pub mod flowing;
pub mod gateway;
pub mod keys;
pub mod merged;
pub mod own;
pub mod plan;
pub mod plan_file;
pub mod race;
pub mod redirect;
pub mod reload;
pub mod room;
pub mod routes;
pub mod run;
pub mod serving;
pub mod settings;
pub mod sidecar;
pub mod sidecar_settings;
pub mod sign;
pub mod telemetry;
pub mod tree;
pub mod trial;
pub mod upstream;
pub mod whole;
