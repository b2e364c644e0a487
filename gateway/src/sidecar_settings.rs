//! The settings of the sidecar's socket, from the environment. `SIGNET_SOCKET` has the same default as in the sidecar.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

/// The variable with the path of the socket.
pub const SOCKET: &str = "SIGNET_SOCKET";
/// The variable with the users that may serve the socket.
pub const SIDECAR_UIDS: &str = "SIGNET_GATEWAY_SIDECAR_UIDS";

/// The directory of the socket of a system-wide sidecar.
const SYSTEM_DIRECTORY: &str = "/run/signet";
const SYSTEM_SOCKET: &str = "/run/signet/signet.sock";
const FILE: &str = "signet.sock";

/// Where the sidecar is, and which users may run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidecarSettings {
    /// The path of its socket.
    pub socket: PathBuf,
    /// Whether the environment names the socket. If not, a missing sidecar is not an error.
    pub is_expected: bool,
    /// The users that may serve the socket. Root and our own user always may.
    pub sidecar_uids: BTreeSet<u32>,
}

impl SidecarSettings {
    /// Reads the settings. `None` if `SIGNET_SOCKET` is `off`: then there is no sidecar. An empty variable counts as unset.
    ///
    /// # Errors
    /// A text for the operator, if a value cannot be used.
    pub fn read(variables: &[(String, String)]) -> Result<Option<Self>, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(at, _)| at == name);
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let sidecar_uids = variable(SIDECAR_UIDS).map_or(Ok(BTreeSet::new()), uids)?;
        let socket = match variable(SOCKET) {
            Some("off") => return Ok(None),
            Some(path) if PathBuf::from(path).is_absolute() => PathBuf::from(path),
            Some(path) => {
                return Err(format!(
                    "{SOCKET} is {path:?}, which is not an absolute path; write the path of the sidecar's socket, or \
                     off if there is no sidecar"
                ));
            }
            None => default_socket(
                |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute()),
                &Machine::of_this_process(),
            ),
        };
        Ok(Some(Self {
            socket,
            is_expected: variable(SOCKET).is_some(),
            sidecar_uids,
        }))
    }

    /// Whether this user may serve the socket.
    #[must_use]
    pub fn may_serve(&self, uid: u32) -> bool {
        uid == 0 || uid == rustix::process::geteuid().as_raw() || self.sidecar_uids.contains(&uid)
    }
}

/// What the default of the socket depends on.
struct Machine {
    uid: u32,
    /// Whether this user may connect to the socket in `/run/signet`, or create it.
    may_use_system: bool,
    has_system_directory: bool,
    exists: fn(&Path) -> bool,
}

impl Machine {
    fn of_this_process() -> Self {
        let may_write = |path: &str| accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            may_use_system: may_write(SYSTEM_DIRECTORY) || may_write(SYSTEM_SOCKET),
            has_system_directory: Path::new(SYSTEM_DIRECTORY).is_dir(),
            exists: |path| path.exists(),
        }
    }
}

/// Where a sidecar without settings has its socket. The sidecar of this machine may start after the gateway, and its socket
/// may be closed to others until then.
fn default_socket(variable: impl Fn(&str) -> Option<PathBuf>, machine: &Machine) -> PathBuf {
    if let Some(runtime) = variable("XDG_RUNTIME_DIR") {
        return runtime.join(FILE);
    }
    let home = || variable("HOME").filter(|home| machine.uid != 0 && home.parent().is_some());
    let state = variable("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")));
    match state.map(|state| state.join("signet").join(FILE)) {
        Some(own) if !machine.may_use_system && (!machine.has_system_directory || (machine.exists)(&own)) => own,
        _ => PathBuf::from(SYSTEM_SOCKET),
    }
}

fn uids(text: &str) -> Result<BTreeSet<u32>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse().map_err(|_| {
                format!("{SIDECAR_UIDS} has {word:?}, which is not a user id; write numbers, such as 1000,1001")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<SidecarSettings>, String> {
        let owned: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        SidecarSettings::read(&owned)
    }

    #[test]
    fn the_socket_is_where_the_sidecar_has_it() {
        let settings = read(&[("XDG_RUNTIME_DIR", "/a"), (SOCKET, "/b/c")])
            .expect("readable")
            .expect("a socket");
        assert_eq!((settings.socket.to_str(), settings.is_expected), (Some("/b/c"), true));
        let settings = read(&[("XDG_RUNTIME_DIR", "/run/user/7")])
            .expect("readable")
            .expect("a socket");
        assert_eq!(
            (settings.socket.to_str(), settings.is_expected),
            (Some("/run/user/7/signet.sock"), false)
        );
        assert_eq!(read(&[(SOCKET, "off")]), Ok(None));
        assert_eq!(read(&[(SOCKET, "")]), read(&[]));
    }

    #[test]
    fn without_settings_the_socket_is_where_both_programs_may_use_it() {
        const SYSTEM: &str = "/run/signet/signet.sock";
        const OWN: &str = "/home/ann/.local/state/signet/signet.sock";
        let socket = |variables: &[(&str, &str)], machine: Machine| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(at, _)| *at == name);
                found.map(|(_, value)| PathBuf::from(value))
            };
            default_socket(variable, &machine).display().to_string()
        };
        let machine = || Machine {
            uid: 1000,
            may_use_system: false,
            has_system_directory: false,
            exists: |_| false,
        };
        let home = [("HOME", "/home/ann")];
        assert_eq!(socket(&home, machine()), OWN);
        assert_eq!(
            socket(&[("HOME", "/home/ann"), ("XDG_STATE_HOME", "/state")], machine()),
            "/state/signet/signet.sock"
        );
        let shared = |may_use_system, exists| Machine {
            may_use_system,
            has_system_directory: true,
            exists,
            ..machine()
        };
        assert_eq!(socket(&home, shared(true, |_| true)), SYSTEM);
        assert_eq!(
            socket(&home, shared(false, |_| false)),
            SYSTEM,
            "a sidecar that starts later"
        );
        assert_eq!(socket(&home, shared(false, |_| true)), OWN);
        let root = Machine { uid: 0, ..machine() };
        assert_eq!(socket(&home, root), SYSTEM);
        assert_eq!(socket(&[("HOME", "/")], machine()), SYSTEM);
        assert_eq!(socket(&[], machine()), SYSTEM);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_name() {
        for (name, value) in [
            (SOCKET, "signet.sock"),
            (SIDECAR_UIDS, "signet"),
            (SIDECAR_UIDS, "1000,-1"),
        ] {
            let text = read(&[(name, value)]).expect_err("refused");
            assert!(text.starts_with(name), "{text}");
        }
        let settings = read(&[(SIDECAR_UIDS, "1000, 1001")])
            .expect("readable")
            .expect("a socket");
        assert!(settings.may_serve(1000) && settings.may_serve(1001) && settings.may_serve(0));
        assert!(!settings.may_serve(u32::MAX - 2));
    }
}
