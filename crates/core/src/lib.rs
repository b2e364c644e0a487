//! The pure core of Signet: algorithms, keys, the ring and its schedule, and the minting and verifying of tokens.
//!
//! This crate has no runtime, clock, environment or network. Functions take the current time as an argument and return
//! decisions as values, which the caller carries out. Start reading at [`schedule()`].

pub mod algorithm;
mod bridge;
pub mod claim_path;
mod claims;
mod dialect;
#[doc(hidden)]
pub mod faults;
pub mod foreign_keys;
pub mod json;
pub mod jwk;
pub mod lapse;
pub mod mint;
mod modulus;
pub mod names;
mod objects_only;
pub mod policy;
pub mod public_key;
mod refusal;
mod remote;
pub mod ring;
pub mod schedule;
pub mod signing_key;
pub mod time;
pub mod token;
pub mod verify;
mod weak_key;

pub use algorithm::Algorithm;
pub use claim_path::ClaimPath;
pub use foreign_keys::ForeignKeys;
pub use lapse::{Lapse, Lapses};
pub use modulus::Judged;
pub use names::{Audience, Issuer, Kid};
pub use policy::{Durations, Policy, PolicyProblem};
pub use public_key::{PublicKey, VerifyingKey};
pub use ring::{KeyRecord, KeyState, Revocation, Terms};
pub use schedule::{Phase, Schedule, schedule, schedule_after};
pub use signing_key::SigningKey;
pub use time::Timestamp;
pub use weak_key::Weakness;
