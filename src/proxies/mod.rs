//! One rule for all outgoing HTTP: which requests use a proxy, and which never do.
//!
//! The vendors' SDKs make HTTP clients of their own, which read the proxy from the environment. Some accept no other
//! client, so the rule cannot be passed to them. Therefore [`settle`] first rewrites the variables to the one form that
//! all clients read in the same way. Because changing the environment of a running process is not safe in Rust, it
//! starts the program again in the same process (`execve`).
//!
//! - `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` may be in upper or lower case; upper case wins. White space around the
//!   value is ignored. A value that is not the URL of a proxy is a problem of the settings ([`problems`]).
//! - `NO_PROXY` is the operator's list in the form that the clients understand (`exceptions`). It is extended by hosts
//!   that no proxy may see or can reach: this machine, and the servers of instance metadata, whose answers are
//!   credentials.

mod exceptions;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use self::exceptions::{Entry, NEVER};

/// The variables that name a proxy, each in upper and lower case.
const PROXIES: [[&str; 2]; 3] = [
    ["HTTPS_PROXY", "https_proxy"],
    ["HTTP_PROXY", "http_proxy"],
    ["ALL_PROXY", "all_proxy"],
];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// The variables that name a server of credentials for this machine or pod.
const METADATA: [&str; 4] = [
    "GCE_METADATA_HOST",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "IDENTITY_ENDPOINT",
];

const NO_URL: &str =
    "is not the URL of a proxy; write for example http://proxy.example:3128, or unset the variable to use no proxy";

/// A proxy variable with a value that prevents the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The name of the variable.
    pub variable: &'static str,
    /// What is wrong, and what to write. Never quotes the value, because its URL may contain a password.
    pub text: String,
}

/// The variables to change. `None` unsets a variable.
type Set = BTreeMap<&'static str, Option<OsString>>;

/// The variables in the form that all clients read in the same way. Empty if no proxy is set.
///
/// # Errors
/// All variables that are wrong.
pub fn settled(get: impl Fn(&str) -> Option<OsString>) -> Result<BTreeMap<&'static str, String>, Vec<Wrong>> {
    let (mut values, mut wrong) = (BTreeMap::new(), Vec::new());
    for names in PROXIES {
        if let Some((variable, value)) = first_of(names, &get) {
            match value.to_str().map(str::trim).filter(|value| is_a_proxy(value)) {
                Some(value) => values.extend(names.map(|name| (name, value.to_owned()))),
                None => wrong.push(Wrong {
                    variable,
                    text: NO_URL.to_owned(),
                }),
            }
        }
    }
    if values.is_empty() {
        return if wrong.is_empty() { Ok(values) } else { Err(wrong) };
    }
    let mut entries: Vec<Entry> = Vec::new();
    if let Some((variable, value)) = first_of(EXCEPTIONS, &get) {
        match exceptions::read(&value.to_string_lossy()) {
            Ok(read) => entries = read,
            Err(text) => wrong.push(Wrong { variable, text }),
        }
    }
    let named = METADATA.iter().filter_map(|name| host_of(get(name)?.to_str()?));
    let never = NEVER.iter().map(|entry| Entry::from(*entry)).chain(named);
    for entry in never {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    let list: Vec<&str> = entries.iter().map(Entry::as_str).collect();
    values.extend(EXCEPTIONS.map(|name| (name, list.join(","))));
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

/// The problems with the proxy variables of an environment.
pub fn problems(get: impl Fn(&str) -> Option<OsString>) -> Vec<Wrong> {
    settled(get).err().unwrap_or_default()
}

/// Starts this program again in the same process, if its proxy variables must be rewritten. Returns if they need no
/// change. Problems with the variables are reported later, together with those of the settings.
///
/// # Errors
/// The program could not be started again.
pub fn settle() -> Result<(), String> {
    let get = |name: &str| std::env::var_os(name);
    let settled = settled(get).unwrap_or_default();
    let changes = changes(&settled, get);
    if changes.is_empty() {
        tell(&settled);
        return Ok(());
    }
    if let Some(warning) = of_ports(get).filter(|_| std::env::args_os().any(|arg| arg == "serve" || arg == "check")) {
        // The log is not open yet, and the program that is started now no longer sees the ports.
        let _ = writeln!(io::stderr().lock(), "signet: warning: {warning}");
    }
    let error = start_again(&changes);
    let lines: Vec<String> = changes
        .iter()
        .map(|(name, value)| match value {
            // The value may contain a password.
            Some(value) if EXCEPTIONS.contains(name) => format!("{name}={}", value.to_string_lossy()),
            Some(_) => format!("{name}: write the same value without white space, in capitals and in small letters"),
            None => format!("unset {name}"),
        })
        .collect();
    Err(format!(
        "the proxy variables must be rewritten, but the restart with the new values failed: {error}. Set them \
         yourself:\n  {}",
        lines.join("\n  ")
    ))
}

/// A warning if a list names ports. Clients ignore them, so such a host bypasses the proxy on all its ports.
fn of_ports(get: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let (variable, list) = first_of(EXCEPTIONS, get)?;
    let list = list.to_string_lossy();
    match exceptions::with_ports(&list).as_slice() {
        [] => None,
        entries => Some(format!(
            "{variable} has {}: the port is ignored, so all ports of these hosts bypass the proxy",
            entries.join(", ")
        )),
    }
}

/// Makes errors name the proxy for requests over TLS.
fn tell(settled: &BTreeMap<&'static str, String>) {
    let names = ["HTTPS_PROXY", "ALL_PROXY"];
    let set = names.into_iter().find_map(|name| Some((name, settled.get(name)?)));
    if let Some((variable, value)) = set {
        signet_base::proxies::name(signet_base::proxies::Proxy {
            variable,
            host: without_password(value),
        });
    }
}

/// The host and port in the URL of a proxy.
fn without_password(value: &str) -> String {
    let uri: Option<http::Uri> = value.parse().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority());
    let place = authority.and_then(|authority| authority.as_str().rsplit('@').next());
    place.unwrap_or_default().to_owned()
}

