//! Opens the provider: the key file, the ring file, and sealed custody with both.

use std::sync::Arc;

use signet_api::{KeyProvider, ProviderError};
use signet_base::Clock;
use signet_sealed::Sealed;

use crate::NAME;
use crate::config::{Layout, LocalConfig};
use crate::key_file;
use crate::place::{Access, Place, blocking};
use crate::sealer::KeyFileSealer;

/// Opens the ring in the data directory. The first start creates the directory and the key file; the ring is
/// created with its first key.
///
/// The ring is not read here. If it is damaged, or belongs to another key, listing it fails, and the sidecar can
/// continue from its last good public ring.
///
/// # Errors
/// The key file or the directory cannot be used. `BadAnswer` if a ring existed here and is gone.
pub async fn open(config: LocalConfig, clock: Arc<dyn Clock>) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    opened(config, clock, Access::Change).await
}

/// Opens an existing ring for commands that only read. Creates nothing, not even a lock.
///
/// # Errors
/// The errors of [`open`]. `NotFound` if there is no key file.
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
