//! Clients that open one connection after another, next to a client with real requests.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::PATIENCE;
use crate::harness::http::Duplex;
use crate::harness::time::{instant, next_beat, wait_for};
use crate::http2;
use crate::target::{LISTENERS, Listener, Target};

/// 500 per second.
const PERIOD: Duration = Duration::from_millis(2);
/// Clients at this rate open more connections than this in a second.
const PLACES: usize = 200;

/// The bytes that each of the many clients sends before it becomes silent.
fn openings(listener: Listener) -> [(&'static str, Vec<u8>); 5] {
    let path = match listener {
        Listener::Socket => "/v1/sign",
        _ => listener.path(),
    };
    let head = format!("POST {path} HTTP/1.1\r\nhost: signet\r\ncontent-length: 100\r\n\r\n");
    let get = format!("GET {} HTTP/1.1\r\nhost: signet\r\n\r\n", listener.path());
    let mut streams = http2::hello(0);
    streams.extend(http2::asks(listener.path(), 3, &[]));
    [
        ("nothing", Vec::new()),
        ("part of a head", get.as_bytes()[..10].to_vec()),
        ("a head without its body", head.into_bytes()),
        ("a request", get.into_bytes()),
        ("streams that nobody reads", streams),
    ]
}

/// Opens connections until told to stop, and closes the oldest when there are many.
fn open_without_end(target: &Target, listener: Listener, opening: &[u8], stop: &AtomicBool, opened: &AtomicUsize) {
    let (mut crowd, mut beat): (VecDeque<Box<dyn Duplex>>, _) = (VecDeque::new(), instant());
    while !stop.load(Ordering::Relaxed) {
        let mut stream = match opening {
            [] => listener.open_silent(target),
            _ => listener.open(target),
        };
        // It may be closed for the next one.
        let _ = stream.write_all(opening).and_then(|()| stream.flush());
        crowd.push_back(stream);
        opened.fetch_add(1, Ordering::Relaxed);
        if crowd.len() > 2 * PLACES {
            crowd.pop_front();
        }
        next_beat(&mut beat, PERIOD);
    }
}

/// Stops the crowd, even if a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn who_has_something_to_ask_is_answered_beside_500_new_connections_a_second() {
    for listener in LISTENERS {
        let target = listener.target_with(&[("SIGNET_MAX_CONNECTIONS", &PLACES.to_string())]);
        for (what, opening) in openings(listener) {
            let (stop, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
            std::thread::scope(|threads| {
                threads.spawn(|| open_without_end(&target, listener, &opening, &stop, &opened));
                let _stop = Stop(&stop);
                wait_for("the listener to be full", PATIENCE, || {
                    (opened.load(Ordering::Relaxed) > PLACES).then_some(())
                });
                let mut faults = Vec::new();
                for round in 0..100 {
                    match target.connect(listener).get(listener.path()) {
                        Ok(answer) if answer.status == 200 => {}
                        Ok(answer) => faults.push(format!("round {round}: {}", answer.status)),
                        Err(error) => faults.push(format!("round {round}: {error}")),
                    }
                }
                assert!(faults.is_empty(), "{listener:?}, beside {what}: {faults:#?}");
            });
        }
    }
}
