//! The host of a request: exactly one, and a valid name or address.

use std::io::Write as _;
use std::time::Duration;

use crate::harness::PATIENCE;
use crate::http2;
use crate::target::{LISTENERS, Listener};

const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_request_that_does_not_name_one_host_gets_a_400_and_nothing_after_it_is_answered() {
    for listener in LISTENERS {
        let target = listener.target();
        let path = listener.path();
        for (name, head) in [
            ("none", "HTTP/1.1\r\n"),
            ("two", "HTTP/1.1\r\nhost: a\r\nhost: b\r\n"),
            ("the same twice", "HTTP/1.1\r\nHost: a\r\nHost: a\r\n"),
            ("two in HTTP/1.0", "HTTP/1.0\r\nhost: a\r\nhost: b\r\n"),
            ("a blank within", "HTTP/1.1\r\nhost: a b\r\n"),
            ("a path", "HTTP/1.1\r\nhost: /run/signet.sock\r\n"),
            ("a user", "HTTP/1.1\r\nhost: user@signet\r\n"),
            ("a port that is none", "HTTP/1.1\r\nhost: signet:http\r\n"),
            ("an address without brackets", "HTTP/1.1\r\nhost: ::1\r\n"),
            ("invalid in HTTP/1.0", "HTTP/1.0\r\nhost: a,b c\r\n"),
            ("not ASCII", "HTTP/1.1\r\nhost: s\u{ed}gnet\r\n"),
        ] {
            let mut connection = target.connect(listener);
            let next = format!("GET {path} HTTP/1.1\r\nhost: signet\r\n\r\n");
            connection
                .send(format!("GET {path} {head}\r\n{next}").as_bytes())
                .expect("sent");
            let answer = connection.answer("GET").expect("an answer");
            assert_eq!(
                (answer.status, answer.problem(), answer.header("connection")),
                (400, "invalid_host".to_owned(), Some("close")),
                "{listener:?}, {name}"
            );
            assert!(connection.is_closed_within(SOON), "{listener:?}, {name}");
        }
        // With a body that nobody reads.
        let mut connection = target.connect(listener);
        let head = format!(
            "POST {path} HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n{}",
            "x".repeat(100_000)
        );
        connection.send(head.as_bytes()).expect("sent");
        assert_eq!(
            connection.answer("POST").expect("an answer").status,
            400,
            "{listener:?}"
        );
        let mut connection = target.connect(listener);
        connection
            .send(format!("HEAD {path} HTTP/1.1\r\n\r\n").as_bytes())
            .expect("sent");
        assert_eq!(
            connection.answer("HEAD").expect("an answer").status,
            400,
            "{listener:?}"
        );
        assert!(connection.is_closed_within(SOON), "{listener:?}: no body after HEAD");
    }
}

#[test]
fn a_request_that_names_a_host_or_need_not_is_answered() {
    for listener in LISTENERS {
        let target = listener.target();
        for head in [
            "HTTP/1.0\r\n",
            "HTTP/1.0\r\nhost: signet\r\n",
            "HTTP/1.1\r\nhost:\r\n",
            "HTTP/1.1\r\nHOST: Signet_1.example:8080\r\n",
            "HTTP/1.1\r\nhost: [::1]:9464\r\n",
            "HTTP/1.1\r\nhost: 10.0.0.1\r\n",
            "HTTP/1.1\r\nhost: %2Frun%2Fsignet.sock\r\n",
        ] {
            let mut connection = target.connect(listener);
            connection
                .send(format!("GET {} {head}\r\n", listener.path()).as_bytes())
                .expect("sent");
            let answer = connection.answer("GET").expect("an answer");
            assert_eq!(answer.status, 200, "{listener:?}, {head:?}: {}", answer.text());
        }
    }
}

#[test]
fn over_http_2_the_authority_and_a_host_must_agree() {
    for listener in LISTENERS {
        let target = listener.target();
        for (authority, hosts, status) in [
            (Some("signet"), &[][..], 200),
            (Some("signet"), &["signet"], 200),
            (Some("signet"), &["SIGNET:80"], 200),
            (None, &["signet"], 200),
            (None, &[], 200),
            (Some("signet"), &["other"], 400),
            (Some("signet"), &["signet:81"], 400),
            (Some("signet"), &["signet", "signet"], 400),
            (Some("signet"), &["a b"], 400),
            (Some("user@signet"), &[], 400),
            (None, &["a", "b"], 400),
        ] {
            let answered = ask(&target, listener, authority, hosts);
            assert_eq!(answered, status, "{listener:?}, {authority:?}, {hosts:?}");
        }
    }
}

fn ask(target: &crate::target::Target, listener: Listener, authority: Option<&str>, hosts: &[&str]) -> u16 {
    let mut stream = listener.open(target);
    stream.patience(PATIENCE).expect("a limit");
    stream.write_all(&http2::hello(65_535)).expect("sent");
    let ask = http2::ask_of_hosts(listener.path(), authority, hosts);
    stream.write_all(&ask).expect("sent");
    stream.flush().expect("sent");
    http2::status_of_an_answer(stream.as_mut()).expect("an answer")
}
