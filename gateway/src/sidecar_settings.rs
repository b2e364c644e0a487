//! The settings of the sidecar's socket, from the environment. `SIGNET_SOCKET` has the same default as in the sidecar.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// The variable with the path of the socket.
pub const SOCKET: &str = "SIGNET_SOCKET";
/// The variable with the users that may serve the socket.
pub const SIDECAR_UIDS: &str = "SIGNET_GATEWAY_SIDECAR_UIDS";

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
            None => match variable("XDG_RUNTIME_DIR")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
            {
                Some(directory) => directory.join("signet.sock"),
                None => PathBuf::from("/run/signet/signet.sock"),
            },
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
        for (variables, path, is_expected) in [
            (vec![], "/run/signet/signet.sock", false),
            (
                vec![("XDG_RUNTIME_DIR", "/run/user/7")],
                "/run/user/7/signet.sock",
                false,
            ),
            (vec![("XDG_RUNTIME_DIR", "")], "/run/signet/signet.sock", false),
            (vec![("XDG_RUNTIME_DIR", "/a"), (SOCKET, "/b/c")], "/b/c", true),
        ] {
            let settings = read(&variables).expect("readable").expect("a socket");
            assert_eq!(
                (settings.socket.to_str(), settings.is_expected),
                (Some(path), is_expected)
            );
        }
        assert_eq!(read(&[(SOCKET, "off")]), Ok(None));
        assert_eq!(read(&[(SOCKET, "")]), read(&[]));
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
