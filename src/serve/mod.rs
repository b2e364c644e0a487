//! Builds the sidecar from its settings, runs it, and shuts it down.
//!
//! [`serve`] shows the order. Each part has a file: the listeners, the rings with their keeper, the parts that answer
//! requests, and the shutdown.

mod data_path;
mod error;
mod listeners;
mod ring;
mod shared;
mod shutdown;

use std::sync::Arc;

use signet_edge::unix::Bound;
use signet_issuers::Issuers;
use tracing::{info, warn};

use self::listeners::Listeners;
use self::ring::Providers;
use self::shared::Shared;
use self::shutdown::Signals;
use crate::hardening::lock_memory;
use crate::keeper::Keeper;
use crate::readiness::Readiness;
use crate::routes::Service;
use crate::settings::Settings;
use crate::signing::Remote;

pub use error::StartError;

/// Runs the sidecar until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`] if it cannot start.
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    lock_memory(settings.limits.require_locked_memory)?;
    let mut signals = Signals::catch()?;
    // Open the listeners first: a second sidecar on the same socket must not touch the ring.
    let Listeners {
        tls,
        socket,
        bound,
        public,
        admin,
    } = Listeners::open(&settings).await?;
    let shared = Shared::new(settings);
    let context = shared.context(shared.settings.limits.threads.into())?;
    // Serve these pages before asking the provider, which may be silent while the process is alive.
    let pages = listeners::serve_admin(&shared, admin)?;

    let Some(parts) = signals.unless_stopped(Box::pin(Parts::start(&shared))).await else {
        info!("stopped before the ring was read");
        return Ok(());
    };
    let parts = parts?;
    let readiness = parts.readiness(&shared, &bound);
    let Parts {
        keeper,
        issuers,
        service,
        ..
    } = parts;
    let (published, nudge) = (keeper.published(), keeper.nudge());

    listeners::serve_socket(&shared, socket, service, context.clone());
    listeners::serve_public(&shared, public, tls, Arc::clone(&published), context);
    shared
        .tasks
        .spawn(Arc::clone(&readiness).watch(shared.shutdown.clone()));
    pages.open(published, readiness);
    shared.tasks.spawn(keeper.run(shared.shutdown.clone()));
    listeners::announce(&shared.settings);

    let on_hang_up = || {
        info!("received SIGHUP: reading the ring and fetching the keys of trusted issuers now");
        nudge.now();
        issuers.fetch_now();
    };
    signals.stop(on_hang_up).await;
    shutdown::drain(&shared).await;
    Ok(())
}

/// What exists once the rings are open.
struct Parts {
    keeper: Keeper,
    remote: Arc<Remote>,
    issuers: Arc<Issuers>,
    service: Arc<Service>,
}

impl Parts {
    /// Opens the rings, and makes the parts that answer requests.
    async fn start(shared: &Shared) -> Result<Self, StartError> {
        let providers = Providers::open(shared).await?;
        let remote = Arc::new(Remote::new(
            Arc::clone(&providers.signing),
            shared.settings.limits.sign_concurrency,
            shared.settings.limits.sign_timeout,
            shared.clock_watch.steady(),
        ));
        let keeper = ring::keep(shared, providers).await?;
        let issuers = data_path::follow_issuers(shared).await?;
        shared
            .tasks
            .spawn(Arc::clone(&shared.clock_watch).run(shared.shutdown.clone()));
        let service = data_path::service(shared, &keeper, Arc::clone(&remote), &issuers)?;
        Ok(Self {
            keeper,
            remote,
            issuers,
            service: Arc::new(service),
        })
    }

    fn readiness(&self, shared: &Shared, bound: &Bound) -> Arc<Readiness> {
        Arc::new(Readiness::new(
            self.keeper.published(),
            Arc::clone(&self.remote),
            bound.file().clone(),
            Arc::clone(&self.issuers),
            &shared.settings.policy,
            Arc::clone(&shared.clock),
            Arc::clone(&shared.clock_watch),
        ))
    }
}
