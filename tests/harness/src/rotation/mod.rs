//! Watches rotations: verifiers with their own caches, tokens that are signed and checked, and
//! the contents of the JWKS.

pub mod sleeper;
pub mod traffic;
pub mod verifier;
pub mod watch;
