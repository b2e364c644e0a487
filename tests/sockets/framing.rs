//! Requests with wrong beginnings or ends: each gets its answer, and the client sees it.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::json;

use crate::harness::AUDIENCE;
use crate::harness::http::Connection;
use crate::harness::time::instant;
use crate::target::{LISTENERS, Listener};

/// Shorter than any timeout after which an answer might come anyway.
const SOON: Duration = Duration::from_secs(3);

fn sign() -> String {
    let body = json!({ "claims": { "sub": "client", "aud": AUDIENCE } }).to_string();
    format!(
        "POST /v1/sign HTTP/1.1\r\nhost: signet\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn get(listener: Listener) -> String {
    format!("GET {} HTTP/1.1\r\nhost: signet\r\n\r\n", listener.path())
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    for listener in LISTENERS {
        let target = listener.target();
        let post = match listener {
            Listener::Socket => sign(),
            _ => format!("{}GET", get(listener)),
        };
        // The extra line end of old clients (RFC 9112 §2.2), one byte, and most of a request.
        for extra in ["\r\n", "\r", "G", "POST /v1/sign HTTP/1.1\r\nhost: sig"] {
            let octets = post.trim_end_matches("GET").to_owned() + extra;
            let mut connection = target.connect(listener);
            connection.send(octets.as_bytes()).expect("sent");
            let start = instant();
            let answer = connection.answer("POST").expect("an answer");
            assert_eq!(answer.status, 200, "{listener:?} {extra:?}: {}", answer.text());
            assert!(start.elapsed() < SOON, "{listener:?} {extra:?}: {:?}", start.elapsed());
        }
    }
}

/// As `printf … | nc -N` does: sends the request and closes its sending side at once.
#[test]
fn who_ends_its_side_after_a_request_gets_the_answer() {
    for listener in LISTENERS {
        let target = listener.target();
        let request = match listener {
            Listener::Socket => sign(),
            _ => get(listener),
        };
        for round in 0..40 {
            let mut connection = target.connect(listener);
            connection.send(request.as_bytes()).expect("sent");
            connection.no_more().expect("ended");
            let answer = connection
                .answer("POST")
                .unwrap_or_else(|error| panic!("{listener:?}, round {round}: {error}"));
            assert_eq!(answer.status, 200, "{listener:?}, round {round}: {}", answer.text());
            assert!(connection.ends_within(SOON), "{listener:?}, round {round}");
        }
    }
}

#[test]
fn a_body_of_which_half_comes_before_the_end_is_answered_with_400() {
    let listener = Listener::Socket;
    let target = listener.target();
    let whole = sign();
    let half = &whole[..whole.len() - 10];
    let mut connection = target.connect(listener);
    connection.send(half.as_bytes()).expect("sent");
    connection.no_more().expect("ended");
    let answer = connection.answer("POST").expect("an answer");
    assert_eq!((answer.status, answer.problem()), (400, "broken_body".to_owned()));
    assert!(connection.ends_within(SOON));
}

#[test]
fn who_ends_its_side_and_reads_nothing_keeps_its_place_from_nobody() {
    const MUCH: usize = 4 * 1024 * 1024;
    for listener in LISTENERS {
        let target = listener.target_with(&[("SIGNET_MAX_CONNECTIONS", "2")]);
        let octets = get(listener).repeat(MUCH / get(listener).len());
        let deaf: Vec<_> = (0..2)
            .map(|_| {
                let mut stream = listener.open(&target);
                let _ = stream.write_all(octets.as_bytes());
                stream.no_more().expect("ended");
                stream
            })
            .collect();
        for _ in 0..3 {
            let start = instant();
            let answer = target.connect(listener).get(listener.path()).expect("an answer");
            assert_eq!(answer.status, 200, "{listener:?}");
            assert!(start.elapsed() < SOON, "{listener:?}: {:?}", start.elapsed());
        }
        drop(deaf);
    }
}

#[test]
fn an_answer_without_an_end_ends_with_its_client() {
    let listener = Listener::Socket;
    // A stream of events counts as work, so it keeps its place as long as it lasts.
    let target = listener.target_with(&[("SIGNET_MAX_CONNECTIONS", "1")]);
    let follow = || {
        let mut events = target.connect(listener);
        let head = "GET /v1/ring/events HTTP/1.1\r\nhost: signet\r\n\r\n";
        events.send(head.as_bytes()).expect("sent");
        events
    };
    let mut events = follow();
    assert_eq!(events.head().expect("a head").status, 200);
    events.chunk().expect("the ring as it is now");
    let start = instant();
    drop(events);
    // Sooner than the next keep-alive comment would fail to be written.
    let mut events = follow();
    events.no_more().expect("ended");
    assert_eq!(events.head().expect("a head").status, 200);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    events.chunk().expect("the ring as it is now");
    assert!(events.ends_within(SOON), "it is written for nobody");
}

#[test]
fn a_coding_that_is_not_known_is_answered_with_501() {
    for listener in LISTENERS {
        let target = listener.target();
        for codings in ["gzip, chunked", "chunked, chunked", "identity, chunked"] {
            let path = listener.path();
            let octets = format!(
                "POST {path} HTTP/1.1\r\nhost: s\r\ntransfer-encoding: {codings}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{}",
                get(listener)
            );
            let mut connection = target.connect(listener);
            connection.send(octets.as_bytes()).expect("sent");
            let answer = connection.answer("POST").expect("an answer");
            assert_eq!(
                (answer.status, answer.problem(), answer.header("connection")),
                (501, "unknown_coding".to_owned(), Some("close")),
                "{listener:?}, {codings}"
            );
            assert!(
                connection.is_closed_within(SOON),
                "{listener:?}: nothing after it is answered"
            );
        }
    }
}

#[test]
fn a_good_request_before_garbage_is_answered_and_then_comes_a_400() {
    for listener in LISTENERS {
        let target = listener.target();
        let mut connection = target.connect(listener);
        let octets = get(listener) + "\u{1}\u{2}\u{3}\r\n\r\n";
        connection.send(octets.as_bytes()).expect("sent");
        assert_eq!(connection.answer("GET").expect("an answer").status, 200, "{listener:?}");
        assert_eq!(connection.answer("GET").expect("an answer").status, 400, "{listener:?}");
        assert!(connection.ends_within(SOON), "{listener:?}");
    }
}

#[test]
fn malformed_requests_are_answered_before_the_connection_closes() {
    let long = format!("GET / HTTP/1.1\r\nhost: s\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let uri = format!("GET /{} HTTP/1.1\r\nhost: s\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    let cases = [
        ("a blank in a header's name", 400, "GET / HTTP/1.1\r\nx y: z\r\n\r\n"),
        ("a NUL in a header", 400, "GET / HTTP/1.1\r\nx: \0\r\n\r\n"),
        ("a folded header", 400, "GET / HTTP/1.1\r\nx: y\r\n z\r\n\r\n"),
        ("no colon", 400, "GET / HTTP/1.1\r\nhost\r\n\r\n"),
        ("noise", 400, "\u{1}\u{2}\u{3}\r\n\r\n"),
        ("no version", 400, "GET /\r\n\r\n"),
        ("another version", 400, "GET / HTTP/3.0\r\nhost: s\r\n\r\n"),
        (
            "two lengths",
            400,
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        ),
        (
            "a length below zero",
            400,
            "POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        ),
        (
            "an unknown coding",
            400,
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        ),
        ("101 headers", 431, &many),
        ("a long header", 431, &long),
        ("a long target", 431, &uri),
    ];
    for listener in LISTENERS {
        let target = listener.target();
        for (name, status, octets) in cases {
            let mut connection = target.connect(listener);
            connection
                .send(octets.as_bytes())
                .unwrap_or_else(|error| panic!("{listener:?}, {name}: {error}"));
            let answer = connection
                .answer("GET")
                .unwrap_or_else(|error| panic!("{listener:?}, {name}: {error}"));
            assert_eq!(answer.status, status, "{listener:?}, {name}");
            assert_eq!(answer.header("connection"), Some("close"), "{listener:?}, {name}");
            assert!(connection.ends_within(SOON), "{listener:?}, {name}");
        }
    }
}

#[test]
fn a_length_and_a_coding_together_are_not_the_beginning_of_another_request() {
    for listener in LISTENERS {
        let target = listener.target();
        for (one, other) in [
            ("content-length: 4", "transfer-encoding: chunked"),
            ("transfer-encoding: chunked", "content-length: 4"),
        ] {
            let inner = get(listener);
            let octets = format!(
                "POST {} HTTP/1.1\r\n{one}\r\n{other}\r\n\r\n0\r\n\r\n{inner}",
                listener.path()
            );
            let mut connection = target.connect(listener);
            connection.send(octets.as_bytes()).expect("sent");
            let answer = connection.answer("POST").expect("an answer");
            assert!((400..500).contains(&answer.status), "{listener:?}: {}", answer.status);
            assert!(
                connection.is_closed_within(SOON),
                "{listener:?}: nothing after it is answered"
            );
        }
    }
}

#[test]
fn a_head_that_comes_too_slowly_gets_a_408() {
    for listener in LISTENERS {
        let target = listener.target_with(&[("SIGNET_HEADER_TIMEOUT", "1s")]);
        let mut connection = target.connect(listener);
        connection.send(b"GET / HTTP/1.1\r\nhost:").expect("sent");
        let answer = connection.answer("GET").expect("an answer");
        assert_eq!(answer.status, 408, "{listener:?}");
        assert_eq!(
            answer.json()["type"],
            "urn:signet:problem:request_timeout",
            "{listener:?}"
        );
        assert!(connection.ends_within(SOON), "{listener:?}");
    }
}

/// Sends a whole large body before reading, like simple clients.
fn send_all(listener: Listener, connection: &mut Connection, path: &str, head: &str, name: &str) -> u16 {
    const LARGE: usize = 5_000_000;
    let mut octets =
        format!("POST {path} HTTP/1.1\r\nhost: signet\r\n{head}content-length: {LARGE}\r\n\r\n").into_bytes();
    octets.resize(octets.len() + LARGE, b'a');
    connection
        .send(&octets)
        .unwrap_or_else(|error| panic!("{listener:?}, {name}: {error}"));
    let answer = connection
        .answer("POST")
        .unwrap_or_else(|error| panic!("{listener:?}, {name}: {error}"));
    assert_eq!(answer.header("connection"), Some("close"), "{listener:?}, {name}");
    answer.status
}

#[test]
fn a_client_that_is_still_sending_its_body_gets_the_answer() {
    for listener in LISTENERS {
        let target = listener.target();
        let paths: &[(&str, u16)] = match listener {
            Listener::Socket => &[
                ("/v1/verify", 413),
                ("/v1/sign/batch", 413),
                ("/v1/ring", 405),
                ("/nowhere", 404),
            ],
            _ => &[("/nowhere", 404), (listener.path(), 405)],
        };
        for (path, status) in paths {
            let mut connection = target.connect(listener);
            assert_eq!(
                send_all(listener, &mut connection, path, "", path),
                *status,
                "{listener:?} {path}"
            );
            assert!(connection.ends_within(SOON), "{listener:?} {path}");
        }
        // If nobody reads a short body that arrived with its head, the connection stays open.
        let mut connection = target.connect(listener);
        for _ in 0..3 {
            let answer = connection.post("/nowhere", b"short").expect("an answer");
            assert_eq!(
                (answer.status, answer.header("connection")),
                (404, None),
                "{listener:?}"
            );
        }
    }
}

#[test]
fn who_goes_on_sending_after_the_last_answer_is_not_listened_to_for_long() {
    let listener = Listener::Public;
    let target = listener.target();
    let mut stream = listener.open(&target);
    let head = "POST / HTTP/1.1\r\nhost: signet\r\ncontent-length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 404");
    let (start, mut sent) = (instant(), 0_usize);
    while stream.write_all(&[b'a'; 1024]).is_ok() {
        sent += 1024;
        assert!(
            sent < 256 * 1024 * 1024 && start.elapsed() < Duration::from_secs(20),
            "it still listens"
        );
    }
}
