//! Runs the real `signet` binary in its own directory, with settings from the environment only.
//!
//! It gives every test loopback addresses of its own, a wait with a limit for `/readyz`, a kill on drop, and a scan of
//! every log (at level `trace`) for tokens and private keys.

#![allow(
    missing_docs,
    clippy::new_without_default,
    reason = "the names of what tests call say what it is, and tests call nothing by default"
)]

pub mod http;
pub mod log;
pub mod openbao;
pub mod rotation;
pub mod seed;
pub mod splitmix;
pub mod time;
pub mod wall_clock;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use http::{Answer, Connection};
pub use time::FAST;
use time::wait_for;

/// The binary under test.
///
/// It is in the parent directory of the test programs, wherever cargo builds. Only tests of the package `signet` can
/// get its path from cargo, and this is a package of its own, which is compiled only once.
pub fn signet() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let deps = program.parent().expect("a directory");
    deps.with_file_name("signet")
}

/// The `iss` of all tests.
pub const ISSUER: &str = "https://issuer.test";
/// The `aud` of most tests.
pub const AUDIENCE: &str = "https://api.test";
/// More than any step takes on a busy machine, so only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Prints a figure.
#[expect(clippy::print_stdout, reason = "tests tell their figures")]
pub fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// The directory of a test. It is removed at the end.
#[derive(Clone)]
pub struct Home {
    directory: Arc<TempDir>,
}

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("signet")
            .tempdir()
            .expect("a directory");
        Self {
            directory: Arc::new(directory),
        }
    }

    /// A directory in memory if possible, for tests that write so much that the disk would slow them down.
    pub fn in_memory() -> Self {
        let mut builder = tempfile::Builder::new();
        builder.prefix("signet");
        let directory = builder
            .tempdir_in("/dev/shm")
            .or_else(|_| builder.tempdir())
            .expect("a directory");
        Self {
            directory: Arc::new(directory),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn ring_file(&self) -> PathBuf {
        self.data().join("ring.json")
    }
}

/// A user that owns nothing: usually `nobody`.
pub const STRANGER: u32 = 65534;

impl Home {
    /// Makes this directory, and a copy of the binary in it, accessible to a [`STRANGER`]. `None`, with a message, if
    /// we are not root and cannot become another user.
    pub fn open_to_strangers(&self) -> Option<PathBuf> {
        if !rustix::process::geteuid().is_root() {
            say("LEFT OUT: only root can become another user; run this test as root");
            return None;
        }
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.directory.path(), everybody).expect("opened");
        let binary = self.path("signet");
        std::fs::copy(signet(), &binary).expect("copied");
        Some(binary)
    }
}

/// How to start a sidecar: its settings and its directory.
#[derive(Clone)]
pub struct Spec {
    home: Home,
    settings: BTreeMap<String, String>,
    tokens: Arc<Mutex<Vec<String>>>,
}

/// The result of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {:?}", self.stdout))
    }
}

