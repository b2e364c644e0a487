//! Backends that do what a test says.

use std::io::{BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::message::{body, first, head};

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
