//! What watches a rotation: verifiers with caches of their own, tokens that flow, and what the JWKS shows meanwhile.

pub mod sleeper;
pub mod traffic;
pub mod verifier;
pub mod watch;
