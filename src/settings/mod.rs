//! The settings of the sidecar: default < settings file < environment < flag.
//!
//! [`SETTINGS`] is the only table. Flags, variables, file keys and documentation follow from it. [`Settings::load`]
//! is a pure function of its arguments. It returns either typed values that fit together, with a safe [`Policy`],
//! or every problem at once.
//!
//! This module opens only the settings file; Signet notices only later, on use, that a directory is not writable or a
//! certificate not readable. But it resolves paths, because two settings must not name the same file.

mod assemble;
mod authorities;
mod claims;
mod issuers;
mod kubernetes;
mod names;
mod origin;
mod parse;
mod places;
mod table;
#[cfg(test)]
mod tests;
mod unlisted;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgMatches};
use rustix::fs::{Access, AtFlags};
use signet_api::{ExpiredKeys, Variables};
use signet_config::Reader;
use signet_core::algorithm::RsaBits;
use signet_core::{Audience, Issuer, Policy};
use signet_files::Rule;
use tracing_subscriber::filter::Targets;

use signet_edge::unix::Group;
use signet_issuers::TrustedIssuer;
use signet_verify::Identity;

pub use kubernetes::Kubernetes;
pub use names::{LogFormat, ProviderName, Store};
pub use origin::Origin;
pub(crate) use parse::duration;
pub use signet_config::{Effective, Fallback, Fault, Kind, Problem, Setting, SettingsError, Source};
pub use table::{SETTINGS, TABLE};

use unlisted::Unlisted;

/// The typed settings. Only the providers' variables can be secret, and their `Debug` hides them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The signing ring.
    pub origin: Origin,
    /// The rings that are also published.
    pub also: Vec<Origin>,
    /// The variables of the providers, such as `VAULT_ADDR`.
    pub variables: Variables,
    /// How many replicas share the provider's quota.
    pub replicas: u32,
    /// The directory for files that this machine keeps.
    pub data_dir: PathBuf,
    /// What to do with keys that are no longer published. `None` keeps them.
    pub expired_keys: Option<ExpiredKeys>,
    /// The `iss` of tokens, and the base URL of the discovery documents.
    pub issuer: Issuer,
    /// The audiences of which a token needs one, if a request to verify names none.
    pub audience: Vec<Audience>,
    /// The trusted issuers.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// The headers that identify the client to the service behind the gateway.
    pub identity: Identity,
    /// The `aud` of signed tokens, if the request has none.
    pub sign_audience: Vec<Audience>,
    /// The `sub` of signed tokens, if the request has none.
    pub sign_subject: Option<String>,
    /// The durations of the schedule, and the algorithm of new keys.
    pub policy: Policy,
    /// The size of new RSA keys.
    pub rsa_bits: RsaBits,
    /// The address of the public listener.
    pub listen: SocketAddr,
    /// The certificate of the public listener. `None` means plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The address of the listener for health, metrics and the status page.
    pub admin_listen: SocketAddr,
    /// The local socket.
    pub socket: Socket,
    /// The values for the API server of Kubernetes, if tokens are signed for it.
    pub kubernetes: Option<Kubernetes>,
    /// The limits of the process.
    pub limits: Limits,
    /// What is logged.
    pub log: Targets,
    /// The format of the log; `auto` is already resolved.
    pub log_format: LogFormat,
    /// Whether the log is in colour.
    pub log_colors: bool,
    /// Warnings to log at start: one sentence for each setting that is valid but probably not what was meant.
    pub warnings: Vec<String>,
    effective: Vec<Effective>,
}

/// The certificate and key of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// The local socket, and who may connect: a peer with one of these user ids or group ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The path of the socket, at most 107 bytes long.
    pub path: PathBuf,
    /// The permission bits of its file. Other users have none.
    pub mode: u32,
    /// The group of its file.
    pub group: Option<Group>,
    /// User ids that may connect.
    pub allow_uids: BTreeSet<u32>,
    /// Group ids that may connect, including that of the file.
    pub allow_gids: BTreeSet<u32>,
}

/// The limits of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of open connections of each listener.
    pub max_connections: NonZeroUsize,
    /// How long a client may take to send the headers of a request.
    pub header_timeout: Duration,
    /// How long requests in progress may take to finish at shutdown. May be zero.
    pub drain_timeout: Duration,
    /// The maximum number of verified tokens to cache. `None` disables the cache.
    pub verify_cache_entries: Option<NonZeroUsize>,
    /// How long a request may wait for a signature by the provider.
    pub sign_timeout: Duration,
    /// The maximum number of such signatures at once.
    pub sign_concurrency: usize,
    /// The maximum number of such signatures per second.
    pub sign_rate: NonZeroU32,
    /// Whether to refuse to start if memory for keys cannot be locked.
    pub require_locked_memory: bool,
    /// The number of threads that serve connections; 0 is already resolved.
    pub threads: NonZeroUsize,
}

