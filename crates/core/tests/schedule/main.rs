//! The schedule, line by line of design section 4: tables for the numbers, properties for the rest, and a simulated
//! fleet whose tokens no verifier may refuse.

mod activation;
mod any_ring;
mod fleet;
mod future;
mod lapse;
mod revocation;
mod ring;
mod succession;
