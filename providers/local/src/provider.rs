//! Opening the provider: the key file, the ring file, and sealed custody over both.

use std::sync::Arc;

use signet_api::{KeyProvider, ProviderError};
use signet_base::Clock;
use signet_sealed::Sealed;

use crate::NAME;
use crate::config::{Layout, LocalConfig};
use crate::key_file;
use crate::place::{Access, Place, blocking};
use crate::sealer::KeyFileSealer;

/// Opens the ring in the data directory. On the first start this makes the directory and the key file; the ring comes
/// to be with its first key.
///
/// The ring itself is not read here: one that is damaged, or of another key, fails when it is listed, so that a
/// sidecar can go on from its last good public ring.
///
/// # Errors
/// If the key file or the directory cannot be used, and as `BadAnswer` if a ring was here and is gone.
pub async fn open(config: LocalConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    opened(config, clock, Access::Change).await
}

/// Opens the ring that is in the data directory, for commands that only look: nothing is made there, not even a lock.
///
/// # Errors
/// As [`open`], and as `NotFound` if there is no key file.
pub async fn look(config: LocalConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    opened(config, clock, Access::Look).await
}

async fn opened(
    config: LocalConfig,
    clock: Arc<dyn Clock>,
    access: Access,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let layout = Arc::new(Layout::new(&config));
    let for_key = Arc::clone(&layout);
    let found = blocking(move || match access {
        Access::Change => key_file::read_or_make(&for_key),
        Access::Look => key_file::look(&for_key),
    })
    .await?;
    let place = Place::new(Arc::clone(&layout), found, access);
    let sealer = KeyFileSealer::new(place.key(), layout)?;
    Ok(Arc::new(Sealed::new(config.ring, NAME, sealer, place, clock)))
}
