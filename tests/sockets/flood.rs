//! Clients that send requests without reading the answers, that send without end, or that come in large numbers. On all
//! listeners, the memory that they can use is limited.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::json;

use crate::harness::http::Duplex;
use crate::harness::time::{instant, wait_for};
use crate::harness::{PATIENCE, say};
use crate::http2;
use crate::target::{LISTENERS, Listener, Target};

/// The maximum memory in addition to that of the idle process, in KiB.
const MOST_KIB: u64 = 64 * 1024;

impl Target {
    /// Runs the attack, and compares the memory before and after.
    fn measure<T>(&self, what: &str, listener: Listener, feed: impl FnOnce() -> T) {
        let before = self.resident_kib();
        let fed = feed();
        let more = self.resident_kib().saturating_sub(before);
        say(format!("{what}, {listener:?}: {before} KiB at rest, {more} KiB more"));
        assert!(more < MOST_KIB, "{what}, {listener:?}: {more} KiB more than at rest");
        // The sidecar must continue to serve others, on all listeners. A full budget is released within about a second;
        // until then, others get 503.
        wait_for("an answer beside those that feed it", PATIENCE, || {
            let answer = self.connect(listener).get(listener.path()).ok()?;
            (answer.status == 200).then_some(())
        });
        assert_eq!(self.sidecar.try_ready(), Some(200));
        drop(fed);
    }
}

/// Writes until the other side stops reading, or until this much was written.
fn write_until_deaf(stream: &mut dyn Duplex, octets: &[u8], most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        match stream.write(octets) {
            Ok(taken) if taken > 0 => sent += taken,
            _ => break,
        }
    }
    sent
}

#[test]
fn pipelined_requests_whose_answers_nobody_reads_take_no_memory() {
    for listener in LISTENERS {
        let target = listener.target();
        let one = format!("GET {} HTTP/1.1\r\nhost: signet\r\n\r\n", listener.path());
        let many = one.repeat(64 * 1024 / one.len());
        // Complete requests, and a sequence that ends in the middle of one.
        for (what, octets) in [("whole", many.as_str()), ("misaligned", &many[..many.len() - 7])] {
            target.measure(&format!("pipelined, {what}"), listener, || {
                let mut streams: Vec<_> = (0..4).map(|_| listener.open(&target)).collect();
                for stream in &mut streams {
                    let mut first = octets.as_bytes().to_vec();
                    first.extend_from_slice(many.as_bytes());
                    write_until_deaf(stream.as_mut(), &first, 24 * 1024 * 1024);
                }
                streams
            });
        }
    }
}

#[test]
fn streams_whose_answers_nobody_takes_take_no_memory() {
    for listener in LISTENERS {
        for (what, window) in [("zero window", 0), ("deaf", 0x7fff_ffff)] {
            let target = listener.target();
            target.measure(&format!("25,600 streams, {what}"), listener, || {
                let mut streams: Vec<_> = (0..100).map(|_| listener.open(&target)).collect();
                for stream in &mut streams {
                    let _ = stream.write_all(&http2::hello(window));
                    let ask = http2::asks(listener.path(), 256, &[]);
                    let _ = stream.write_all(&ask);
                    let _ = stream.flush();
                }
                settled(&target);
                streams
            });
        }
    }
}

/// Waits until the memory no longer grows.
fn settled(target: &Target) {
    let (mut last, mut since) = (0, instant());
    wait_for("its memory to settle", PATIENCE, || {
        let now = target.resident_kib();
        if now > last + 64 {
            (last, since) = (now, instant());
        }
        (since.elapsed() > Duration::from_millis(400)).then_some(())
    });
}

#[test]
fn heads_that_never_end_take_no_memory() {
    for listener in LISTENERS {
        let target = listener.target();
        let part = format!(
            "GET {} HTTP/1.1\r\nhost: signet\r\nx: {}",
            listener.path(),
            "x".repeat(60_000)
        );
        target.measure("1,000 long heads without an end", listener, || {
            let open = || -> io::Result<_> {
                let mut stream = listener.open(&target);
                stream.write_all(part.as_bytes())?;
                Ok(stream)
            };
            let streams: Vec<_> = (0..1000).map(|_| open()).collect();
            settled(&target);
            streams
        });
        target.measure("1,000 long heads of HTTP/2 without an end", listener, || {
            let open = || -> io::Result<_> {
                let mut stream = listener.open(&target);
                stream.write_all(&http2::hello(65_535))?;
                stream.write_all(&http2::unfinished_head(400))?;
                stream.flush()?;
                Ok(stream)
            };
            let streams: Vec<_> = (0..1000).map(|_| open()).collect();
            settled(&target);
            streams
        });
    }
}

