//! Signals and shutdown: requests in progress may finish.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::error::{StartError, refused};
use super::shared::Shared;

/// The signals that the process handles.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, StartError> {
        let catch = |kind, what| signal(kind).map_err(refused(what));
        Ok(Self {
            terminate: catch(SignalKind::terminate(), "a handler for SIGTERM")?,
            interrupt: catch(SignalKind::interrupt(), "a handler for SIGINT")?,
            hang_up: catch(SignalKind::hangup(), "a handler for SIGHUP")?,
        })
    }

    /// Runs a future unless a signal to stop arrives first, so a silent provider does not delay the shutdown. A start
    /// that is cancelled leaves a valid ring (clause 10 of the contract).
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = stop(&mut self.terminate, &mut self.interrupt) => None,
        }
    }

    /// Waits for a signal to stop. Calls `on_hang_up` at each SIGHUP until then.
    pub(super) async fn stop(&mut self, on_hang_up: impl Fn()) {
        loop {
            tokio::select! {
                () = stop(&mut self.terminate, &mut self.interrupt) => return,
                _ = self.hang_up.recv() => on_hang_up(),
            }
        }
    }
}

/// Returns when a signal to stop has arrived. It can be cancelled without losing a signal.
async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Lets requests in progress finish, for as long as the settings allow.
pub(super) async fn drain(shared: &Shared) {
    let patience = shared.settings.limits.drain_timeout;
    info!(wait = %humantime::format_duration(patience), "stopping; open requests may finish");
    shared.shutdown.cancel();
    shared.tasks.close();
    if tokio::time::timeout(patience, shared.tasks.wait()).await.is_err() {
        warn!("some requests did not finish within SIGNET_DRAIN_TIMEOUT, so their connections are closed");
    }
    info!("stopped");
}
