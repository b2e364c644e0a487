//! Clients that are slow on purpose, and too many clients.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::http::Connection;
use crate::harness::time::{instant, next_beat, wait_for};
use crate::harness::{Home, PATIENCE, Sidecar, Spec};
use crate::target;

const TIMEOUT: Duration = Duration::from_secs(1);
/// A timer may be late on a busy machine.
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
            // HTTP/2 begins with a settings frame, which is ignored here; only the end of the connection matters.
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
fn a_full_listener_closes_the_connection_that_has_been_idle_longest() {
    for listener in target::LISTENERS {
        let target = listener.target_with(&[("SIGNET_MAX_CONNECTIONS", "3")]);
        let ask = |connection: &mut Connection| {
            let answer = connection.get(listener.path()).expect("an answer");
            assert_eq!(answer.status, 200, "{listener:?}");
        };
        let open = || {
            let mut connection = target.connect(listener);
            ask(&mut connection);
            connection
        };
        let (mut one, mut two, mut three) = (open(), open(), open());
        // The first connection opened is not the one that has been idle longest.
        ask(&mut one);
        let mut four = open();
        assert!(two.is_closed_within(GRACE), "{listener:?}");
        let mut five = open();
        assert!(three.is_closed_within(GRACE), "{listener:?}");
        for connection in [&mut one, &mut four, &mut five] {
            ask(connection);
        }
    }
}

#[test]
fn a_connection_that_is_working_is_not_closed_for_another() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_MAX_CONNECTIONS", "2").start();
    let mut events = sidecar.socket();
    events
        .send(b"GET /v1/ring/events HTTP/1.1\r\nhost: signet\r\n\r\n")
        .expect("sent");
    assert_eq!(events.head().expect("a head").status, 200);
    events.chunk().expect("the ring as it is now");
    for _ in 0..5 {
        assert_eq!(sidecar.socket().get("/v1/ring").expect("an answer").status, 200);
    }
    assert!(!events.is_closed_within(Duration::from_millis(300)));
    // Another working connection takes the last place. Others then wait for one of the two.
    let mut more = sidecar.socket();
    more.send(b"GET /v1/ring/events HTTP/1.1\r\nhost: signet\r\n\r\n")
        .expect("sent");
    assert_eq!(more.head().expect("a head").status, 200);
    let mut waiting = sidecar.socket();
    waiting
        .send(b"GET /v1/ring HTTP/1.1\r\nhost: signet\r\n\r\n")
        .expect("sent");
    assert!(!waiting.is_closed_within(Duration::from_millis(300)));
    // Each listener has its own places.
    assert_eq!(sidecar.readiness().0, 200);
    drop(more);
    assert_eq!(waiting.answer("GET").expect("an answer").status, 200);
}

/// Much less than the wait until a silent connection is closed. Debug builds on a busy machine are slow.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn crowds_take_no_listener_away() {
    for listener in target::LISTENERS {
        let target = listener.target();
        let probe = |what: &str| {
            let start = instant();
            let answer = target.connect(listener).get(listener.path()).expect("an answer");
            assert_eq!(answer.status, 200, "{what}, {listener:?}");
            assert!(start.elapsed() < AT_ONCE, "{what}, {listener:?}: {:?}", start.elapsed());
        };
        let silent: Vec<_> = (0..2000).map(|_| listener.open_silent(&target)).collect();
        probe("2,000 silent connections");
        drop(silent);
        let asked: Vec<_> = (0..1024)
            .map(|_| {
                let mut connection = target.connect(listener);
                connection.get(listener.path()).map(|_| connection)
            })
            .collect();
        probe("1,024 connections with one request each");
        drop(asked);
        let path = match listener {
            target::Listener::Socket => "/v1/verify",
            _ => listener.path(),
        };
        let withheld: Vec<_> = (0..1100)
            .map(|_| {
                let mut connection = target.connect(listener);
                let head = format!("POST {path} HTTP/1.1\r\nhost: signet\r\ncontent-length: 100\r\n\r\n");
                connection.send(head.as_bytes()).map(|()| connection)
            })
            .collect();
        probe("1,100 connections that withhold a body");
        drop(withheld);
    }
}

#[test]
fn probes_are_answered_while_somebody_opens_connections_without_end() {
    let listener = target::Listener::Admin;
    let target = listener.target();
    let (stop, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut crowd = VecDeque::new();
            while !stop.load(Ordering::Relaxed) {
                crowd.push_back(listener.open_silent(&target));
                opened.fetch_add(1, Ordering::Relaxed);
                if crowd.len() > 3000 {
                    crowd.pop_front();
                }
            }
        });
        wait_for("the listener to be full", PATIENCE, || {
            (opened.load(Ordering::Relaxed) > 1500).then_some(())
        });
        for _ in 0..50 {
            let start = instant();
            let answer = target.connect(listener).get("/livez").expect("an answer");
            assert_eq!(answer.status, 200);
            assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn streams_of_events_leave_places_for_others() {
    const MOST: usize = 256;
    let listener = target::Listener::Socket;
    let target = listener.target();
    let open = || {
        let mut events = target.connect(listener);
        events
            .send(b"GET /v1/ring/events HTTP/1.1\r\nhost: signet\r\n\r\n")
            .expect("sent");
        events
    };
    let mut streams: Vec<_> = (0..MOST).map(|_| open()).collect();
    for events in &mut streams {
        assert_eq!(events.head().expect("a head").status, 200);
    }
    let refused = open().answer("GET").expect("an answer");
    assert_eq!((refused.status, refused.problem()), (503, "overloaded".to_owned()));
    streams.pop();
    wait_for("a place", PATIENCE, || {
        (open().head().expect("a head").status == 200).then_some(())
    });
}
