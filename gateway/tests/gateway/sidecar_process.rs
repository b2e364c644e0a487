//! A sidecar that is the real binary, beside the gateway.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, free_port};

/// The `iss` of its tokens. Nobody serves its URL, so keys can come from the socket only.
pub(crate) const ISSUER: &str = "https://issuer.test";
/// The URL of its keys.
pub(crate) const JWKS: &str = "https://issuer.test/.well-known/jwks.json";
/// A user that owns nothing.
pub(crate) const STRANGER: u32 = 65534;
const SOON: Duration = Duration::from_secs(20);

/// A running sidecar. It is killed when it is dropped.
pub(crate) struct Sidecar {
    child: Child,
    spec: Spec,
    admin: SocketAddr,
}

/// How to start a sidecar, again and again with the same ring.
#[derive(Clone)]
pub(crate) struct Spec {
    directory: PathBuf,
    binary: PathBuf,
    settings: Vec<(String, String)>,
    uid: Option<u32>,
}

impl Spec {
    /// With its socket and its ring in this directory.
    pub(crate) fn new(directory: &Path) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let binary = program.parent().expect("a directory").with_file_name("signet");
        assert!(
            binary.exists(),
            "{} is missing: build the whole workspace",
            binary.display()
        );
        Self {
            directory: directory.to_owned(),
            binary,
            settings: Vec::new(),
            uid: None,
        }
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs as a [`STRANGER`]. Only root can start it like this.
    pub(crate) fn of_stranger(mut self) -> Self {
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&self.directory, everybody).expect("opened");
        let copy = self.directory.join("signet");
        std::fs::copy(&self.binary, &copy).expect("copied");
        self.binary = copy;
        self.uid = Some(STRANGER);
        self
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("s.sock")
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&self) -> Sidecar {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .env_clear()
            .env("SIGNET_DATA_DIR", self.directory.join("data"))
            .env("SIGNET_SOCKET", self.socket())
            .env("SIGNET_LISTEN", format!("127.0.0.1:{}", free_port()))
            .env("SIGNET_ADMIN_LISTEN", admin.to_string())
            .env("SIGNET_ISSUER", ISSUER)
            .env("SIGNET_AUDIENCE", "api")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stderr(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        let mut sidecar = Sidecar {
            child: command.spawn().expect("started"),
            spec: self.clone(),
            admin,
        };
        sidecar.wait();
        sidecar
    }
}

impl Sidecar {
    fn wait(&mut self) {
        let since = Instant::now();
        while self.ready() != Some(200) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the sidecar ended with {status}");
            }
            assert!(since.elapsed() < SOON, "the sidecar is not ready");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ready(&self) -> Option<u16> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        let request = "GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        Some(Answer::read(&mut BufReader::new(stream)).ok()?.status)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Kills the process, as a power cut would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Signs a token for the audience `api`.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut all = json!({ "sub": "user-7", "aud": "api" });
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        let body = json!({ "claims": all }).to_string();
        let stream = UnixStream::connect(self.spec.socket()).expect("the socket");
        let mut stream = BufReader::new(stream);
        let head = format!(
            "POST /v1/sign HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes()).expect("sent");
        let answer = Answer::read(&mut stream).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// Runs `signet keys` with the ring of this sidecar.
    pub(crate) fn keys(&self, arguments: &[&str]) {
        let ran = Command::new(&self.spec.binary)
            .arg("keys")
            .args(arguments)
            .env_clear()
            .env("SIGNET_DATA_DIR", self.spec.directory.join("data"))
            .env("SIGNET_SOCKET", self.spec.socket())
            .env("SIGNET_ISSUER", ISSUER)
            .envs(self.spec.settings.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("ran");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.kill();
    }
}
