//! A gateway that is the real binary, backends that do what a test says, and a client that sees every byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long an expected event may take.
const SOON: Duration = Duration::from_secs(20);

/// A running gateway. It is killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Gateway {
    /// Serves a file, with the port added.
    pub(crate) fn start(file: &Value) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("krakend.json");
        let port = free_port();
        let mut file = file.clone();
        file["version"] = 3.into();
        file["port"] = port.into();
        file["listen_ip"] = "127.0.0.1".into();
        std::fs::write(&path, file.to_string()).expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
            .args(["run", "-c"])
            .arg(&path)
            .env("XDG_STATE_HOME", directory.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut gateway = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            _directory: directory,
        };
        gateway.wait();
        gateway
    }

    fn wait(&mut self) {
        let since = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait().expect("a child") {
                let mut text = String::new();
                let stderr = self.child.stderr.as_mut().expect("piped");
                stderr.read_to_string(&mut text).expect("text");
                panic!("the gateway ended with {status}: {text}");
            }
            assert!(since.elapsed() < SOON, "the gateway does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
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

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        stream
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
        let mut stream = self.connect();
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
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
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
    pub(crate) fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Self> {
        let answer = Self::read_head(stream)?;
        let body = body(stream, &answer.headers, answer.status != 204 && answer.status != 304)?;
        Ok(Self {
            body: String::from_utf8_lossy(&body).into_owned(),
            ..answer
        })
    }

    /// Reads an answer without a body, whatever its length says.
    fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Self> {
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
}

impl Backend {
    /// Answers each request with this function, which may write anything.
    pub(crate) fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (answer, all) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
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
        Self { address, asked }
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
fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, Vec<(String, String)>)> {
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

fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn body(stream: &mut BufReader<TcpStream>, headers: &[(String, String)], to_the_end: bool) -> std::io::Result<Vec<u8>> {
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
