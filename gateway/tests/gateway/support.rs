//! A gateway that is the real binary, backends that do what a test says, and a client that sees every byte.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

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

/// The first value of a header.
fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(at, _)| at == name)
        .map(|(_, value)| value.as_str())
}

/// A request that a backend has received.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    pub(crate) fn json(&self) -> Value {
        let mut headers = serde_json::Map::new();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.as_str().into());
        }
        serde_json::json!({"method": self.method, "target": self.target, "headers": headers, "body": self.body})
    }
}

/// A backend that does what a test says. It lives as long as the test.
pub(crate) struct Backend {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Answers each request with this function, which may write anything.
    pub(crate) fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (answer, all, opened) = (Arc::new(answer), Arc::clone(&asked), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                opened.fetch_add(1, Ordering::Relaxed);
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                    let mut stream = stream;
                    while let Ok((first, headers)) = head(&mut reader) {
                        let Ok(body) = body(&mut reader, &headers, false) else {
                            return;
                        };
                        let mut words = first.split(' ').map(str::to_owned);
                        let one = Asked {
                            method: words.next().unwrap_or_default(),
                            target: words.next().unwrap_or_default(),
                            headers,
                            body: String::from_utf8_lossy(&body).into_owned(),
                        };
                        all.lock().expect("a lock").push(one.clone());
                        answer(&one, &mut stream);
                    }
                });
            }
        });
        Self {
            address,
            asked,
            connections,
        }
    }

    /// Handles each connection with this function, which reads the request itself.
    pub(crate) fn raw(handle: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let handle = Arc::new(handle);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let handle = Arc::clone(&handle);
                std::thread::spawn(move || handle(&mut stream));
            }
        });
        Self {
            address,
            asked: Arc::default(),
            connections: Arc::default(),
        }
    }

    /// Answers with a description of the request.
    pub(crate) fn echo() -> Self {
        Self::start(|asked, stream| {
            reply(
                stream,
                200,
                &[("content-type", "application/json")],
                &asked.json().to_string(),
            )
        })
    }

    /// Answers each path with this JSON, and others with 404.
    pub(crate) fn json(answers: &'static [(&'static str, &'static str)]) -> Self {
        Self::start(move |asked, stream| {
            let found = answers.iter().find(|(path, _)| *path == asked.target);
            let json = [("content-type", "application/json")];
            match found {
                Some((_, body)) => reply(stream, 200, &json, body),
                None => reply(stream, 404, &json, r#"{"error":"nothing"}"#),
            }
        })
    }

    pub(crate) fn host(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections the backend has accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// All requests that the backend has received so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a lock").clone()
    }
}

/// Writes an answer with its length.
pub(crate) fn reply(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &str) {
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
}

/// The first line of a message, and its headers with names in lower case.
pub(crate) fn head(stream: &mut impl BufRead) -> std::io::Result<(String, Vec<(String, String)>)> {
    let first = line(stream)?;
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok((first, headers));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn line(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn body(stream: &mut impl BufRead, headers: &[(String, String)], to_the_end: bool) -> std::io::Result<Vec<u8>> {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(at, _)| at == name)
            .map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if header("transfer-encoding").is_some() {
        loop {
            let length = usize::from_str_radix(&line(stream)?, 16).map_err(std::io::Error::other)?;
            let mut chunk = vec![0; length];
            stream.read_exact(&mut chunk)?;
            line(stream)?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }
    match header("content-length") {
        Some(length) => {
            body.resize(length.parse().map_err(std::io::Error::other)?, 0);
            stream.read_exact(&mut body)?;
        }
        None if to_the_end => drop(stream.read_to_end(&mut body)?),
        None => {}
    }
    Ok(body)
}
