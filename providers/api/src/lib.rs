//! The contract between Signet and the places where keys are kept.
//!
//! [`KeyProvider`] is the only trait. Its documentation numbers the clauses of the contract, and `signet-testkit` has a
//! test for each number, which every provider runs. Providers differ only in data, [`Capabilities`]. These are checked
//! at start, and never discovered at a rotation. Errors are alike, too: a [`Failure`] says what went wrong, a [`Call`]
//! says in which call, and both become a [`ProviderError`]. This crate knows no vendor and no runtime.

mod call;
mod certificate;
mod check;
pub mod dates;
mod error;
mod failure;
mod provider;
mod rules;
mod settling;
mod variables;

pub use async_trait::async_trait;
pub use call::Call;
pub use certificate::untrusted;
pub use check::{Answer, Check, Progress, Trials};
pub use error::{ErrorKind, NO_HURRY, Operation, ProviderError};
pub use failure::Failure;
pub use provider::{Capabilities, Claim, Custody, ExpiredKeys, KeyProvider, NewKey, ReadQuota};
pub use rules::{CreateDecision, may_retire};
pub use settling::{SETTLING, Settling};
pub use variables::{Variable, Variables};
