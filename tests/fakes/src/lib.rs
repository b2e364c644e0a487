//! Servers that speak the wire protocols of clouds, for tests: real cryptography, real connections, the vendors' rules.
//!
//! They prove that Signet and the vendors' own SDKs agree with *them*; that the vendors do too, only the vendors can
//! show. Each is therefore also driven by the vendor's official Python SDK (`tests/clouds`): what the SDK refuses is a
//! fault of the server here.
//!
//! [`Server`] runs a [`Service`] on a thread of its own, over http or https, counts its calls and plays [`Fault`]s by
//! script. The services themselves are in a module for each cloud.

#![allow(clippy::unwrap_used, reason = "a test server may stop the test")]

mod authority;
mod fault;
mod server;
mod started;

pub mod aws;
pub mod azure;
pub mod gcp;

pub use authority::Authority;
pub use fault::Fault;
pub use server::{Request, Response, Server, Service};
pub use started::Started;