#[test]
fn a_request_beside_a_flood_of_unfinished_heads_is_answered_at_once() {
    for listener in LISTENERS {
        let target = listener.target();
        // Each takes the memory of a long head. Together they need more than is available.
        let part = format!(
            "GET {} HTTP/1.1\r\nhost: signet\r\nx: {}",
            listener.path(),
            "x".repeat(9_000)
        );
        let mut heads: Vec<_> = (0..300)
            .map(|_| {
                let mut head = target.connect(listener);
                // The first connections are closed in favour of the others.
                let _ = head.send(part.as_bytes());
                head
            })
            .collect();
        let first = heads.first_mut().expect("a head");
        assert!(
            first.ends_within(PATIENCE),
            "{listener:?}: there is memory for all of them"
        );
        let start = instant();
        // An HTTP/2 stream and a long answer take memory, too.
        let mut stream = listener.open(&target);
        stream.patience(PATIENCE).expect("a limit");
        stream.write_all(&http2::hello(65_535)).expect("sent");
        stream
            .write_all(&http2::ask_of_hosts(listener.path(), Some("signet"), &[]))
            .expect("sent");
        stream.flush().expect("sent");
        let status = http2::status_of_an_answer(stream.as_mut());
        assert_eq!(status.expect("an answer"), 200, "{listener:?}");
        let answer = target.connect(listener).get(listener.path()).expect("an answer");
        assert_eq!(answer.status, 200, "{listener:?}");
        let took = start.elapsed();
        say(format!("two requests beside a flood of heads, {listener:?}: {took:?}"));
        assert!(took < Duration::from_secs(1), "{listener:?}: {took:?}");
    }
}

/// A client that sends its whole request at once is answered, whatever other clients have left unfinished.
#[test]
fn a_long_request_beside_a_flood_of_long_heads_is_answered() {
    for listener in LISTENERS {
        let target = listener.target();
        let part = format!(
            "GET {} HTTP/1.1\r\nhost: signet\r\nx: {}",
            listener.path(),
            "x".repeat(12_000)
        );
        let whole = format!("{part}\r\n\r\n");
        target.measure("256 heads of 12 KiB without an end", listener, || {
            let open = || {
                let mut head = target.connect(listener);
                let _ = head.send(part.as_bytes());
                head
            };
            let mut heads: Vec<_> = (0..256).map(|_| open()).collect();
            settled(&target);
            let answered = || {
                for round in 0..8 {
                    let mut connection = target.connect(listener);
                    connection.send(whole.as_bytes()).expect("sent");
                    let answer = connection
                        .answer("GET")
                        .unwrap_or_else(|error| panic!("{listener:?}, round {round}: {error}"));
                    assert_eq!(answer.status, 200, "{listener:?}, round {round}");
                }
                ask_at_length(&target, listener);
            };
            answered();
            // This also holds while more clients arrive than there is memory for.
            for _ in 0..8 {
                heads.extend((0..32).map(|_| open()));
                answered();
            }
            heads
        });
    }
}

/// A request over HTTP/2 whose fields are as long as any listener accepts.
fn ask_at_length(target: &Target, listener: Listener) {
    let mut stream = listener.open(target);
    stream.patience(PATIENCE).expect("a limit");
    stream.write_all(&http2::hello(65_535)).expect("sent");
    let fields = [http2::path(4, listener.path()), http2::bearer(&"x".repeat(7_000))].concat();
    stream.write_all(&http2::ask_of_path(&fields, 1)).expect("sent");
    stream.flush().expect("sent");
    let status = http2::status_of_an_answer(stream.as_mut()).expect("an answer");
    assert_eq!(status, 200, "{listener:?}");
}

