//! A request's target must not have a `#` in it. Other unusual bytes must not hide a part of the target either.

use std::io::Write as _;
use std::time::Duration;

use crate::harness::http::{Connection, Duplex};
use crate::harness::{AUDIENCE, PATIENCE};
use crate::http2;
use crate::target::{LISTENERS, Listener, Target};

const SOON: Duration = Duration::from_secs(3);
const PROTOCOL_ERROR: u32 = 1;
const SAID: &str = "its target has a \"#\" in it";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: signet\r\nreferer: http://signet/#a\r\n\r\n")
}

/// Targets on this listener with a `#`, in each form of a target.
fn targets(listener: Listener) -> Vec<String> {
    let path = listener.path();
    vec![
        format!("{path}#"),
        format!("{path}#a"),
        format!("{path}?#"),
        format!("{path}?a=b#c&d=e"),
        format!("{path}?a=%23#"),
        format!("http://signet{path}#a"),
        "/#".to_owned(),
    ]
}

#[test]
fn a_number_sign_in_a_target_gets_a_400_and_nothing_after_it_is_answered() {
    for listener in LISTENERS {
        let target = listener.target();
        for asked in targets(listener) {
            for (method, length) in [("GET", 0), ("HEAD", 0), ("POST", 3)] {
                let mut connection = target.connect(listener);
                let head = format!("{method} {asked} HTTP/1.1\r\nhost: signet\r\ncontent-length: {length}\r\n\r\n");
                let body = &"###"[..length];
                connection
                    .send((head + body + &get(listener.path())).as_bytes())
                    .expect("sent");
                let answer = connection.answer(method).expect("an answer");
                assert_eq!(
                    (
                        answer.status,
                        answer.header("connection"),
                        answer.header("content-type")
                    ),
                    (400, Some("close"), Some("application/problem+json")),
                    "{listener:?}, {method} {asked}"
                );
                if method != "HEAD" {
                    assert_eq!(answer.problem(), "invalid_target", "{listener:?}, {asked}");
                    assert!(answer.text().contains("%23"), "{}", answer.text());
                }
                assert!(connection.is_closed_within(SOON), "{listener:?}, {method} {asked}");
            }
        }
        assert!(!target.sidecar.logged(SAID).is_empty(), "{listener:?}");
    }
}

/// Requests with a `#` wherever one is allowed, with different kinds of bodies, and the status of each answer.
fn good(listener: Listener) -> Vec<(String, u16)> {
    let path = listener.path();
    let verify = "{\"token\":\"GET /# HTTP/1\",\r\n\r\n\"audience\":[\"#\"]}";
    let (length, (one, other)) = (verify.len(), verify.split_at(15));
    let chunks = format!(
        "f;#=\"#\"\r\n{one}\r\n{:x}\r\n{other}\r\n0;#\r\n#: #\r\n\r\n",
        other.len()
    );
    let (posted, status, bodies) = match listener {
        Listener::Socket => (
            "/v1/verify",
            200,
            vec![
                format!("content-length: {length}\r\n\r\n{verify}"),
                format!("transfer-encoding: chunked\r\n\r\n{chunks}"),
            ],
        ),
        // These listeners read only a body that arrives with its head.
        _ => (
            path,
            405,
            vec![
                "content-length: 0\r\n\r\n".to_owned(),
                "transfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
                "content-length: 13\r\n\r\nGET /# HTTP/1".to_owned(),
            ],
        ),
    };
    let mut all = vec![(get(path), 200)];
    for body in bodies {
        let head = format!("POST {posted} HTTP/1.1\r\nhost: signet\r\nx: #\r\n");
        all.push((head + &body, status));
        all.push((format!("\r\n{}", get(&format!("{path}?a=%23"))), 200));
    }
    all
}

#[test]
fn a_number_sign_elsewhere_is_no_fault_however_the_requests_are_cut() {
    for listener in LISTENERS {
        let target = listener.target();
        let good = good(listener);
        let good_only: String = good.iter().map(|(request, _)| request.as_str()).collect();
        let asked = good_only + &get(&format!("{}#", listener.path())) + &get(listener.path());
        let lengths = match listener {
            Listener::Socket => vec![1, 3, 24, 25, 100, 1000, asked.len()],
            _ => vec![asked.len()],
        };
        for length in lengths {
            let mut stream = listener.open(&target);
            for piece in asked.as_bytes().chunks(length) {
                stream.write_all(piece).expect("sent");
                stream.flush().expect("sent");
            }
            let mut connection = Connection::over(stream).expect("connected");
            for (request, status) in &good {
                let answer = connection.answer("GET").expect("an answer");
                assert_eq!(answer.status, *status, "{listener:?}, in pieces of {length}: {request}");
            }
            let answer = connection.answer("GET").expect("an answer");
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "invalid_target".to_owned()),
                "{listener:?}, in pieces of {length}"
            );
            assert!(connection.is_closed_within(SOON), "{listener:?}, in pieces of {length}");
        }
    }
}

