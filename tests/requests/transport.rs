//! Faults at the level of HTTP: methods, paths, framing, sizes, request ids.

use serde_json::json;

use crate::harness::AUDIENCE;
use crate::{expect, sidecar, works};

const SINGLE: usize = 64 * 1024;
const BATCH: usize = 4 * 1024 * 1024;

#[test]
fn wrong_methods_and_unknown_paths_are_problems_of_their_own() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    for (method, path, status, problem) in [
        ("GET", "/v1/sign", 405, "method_not_allowed"),
        ("PUT", "/v1/sign", 405, "method_not_allowed"),
        ("DELETE", "/v1/verify", 405, "method_not_allowed"),
        ("GET", "/v1/sign/batch", 405, "method_not_allowed"),
        ("PATCH", "/v1/verify/batch", 405, "method_not_allowed"),
        ("POST", "/v1/ring", 405, "method_not_allowed"),
        ("DELETE", "/v1/ring", 405, "method_not_allowed"),
        ("POST", "/v1/ring/events", 405, "method_not_allowed"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/sign/", 404, "not_found"),
        ("POST", "/v1/Sign", 404, "not_found"),
        ("POST", "//v1/sign", 404, "not_found"),
        ("POST", "/v1/%73ign", 404, "not_found"),
        ("GET", "/v1/authorize/", 404, "not_found"),
        ("GET", "/v1/ring/../ring", 404, "not_found"),
        ("GET", "/v2/ring", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
        ("GET", "/.well-known/jwks.json", 404, "not_found"),
    ] {
        let name = format!("{method} {path}");
        let answer = connection.request(method, path, &[], None).expect("an answer");
        expect(&name, &answer, status, problem);
        works(&sidecar, &mut connection);
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let sidecar = sidecar();
    for (path, limit) in [
        ("/v1/sign", SINGLE),
        ("/v1/verify", SINGLE),
        ("/v1/sign/batch", BATCH),
        ("/v1/verify/batch", BATCH),
    ] {
        // Announced only: the answer arrives before any of it is sent.
        let mut connection = sidecar.socket();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: signet\r\ncontent-length: {}\r\n\r\n",
            limit + 1
        );
        connection.send(head.as_bytes()).expect("sent");
        expect(
            path,
            &connection.answer("POST").expect("an answer"),
            413,
            "body_too_large",
        );

        // In chunks, each of which is small.
        let mut connection = sidecar.socket();
        let head = format!("POST {path} HTTP/1.1\r\nhost: signet\r\ntransfer-encoding: chunked\r\n\r\n");
        connection.send(head.as_bytes()).expect("sent");
        let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
        for _ in 0..=limit / 0x1000 {
            // The other side may close when it has read enough.
            if connection.send(chunk.as_bytes()).is_err() {
                break;
            }
        }
        expect(
            path,
            &connection.answer("POST").expect("an answer"),
            413,
            "body_too_large",
        );
        works(&sidecar, &mut sidecar.socket());
    }
    // A body of the maximum size is accepted.
    let mut body = json!({ "claims": { "sub": "s", "aud": AUDIENCE } })
        .to_string()
        .into_bytes();
    body.resize(SINGLE, b' ');
    assert_eq!(sidecar.socket().post("/v1/sign", &body).expect("an answer").status, 200);
}

#[test]
fn a_body_in_many_chunks_is_put_together() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let body = json!({ "claims": { "sub": "client", "aud": AUDIENCE } }).to_string();
    connection
        .send(b"POST /v1/sign HTTP/1.1\r\nhost: signet\r\ntransfer-encoding: chunked\r\n\r\n")
        .expect("sent");
    for octet in body.chars() {
        connection.send(format!("1\r\n{octet}\r\n").as_bytes()).expect("sent");
    }
    connection.send(b"0\r\n\r\n").expect("sent");
    assert_eq!(connection.answer("POST").expect("an answer").status, 200);
    works(&sidecar, &mut connection);
}