#[test]
fn bodies_that_never_end_share_a_budget_and_then_are_refused() {
    const PART: usize = 1_500_000;
    let listener = Listener::Socket;
    let target = listener.target();
    target.measure("64 parts of 1.5 MB of a body", listener, || {
        let mut streams: Vec<_> = (0..64).map(|_| target.connect(listener)).collect();
        let head = "POST /v1/sign/batch HTTP/1.1\r\nhost: signet\r\ncontent-length: 4000000\r\n\r\n";
        let mut part = head.as_bytes().to_vec();
        part.resize(head.len() + PART, b' ');
        let mut refused = 0;
        for stream in &mut streams {
            stream.send(&part).expect("sent, also if it is refused");
        }
        for stream in &mut streams {
            if stream.is_closed_within(Duration::from_millis(20)) {
                panic!("it was closed without an answer");
            }
        }
        for stream in &mut streams {
            if let Ok(answer) = stream.answer("POST") {
                assert_eq!((answer.status, answer.problem()), (503, "overloaded".to_owned()));
                assert_eq!(answer.header("retry-after"), Some("1"));
                refused += 1;
            }
        }
        // The budget of 32 MiB is enough for 22 of them.
        assert!((40..=48).contains(&refused), "{refused} of 64 were refused");
        streams
    });
    // Their memory has been released.
    let claims = json!({ "claims": { "sub": "client", "aud": crate::harness::AUDIENCE } });
    let batch = json!({ "items": vec![claims; 1000] }).to_string();
    let answer = target
        .connect(listener)
        .post("/v1/sign/batch", batch.as_bytes())
        .expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Each sends less than is read at once, so all of them are in progress together.
#[test]
fn many_small_parts_of_bodies_take_no_memory() {
    for listener in LISTENERS {
        let path = match listener {
            Listener::Socket => "/v1/sign/batch",
            _ => listener.path(),
        };
        for part in [16_000, 32_700] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: signet\r\ncontent-length: 4000000\r\n\r\n");
            let octets = [head.as_bytes(), &vec![b' '; part]].concat();
            feed(listener, &format!("1,000 parts of {part} octets"), &octets);
        }
        for streams in [1, 3] {
            let mut octets = http2::hello(65_535);
            octets.extend(http2::asks(path, streams, &[b' '; 16_000]));
            feed(
                listener,
                &format!("1,000 connections with {streams} parts over HTTP/2"),
                &octets,
            );
        }
    }
}

/// 1,000 connections that send this and stay open.
fn feed(listener: Listener, what: &str, octets: &[u8]) {
    let target = listener.target();
    target.measure(what, listener, || {
        let open = || -> io::Result<_> {
            let mut stream = listener.open(&target);
            stream.write_all(octets)?;
            stream.flush()?;
            Ok(stream)
        };
        let streams: Vec<_> = (0..1000).map(|_| open()).collect();
        settled(&target);
        streams
    });
}

#[test]
fn batches_whose_answers_nobody_reads_take_no_memory() {
    let listener = Listener::Socket;
    let target = listener.target();
    let claims = json!({ "claims": { "sub": "client", "aud": crate::harness::AUDIENCE, "x": "x".repeat(3_900) } });
    let batch = json!({ "items": vec![claims; 1024] }).to_string();
    let head = format!(
        "POST /v1/sign/batch HTTP/1.1\r\nhost: signet\r\ncontent-length: {}\r\n\r\n",
        batch.len()
    );
    target.measure("16 of the longest batches", listener, || {
        let mut streams: Vec<_> = (0..16).map(|_| listener.open(&target)).collect();
        for stream in &mut streams {
            // If the server does not read it in time, it was too much at once.
            let _ = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(batch.as_bytes()));
        }
        settled(&target);
        streams
    });
}

#[test]
fn requests_that_are_taken_back_at_once_take_no_memory() {
    for listener in LISTENERS {
        let target = listener.target();
        let octets = http2::asks_and_resets(listener.path(), 20_000);
        target.measure("20,000 streams reset on each of 8 connections", listener, || {
            let mut streams: Vec<_> = (0..8).map(|_| listener.open(&target)).collect();
            for stream in &mut streams {
                // It may be closed before everything is sent.
                let _ = stream.write_all(&http2::hello(65_535));
                let _ = stream.write_all(&octets);
            }
            settled(&target);
            streams
        });
    }
}

#[test]
fn more_streams_than_128_on_a_connection_are_refused() {
    const REFUSED_STREAM: u32 = 7;
    for listener in LISTENERS {
        let target = listener.target();
        let mut stream = listener.open(&target);
        stream.patience(PATIENCE).expect("a limit");
        stream.write_all(&http2::hello(0)).expect("sent");
        stream.write_all(&http2::asks(listener.path(), 129, &[])).expect("sent");
        stream.flush().expect("sent");
        let reason = http2::reason_of_a_reset(stream.as_mut()).expect("a stream is refused");
        assert_eq!(reason, REFUSED_STREAM, "{listener:?}");
    }
}