/// An HTTP/2 connection after its preface and settings.
fn hello(target: &Target, listener: Listener) -> Box<dyn Duplex> {
    let mut stream = listener.open(target);
    stream.patience(PATIENCE).expect("a limit");
    stream.write_all(&http2::hello(0x7fff_ffff)).expect("sent");
    stream
}

#[test]
fn over_http_2_the_stream_of_a_number_sign_is_reset_and_the_others_go_on() {
    // `/v1/authorize?audience=a#x&scope=admin` as curl 7.88 with nghttp2 1.52 compresses it.
    let compressed =
        b"\x04\x9d\x63\xb8\x58\x1d\xa9\x9c\xf6\x1b\xd9\x7f\xc1\xdb\x21\x8b\x51\x0b\x00\xff\xeb\xfc\xc2\x08\x7a\
                       \xcb\x00\xe4\xa4\xd5\x7f";
    for listener in LISTENERS {
        let target = listener.target();
        let paths = targets(listener).into_iter().filter(|path| path.starts_with('/'));
        let mut written: Vec<Vec<u8>> = paths.map(|path| http2::path(4, &path)).collect();
        written.push(compressed.to_vec());
        // The table of the connection keeps it for the next stream.
        written.push(http2::path(0x44, &format!("{}#a", listener.path())));
        for path in written {
            let mut stream = hello(&target, listener);
            let ask = http2::ask_of_path(&path, 1);
            // In two pieces: the cut is in the path.
            let (one, other) = ask.split_at(ask.len() - path.len() / 2);
            for piece in [one, other] {
                stream.write_all(piece).expect("sent");
                stream.flush().expect("sent");
            }
            let reason = http2::reason_of_a_reset(stream.as_mut()).expect("it is reset");
            assert_eq!(reason, PROTOCOL_ERROR, "{listener:?}, {path:?}");
            if path[0] == 0x44 {
                stream.write_all(&http2::ask_of_path(&[0xbe], 3)).expect("sent");
                stream.flush().expect("sent");
                let reason = http2::reason_of_a_reset(stream.as_mut()).expect("it is reset");
                assert_eq!(reason, PROTOCOL_ERROR, "{listener:?}, from the table");
            }
            stream.write_all(&http2::ask(listener.path(), 5)).expect("sent");
            stream.flush().expect("sent");
            let status = http2::status_of_an_answer(stream.as_mut()).expect("an answer");
            assert_eq!(status, 200, "{listener:?}, {path:?}");
        }
        assert!(!target.sidecar.logged(SAID).is_empty(), "{listener:?}");
    }
}

/// A gateway's URL may have any byte in it by mistake. Signet must still read what follows the byte, or refuse the
/// request.
#[test]
fn no_octet_in_a_target_hides_a_requirement() {
    let listener = Listener::Socket;
    let target = listener.target();
    let token = target.sidecar.sign_for("client").token;
    let head = format!(" HTTP/1.1\r\nhost: signet\r\nauthorization: Bearer {token}\r\n\r\n");
    let ask = |before: &[u8], scope: &str| {
        let asked = [
            b"GET /v1/authorize?audience=",
            AUDIENCE.as_bytes(),
            before,
            scope.as_bytes(),
            head.as_bytes(),
        ];
        let mut connection = target.connect(listener);
        connection.send(&asked.concat()).expect("sent");
        connection.answer("GET").expect("an answer").status
    };
    assert_eq!((ask(b"", ""), ask(b"", "&scope=admin")), (200, 403));
    for octet in 0..=u8::MAX {
        // Alone, and as the first and the last byte of a character of two bytes.
        for before in [&[octet][..], &[octet, b'a'], &[0xc3, octet], &[octet, 0xa9]] {
            let status = ask(before, "&scope=admin");
            assert!((400..500).contains(&status), "{before:?} got {status}");
        }
    }
    // The same over HTTP/2.
    for octet in 0..=u8::MAX {
        let mut path = b"/v1/authorize?audience=".to_vec();
        path.extend_from_slice(AUDIENCE.as_bytes());
        path.push(octet);
        path.extend_from_slice(b"&scope=admin");
        let mut stream = hello(&target, listener);
        let mut fields = http2::path(4, "");
        fields[1] = u8::try_from(path.len()).expect("short");
        fields.extend(path);
        fields.extend(http2::bearer(&token));
        stream.write_all(&http2::ask_of_path(&fields, 1)).expect("sent");
        stream.flush().expect("sent");
        let status = http2::status_of_an_answer(stream.as_mut());
        assert!(!matches!(status, Ok(200)), "{octet} got in over HTTP/2");
    }
}
