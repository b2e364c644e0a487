//! The clauses of the contract. Each function is one test; [`conformance!`](crate::conformance) calls them all.

mod algorithms;
mod cancellation;
mod errors;
mod handles;
mod keys;
mod signing;
mod states;

pub use algorithms::every_algorithm_signs_or_is_refused;
pub use cancellation::*;
pub use errors::*;
pub use handles::*;
pub use keys::*;
pub use signing::*;
pub use states::*;
