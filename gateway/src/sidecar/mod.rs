//! The sidecar beside the gateway: it has the keys that verify tokens, and signs.
//!
//! [`Sidecar`] follows the stream of accepted keys on the sidecar's socket and hands them to validators
//! ([`Sidecar::source`]). The gateway believes nothing before it knows which user serves the socket ([`connect`]). The
//! start of the gateway never depends on the sidecar: while the stream is missing, the gateway fetches keys itself from
//! the places that the file names.

pub mod connect;
pub mod events;
mod follow;
mod keys;
mod link;

pub use follow::Sidecar;
pub use keys::{KeyPlace, SidecarKeys};