impl Spec {
    /// A sidecar with its own listeners and socket, with the data directory of this home.
    pub fn new(home: &Home) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // An address of its own, because another test could get a port that is free only for a moment.
        let process = std::process::id();
        let octet = |n: u32| u8::try_from(n % 250 + 1).expect("fits");
        let ip = Ipv4Addr::new(127, octet(process / 250), octet(process), octet(number + 1));
        // Both ports are held until both are known, because a port that is free again could be returned twice.
        let held = [(); 2].map(|()| TcpListener::bind((ip, 0)).expect("a free port"));
        let [listen, admin] = held
            .each_ref()
            .map(|listener| listener.local_addr().expect("its number"));
        drop(held);
        let mut spec = Self {
            home: home.clone(),
            settings: BTreeMap::new(),
            tokens: Arc::default(),
        };
        for (name, value) in [
            ("SIGNET_DATA_DIR", home.data().display().to_string()),
            (
                "SIGNET_SOCKET",
                home.path(&format!("s{number}.sock")).display().to_string(),
            ),
            ("SIGNET_LISTEN", listen.to_string()),
            ("SIGNET_ADMIN_LISTEN", admin.to_string()),
            ("SIGNET_ISSUER", ISSUER.to_owned()),
            ("SIGNET_LOG", "trace".to_owned()),
            ("SIGNET_LOG_FORMAT", "json".to_owned()),
        ] {
            spec.settings.insert(name.to_owned(), value);
        }
        spec
    }

    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    #[must_use]
    pub fn set_all(self, settings: &[(&str, &str)]) -> Self {
        settings.iter().fold(self, |spec, (name, value)| spec.set(name, value))
    }

    pub fn home(&self) -> &Home {
        &self.home
    }

    pub fn socket_path(&self) -> PathBuf {
        PathBuf::from(&self.settings["SIGNET_SOCKET"])
    }

    pub fn listen(&self) -> SocketAddr {
        self.settings["SIGNET_LISTEN"].parse().expect("an address")
    }

    pub fn admin_listen(&self) -> SocketAddr {
        self.settings["SIGNET_ADMIN_LISTEN"].parse().expect("an address")
    }

    /// A command of the binary with these settings and nothing else in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(signet());
        command.args(arguments).env_clear().envs(&self.settings);
        command
    }

    /// Runs a command to completion.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs a command with this text on standard input. Its log is scanned for secrets, too.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        // A command that does not read its input may have ended already.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("ended");
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("UTF-8");
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        self.refuse_leaks(&ran.stderr, &format!("signet {}", arguments.join(" ")));
        ran
    }

    /// Starts a sidecar without waiting for anything.
    pub fn spawn(&self) -> Sidecar {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = self.home.path(&format!("log{number}.jsonl"));
        let child = self
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("started");
        Sidecar {
            child,
            spec: self.clone(),
            log,
        }
    }

    /// Starts a sidecar, and waits until it is ready.
    pub fn start(&self) -> Sidecar {
        let mut sidecar = self.spawn();
        sidecar.wait_until_ready();
        sidecar
    }

    fn refuse_leaks(&self, text: &str, whose: &str) {
        let mut secrets = self.tokens.lock().clone();
        let key_file = self.settings.get("SIGNET_LOCAL_KEY_FILE").map(PathBuf::from);
        let key_file = key_file.unwrap_or_else(|| self.home.data().join("local.key"));
        let key = std::fs::read_to_string(key_file).unwrap_or_default();
        let lines = key.lines().map(str::trim);
        secrets.extend(
            lines
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
        let secret_variables = ["VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET"];
        secrets.extend(
            secret_variables
                .iter()
                .filter_map(|name| self.settings.get(*name).cloned()),
        );
        let found = log::leaks(text, &secrets);
        assert!(found.is_empty(), "the log of {whose} holds secrets: {found:?}");
        assert!(!text.contains("panicked at"), "{whose} panicked:\n{text}");
    }
}

/// A running sidecar. Dropping it kills it and scans its log.
pub struct Sidecar {
    child: Child,
    spec: Spec,
    log: PathBuf,
}

/// A token, with the rest of the answer.
#[derive(Clone, Debug)]
pub struct Signed {
    pub token: String,
    pub kid: String,
    pub exp: i64,
}

impl Signed {
    pub fn from_json(answer: &Value) -> Self {
        let word = |name: &str| {
            answer[name]
                .as_str()
                .unwrap_or_else(|| panic!("no token: {answer}"))
                .to_owned()
        };
        Self {
            token: word("token"),
            kid: word("kid"),
            exp: answer["exp"].as_i64().expect("exp"),
        }
    }

    pub fn is_alive(&self) -> bool {
        time::unix_millis() < self.exp * 1000
    }
}

