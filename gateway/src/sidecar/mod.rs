//! The sidecar beside the gateway: it has the keys that verify tokens, and signs.
//!
//! [`Sidecar`] follows the stream of accepted keys on the sidecar's socket and passes them to validators
//! ([`Sidecar::source`]). The gateway uses nothing from the socket before it knows which user serves it ([`connect`]).
//! The start of the gateway never depends on the sidecar: while the stream is missing, the gateway fetches keys itself
//! from the places that the file names.

pub mod connect;
pub mod events;
mod follow;
mod keys;
mod link;

pub use follow::Sidecar;
pub use keys::{KeyPlace, SidecarKeys};
