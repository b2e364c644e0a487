//! Opens the rings and starts their keeper.

use std::sync::Arc;

use signet_api::KeyProvider;
use signet_base::Jitter;

use super::error::StartError;
use super::shared::Shared;
use crate::app;
use crate::keeper::{Dependencies, Keeper, NamedRing, NoRing, RingSettings};
use crate::last_good::LastGood;
use crate::settings::Settings;
use crate::support::{check_read_quota, check_support};

/// The providers of all rings, with their guards.
pub(super) struct Providers {
    /// The provider of the signing ring.
    pub(super) signing: Arc<dyn KeyProvider>,
    also: Vec<NamedRing>,
}

impl Providers {
    /// Opens the providers, and refuses those that do not support the settings.
    pub(super) async fn open(shared: &Shared) -> Result<Self, StartError> {
        let settings = &shared.settings;
        let open = |origin| app::open_guarded(settings, origin, Arc::clone(&shared.clock), Arc::clone(&shared.metrics));
        let signing = open(&settings.origin).await?;
        check_support(settings, &signing.capabilities())?;
        let mut also = Vec::new();
        for origin in &settings.also {
            let provider = open(origin).await.map_err(StartError::Also)?;
            check_read_quota(settings, &provider.capabilities()).map_err(StartError::Also)?;
            also.push(NamedRing {
                name: origin.name(),
                provider,
            });
        }
        Ok(Self { signing, also })
    }
}

/// Reads the rings, and creates the first key if there is none.
pub(super) async fn keep(shared: &Shared, providers: Providers) -> Result<Keeper, StartError> {
    let settings = &shared.settings;
    let dependencies = Dependencies {
        ring: NamedRing {
            name: settings.origin.name(),
            provider: providers.signing,
        },
        also: providers.also,
        clock_watch: Arc::clone(&shared.clock_watch),
        metrics: Arc::clone(&shared.metrics),
        jitter: Jitter::default(),
        memory: Some(Arc::new(LastGood::new(&settings.data_dir, &settings.issuer))),
    };
    let keeper = Keeper::start(dependencies, ring_settings(settings)).await;
    keeper.map_err(|no_ring| match no_ring {
        NoRing::Signing(failure) => StartError::Provider(failure),
        NoRing::Also(failure) => StartError::Also(failure),
    })
}

fn ring_settings(settings: &Settings) -> RingSettings {
    RingSettings {
        issuer: settings.issuer.clone(),
        policy: settings.policy,
        rsa_bits: settings.rsa_bits,
        expired_keys: settings.expired_keys,
    }
}
