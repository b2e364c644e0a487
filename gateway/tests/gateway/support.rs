//! A gateway that is the real binary, and a client that sees every byte.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use crate::backend::{Backend, reply};
pub(crate) use crate::message::head;
use crate::message::{body, first};

/// The name of the file that is served.
const FILE: &str = "krakend.json";
/// The environment of a gateway that has no sidecar.
pub(crate) const NO_SIDECAR: &[(&str, &str)] = &[("SIGNET_SOCKET", "off")];
/// How long an expected event may take.
const SOON: Duration = Duration::from_secs(20);

/// A running gateway. It is killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
    directory: tempfile::TempDir,
}

impl Gateway {
    /// Serves a file, with the port added.
    pub(crate) fn start(file: &Value) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), file)
    }

    /// Serves a file that may name others in this directory.
    pub(crate) fn start_in(directory: tempfile::TempDir, file: &Value) -> Self {
        Self::start_with(directory, file, NO_SIDECAR)
    }

    /// Serves a file with these variables in the environment.
    pub(crate) fn start_with(directory: tempfile::TempDir, file: &Value, variables: &[(&str, &str)]) -> Self {
        Self::run(directory, FILE, variables, |address| complete(file, address))
    }

    /// Serves a file with this name and text, which must listen on the given address.
    pub(crate) fn start_text(
        directory: tempfile::TempDir,
        name: &str,
        text: impl FnOnce(SocketAddr) -> String,
    ) -> Self {
        Self::run(directory, name, NO_SIDECAR, text)
    }

    fn run(
        directory: tempfile::TempDir,
        name: &str,
        variables: &[(&str, &str)],
        text: impl FnOnce(SocketAddr) -> String,
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        std::fs::write(directory.path().join(name), text(address)).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
            .args(["run", "-c"])
            .arg(directory.path().join(name))
            .env("XDG_STATE_HOME", directory.path())
            .env("SIGNET_GATEWAY_ADMIN_LISTEN", admin.to_string())
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let log: Arc<Mutex<String>> = Arc::default();
        let (stderr, written) = (child.stderr.take().expect("piped"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                written.lock().expect("a lock").push_str(&format!("{line}\n"));
            }
        });
        let mut gateway = Self {
            child,
            address,
            admin,
            log,
            directory,
        };
        gateway.wait();
        gateway
    }

    /// Starts a gateway that ends at once. The result is its exit code, and what it wrote to standard error.
    pub(crate) fn refused(file: &Value, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        std::fs::write(directory.path().join(FILE), complete(file, address)).expect("written");
        let ended = Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
            .args(["run", "-c"])
            .arg(directory.path().join(FILE))
            .env("XDG_STATE_HOME", directory.path())
            .envs(variables.iter().copied())
            .output()
            .expect("started");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// Asks the admin listener.
    pub(crate) fn admin(&self, method: &str, target: &str) -> Answer {
        exchange(self.admin, method, target, &[], "")
    }

    fn wait(&mut self) {
        let since = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait().expect("a child") {
                // Its last lines may still be on their way.
                std::thread::sleep(Duration::from_millis(100));
                panic!("the gateway ended with {status}: {}", self.log());
            }
            assert!(since.elapsed() < SOON, "the gateway does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Puts another file in place of the one that is served. Readers see the old one or the new one.
    pub(crate) fn rewrite(&self, file: &Value) {
        self.rewrite_text(&complete(file, self.address));
    }

    pub(crate) fn rewrite_text(&self, text: &str) {
        let next = self.path("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(next, self.path(FILE)).expect("renamed");
    }

    /// A path in the directory of the file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// All lines of the log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("a lock").clone()
    }

    /// Runs a command with a file, and returns its exit code and the text of its errors.
    pub(crate) fn command(command: &str, file: &Value) -> (Option<i32>, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        std::fs::write(&path, complete(file, address)).expect("written");
        let ran = Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
            .args([command, "-c"])
            .arg(&path)
            .env("XDG_STATE_HOME", directory.path())
            .output()
            .expect("it ran");
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    }

    /// Waits until the log has this text so many times.
    pub(crate) fn logs(&self, text: &str, times: usize) {
        let since = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(since.elapsed() < SOON, "not {times} times {text:?} in: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(sent.success());
    }

    /// The memory that the process has in use, and the most that it ever had, in bytes.
    pub(crate) fn memory(&self) -> (usize, usize) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a status");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// Waits for the process to end.
    pub(crate) fn ends(&mut self) -> std::process::ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(since.elapsed() < SOON, "the gateway does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends these bytes, and reads until the gateway closes the connection.
    pub(crate) fn raw(&self, octets: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(octets.as_bytes()).expect("sent");
        let mut answer = Vec::new();
        // A connection may be reset after the answer.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "")
    }

    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        exchange(self.address, method, target, headers, body)
    }
}

/// Sends a request, and reads the answer.
fn exchange(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = connect(address);
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: gateway.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("sent");
    let mut stream = BufReader::new(stream);
    match method {
        "HEAD" => Answer::read_head(&mut stream).expect("an answer"),
        _ => Answer::read(&mut stream).expect("an answer"),
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The file with its version and address.
fn complete(file: &Value, address: SocketAddr) -> String {
    let mut file = file.clone();
    file["version"] = 3.into();
    file["port"] = address.port().into();
    file["listen_ip"] = address.ip().to_string().into();
    file.to_string()
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// Reads an answer. Its end follows from the length, the chunks, or the end of the connection.
    pub(crate) fn read(stream: &mut impl BufRead) -> std::io::Result<Self> {
        let answer = Self::read_head(stream)?;
        let body = body(stream, &answer.headers, answer.status != 204 && answer.status != 304)?;
        Ok(Self {
            body: String::from_utf8_lossy(&body).into_owned(),
            ..answer
        })
    }

    /// Reads an answer without a body, whatever its length says.
    fn read_head(stream: &mut impl BufRead) -> std::io::Result<Self> {
        let (first, headers) = head(stream)?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            status,
            headers,
            body: String::new(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
