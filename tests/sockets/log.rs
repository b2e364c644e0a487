//! What strangers can cause to be logged: one line of each kind at once, and then few more, however often they repeat
//! the request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Home, STRANGER, Spec};

const MANY: usize = 300;

#[test]
fn peers_that_are_turned_away_do_not_fill_the_log() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_SOCKET_ALLOW_UIDS", STRANGER)
        .start();
    for _ in 0..MANY {
        let mut connection = sidecar.socket();
        let _ = connection.send(b"GET /v1/ring HTTP/1.1\r\nhost: signet\r\n\r\n");
        assert!(connection.head().is_err(), "it was answered");
    }
    let lines = sidecar.logged("this user may not use the socket").len();
    assert!((1..=3).contains(&lines), "{lines} lines");
    let metrics = sidecar.admin().get("/metrics").expect("an answer").text();
    let counted = format!("signet_peers_refused_total {MANY}");
    assert!(metrics.contains(&counted), "{metrics}");
}

/// An HTTP/2 PING (RFC 9113 §6.7), or the answer to one.
fn ping(is_answer: bool, data: [u8; 8]) -> Vec<u8> {
    let head = [0, 0, 8, 6, u8::from(is_answer), 0, 0, 0, 0];
    [&head[..], &data[..]].concat()
}

#[test]
fn odd_frames_of_http_2_do_not_fill_the_log() {
    let sidecar = Spec::new(&Home::new()).start();
    for address in [sidecar.spec().listen(), sidecar.spec().admin_listen()] {
        let mut connection = TcpStream::connect(address).expect("a connection");
        connection
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a limit");
        // The preface with empty settings, then answers to PINGs that nobody sent. The library logs a warning for each.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        connection.write_all(preface).expect("sent");
        for _ in 0..MANY {
            connection.write_all(&ping(true, *b"unasked.")).expect("sent");
        }
        // Once it has answered this, it has read all of them.
        connection.write_all(&ping(false, *b"the end.")).expect("sent");
        let (mut read, answer) = (Vec::new(), ping(true, *b"the end."));
        while !read.windows(answer.len()).any(|window| window == answer) {
            let mut piece = [0; 1024];
            let octets = connection.read(&mut piece).expect("the answer in time");
            assert_ne!(octets, 0, "{address} closed the connection");
            read.extend_from_slice(&piece[..octets]);
        }
    }
    let lines = sidecar.log_text().lines().filter(|line| line.contains("PING")).count();
    // The lines of a burst, and those for the time that the test took.
    assert!(lines < MANY / 10, "{lines} lines");
}
