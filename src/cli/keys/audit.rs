//! Who changed the ring, when, what and why: for the record, with the target `audit`.
//!
//! An act is logged before it is tried and again when its outcome is known, so that one whose process was killed in
//! between is on record too. Both lines have the same fields; `step` tells them apart, `outcome` how it ended. The time is
//! the log line's own.

use std::fs;

use signet_core::Kid;
use tracing::info;

use crate::cli::Failure;
use crate::settings::Settings;

/// Where the kernel keeps who logged in, whatever user a session became since: `sudo` and `su` leave it.
const LOGIN_UID: &str = "/proc/self/loginuid";
/// What stands there if nobody did, as in a container.
const NOBODY_LOGGED_IN: u32 = u32::MAX;

/// One change to the ring, by the person or program that runs this command.
pub(super) struct Act<'a> {
    settings: &'a Settings,
    action: &'static str,
    kid: Option<Kid>,
    reason: String,
    who: Who,
}

impl<'a> Act<'a> {
    /// Logs that it is about to be tried.
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

    /// Logs that it was done, and to which key.
    pub(super) fn done(&self, kid: Option<&Kid>) {
        self.log("outcome", Some("done"), None, kid);
    }

    /// Logs that it was done, but for a step after it.
    pub(super) fn done_but(&self, step: &str, failure: &Failure) {
        let error = format!("{step} failed: {}", failure.text);
        self.log("outcome", Some("done"), Some(&error), self.kid.as_ref());
    }

    /// Logs that it failed, and passes on why.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        self.log("outcome", Some("failed"), Some(&failure.text), self.kid.as_ref());
        failure
    }

    /// Logs one of several things that it did.
    pub(super) fn did(&self, what: &str) {
        info!(target: "audit", action = self.action, step = "part", what, uid = self.who.uid, "audit");
    }

    fn log(&self, step: &str, outcome: Option<&str>, error: Option<&str>, kid: Option<&Kid>) {
        // The kid and the reason are the user's own words: as text fields they are escaped, and forge no line.
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

/// Who runs this command, by what the machine tells.
struct Who {
    /// The real user id.
    uid: u32,
    user: Option<String>,
    /// The user who logged in, as the kernel has it.
    login_uid: Option<u32>,
    login_user: Option<String>,
    /// The word of the environment, which whoever runs the command can choose. `login_uid` cannot be chosen, but where no
    /// login set it, this is better than nothing.
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
        // Users of a directory service do not stand there; their number does in the log.
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

/// The name of a user in the text of `/etc/passwd` (passwd(5)).
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
