//! Keys from Google Cloud KMS.
//!
//! How it meets the contract in `remote` custody: each key of the ring is a version of one crypto key (`SIGNET_KEY`, of
//! purpose `ASYMMETRIC_SIGN`). The number of the version orders keys with equal creation times. Nothing settles races
//! (`Claim::Tolerated`), but an existing or pending version is adopted rather than doubled. The terms are stored in
//! labels of the crypto key.
//!
//! A revoked version gets a *mark*: a crypto key without versions, named after it, in the same key ring. Creating one
//! is atomic and strongly consistent, so the first reason is kept and no mark is lost. Labels could be lost, because
//! Google replaces all of them at once without a condition. The mark also holds the public key, which Google shows
//! only for enabled versions.
//!
//! In `sealed` custody, a crypto key of purpose `ENCRYPT_DECRYPT` encrypts the private keys ([`sealer()`]).
//! [`signet_sealed`] does everything else, with a file or an object in Cloud Storage ([`store()`]).
//!
//! All answers are checked on arrival (`client.rs`): names, checksums and states.

mod algorithm;
mod check;
mod client;
mod config;
mod credentials;
mod error;
mod known_keys;
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
