//! Backends that are slow, silent or gone, or send something unexpected.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Backend, Gateway, reply};

fn served(backend: &Backend, timeout: &str) -> Gateway {
    Gateway::start(&json!({"host": [backend.host()], "timeout": timeout, "endpoints": [
        {"endpoint": "/object", "backend": [{"url_pattern": "/object"}]},
        {"endpoint": "/filtered", "backend": [{"url_pattern": "/filtered", "deny": ["x"]}]},
        {"endpoint": "/stream", "output_encoding": "no-op", "backend": [{"url_pattern": "/stream"}]},
        {"endpoint": "/merge", "backend": [{"url_pattern": "/merge"}, {"url_pattern": "/good", "group": "good"}]},
    ], "extra_config": {"router": {"return_error_msg": true}}}))
}

#[test]
fn a_silent_backend_is_waited_for_no_longer_than_the_timeout() {
    let backend = Backend::start(|asked, stream| match asked.target.as_str() {
        "/good" => reply(stream, 200, &[], "{\"a\":1}"),
        _ => std::thread::sleep(Duration::from_secs(3600)),
    });
    let gateway = served(&backend, "300ms");
    for path in ["/object", "/filtered", "/stream"] {
        let since = Instant::now();
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, "a backend did not answer in time"),
            "{path}"
        );
        assert!(since.elapsed() >= Duration::from_millis(300), "{path}");
    }
    let answer = gateway.get("/merge");
    assert_eq!((answer.status, answer.json()), (200, json!({"good": {"a": 1}})));
    assert_eq!(answer.header("x-krakend-completed"), Some("false"));
}

#[test]
fn a_backend_that_is_gone_is_an_error_that_names_no_host() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let gateway = Gateway::start(&json!({"host": [format!("http://{address}")], "endpoints": [
        {"endpoint": "/x", "backend": [{"url_pattern": "/x"}]}], "extra_config": {"router": {"return_error_msg": true}}}));
    let answer = gateway.get("/x");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "a backend cannot be reached")
    );
}

#[test]
fn what_is_no_answer_is_the_failure_of_its_backend_alone() {
    const GARBAGE: &[(&str, &str)] = &[
        ("no http at all", "hello\r\n\r\n"),
        ("html", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"),
        ("cut off", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":1}"),
        (
            "cut off in a chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n",
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n{\"a\":1}",
        ),
        (
            "a length that is no number",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{\"a\":1}",
        ),
        (
            "compressed",
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
        ),
        ("too long", "HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{"),
    ];
    for (name, octets) in GARBAGE {
        let backend = Backend::start(move |asked, stream| match asked.target.as_str() {
            "/good" => reply(stream, 200, &[], "{\"a\":1}"),
            _ => {
                stream.write_all(octets.as_bytes()).expect("sent");
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        });
        let gateway = served(&backend, "5s");
        for path in ["/object", "/filtered"] {
            let answer = gateway.get(path);
            assert_eq!(answer.status, 500, "{name}: {answer:?}");
            assert!(answer.body.starts_with("a backend"), "{name}: {answer:?}");
        }
        let answer = gateway.get("/merge");
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"good": {"a": 1}})),
            "{name}"
        );
    }
}

#[test]
fn redirects_are_followed_to_hosts_of_the_file_only() {
    let elsewhere = Backend::echo();
    let host = elsewhere.host();
    let backend = Backend::start(move |asked, stream| match asked.target.as_str() {
        "/object" => reply(stream, 302, &[("location", "/moved")], ""),
        "/moved" => reply(stream, 307, &[("location", "/there")], ""),
        "/there" => reply(stream, 200, &[], r#"{"is":"there"}"#),
        "/stream" => reply(stream, 302, &[("location", &format!("{host}/steal"))], ""),
        "/filtered" => reply(stream, 302, &[("location", "/filtered")], ""),
        _ => reply(stream, 302, &[("location", &format!("{host}/steal"))], ""),
    });
    let gateway = served(&backend, "5s");
    assert_eq!(gateway.get("/object").json(), json!({"is": "there"}));
    let handed_on = gateway.get("/stream");
    assert_eq!((handed_on.status, handed_on.header("location").is_some()), (302, true));
    assert_eq!(gateway.get("/filtered").body, "a backend redirected more than 10 times");
    assert_eq!(gateway.get("/merge").status, 500);
    assert!(elsewhere.asked().is_empty(), "nobody else was asked");
}

#[test]
fn an_answer_with_a_head_without_end_is_refused() {
    let backend = Backend::start(|_, stream| {
        let line = format!("x-more: {}\r\n", "a".repeat(100));
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(10_000)).as_bytes());
    });
    let gateway = served(&backend, "5s");
    for path in ["/object", "/stream"] {
        assert_eq!(gateway.get(path).status, 500, "{path}");
    }
}

#[test]
fn an_answer_without_length_is_read_no_further_than_its_bound() {
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"a\":\"");
        let piece = vec![b'a'; 1024 * 1024];
        // Keeps the connection open until the other side closes it.
        while stream.write_all(&piece).is_ok() {}
    });
    let gateway = served(&backend, "20s");
    for path in ["/object", "/filtered"] {
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, "a backend's response is longer than 8 MiB"),
            "{path}"
        );
    }
}

#[test]
fn a_connection_that_a_backend_closed_meanwhile_costs_no_request() {
    let backend = Backend::start(|_, stream| {
        reply(stream, 200, &[], "{\"a\":1}");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let gateway = served(&backend, "5s");
    for _ in 0..20 {
        assert_eq!(gateway.get("/object").status, 200);
    }
}