#[test]
fn what_is_not_http_is_answered_with_400_or_a_closed_connection_and_others_go_on() {
    let sidecar = sidecar();
    let mut good = sidecar.socket();
    let large = format!(
        "GET /v1/ring HTTP/1.1\r\nhost: signet\r\nx: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let many = format!("GET /v1/ring HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500));
    for (name, octets) in [
        ("noise", "\u{1}\u{2}\u{3}\r\n\r\n"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n"),
        ("no version", "GET /v1/ring\r\n\r\n"),
        ("HTTP/3.0", "GET /v1/ring HTTP/3.0\r\n\r\n"),
        (
            "two lengths",
            "POST /v1/sign HTTP/1.1\r\nhost: s\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        ),
        (
            "a negative length",
            "POST /v1/sign HTTP/1.1\r\nhost: s\r\ncontent-length: -1\r\n\r\n",
        ),
        (
            "a length that overflows",
            "POST /v1/sign HTTP/1.1\r\nhost: s\r\ncontent-length: 99999999999999999999\r\n\r\n",
        ),
        (
            "an unknown coding",
            "POST /v1/sign HTTP/1.1\r\nhost: s\r\ntransfer-encoding: gzip\r\n\r\n",
        ),
        (
            "a broken chunk",
            "POST /v1/sign HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ),
        ("a header without a colon", "GET /v1/ring HTTP/1.1\r\nhost s\r\n\r\n"),
        (
            "a header with a blank in its name",
            "GET /v1/ring HTTP/1.1\r\nx y: z\r\n\r\n",
        ),
        ("a header of 100 kB", &large),
        ("500 headers", &many),
    ] {
        let mut connection = sidecar.socket();
        // It may be closed before everything was sent.
        let _ = connection.send(octets.as_bytes());
        let _ = connection.no_more();
        if let Ok(answer) = connection.answer("GET") {
            assert!((400..500).contains(&answer.status), "{name}: {}", answer.status);
        }
        works(&sidecar, &mut good);
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let one = "GET /v1/ring HTTP/1.1\r\nhost: signet\r\n\r\n";
    let two = "GET /nowhere HTTP/1.1\r\nhost: signet\r\n\r\n";
    connection
        .send(format!("{one}{two}").repeat(20).as_bytes())
        .expect("sent");
    for _ in 0..20 {
        assert_eq!(connection.answer("GET").expect("an answer").status, 200);
        assert_eq!(connection.answer("GET").expect("an answer").status, 404);
    }
}

#[test]
fn a_problem_carries_the_clients_request_id_if_it_fits_a_log_line() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let long = "x".repeat(65);
    for (given, kept) in [
        ("abc-1.2:3_4", true),
        ("a b", false),
        ("a\"b", false),
        ("é", false),
        (&long, false),
    ] {
        let headers = [("x-request-id", given)];
        let answer = connection
            .request("GET", "/v1/authorize", &headers, None)
            .expect("an answer");
        let id = answer.header("x-request-id").expect("an id");
        assert_eq!(id == given, kept, "{given}: {id}");
    }
    assert!(!sidecar.logged("a request was refused").is_empty());
    assert_eq!(sidecar.logged("a request was refused")[0]["request_id"], "abc-1.2:3_4");
}

#[test]
fn the_admin_listener_shows_no_key_and_no_token() {
    let sidecar = sidecar();
    let signed = works(&sidecar, &mut sidecar.socket());
    sidecar.verify(&signed.token);
    let signature = signed.token.rsplit('.').next().expect("a signature");
    let key = std::fs::read_to_string(sidecar.spec().home().data().join("local.key")).expect("the key");
    let key = key.lines().find(|line| !line.starts_with('#')).expect("a key").trim();
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        let text = sidecar.admin().get(path).expect("an answer").text();
        for secret in [signature, key, "PRIVATE KEY", "client"] {
            assert!(!text.contains(secret), "{path} shows {secret}: {text}");
        }
    }
}
