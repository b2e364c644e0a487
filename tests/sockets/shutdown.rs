//! SIGTERM: requests in progress finish, new ones do not start, and no client can delay the end of the
//! process for longer than agreed.

use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::harness::http::Connection;
use crate::harness::time::{instant, next_beat, wait_for};
use crate::harness::{AUDIENCE, Home, PATIENCE, Sidecar, Spec};
use crate::http2;
use crate::target::{LISTENERS, Listener};

/// Starts a request whose body the sidecar is waiting for. Returns the rest of the body.
fn begin(sidecar: &Sidecar) -> (Connection, String) {
    let body = json!({ "claims": { "sub": "slow", "aud": AUDIENCE } }).to_string();
    let (first, rest) = body.split_at(10);
    let mut connection = sidecar.socket();
    let length = body.len();
    let head = format!("POST /v1/sign HTTP/1.1\r\nhost: s\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    connection.send(head.as_bytes()).expect("sent");
    // This is sent when the body is requested, so the request is in progress from here on.
    assert_eq!(connection.head().expect("a head").status, 100);
    connection.send(first.as_bytes()).expect("sent");
    (connection, rest.to_owned())
}

fn refuses_connections(sidecar: &Sidecar) {
    wait_for("new connections to be refused", PATIENCE, || {
        let socket = UnixStream::connect(sidecar.spec().socket_path()).is_err();
        let public = TcpStream::connect(sidecar.spec().listen()).is_err();
        let admin = TcpStream::connect(sidecar.spec().admin_listen()).is_err();
        (socket && public && admin).then_some(())
    });
}

#[test]
fn a_request_under_way_finishes_while_new_connections_are_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut sidecar = Spec::new(&Home::new()).start();
        let (mut slow, rest) = begin(&sidecar);
        let mut resting = sidecar.socket();
        resting.get("/v1/ring").expect("an answer");
        let start = instant();
        sidecar.signal(signal);
        refuses_connections(&sidecar);
        assert!(
            resting.is_closed_within(PATIENCE),
            "a connection at rest is closed at once"
        );
        slow.send(rest.as_bytes()).expect("sent");
        let answer = slow.answer("POST").expect("an answer");
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close")),
            "{}",
            answer.text()
        );
        sidecar.remember(answer.json()["token"].as_str().expect("a token"));
        assert_eq!(sidecar.wait(PATIENCE).code(), Some(0));
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it did not wait for the drain time-out"
        );
        assert!(sidecar.logged("did not finish").is_empty());
        assert!(!sidecar.spec().socket_path().exists());
    }
}

#[test]
fn a_client_that_is_stuck_is_cut_off_after_the_drain_time_out() {
    let mut sidecar = Spec::new(&Home::new()).set("SIGNET_DRAIN_TIMEOUT", "1s").start();
    let (mut stuck, _) = begin(&sidecar);
    let start = instant();
    sidecar.signal(Signal::TERM);
    let status = sidecar.wait(PATIENCE);
    let elapsed = start.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    assert!(stuck.is_closed_within(PATIENCE));
    assert_eq!(sidecar.logged("did not finish within SIGNET_DRAIN_TIMEOUT").len(), 1);
}

/// Much less than the 10 s for a body and the 20 s for draining.
const UNHEARD: Duration = Duration::from_secs(6);

