//! The audit log: who changed the ring, when, what and why. Its target is `audit`.
//!
//! An action is logged before it is tried and again when its result is known, so an action is recorded even if the
//! process is killed in between. Both lines have the same fields; `step` distinguishes them, and `outcome` has the
//! result. The time is that of the log line.

use std::fs;

use signet_core::Kid;
use tracing::info;

use crate::cli::Failure;
use crate::settings::Settings;

/// The kernel's record of who logged in. `sudo` and `su` do not change it.
const LOGIN_UID: &str = "/proc/self/loginuid";
/// The value if nobody logged in, as in a container.
const NOBODY_LOGGED_IN: u32 = u32::MAX;

/// A change of the ring by the person or program that runs this command.
pub(super) struct Act<'a> {
    settings: &'a Settings,
    action: &'static str,
    kid: Option<Kid>,
    reason: String,
    who: Who,
}

impl<'a> Act<'a> {
    /// Logs that the action will be tried.
    pub(super) fn attempt(settings: &'a Settings, action: &'static str, kid: Option<&Kid>, reason: &str) -> Self {
        let act = Self {
            settings,
            action,
            kid: kid.cloned(),
            reason: reason.to_owned(),
            who: Who::of_this_process(),
        };
        act.log("attempt", None, None, act.kid.as_ref());
        act
    }

    /// Logs that the action succeeded, and for which key.
    pub(super) fn done(&self, kid: Option<&Kid>) {
        self.log("outcome", Some("done"), None, kid);
    }

    /// Logs that the action succeeded, except for a later step.
    pub(super) fn done_but(&self, step: &str, failure: &Failure) {
        let error = format!("{step} failed: {}", failure.text);
        self.log("outcome", Some("done"), Some(&error), self.kid.as_ref());
    }

    /// Logs that the action failed, and returns the reason.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        self.log("outcome", Some("failed"), Some(&failure.text), self.kid.as_ref());
        failure
    }

    /// Logs one of several things that the action did.
    pub(super) fn did(&self, what: &str) {
        info!(target: "audit", action = self.action, step = "part", what, uid = self.who.uid, "audit");
    }

    fn log(&self, step: &str, outcome: Option<&str>, error: Option<&str>, kid: Option<&Kid>) {
        // The kid and the reason are the user's own words. As fields they are escaped, so they cannot forge a log line.
        info!(
            target: "audit",
            action = self.action,
            step,
            outcome,
            error,
            kid = kid.map(Kid::as_str),
            reason = self.reason,
            issuer = self.settings.issuer.as_str(),
            provider = self.settings.origin.provider.as_str(),
            uid = self.who.uid,
            user = self.who.user.as_deref(),
            login_uid = self.who.login_uid,
            login_user = self.who.login_user.as_deref(),
            sudo_user = self.who.sudo_user.as_deref(),
            host = self.who.host,
            pid = self.who.pid,
            "audit"
        );
    }
}

/// Who runs this command, as far as the machine knows.
struct Who {
    /// The real user id.
    uid: u32,
    user: Option<String>,
    /// The user who logged in, as the kernel recorded it.
    login_uid: Option<u32>,
    login_user: Option<String>,
    /// The variable `SUDO_USER`. The user of the command can forge it, unlike `login_uid`, but it is better than
    /// nothing if nobody logged in.
    sudo_user: Option<String>,
    host: String,
    pid: u32,
}

impl Who {
    fn of_this_process() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let login_uid = fs::read_to_string(LOGIN_UID)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .filter(|uid| *uid != NOBODY_LOGGED_IN);
        // Users of a directory service are not in this file. Their number is still in the log.
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self {
            uid,
            user: name_of(uid, &users),
            login_uid,
            login_user: login_uid.and_then(|uid| name_of(uid, &users)),
            sudo_user: std::env::var_os("SUDO_USER").map(|name| name.to_string_lossy().into_owned()),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
        }
    }
}

/// The name of a user in `/etc/passwd` (passwd(5)).
fn name_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_its_number() {
        let users = "# comment\nroot:x:0:0:root:/root:/bin/sh\nbroken\n\nnobody:*:65534:65534::/:\nalias:x:0:0::/:\n";
        assert_eq!(name_of(0, users).as_deref(), Some("root"));
        assert_eq!(name_of(65534, users).as_deref(), Some("nobody"));
        assert_eq!(name_of(1, users), None);
        assert_eq!(name_of(0, ""), None);
    }
}
