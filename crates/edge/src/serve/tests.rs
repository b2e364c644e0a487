//! Connections of a listener whose memory is all in use.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::{ConnectionLimits, LONG_HEAD, serve};
use crate::answer::Response;
use crate::body::{Arriving, json};
use crate::crowd::{Crowd, HELD};
use crate::handler::Handler;

#[derive(Clone)]
struct Hello;

impl Handler for Hello {
    type Streamed = Full<Bytes>;

    async fn handle(&self, _: Request<Arriving>) -> Response<Full<Bytes>> {
        json("{}")
    }
}

/// The answer to these pieces if all memory is in use and none can be freed.
async fn answered(pieces: &[&str]) -> String {
    let crowd = Crowd::new("test", 1, "max_connections");
    assert!(crowd.hold(HELD), "that much is allowed");
    let (mut ours, theirs) = duplex(LONG_HEAD);
    let serving = tokio::spawn(async move {
        let member = crowd.admit().await;
        let limits = ConnectionLimits {
            header_timeout: Duration::from_secs(10),
            longest_head: LONG_HEAD,
        };
        serve(theirs, None, &Hello, &member, limits).await;
    });
    for piece in pieces {
        ours.write_all(piece.as_bytes()).await.expect("sent");
        // Wait until the server has read the piece and waits for more.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    ours.shutdown().await.expect("ended");
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.expect("an answer");
    serving.await.expect("no panic");
    answer
}

#[tokio::test]
async fn a_long_head_that_comes_in_part_gets_a_503_if_there_is_no_memory_and_a_whole_one_its_answer() {
    let part = format!("GET / HTTP/1.1\r\nhost: signet\r\nx: {}", "x".repeat(12_000));
    let whole = format!("{part}\r\n\r\n");
    let answer = answered(&[&whole]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let answer = answered(&[&part, "\r\n\r\n"]).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    for header in [
        "connection: close",
        "retry-after: 1",
        "content-type: application/problem+json",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("urn:signet:problem:overloaded"), "{body}");
    // A short head takes no memory of the listener.
    let answer = answered(&["GET / HTTP/1.1\r\nhost:", " signet\r\n\r\n"]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
