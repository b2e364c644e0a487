//! Keys from Google Cloud KMS.
//!
//! How it meets the contract, in `remote` custody: a key of the ring is a version of one crypto key (`SIGNET_KEY`, of
//! purpose `ASYMMETRIC_SIGN`). The version's number decides between equal instants. Nothing settles races
//! (`Claim::Tolerated`), but a version that is there or on its way is adopted, not doubled. The terms stand in labels of
//! the crypto key. A version that is revoked gets a *mark*: a crypto key without versions, named after it, in the same key
//! ring. Creating one is atomic and strongly consistent, so that the first reason stays and no mark is lost; labels can be
//! lost, as Google replaces all of them at once and compares nothing. The mark holds the public key too, which Google
//! shows of an enabled version only.
//!
//! In `sealed` custody a crypto key of purpose `ENCRYPT_DECRYPT` wraps the private keys ([`sealer`]), and everything else is
//! [`signet_sealed`]'s doing, over a file or an object in Cloud Storage ([`store`]).
//!
//! No answer is believed: names, checksums and states are looked at where they arrive (`client.rs`).

mod algorithm;
mod check;
mod client;
mod config;
mod credentials;
mod error;
mod known;
mod labels;
mod name;
mod provider;
mod reading;
mod sealer;
mod store;

pub use config::{GcpConfig, VARIABLES};
pub use provider::remote;
pub use sealer::sealer;
pub use store::store;

/// The provider's name in settings, logs and metrics.
pub const NAME: &str = "gcp-kms";
