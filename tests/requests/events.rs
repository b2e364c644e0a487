//! `GET /v1/ring/events`: the ring at once, again after every change, and an end at shutdown.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::http::Connection;
use crate::harness::{PATIENCE, Sidecar, kids};
use crate::sidecar;

/// The next event. `None` at the end of the stream.
fn event(connection: &mut Connection) -> Option<Value> {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let chunk = connection.chunk().expect("a chunk, or a proper end")?;
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        // A comment keeps the connection open and is not an event.
        if text.starts_with(':') {
            text.clear();
        }
    }
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    assert_eq!(line("event:").map(str::trim), Some("ring"), "{text}");
    Some(serde_json::from_str(line("data:").expect("data")).expect("JSON"))
}

fn follow(sidecar: &Sidecar) -> Connection {
    let mut connection = sidecar.socket();
    connection
        .send(b"GET /v1/ring/events HTTP/1.1\r\nhost: signet\r\n\r\n")
        .expect("sent");
    let head = connection.head().expect("a head");
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream"))
    );
    connection
}

#[test]
fn followers_get_the_ring_at_once_and_again_when_it_changes_and_an_end_at_shutdown() {
    let mut sidecar = sidecar();
    let mut followers = [follow(&sidecar), follow(&sidecar)];
    for follower in &mut followers {
        assert_eq!(event(follower), Some(sidecar.ring()));
    }
    let ran = sidecar.spec().run(&["keys", "rotate", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let kid = ran.json()["kid"].as_str().expect("a kid").to_owned();
    sidecar.hang_up();
    for follower in &mut followers {
        let ring = event(follower).expect("an event");
        assert_eq!(kids(&ring).last(), Some(&kid), "{ring}");
        assert_eq!(ring["keys"][1]["phase"], "pending");
    }
    assert_eq!(sidecar.jwks_kids().last(), Some(&kid));

    sidecar.signal(Signal::TERM);
    for follower in &mut followers {
        assert_eq!(event(follower), None);
    }
    assert_eq!(sidecar.wait(Duration::from_secs(5).min(PATIENCE)).code(), Some(0));
}
