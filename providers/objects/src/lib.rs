//! A ring store in any object store that writes conditionally: S3, Azure Blob, Google Cloud Storage.
//!
//! [`ObjectRing`] is the one entry point: a [`RingStore`](signet_sealed::RingStore) that keeps the ring document in one
//! object. It knows no vendor's settings or credentials: a provider crate makes the `object_store` client, with
//! [`client_options`] and [`no_retries`], and says in [`Grants`] how its vendor grants what is missing.
//!
//! A store that ignores the conditions of a write would let two replicas overwrite each other's ring, a revocation
//! included, and nobody would see it. So no store is believed: before the first swap of each kind that a process makes,
//! the store must have refused a write whose condition cannot hold.

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

/// The client's deadlines: 2 s for a connection, 5 s for a whole request.
#[must_use]
pub fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(USER_AGENT))
        .with_connect_timeout(Duration::from_secs(2))
        .with_timeout(Duration::from_secs(5))
}

/// No retries in the client: one layer retries, and it stands around the provider.
#[must_use]
pub fn no_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 0,
        retry_timeout: Duration::ZERO,
    }
}
