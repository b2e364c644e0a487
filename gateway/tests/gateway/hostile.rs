//! Peers that mean harm or are broken: backends that answer early, at length or not at all, requests and answers whose
//! end is not clear, paths with tricks, and clients that do not read.

use std::io::{BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, Backend, Gateway, reply};

fn served(backend: &Backend) -> Gateway {
    Gateway::start(&json!({"host": [backend.host()], "timeout": "5s", "endpoints": [
        {"endpoint": "/object", "backend": [{"url_pattern": "/object"}]},
        {"endpoint": "/filtered", "backend": [{"url_pattern": "/filtered", "allow": ["a"]}]},
        {"endpoint": "/stream", "output_encoding": "no-op", "input_headers": ["*"], "backend": [{"url_pattern": "/stream"}]},
        {"endpoint": "/post", "method": "POST", "output_encoding": "no-op", "input_headers": ["*"],
         "backend": [{"url_pattern": "/post"}]},
        {"endpoint": "/of/{id}", "backend": [{"url_pattern": "/v1/{id}/x?id={id}"}]},
    ], "extra_config": {"router": {"return_error_msg": true}}}))
}

#[test]
fn an_answer_before_the_end_of_the_body_reaches_the_client() {
    let backend = Backend::raw(|stream| {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(b"HTTP/1.1 413 X\r\ncontent-length: 6\r\nconnection: close\r\n\r\nenough");
        std::thread::sleep(Duration::from_millis(200));
    });
    let gateway = served(&backend);
    let mut stream = gateway.connect();
    let head = "POST /post HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&[b'x'; 1000]).expect("sent");
    let answer = Answer::read(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (413, "enough"));
}

#[test]
fn a_backend_that_cuts_off_a_stream_cuts_off_its_client() {
    for framing in [
        "content-length: 100\r\n\r\nhalf",
        "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let backend = Backend::start(move |_, stream| {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{framing}").as_bytes());
            let _ = stream.shutdown(Shutdown::Both);
        });
        let gateway = served(&backend);
        let answer = gateway.raw("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n");
        // What had arrived may be lost with the connection, but the end never looks like a good one.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    }
}

#[test]
fn an_answer_of_a_gigabyte_is_given_up_or_streamed_in_little_memory() {
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n{\"a\":\"");
        let piece = vec![b'a'; 1 << 20];
        for _ in 0..1024 {
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let gateway = served(&backend);
    for path in ["/object", "/filtered"] {
        let answer = gateway.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, "a backend's response is longer than 8 MiB"),
            "{path}"
        );
    }
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .expect("sent");
    let mut piece = vec![0; 1 << 20];
    let mut read = 0;
    // The first part is enough, in less time.
    while read < 64 << 20 {
        let some = stream.read(&mut piece).expect("an answer");
        assert!(some > 0, "the answer ended after {read}");
        read += some;
    }
    let (_, most) = gateway.memory();
    assert!(most < 64 << 20, "{} MiB", most >> 20);
}

#[test]
fn an_answer_with_ten_thousand_headers_is_refused() {
    let backend = Backend::start(|_, stream| {
        let lines: String = (0..10_000).map(|number| format!("x{number}: 1\r\n")).collect();
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{lines}content-length: 7\r\n\r\n{{\"a\":1}}").as_bytes());
    });
    let gateway = served(&backend);
    for path in ["/object", "/filtered", "/stream"] {
        assert_eq!(gateway.get(path).status, 500, "{path}");
    }
}

#[test]
fn an_answer_whose_end_is_not_clear_is_not_passed_on() {
    const ODD: &[(&str, &str)] = &[
        (
            "length and other length",
            "content-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        ),
        ("a list of lengths", "content-length: 4, 5\r\n\r\nabcde"),
        ("a signed length", "content-length: +4\r\n\r\nabcd"),
        ("a folded header", "x-a: b\r\n c: d\r\ncontent-length: 4\r\n\r\nabcd"),
        ("a blank before the colon", "content-length : 4\r\n\r\nabcd"),
        (
            "an unknown coding",
            "transfer-encoding: xchunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        ),
        (
            "a chunk with a wrong length",
            "transfer-encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n",
        ),
        (
            "a chunk with a huge length",
            "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nabcd",
        ),
        ("a nul in a header", "x-a: \0\r\ncontent-length: 4\r\n\r\nabcd"),
    ];
    for (name, answer) in ODD {
        let backend = Backend::start(move |_, stream| {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{answer}").as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
        });
        let gateway = served(&backend);
        let octets = gateway.raw("GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let is_whole = octets.ends_with("abcd") || octets.ends_with("abcde") || octets.ends_with("0\r\n\r\n");
        assert!(octets.starts_with("HTTP/1.1 500") || !is_whole, "{name}: {octets}");
        assert_eq!(gateway.get("/object").status, 500, "{name}");
    }
}

#[test]
fn a_length_beside_chunks_of_a_backend_is_not_passed_on() {
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n7;ext=\"a\"\r\n{\"a\":1}\r\n0\r\nx-late: 1\r\n\r\n",
        );
    });
    let gateway = served(&backend);
    let answer = gateway.get("/stream");
    let is_refused = answer.status == 500;
    assert!(
        is_refused || (answer.body == "{\"a\":1}" && answer.header("content-length").is_none()),
        "{answer:?}"
    );
    assert!(answer.header("x-late").is_none());
}

