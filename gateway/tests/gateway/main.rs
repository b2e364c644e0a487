//! The real binary, with a configuration file, backends behind it, and clients in front of it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests measure how long something takes, and date tokens"
)]

mod admin;
mod answers;
mod backend;
mod certificates;
mod client_tls;
mod documents;
mod drain;
mod faults;
mod formats;
mod framing;
mod guards;
mod hostile;
mod message;
mod reload;
mod requests;
mod routes;
mod sidecar;
mod sidecar_process;
mod signer;
mod support;
mod tls;
mod tokens;
mod upstreams;
