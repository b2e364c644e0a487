//! A ring store in an object store with conditional writes: S3, Azure Blob Storage or Google Cloud Storage.
//!
//! [`ObjectRing`] is the one entry point: a [`RingStore`](signet_sealed::RingStore) that keeps the ring document in
//! one object. This crate does not know the settings or credentials of a vendor. A provider crate makes the
//! `object_store` client, with [`client_options`] and [`no_retries`], and describes in [`Grants`] how its vendor
//! grants a missing permission.
//!
//! If a store ignored the conditions of writes, two replicas could overwrite each other's ring, including a revocation,
//! and nobody would notice. Therefore each process tests the store before its first swap of each kind: the store must
//! refuse a write whose condition cannot hold.

mod dated;
mod error;
mod place;
mod region;
mod ring;
mod version;

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, HeaderValue, RetryConfig};
use signet_base::USER_AGENT;

pub use dated::Dated;
pub use place::{split, split_account};
pub use region::NamingRegions;
pub use ring::{Grants, ObjectRing};

/// Options of the client: 2 s to connect, and 5 s for a whole request.
#[must_use]
pub fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(USER_AGENT))
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(5))
}

/// Disables retries in the client. Only the guards around the provider retry.
#[must_use]
pub fn no_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: Duration::ZERO,
    }
}
