//! Replaces the plan while the gateway runs: at SIGHUP, and when the file changes.
//!
//! The new file is compiled while the old plan is in use, and replaces it only if all of it is valid: new requests use
//! the new plan, and requests in progress finish with the old one. Connections to backends and keys of issuers that
//! both plans need are kept.

use std::sync::Arc;
use std::time::Duration;

use signet_base::chain;
use signet_edge::tls::{Tls, log_renewal};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::admin::readiness::Readiness;
use crate::file::Report;
use crate::keys::Followers;
use crate::plan::Plan;
use crate::plan_file::PlanFile;
use crate::serving::{Current, Serving};
use crate::telemetry::metrics::Metrics;
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
    /// The certificates of the listener. `None` if it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Counts the reloads, and what the new plan serves.
    pub metrics: Arc<Metrics>,
    /// Reports the sources of keys of the new plan.
    pub readiness: Arc<Readiness>,
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
                    let digest = self.look().await;
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
                outcome = self.reload() => self.metrics.on_reload(outcome == Outcome::Done),
            }
        }
    }

    /// Reads changed certificates again, and returns the digest of the file.
    async fn look(&self) -> Option<u64> {
        let (file, tls) = (self.file.clone(), self.tls.clone());
        let serving = self.current.load_full();
        let looked = spawn_blocking(move || {
            let renewed = tls.and_then(|tls| tls.renew());
            if let Some(renewed) = &renewed {
                log_renewal(renewed);
            }
            let own = renewed.map(|renewed| renewed.is_ok());
            (
                file.digest(),
                own.into_iter().chain(serving.upstream.renew()).collect::<Vec<bool>>(),
            )
        });
        let (digest, renewed) = looked.await.unwrap_or_default();
        for are_good in renewed {
            self.metrics.on_certificates(are_good);
        }
        digest
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
        let Some(mut plan) = plan else {
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
        let (certificates, upstream) = match read_certificates(&old, &plan).await {
            Ok(read) => read,
            Err(failure) => return unusable(&*failure),
        };
        let authenticators = match self.followers.follow(&plan.validators).await {
            Ok(authenticators) => authenticators,
            Err(failure) => return unusable(&failure),
        };
        let endpoints = plan.endpoints.len();
        if let (Some(tls), Some(certificates)) = (&self.tls, &certificates) {
            tls.replace(certificates);
        }
        plan.count_in(&self.metrics);
        self.current.store(Arc::new(Serving {
            plan,
            authenticators,
            upstream,
        }));
        self.readiness.on_serving(self.followers.sources());
        self.followers.retire();
        info!(endpoints, "the new file is in use");
        Outcome::Done
    }
}

/// Reads the certificates of the listener if the new plan has others, and makes the connections to its backends.
async fn read_certificates(
    old: &Arc<Serving<Pools>>,
    plan: &Plan,
) -> Result<(Option<Tls>, Pools), Box<dyn std::error::Error + Send + Sync>> {
    let tls = plan.tls.clone().filter(|tls| old.plan.tls.as_ref() != Some(tls));
    let (old, connections, clients) = (Arc::clone(old), plan.connections, plan.clients.clone());
    let reading = spawn_blocking(move || {
        let tls = tls.map(Tls::load).transpose()?;
        Ok((tls, old.upstream.adapted(connections, &clients)?))
    });
    reading.await?
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
        ("tls", old.tls.is_some() != new.tls.is_some()),
        ("read_header_timeout", old.header_timeout != new.header_timeout),
        ("telemetry/logging", old.log != new.log),
    ];
    let changed = changes.into_iter().filter(|(_, has_changed)| *has_changed);
    changed.map(|(name, _)| name).collect()
}
