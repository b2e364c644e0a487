//! Clients that are slow on purpose, and too many of them.

use std::time::Duration;

use crate::harness::http::Connection;
use crate::harness::time::{instant, next_beat};
use crate::harness::{Home, Sidecar, Spec};

const TIMEOUT: Duration = Duration::from_secs(1);
/// On a busy machine a timer may be late.
const GRACE: Duration = Duration::from_secs(3);

fn impatient() -> Sidecar {
    Spec::new(&Home::new()).set("SIGNET_HEADER_TIMEOUT", "1s").start()
}

/// One connection to each listener.
fn everywhere(sidecar: &Sidecar) -> [(&'static str, Connection); 3] {
    LISTENERS.map(|(name, open)| (name, open(sidecar)))
}

type Open = fn(&Sidecar) -> Connection;

const LISTENERS: [(&str, Open); 3] = [
    ("socket", Sidecar::socket),
    ("public", Sidecar::public),
    ("admin", Sidecar::admin),
];

#[test]
fn a_connection_that_never_says_a_word_is_closed_in_time() {
    let sidecar = impatient();
    for opening in ["", "GET / HTTP/1.1\r\nhost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let connections = everywhere(&sidecar);
        let start = instant();
        for (name, mut connection) in connections {
            connection.send(opening.as_bytes()).expect("sent");
            // HTTP/2 begins with a frame of settings; what counts is the end.
            assert!(connection.ends_within(TIMEOUT + GRACE), "{name} after {opening:?}");
        }
        let elapsed = start.elapsed();
        assert!(
            elapsed >= TIMEOUT - Duration::from_millis(100),
            "too early: {elapsed:?}"
        );
    }
    assert_eq!(sidecar.sign_for("client").kid, sidecar.sign_for("client").kid);
}

#[test]
fn a_connection_that_sends_a_byte_now_and_then_is_closed_in_time() {
    let sidecar = impatient();
    for (name, open) in LISTENERS {
        let (start, mut beat) = (instant(), instant());
        let mut connection = open(&sidecar);
        for octet in "GET /v1/ring HTTP/1.1\r\nhost: a-host-with-a-very-long-name.example.test\r\n"
            .bytes()
            .cycle()
        {
            if connection.send(&[octet]).is_err() {
                break;
            }
            assert!(start.elapsed() < TIMEOUT + GRACE, "{name} is still open");
            next_beat(&mut beat, Duration::from_millis(50));
        }
        assert!(
            start.elapsed() >= TIMEOUT - Duration::from_millis(100),
            "{name}: too early"
        );
    }
}

#[test]
fn a_connection_that_has_asked_once_may_rest_longer() {
    let sidecar = impatient();
    let mut connections = everywhere(&sidecar);
    for (_, connection) in &mut connections {
        connection.get("/").expect("an answer");
    }
    for (name, connection) in &mut connections {
        assert!(!connection.is_closed_within(TIMEOUT), "{name}");
        connection.get("/").expect("an answer on the same connection");
    }
}

#[test]
fn one_connection_too_many_waits_until_another_ends() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_MAX_CONNECTIONS", "2").start();
    let open = || {
        let mut connection = sidecar.socket();
        connection.get("/v1/ring").expect("an answer");
        connection
    };
    let (one, two) = (open(), open());
    let mut third = sidecar.socket();
    third
        .send(b"GET /v1/ring HTTP/1.1\r\nhost: signet\r\n\r\n")
        .expect("sent");
    assert!(
        !third.is_closed_within(Duration::from_millis(300)),
        "it waits, without an answer and without an end"
    );
    // Every listener has slots of its own.
    assert_eq!(sidecar.readiness().0, 200);
    assert_eq!(sidecar.jwks_kids().len(), 1);
    drop(one);
    assert_eq!(third.answer("GET").expect("an answer").status, 200);
    drop((two, third));
    drop((open(), open()));
}