/// The variables to set or unset.
fn changes(settled: &BTreeMap<&'static str, String>, get: impl Fn(&str) -> Option<OsString>) -> Set {
    if settled.is_empty() {
        return Set::new();
    }
    let names = PROXIES.iter().chain([&EXCEPTIONS]).flatten();
    names
        .map(|name| (*name, settled.get(name).map(OsString::from)))
        .filter(|(name, value)| get(name) != *value)
        .collect()
}

fn start_again(changes: &Set) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut args = std::env::args_os();
    let mut command = Command::new(&program);
    command
        .arg0(args.next().unwrap_or_else(|| program.into_os_string()))
        .args(args);
    for (name, value) in changes {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.exec()
}

/// The first of these variables with a value that is not blank.
fn first_of(names: [&'static str; 2], get: impl Fn(&str) -> Option<OsString>) -> Option<(&'static str, OsString)> {
    let set = names.into_iter().filter_map(|name| Some((name, get(name)?)));
    set.into_iter().find(|(_, value)| !is_blank(value))
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|value| value.trim().is_empty())
}

/// Whether clients accept this value as a proxy: a host, optionally with `http://` or `https://`, a port and
/// credentials. Paths are ignored by clients, so only the root is accepted.
fn is_a_proxy(value: &str) -> bool {
    // The parser silently drops a fragment.
    if value.contains('#') {
        return false;
    }
    let Ok(uri) = value.parse::<http::Uri>() else {
        return false;
    };
    let is_known = uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
    let is_bare = !value.contains('?') && matches!(uri.path(), "" | "/");
    let Some(authority) = uri.authority() else {
        return false;
    };
    let (host, port) = (authority.host(), authority.port_u16());
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    let is_whole = port.map_or(place == host, |port| place == format!("{host}:{port}"));
    is_known && is_bare && is_whole && !host.is_empty()
}

/// The host of a URL or of `host:port`.
fn host_of(value: &str) -> Option<Entry> {
    let uri: http::Uri = value.trim().parse().ok()?;
    Some(Entry::from(uri.host()?.trim_matches(['[', ']'])))
}

#[cfg(test)]
mod tests;