#[test]
fn bare_line_ends_and_extensions_of_chunks_do_not_hide_a_request() {
    let backend = Backend::echo();
    let gateway = served(&backend);
    let inner = "GET /object HTTP/1.1\r\nhost: a\r\n\r\n";
    for (name, octets) in [
        (
            "a length after a bare line feed in a value",
            format!("POST /post HTTP/1.1\r\nhost: a\r\nx: y\ncontent-length: 0\r\n\r\n{inner}"),
        ),
        (
            "a chunk that ends with a bare line feed",
            format!("POST /post HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\nab\n0\n\n{inner}"),
        ),
        (
            "a line feed in an extension",
            format!(
                "POST /post HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;\nxx\r\nab\r\n0\r\n\r\n{inner}"
            ),
        ),
    ] {
        let before = backend.asked().len();
        let answer = gateway.raw(&octets.replace(
            inner,
            &format!("{}connection: close\r\n\r\n", &inner[..inner.len() - 2]),
        ));
        for asked in &backend.asked()[before..] {
            // What follows the request is a request of its own, or nothing: never a part of a body, and never twice.
            let lengths = [asked.header("content-length"), asked.header("transfer-encoding")];
            assert!(lengths.iter().flatten().count() <= 1, "{name}: {asked:?}: {answer}");
            assert!(!asked.body.contains("GET "), "{name}: {asked:?}: {answer}");
        }
        assert!(backend.asked().len() - before <= 2, "{name}: {answer}");
    }
}

#[test]
fn tricks_in_a_path_lead_to_no_other_place() {
    let backend = Backend::echo();
    let gateway = served(&backend);
    for (target, expected) in [
        ("/of/a", Some("/v1/a/x?id=a")),
        ("/of/a%2Fb", Some("/v1/a%2Fb/x?id=a%2Fb")),
        ("/of/a%00b", Some("/v1/a%00b/x?id=a%00b")),
        ("/of/a%5C..%5Cb", Some("/v1/a%5C..%5Cb/x?id=a%5C..%5Cb")),
        ("/of/a;b=c", Some("/v1/a%3Bb%3Dc/x?id=a%3Bb%3Dc")),
        ("/of/a&id=2", Some("/v1/a%26id%3D2/x?id=a%26id%3D2")),
        ("/of/%2e%2e", None),
        ("/of/.", None),
        ("/of/..", None),
        ("/of/%252e%252e", None),
        ("/of/a%3Fb", None),
        ("/of/a%23b", None),
        ("/of/%ff", None),
        ("/of/%c0%ae%c0%ae", None),
        ("/of/%zz", None),
        ("/of//a", None),
        ("//of/a", None),
        ("/of/a/../b", None),
        ("/x/../of/a", None),
        ("/of/", None),
    ] {
        let before = backend.asked().len();
        let answer = gateway.get(target);
        let asked: Vec<String> = backend.asked()[before..]
            .iter()
            .map(|asked| asked.target.clone())
            .collect();
        assert_eq!(asked.first().map(String::as_str), expected, "{target}: {answer:?}");
        match expected {
            Some(_) => assert_eq!(answer.status, 200, "{target}"),
            None => assert!((300..500).contains(&answer.status), "{target}: {answer:?}"),
        }
    }
    for octets in [
        "GET /of/\0 HTTP/1.1",
        "GET /of/\u{ff} HTTP/1.1",
        "GET /of/a\tb HTTP/1.1",
        "GET /of/a b HTTP/1.1",
    ] {
        let before = backend.asked().len();
        let answer = gateway.raw(&format!("{octets}\r\nhost: a\r\nconnection: close\r\n\r\n"));
        let asked: Vec<String> = backend.asked()[before..]
            .iter()
            .map(|asked| asked.target.clone())
            .collect();
        assert!(
            asked
                .iter()
                .all(|target| target.starts_with("/v1/%") && target.contains("/x?id=%")),
            "{asked:?}"
        );
        assert!(
            !asked.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{octets:?}: {answer}"
        );
    }
}

#[test]
fn a_client_that_reads_nothing_costs_little_and_holds_up_nobody() {
    let backend = Backend::start(|asked, stream| match asked.target.as_str() {
        "/object" => reply(stream, 200, &[], "{\"a\":1}"),
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            let piece = vec![b'a'; 1 << 20];
            for _ in 0..64 {
                if stream.write_all(&piece).is_err() {
                    return;
                }
            }
        }
    });
    let gateway = served(&backend);
    let silent: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = gateway.connect();
            stream
                .write_all(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
                .expect("sent");
            stream
        })
        .collect();
    let since = Instant::now();
    while backend.asked().len() < silent.len() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "{} of them",
            backend.asked().len()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..50 {
        assert_eq!(gateway.get("/object").status, 200);
    }
    let (_, most) = gateway.memory();
    assert!(most < 128 << 20, "{} MiB", most >> 20);
}

#[test]
fn a_client_that_closes_its_sending_side_still_gets_a_slow_answer_in_chunks() {
    let backend = Backend::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nslow\r\n");
        std::thread::sleep(Duration::from_millis(500));
        let _ = stream.write_all(b"4\r\nend.\r\n0\r\n\r\n");
    });
    let gateway = served(&backend);
    let mut stream = gateway.connect();
    stream
        .write_all(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("sent");
    stream.shutdown(Shutdown::Write).expect("closed");
    let answer = Answer::read(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "slowend."));
}
