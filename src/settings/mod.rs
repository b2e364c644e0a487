//! The settings of the sidecar: default < settings file < environment < flag.
//!
//! [`SETTINGS`] is the one table; flags, variables, file keys and documentation follow from it. [`Settings::load`] is a
//! pure function of all that it is given, and either returns values that are typed and fit together, with a
//! [`Policy`] that is safe, or every problem at once. This module opens nothing but the settings file: whether a
//! directory can be written or a certificate be read is for those to find out who use it. It looks where paths lead, though:
//! two settings must not name one file.

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
use signet_api::{Fate, Variables};
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

/// The settings, each of its type. Secret are only the variables of ecosystems, which do not show themselves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The ring that signs, and where it is kept.
    pub origin: Origin,
    /// The rings whose public keys are published and accepted too.
    pub also: Vec<Origin>,
    /// The variables of the providers' ecosystems, such as `VAULT_ADDR`.
    pub variables: Variables,
    /// How many replicas share the provider's quota.
    pub replicas: u32,
    /// Directory of what this machine keeps.
    pub data_dir: PathBuf,
    /// What becomes of keys that are no longer published; `None` keeps them as they are.
    pub expired_keys: Option<Fate>,
    /// `iss` of tokens, and the base of the discovery documents.
    pub issuer: Issuer,
    /// Of these a token must have one, when a request to verify names none.
    pub audience: Vec<Audience>,
    /// The issuers beside our own whose tokens are accepted.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// The headers that name the client to the service behind the gateway.
    pub identity: Identity,
    /// `aud` of signed tokens when the request has none.
    pub sign_audience: Vec<Audience>,
    /// `sub` of signed tokens when the request has none.
    pub sign_subject: Option<String>,
    /// The schedule's spans, and the algorithm of new keys.
    pub policy: Policy,
    /// Modulus of new RSA keys.
    pub rsa_bits: RsaBits,
    /// The public listener.
    pub listen: SocketAddr,
    /// What the public listener speaks TLS with; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The listener of health, metrics and status page.
    pub admin_listen: SocketAddr,
    /// The local socket.
    pub socket: Socket,
    /// What the API server of Kubernetes is told, if tokens are signed for it.
    pub kubernetes: Option<Kubernetes>,
    /// What bounds the process.
    pub limits: Limits,
    /// What is logged.
    pub log: Targets,
    /// How it is written; `auto` is resolved.
    pub log_format: LogFormat,
    /// Whether it is written in colours.
    pub log_colors: bool,
    /// What will do but is likely not meant, a sentence each, to be logged at start.
    pub warnings: Vec<String>,
    effective: Vec<Effective>,
}

/// Certificate and key of the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// The local socket, and who may connect: whose user id or whose group id is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its path, at most 107 bytes long.
    pub path: PathBuf,
    /// Permission bits of its file; none for other users.
    pub mode: u32,
    /// The group that its file gets.
    pub group: Option<Group>,
    /// User ids that may connect.
    pub allow_uids: BTreeSet<u32>,
    /// Group ids that may connect, with that of the file.
    pub allow_gids: BTreeSet<u32>,
}

/// What bounds the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections open at once, per listener.
    pub max_connections: NonZeroUsize,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// How long requests under way may take to finish at the end; may be zero.
    pub drain_timeout: Duration,
    /// The most verified tokens remembered; `None` is no cache.
    pub verify_cache_entries: Option<NonZeroUsize>,
    /// How long a request may wait for a signature that the provider computes.
    pub sign_timeout: Duration,
    /// The most such signatures at once.
    pub sign_concurrency: usize,
    /// The most such signatures a second.
    pub sign_rate: NonZeroU32,
    /// Whether not to start when key memory cannot be locked.
    pub require_locked_memory: bool,
    /// Threads that serve connections; 0 is resolved.
    pub threads: NonZeroUsize,
}

/// The facts of machine and user from which defaults are derived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The effective user id, which is what peers see of us and we of them (`SO_PEERCRED`).
    pub uid: u32,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// Cores that this process may use.
    pub cores: NonZeroUsize,
    /// Its groups by name, as far as `/etc/group` lists them (group(5)).
    pub groups: BTreeMap<String, u32>,
    /// Whether this user may serve in `/run/signet`, or connect to the socket there.
    pub run_signet_is_ours: bool,
    /// Whether a terminal is to be written to in colours: `NO_COLOR` is empty, and `TERM` is not `dumb`.
    pub likes_colors: bool,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
}

impl Machine {
    /// The facts of this process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place where the environment is read"
    )]
    pub fn of_this_process() -> Self {
        // The XDG specification has relative paths ignored; one that is not UTF-8 could not be shown in a message.
        let dir = |variable| {
            let path = PathBuf::from(std::env::var(variable).ok()?);
            path.is_absolute().then_some(path)
        };
        // <https://no-color.org>: any value but an empty one.
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

/// Where the socket of a system's sidecar is.
const SYSTEM_DIRECTORY: &str = "/run/signet";
/// The name of the socket.
const SOCKET: &str = "signet.sock";

/// Whether this user may write there: make files in a directory, connect to a socket.
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

/// One flag for each setting. Each is known to clap by the setting's name.
#[must_use]
pub fn flags() -> Vec<Arg> {
    signet_config::flags(&TABLE)
}

impl Settings {
    /// Reads the settings from the flags and from this process's environment.
    ///
    /// # Errors
    /// Every problem.
    pub fn of_this_process(flags: &ArgMatches) -> Result<Self, SettingsError> {
        let read_file = |path: &Path| Ok(Rule::Trusted.read_text(path)?.to_string());
        Self::load(std::env::vars_os(), flags, read_file, &Machine::of_this_process())
    }

    /// Reads the settings. Of the environment only `SIGNET_*` counts; `read_file` is asked for the settings file, if one
    /// is named.
    ///
    /// # Errors
    /// Every problem.
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

    /// The ring that signs, and those that are published beside it.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        std::iter::once(&self.origin).chain(&self.also)
    }

    /// Every setting with its value and where that came from, in the order of the documentation.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// A table: variable, value, source.
    #[must_use]
    pub fn effective_table(&self) -> String {
        Effective::table(&self.effective)
    }

    /// The same as a JSON object, by the setting's name: `{"issuer": {"value": …, "source": "environment"}, …}`.
    #[must_use]
    pub fn effective_json(&self) -> serde_json::Value {
        Effective::json(&self.effective)
    }
}