/// Facts about the machine and the user, from which defaults are derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The effective user id, which `SO_PEERCRED` shows to peers.
    pub uid: u32,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// The number of cores that this process may use.
    pub cores: NonZeroUsize,
    /// The machine's groups by name, as far as `/etc/group` lists them (group(5)).
    pub groups: BTreeMap<String, u32>,
    /// Whether this user may create the socket in `/run/signet`, or connect to it there.
    pub run_signet_is_ours: bool,
    /// Whether colours are wanted: `NO_COLOR` is empty, and `TERM` is not `dumb`.
    pub likes_colors: bool,
    /// The variable `HOME`.
    pub home: Option<PathBuf>,
    /// The variable `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// The variable `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
}

impl Machine {
    /// Reads the facts of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "only this function reads the environment")]
    pub fn of_this_process() -> Self {
        // The XDG specification says to ignore relative paths. A path that is not UTF-8 could
        // not be shown in a message.
        let dir = |variable| {
            let path = PathBuf::from(std::env::var(variable).ok()?);
            path.is_absolute().then_some(path)
        };
        // <https://no-color.org>: any value counts except an empty one.
        let word = |variable: &str| std::env::var_os(variable);
        Self {
            uid: rustix::process::geteuid().as_raw(),
            stderr_is_terminal: io::stderr().is_terminal(),
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            run_signet_is_ours: may_write(SYSTEM_DIRECTORY) || may_write(&format!("{SYSTEM_DIRECTORY}/{SOCKET}")),
            likes_colors: word("NO_COLOR").is_none_or(|word| word.is_empty())
                && word("TERM").is_none_or(|word| word != "dumb"),
            groups: groups(&std::fs::read_to_string("/etc/group").unwrap_or_default()),
            home: dir("HOME"),
            xdg_state_home: dir("XDG_STATE_HOME"),
            xdg_runtime_dir: dir("XDG_RUNTIME_DIR"),
        }
    }
}

/// The directory of the socket of a system-wide sidecar.
const SYSTEM_DIRECTORY: &str = "/run/signet";
/// The file name of the socket.
const SOCKET: &str = "signet.sock";

/// Whether this user may write there: create files in a directory, connect to a socket.
fn may_write(path: &str) -> bool {
    rustix::fs::accessat(rustix::fs::CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

/// The groups in the text of `/etc/group`: name, password, number, members.
fn groups(text: &str) -> BTreeMap<String, u32> {
    let group = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(group).collect()
}

/// Makes one flag for each setting. The id in clap is the name of the setting.
#[must_use]
pub fn flags() -> Vec<Arg> {
    signet_config::flags(&TABLE)
}

impl Settings {
    /// Reads the settings from the flags and from this process's environment.
    ///
    /// # Errors
    /// All problems.
    pub fn of_this_process(flags: &ArgMatches) -> Result<Self, SettingsError> {
        let read_file = |path: &Path| Ok(Rule::Trusted.read_text(path)?.to_string());
        Self::load(std::env::vars_os(), flags, read_file, &Machine::of_this_process())
    }

    /// Reads the settings. From the environment, it reads `SIGNET_*` and the providers' variables. `read_file` reads
    /// the settings file, if one is named.
    ///
    /// # Errors
    /// All problems.
    pub fn load(
        env: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &ArgMatches,
        read_file: impl FnOnce(&Path) -> io::Result<String>,
        machine: &Machine,
    ) -> Result<Self, SettingsError> {
        let mut unlisted = Unlisted::default();
        let reader = Reader::new(&TABLE, env, flags, read_file, &mut unlisted);
        assemble::assemble(reader, unlisted, machine)
    }

    /// The signing ring, and those that are also published.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        std::iter::once(&self.origin).chain(&self.also)
    }

    /// All settings with their values and sources, in the order of the documentation.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// A text table with variable, value and source.
    #[must_use]
    pub fn effective_table(&self) -> String {
        Effective::table(&self.effective)
    }

    /// A JSON object by the name of the setting: `{"issuer": {"value": …, "source": "environment"}, …}`.
    #[must_use]
    pub fn effective_json(&self) -> serde_json::Value {
        Effective::json(&self.effective)
    }
}
