//! The data that all parts of the process share.

use std::sync::Arc;

use signet_base::{Clock, SystemClock};
use signet_clock_watch::ClockWatch;
use signet_edge::{Context, Limits, Workers};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::{StartError, refused};
use crate::keeper::watch_clock;
use crate::settings::Settings;
use crate::telemetry::metrics::Metrics;

/// The setting for the maximum number of connections, for the log.
pub(super) const MAX_CONNECTIONS: &str = "SIGNET_MAX_CONNECTIONS";
/// The maximum head of a request on the public and the admin listener, in bytes. Requests there are short.
const SHORT_HEAD: usize = 16 * 1024;

/// The settings, the clock, the metrics, and the tasks that end with the process.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) clock_watch: Arc<ClockWatch>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            clock_watch: watch_clock(Arc::clone(&clock), &settings.policy),
            settings,
            clock,
            metrics: Arc::default(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Makes the context of a listener, with worker threads of its own.
    pub(super) fn context(&self, threads: usize) -> Result<Context, StartError> {
        Ok(Context {
            limits: Limits {
                connections: self.settings.limits.max_connections.into(),
                setting: MAX_CONNECTIONS,
                header_timeout: self.settings.limits.header_timeout,
                tcp_head: SHORT_HEAD,
            },
            workers: Workers::start(threads).map_err(refused("threads"))?,
            shutdown: self.shutdown.clone(),
            tasks: self.tasks.clone(),
            record: Arc::clone(&self.metrics) as _,
        })
    }
}
