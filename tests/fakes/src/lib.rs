//! Servers that speak the protocols of clouds, for tests, with real cryptography, real
//! connections and the vendors' rules.
//!
//! They prove that Signet and the vendors' own SDKs agree with *them*. Only the vendors can show that they agree, too.
//! Therefore each server is also tested with the vendor's official Python SDK (`tests/clouds`): if the SDK refuses
//! something, the server has a fault.
//!
//! [`Server`] runs a [`Service`] on its own thread, over http or https, counts its calls and plays scripted [`Fault`]s.
//! The services are in one module for each cloud.

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
