//! Replaces the plan while the gateway runs: at SIGHUP, and when the file changes.
//!
//! The new file is compiled while the old plan is in use, and replaces it only if all of it is valid: new requests use
//! the new plan, and requests in progress finish with the old one. Connections to backends and keys of issuers that
//! both plans need are kept.

use std::sync::Arc;
use std::time::Duration;

use signet_base::chain;
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::file::Report;
use crate::keys::Followers;
use crate::plan::Plan;
use crate::plan_file::PlanFile;
use crate::serving::{Current, Serving};
use crate::upstream::Pools;

/// How often the file is read, to find out whether it has changed.
const LOOK: Duration = Duration::from_millis(500);

/// The end of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New requests use the new file.
    Done,
    /// The new file is bad, or needs a restart. The last good one stays in use.
    Refused,
}

/// Counts reloads, for metrics.
pub trait Record: std::fmt::Debug + Send + Sync {
    /// Handles the end of a reload.
    fn on_reload(&self, outcome: Outcome);
}

/// Reloads the file until shutdown.
#[derive(Debug)]
pub struct Reloader {
    /// The file to reload.
    pub file: PlanFile,
    /// The content of the file that was compiled last.
    pub seen: Option<u64>,
    /// What serves requests now.
    pub current: Current<Pools>,
    /// The followed sources of keys.
    pub followers: Followers,
    /// Counts the reloads.
    pub record: Arc<dyn Record>,
}

impl Reloader {
    /// Waits for changes of the file and for SIGHUP until shutdown.
    pub async fn run(mut self, mut hang_up: Signal, shutdown: CancellationToken) {
        // The content of a file that is being written changes from one reading to the next.
        let mut previous = self.seen;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hang_up.recv() => info!("received SIGHUP: the file is read again"),
                () = sleep(LOOK) => {
                    let file = self.file.clone();
                    let digest = spawn_blocking(move || file.digest()).await.unwrap_or_default();
                    let is_settled = digest == previous;
                    previous = digest;
                    if digest.is_none() || digest == self.seen || !is_settled {
                        continue;
                    }
                    info!(file = %self.file.path.display(), "the file has changed and is read again");
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                outcome = self.reload() => self.record.on_reload(outcome),
            }
        }
    }

    async fn reload(&mut self) -> Outcome {
        let file = self.file.clone();
        // This runs on another thread, because a large file takes a while and this thread accepts connections.
        let Ok((seen, (plan, report))) = spawn_blocking(move || (file.digest(), file.compile())).await else {
            error!(
                "the file could not be read again, because the system refused a thread; the last good one stays in use"
            );
            return Outcome::Refused;
        };
        self.seen = seen;
        let name = self.file.path.display().to_string();
        let Some(plan) = plan else {
            log_problems(&name, &report);
            return Outcome::Refused;
        };
        for warning in report.warnings() {
            warn!("{name}: {warning}");
        }
        let old = self.current.load_full();
        let fixed = fixed(&old.plan, &plan);
        if !fixed.is_empty() {
            error!(
                changed = fixed.join(", "),
                "the new file is not used, because it changes keys that can change only at a restart; restart the \
                 gateway, or undo these changes. The last good file stays in use"
            );
            return Outcome::Refused;
        }
        let upstream = match old.upstream.adapted(plan.connections) {
            Ok(upstream) => upstream,
            Err(failure) => return unusable(&failure),
        };
        let authenticators = match self.followers.follow(&plan.validators).await {
            Ok(authenticators) => authenticators,
            Err(failure) => return unusable(&failure),
        };
        let endpoints = plan.endpoints.len();
        self.current.store(Arc::new(Serving {
            plan,
            authenticators,
            upstream,
        }));
        self.followers.retire();
        info!(endpoints, "the new file is in use");
        Outcome::Done
    }
}

/// Logs every problem of a file that is not used.
fn log_problems(name: &str, report: &Report) {
    let problems = report.problems();
    for problem in &problems {
        error!("{name}: {problem}");
    }
    error!(
        problems = problems.len(),
        "the new file is not used, because it has problems; the last good one stays in use"
    );
}

fn unusable(failure: &dyn std::error::Error) -> Outcome {
    let why = chain(failure);
    error!("the new file is not used; the last good one stays in use: {why}");
    Outcome::Refused
}

/// The changes that need a restart: the listener is opened once, and the log is started once.
fn fixed(old: &Plan, new: &Plan) -> Vec<&'static str> {
    let changes = [
        ("port", old.listen.port() != new.listen.port()),
        ("listen_ip", old.listen.ip() != new.listen.ip()),
        ("read_header_timeout", old.header_timeout != new.header_timeout),
        ("telemetry/logging", old.log != new.log),
    ];
    let changed = changes.into_iter().filter(|(_, has_changed)| *has_changed);
    changed.map(|(name, _)| name).collect()
}