#[test]
fn a_client_that_withholds_the_rest_of_its_body_does_not_hold_up_the_end() {
    let mut sidecar = Spec::new(&Home::new()).start();
    let (mut half, _) = begin(&sidecar);
    let start = instant();
    sidecar.signal(Signal::TERM);
    assert_eq!(half.answer("POST").expect("it is told").status, 408);
    assert_eq!(sidecar.wait(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < UNHEARD, "{:?}", start.elapsed());
    assert!(sidecar.logged("did not finish").is_empty());

    // The same over HTTP/2, with many streams.
    let listener = Listener::Socket;
    let mut target = listener.target();
    let mut stream = listener.open(&target);
    stream.write_all(&http2::hello(65_535)).expect("sent");
    stream
        .write_all(&http2::asks("/v1/verify", 100, b"{\"token\":"))
        .expect("sent");
    stream.flush().expect("sent");
    let mut first = [0; 9];
    stream.read_exact(&mut first).expect("settings");
    let start = instant();
    target.sidecar.signal(Signal::TERM);
    assert_eq!(target.sidecar.wait(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < UNHEARD, "{:?}", start.elapsed());
    assert!(target.sidecar.logged("did not finish").is_empty());
}

#[test]
fn a_body_that_comes_slowly_is_waited_for_at_the_end() {
    let mut sidecar = Spec::new(&Home::new()).start();
    let (mut slow, rest) = begin(&sidecar);
    sidecar.signal(Signal::TERM);
    let (all, last) = rest.as_bytes().split_at(rest.len() - 1);
    let mut beat = instant();
    // Longer than the wait for a client that sends nothing.
    for piece in all.chunks(all.len().div_ceil(10)) {
        slow.send(piece).expect("sent");
        next_beat(&mut beat, Duration::from_millis(400));
    }
    slow.send(last).expect("sent");
    let answer = slow.answer("POST").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    sidecar.remember(answer.json()["token"].as_str().expect("a token"));
    assert_eq!(sidecar.wait(PATIENCE).code(), Some(0));
}

#[test]
fn with_nothing_under_way_it_ends_at_once() {
    let mut sidecar = Spec::new(&Home::new()).start();
    let silent = [sidecar.socket(), sidecar.public(), sidecar.admin()];
    let start = instant();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(PATIENCE).code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    drop(silent);
}

#[test]
fn clients_that_read_nothing_do_not_hold_up_the_end() {
    const MUCH: usize = 4 * 1024 * 1024;
    for listener in LISTENERS {
        for (what, window) in [
            ("with nothing under way", None),
            ("zero window", Some(0)),
            ("deaf", Some(0x7fff_ffff)),
        ] {
            let mut target = listener.target();
            let mut stream = listener.open(&target);
            stream.write_all(&http2::hello(window.unwrap_or(65_535))).expect("sent");
            if window.is_some() {
                let ask = http2::asks(listener.path(), 200, &[]);
                stream.write_all(&ask).expect("sent");
            }
            stream.flush().expect("sent");
            // The server has read it, because it answers the settings.
            let mut first = [0; 9];
            stream.read_exact(&mut first).expect("settings");
            let mut pipelined = listener.open(&target);
            let one = format!("GET {} HTTP/1.1\r\nhost: signet\r\n\r\n", listener.path());
            let _ = pipelined.write_all(one.repeat(MUCH / one.len()).as_bytes());
            let mut half = listener.open(&target);
            half.write_all(b"GET / HTTP/1.1\r\nhost:").expect("sent");
            half.flush().expect("sent");
            let start = instant();
            target.sidecar.signal(Signal::TERM);
            assert_eq!(target.sidecar.wait(PATIENCE).code(), Some(0));
            let elapsed = start.elapsed();
            assert!(elapsed < Duration::from_secs(8), "{listener:?}, {what}: {elapsed:?}");
            assert!(
                target.sidecar.logged("did not finish").is_empty(),
                "{listener:?}, {what}"
            );
            drop((stream, pipelined, half));
        }
    }
}

/// How long the end takes while a client keeps sending, until it is disconnected.
fn ends_while(
    sidecar: &mut Sidecar,
    mut stream: impl Write + Send,
    pieces: impl Iterator<Item = Vec<u8>> + Send,
    pace: Duration,
) -> Duration {
    std::thread::scope(|threads| {
        threads.spawn(move || {
            let mut beat = instant();
            for piece in pieces {
                if stream.write_all(&piece).and_then(|()| stream.flush()).is_err() {
                    return;
                }
                next_beat(&mut beat, pace);
            }
        });
        let start = instant();
        sidecar.signal(Signal::TERM);
        assert_eq!(sidecar.wait(PATIENCE).code(), Some(0));
        start.elapsed()
    })
}

#[test]
fn a_client_that_goes_on_sending_after_its_answer_does_not_hold_up_the_end() {
    for listener in LISTENERS {
        let mut target = listener.target();
        let mut stream = listener.open(&target);
        let head = "POST /nowhere HTTP/1.1\r\nhost: signet\r\ncontent-length: 99999999\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        let mut first = [0; 12];
        stream.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 404");
        let more = std::iter::repeat_with(|| b"more".to_vec());
        let elapsed = ends_while(&mut target.sidecar, stream, more, Duration::from_millis(10));
        // Without a shutdown, the server reads for 5 s.
        assert!(elapsed < Duration::from_secs(3), "{listener:?}: {elapsed:?}");
    }
}

/// The client never acknowledges the end of the connection, so its requests are still accepted.
#[test]
fn a_client_that_asks_on_and_on_and_takes_nothing_does_not_hold_up_the_end() {
    for listener in LISTENERS {
        let mut target = listener.target();
        let mut stream = listener.open(&target);
        stream.write_all(&http2::hello(0)).expect("sent");
        stream.write_all(&http2::ask(listener.path(), 1)).expect("sent");
        stream.flush().expect("sent");
        let mut first = [0; 9];
        stream.read_exact(&mut first).expect("settings");
        let asks = (3..).step_by(2).map(|stream_id| http2::ask(listener.path(), stream_id));
        let elapsed = ends_while(&mut target.sidecar, stream, asks, Duration::from_millis(200));
        assert!(elapsed < Duration::from_secs(8), "{listener:?}: {elapsed:?}");
        assert!(target.sidecar.logged("did not finish").is_empty(), "{listener:?}");
    }
}

/// An operator's Ctrl-C, or a rollout while the provider is silent.
#[test]
fn a_start_that_waits_for_a_silent_provider_ends_when_it_is_asked_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", silent.local_addr().expect("an address"));
        let mut sidecar = Spec::new(&Home::new())
            .set("SIGNET_PROVIDER", "vault")
            .set("SIGNET_CUSTODY", "remote")
            .set("VAULT_ADDR", address)
            .set("VAULT_TOKEN", "s.of-no-server-at-all")
            .spawn();
        // The sidecar calls the provider, and gets no answer.
        let asked = silent.accept().expect("a connection");
        sidecar.signal(signal);
        let ended = sidecar.wait(Duration::from_secs(2));
        assert!(ended.success(), "{ended}: {}", sidecar.log_text());
        drop(asked);
    }
}
