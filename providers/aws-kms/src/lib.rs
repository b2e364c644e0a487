//! Keys from AWS KMS, in both custodies, and the ring store in S3.
//!
//! How it meets the contract. *Remote*: each key of the ring is a KMS key, because asymmetric KMS keys have no
//! versions. The alias `alias/<ring>/<sequence>` names it. An alias is unique, which makes it the atomic claim,
//! and its creation time is that of the key. Terms, predecessor and revocation are stored in the key's
//! description (`label.rs`), which is written with the key and read with its state. *Sealed*: `Encrypt` and
//! `Decrypt` with one symmetric KMS key, and the context of each secret as the encryption context.
//! [`signet_sealed`] does the rest, with any store.
//!
//! Besides the five files that every provider has: `session.rs` (credentials), `ring.rs` (reading), `creation.rs`
//! (creating, adopting, pruning), `http.rs` (the `User-Agent`), `sealer.rs`, `store.rs`, `check.rs`, `policy.rs`, and
//! `algorithms.rs` and `label.rs` for the data formats of KMS.
//!
//! The entry points are [`remote`], [`sealer()`] and [`store()`].

mod algorithms;
mod check;
mod client;
mod config;
mod creation;
mod error;
mod http;
mod label;
mod policy;
mod provider;
mod ring;
mod sealer;
mod session;
mod store;

use std::sync::Arc;

use signet_api::{KeyProvider, ProviderError, Variables};
use signet_base::Clock;
use signet_sealed::{RingStore, Sealer};

pub use config::{AwsKmsConfig, VARIABLES};
pub use policy::{Role, policy};

use client::Client;
use config::{KeyName, ServiceEndpoints, invalid};

/// The provider's name in settings, logs and metrics.
pub const NAME: &str = "aws-kms";

/// Opens the ring of the KMS keys whose aliases begin with the configured name. Nothing is called yet.
///
/// # Errors
/// `InvalidConfig` if `SIGNET_KEY` names a single key, or if there is no region.
pub async fn remote(config: AwsKmsConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let name = match config.key {
        KeyName::Name(name) => name,
        KeyName::Key(key) => {
            return Err(invalid(format!(
                "SIGNET_KEY is {key}, which is a single key. With SIGNET_CUSTODY=remote it must be the name of a \
                 ring, whose keys get the aliases alias/NAME/1 and so on. Write a name"
            )));
        }
    };
    let session = session::session(&config.endpoints).await?;
    let client = Client::new(&session, config.endpoints.kms.as_deref());
    Ok(Arc::new(provider::Remote::new(name, client, clock)))
}

/// Opens a sealer with the configured KMS key. Nothing is called yet.
///
/// # Errors
/// `InvalidConfig` if there is no region.
pub async fn sealer(config: AwsKmsConfig) -> Result<Arc<dyn Sealer>, ProviderError> {
    let key = match config.key {
        KeyName::Name(name) => format!("alias/{name}"),
        KeyName::Key(key) => key,
    };
    let session = session::session(&config.endpoints).await?;
    let client = Client::new(&session, config.endpoints.kms.as_deref());
    Ok(Arc::new(sealer::KmsSealer::new(key, client)))
}

/// Opens the ring store at `s3://bucket/path`. Nothing is called yet.
///
/// # Errors
/// `InvalidConfig` if the location is wrong, or if there is no region.
pub async fn store(variables: &Variables, location: &str) -> Result<Arc<dyn RingStore>, ProviderError> {
    let endpoints = ServiceEndpoints::new(variables)?;
    store::open(&endpoints, location).await
}
