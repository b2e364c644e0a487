//! The connections to backends: when one is used again, when it is not, and how this affects requests.

use std::io::{BufReader, Read as _, Write as _};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Backend, Gateway, reply};

const OBJECT: &str = r#"{"a":1}"#;
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn served(backend: &Backend) -> Gateway {
    let stream = |path: &str| json!({"endpoint": path, "output_encoding": "no-op", "backend": [{"url_pattern": path}]});
    let mut upload = stream("/upload");
    upload["method"] = "POST".into();
    Gateway::start(&json!({"host": [backend.host()], "timeout": "10s", "endpoints": [
        stream("/stream"), stream("/chunked"), stream("/empty"), stream("/pieces"), upload,
        {"endpoint": "/object", "backend": [{"url_pattern": "/object"}]},
        {"endpoint": "/error", "backend": [{"url_pattern": "/error"}]},
        {"endpoint": "/late", "timeout": "300ms", "backend": [{"url_pattern": "/late"}]},
        {"endpoint": "/stale", "backend": [{"url_pattern": "/stale"}]},
        {"endpoint": "/merge", "backend": [{"url_pattern": "/object", "group": "a"}, {"url_pattern": "/object", "group": "b"}]},
    ]}))
}

fn backend() -> Backend {
    Backend::start(|asked, stream| match asked.target.as_str() {
        "/chunked" => {
            let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
            stream.write_all(chunks.as_bytes()).expect("sent");
        }
        "/empty" => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("sent"),
        "/pieces" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
                .expect("sent");
            for piece in ["ab", "cd", "ef"] {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(piece.as_bytes()).expect("sent");
            }
        }
        "/error" => reply(stream, 500, JSON, r#"{"error":"something that nobody reads"}"#),
        "/stale" => {
            // The answer does not announce that the connection ends after it.
            reply(stream, 200, JSON, OBJECT);
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        "/upload" => reply(stream, 200, JSON, &json!({"octets": asked.body.len()}).to_string()),
        _ => reply(stream, 200, JSON, OBJECT),
    })
}

#[test]
fn a_connection_is_used_again_after_every_kind_of_answer() {
    let backend = backend();
    let gateway = served(&backend);
    // All requests over one connection are served by one thread, which has its own connections.
    let stream = gateway.connect();
    let mut writer = stream.try_clone().expect("a stream");
    let mut reader = BufReader::new(stream);
    let mut ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: gateway.test\r\n\r\n");
        writer.write_all(request.as_bytes()).expect("sent");
        Answer::read(&mut reader).expect("an answer")
    };
    for _ in 0..3 {
        for (path, status, body) in [
            ("/stream", 200, OBJECT),
            ("/chunked", 200, "abcde"),
            ("/empty", 204, ""),
            ("/pieces", 200, "abcdef"),
            ("/object", 200, OBJECT),
            ("/error", 500, ""),
        ] {
            let answer = ask(path);
            assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
        }
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(ask("/merge").json(), json!({"a": {"a": 1}, "b": {"a": 1}}));
    assert_eq!(backend.connections(), 2, "two requests at once need two connections");
}

#[test]
fn a_connection_that_the_backend_closed_fails_no_request() {
    let backend = backend();
    let gateway = served(&backend);
    for number in 0..40 {
        let answer = gateway.get("/stale");
        assert_eq!((answer.status, answer.body.as_str()), (200, OBJECT), "request {number}");
        // Waits long enough for the end of the connection to arrive. Before that, a request could still be sent on it.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(backend.connections(), 40);
}

#[test]
fn a_connection_whose_answer_nobody_waits_for_is_closed() {
    let (closed, is_closed) = mpsc::channel();
    let closed = Mutex::new(closed);
    let backend = Backend::start(move |asked, stream| match asked.target.as_str() {
        "/object" => reply(stream, 200, JSON, OBJECT),
        _ => {
            let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegin";
            stream.write_all(begin).expect("sent");
            // Returns when the gateway closes the connection.
            let _ = stream.read_to_end(&mut Vec::new());
            closed.lock().expect("a lock").send(()).expect("the test waits");
        }
    });
    let gateway = served(&backend);
    assert_eq!(gateway.get("/late").status, 500);
    let closed = is_closed.recv_timeout(Duration::from_secs(10));
    assert_eq!(closed, Ok(()), "the connection stayed open");
    // The broken connection is not used again.
    for _ in 0..4 {
        assert_eq!(gateway.get("/object").body, OBJECT);
    }
}

#[test]
fn a_long_upload_arrives_whole_and_its_connection_is_used_again() {
    let backend = backend();
    let gateway = served(&backend);
    let body = "x".repeat(3_000_000);
    for _ in 0..4 {
        let answer = gateway.send("POST", "/upload", &[], &body);
        assert_eq!(answer.json(), json!({"octets": 3_000_000}));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(backend.connections() <= threads, "{}", backend.connections());
}