impl Sidecar {
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn wait_until_ready(&mut self) {
        wait_for("/readyz to be 200", PATIENCE, || {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the sidecar ended with {status}:\n{}", self.log_text());
            }
            (self.try_ready() == Some(200)).then_some(())
        });
    }

    /// The status of `/readyz`, if it answers.
    pub fn try_ready(&self) -> Option<u16> {
        let mut admin = Connection::tcp(self.spec.admin_listen()).ok()?;
        Some(admin.get("/readyz").ok()?.status)
    }

    pub fn socket(&self) -> Connection {
        Connection::unix(&self.spec.socket_path()).expect("the socket answers")
    }

    pub fn public(&self) -> Connection {
        Connection::tcp(self.spec.listen()).expect("the public listener answers")
    }

    pub fn admin(&self) -> Connection {
        Connection::tcp(self.spec.admin_listen()).expect("the admin listener answers")
    }

    /// Posts JSON to the socket, on a new connection.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.socket()
            .post(path, body.to_string().as_bytes())
            .expect("an answer")
    }

    pub fn sign(&self, claims: &Value) -> Signed {
        self.sign_over(&mut self.socket(), &json!({ "claims": claims }))
    }

    pub fn sign_for(&self, subject: &str) -> Signed {
        self.sign(&json!({ "sub": subject, "aud": AUDIENCE }))
    }

    /// Signs over an open connection. The log must not contain the token.
    pub fn sign_over(&self, connection: &mut Connection, request: &Value) -> Signed {
        let answer = connection
            .post("/v1/sign", request.to_string().as_bytes())
            .expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let signed = Signed::from_json(&answer.json());
        self.remember(&signed.token);
        signed
    }

    pub fn remember(&self, token: &str) {
        let signature = token.rsplit('.').next().unwrap_or_default();
        let mut tokens = self.spec.tokens.lock();
        tokens.push(signature.to_owned());
    }

    pub fn verify(&self, token: &str) -> Value {
        let answer = self.post("/v1/verify", &json!({ "token": token, "audience": [AUDIENCE] }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub fn ring(&self) -> Value {
        self.socket().get("/v1/ring").expect("an answer").json()
    }

    pub fn jwks_kids(&self) -> Vec<String> {
        kids(&self.public().get("/.well-known/jwks.json").expect("an answer").json())
    }

    pub fn readiness(&self) -> (u16, Value) {
        let answer = self.admin().get("/readyz").expect("an answer");
        (answer.status, answer.json())
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("it takes the signal");
    }

    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Waits for the process to end.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait_for("the sidecar to end", limit, || self.child.try_wait().expect("a child"))
    }

    /// Stops the process as an orchestrator does, with SIGTERM.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(PATIENCE);
        assert_eq!(status.code(), Some(0), "{}", self.log_text());
    }

    /// Kills the process, as a power cut would.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The lines of the log with this message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let text = self.log_text();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message)))
            .collect()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.kill();
        let log = self.log_text();
        if std::thread::panicking() {
            let telling = |line: &&str| !line.contains("\"TRACE\"") && !line.contains("\"DEBUG\"");
            let tail: Vec<&str> = log.lines().filter(telling).collect();
            say(format!(
                "--- log of {}\n{}",
                self.spec.socket_path().display(),
                tail[tail.len().saturating_sub(40)..].join("\n")
            ));
        } else {
            self.spec.refuse_leaks(&log, "a sidecar");
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// The kids of a JWKS or a ring.
pub fn kids(set: &Value) -> Vec<String> {
    let keys = set["keys"].as_array().map_or(&[][..], Vec::as_slice);
    keys.iter()
        .filter_map(|key| key["kid"].as_str())
        .map(str::to_owned)
        .collect()
}

/// The kid of the key in this phase, if there is one.
pub fn kid_in_phase(ring: &Value, phase: &str) -> Option<String> {
    let keys = ring["keys"].as_array()?;
    let key = keys.iter().find(|key| key["phase"] == phase)?;
    Some(key["kid"].as_str()?.to_owned())
}
