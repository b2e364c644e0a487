//! A small HTTP/1.1 client that sends exactly what it is given, valid or not, over a Unix socket or TCP.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The code at the end of a problem's `type`.
    pub fn problem(&self) -> String {
        if self.header("content-type") != Some("application/problem+json") {
            return String::new();
        }
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        let kind = problem["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:signet:problem:").unwrap_or_default().to_owned()
    }
}

/// A connection that can be read and written.
pub trait Duplex: Read + Write + Send {
    fn patience(&self, limit: Duration) -> io::Result<()>;
    fn no_more(&self) -> io::Result<()>;
}

impl Duplex for UnixStream {
    fn patience(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn no_more(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Duplex for TcpStream {
    fn patience(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn no_more(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Duplex for StreamOwned<ClientConnection, TcpStream> {
    fn patience(&self, limit: Duration) -> io::Result<()> {
        self.sock.set_read_timeout(Some(limit))
    }

    fn no_more(&self) -> io::Result<()> {
        self.sock.shutdown(Shutdown::Write)
    }
}

/// A connection that stays open as long as the other side allows.
pub struct Connection {
    stream: BufReader<Box<dyn Duplex>>,
}

impl Connection {
    pub fn unix(path: &Path) -> io::Result<Self> {
        Self::over(Box::new(UnixStream::connect(path)?))
    }

    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::over(Box::new(stream))
    }

    pub fn over(stream: Box<dyn Duplex>) -> io::Result<Self> {
        stream.patience(PATIENCE)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request("GET", path, &[], None)
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        self.request("POST", path, &[], Some(body))
    }

    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: signet\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut octets = head.into_bytes();
        octets.extend_from_slice(body.unwrap_or_default());
        self.send(&octets)?;
        self.answer(method)
    }

    /// Sends these bytes unchanged.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(octets)?;
        self.stream.get_mut().flush()
    }

    pub fn no_more(&mut self) -> io::Result<()> {
        self.stream.get_ref().no_more()
    }

    /// Reads the answer to a request with this method.
    pub fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut answer = self.head()?;
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk()? {
                answer.body.extend(chunk);
            }
        } else {
            let length = answer.header("content-length").and_then(|length| length.parse().ok());
            answer.body = vec![0; length.ok_or_else(|| io::Error::other("no length"))?];
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads the status and the headers.
    pub fn head(&mut self) -> io::Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other("no header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Answer {
            status: status.ok_or_else(|| io::Error::other("no status"))?,
            headers,
            body: Vec::new(),
        })
    }

    /// Reads one chunk of a chunked body. `None` at its end.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let length = self.line()?;
        let length = usize::from_str_radix(&length, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok((length > 0).then_some(chunk))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Whether the other side closes within this time without sending anything.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        if self.stream.get_ref().patience(limit).is_err() {
            return true;
        }
        let mut octet = [0];
        match self.stream.read(&mut octet) {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Whether the other side closes within this time, whatever it sends before.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        if self.stream.get_ref().patience(limit).is_err() {
            return true;
        }
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }
}
