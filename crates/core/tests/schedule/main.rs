//! The schedule: tables for its numbers, properties for the rest, and a simulated fleet in which no
//! verifier may refuse a token.

mod activation;
mod any_ring;
mod fleet;
mod future;
mod lapse;
mod revocation;
mod ring;
mod succession;
