//! The file of a plan, with the parts of the command line that override it.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;

use tracing::Level;

use crate::file::{Document, Report, Strictness};
use crate::plan::Plan;
use crate::sidecar_settings::SidecarSettings;

/// The file of a plan. It is compiled at the start, and again at each reload.
#[derive(Clone)]
pub struct PlanFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The variables of the environment.
    pub variables: Vec<(String, String)>,
    /// How strictly the keys of the file are checked.
    pub strictness: Strictness,
    /// The port to listen on, instead of that of the file.
    pub port: Option<u16>,
    /// Whether to log more than the file says.
    pub debug: bool,
    /// The sidecar, which signs and has keys.
    pub sidecar: Option<SidecarSettings>,
}

/// Leaves out the variables, because they may contain secrets.
impl fmt::Debug for PlanFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanFile({})", self.path.display())
    }
}

impl PlanFile {
    /// Compiles the file. Without a plan, the report has the problems.
    #[must_use]
    pub fn compile(&self) -> (Option<Plan>, Report) {
        let mut report = Report::default();
        let document = Document::read(&self.path, &self.variables, self.strictness, &mut report);
        let mut plan = document.and_then(|document| Plan::read(&document, &mut report));
        if let Some(plan) = &mut plan {
            if let Some(port) = self.port {
                plan.listen.set_port(port);
            }
            if self.debug {
                plan.log.level = Level::DEBUG;
                plan.rules.has_debug = true;
            }
            plan.sidecar.clone_from(&self.sidecar);
            let signing = plan.endpoints.iter().filter(|endpoint| endpoint.signer.is_some());
            for endpoint in signing.filter(|_| self.sidecar.is_none()) {
                report.refuse(
                    endpoint.place.clone(),
                    "this endpoint has auth/signer, and SIGNET_SOCKET is off: only a sidecar can sign; set SIGNET_SOCKET to \
                     the path of its socket",
                );
            }
        }
        (plan.filter(|_| report.is_good()), report)
    }

    /// A value that differs if the content does. `None` if the file cannot be read.
    #[must_use]
    pub fn digest(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        std::fs::read(&self.path).ok()?.hash(&mut hasher);
        Some(hasher.finish())
    }
}
