//! A file that changes while the gateway runs: what new requests see, what is kept, and what is refused.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Gateway, reply};
use crate::tokens::Issuer;

const DONE: &str = "the new file is in use";
const REFUSED: &str = "the new file is not used";

/// A file whose answers contain its version.
fn file(backend: &Backend, version: usize) -> Value {
    json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "backend": [{"url_pattern": "/x", "group": format!("v{version}")}]}]})
}

/// A connection that is kept alive.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn to(gateway: &Gateway) -> Self {
        Self(BufReader::new(gateway.connect()))
    }

    fn get(&mut self, target: &str, headers: &str) -> std::io::Result<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: gateway.test\r\n{headers}\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        Answer::read(&mut self.0)
    }
}

/// Thousands of requests, on connections that are kept alive and on new ones, while the file changes 20 times. Every
/// other change makes the file invalid.
#[test]
fn a_reload_under_load_loses_no_request() {
    let backend = Backend::start(|_, stream| reply(stream, 200, &[], "{\"a\":1}"));
    let gateway = Gateway::start(&file(&backend, 0));
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (gateway, is_over, count) = (&gateway, &is_over, &count);
            scope.spawn(move || {
                let mut kept = Kept::to(gateway);
                while !is_over.load(Ordering::Relaxed) {
                    let answer = match thread {
                        0 => gateway.get("/x"),
                        _ => kept.get("/x", "").expect("an answer"),
                    };
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert!(answer.body.starts_with("{\"v"), "{answer:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = End(&is_over);
        for round in 0..10 {
            gateway.rewrite(&file(&backend, round + 1));
            gateway.logs(DONE, round + 1);
            let answer = gateway.get("/x");
            assert_eq!(answer.json(), json!({format!("v{}", round + 1): {"a": 1}}));
            match round % 2 {
                0 => gateway.rewrite_text("{\"version\": 3, \"endpoints\": ["),
                _ => gateway.rewrite(&json!({"prot": 1, "endpoints": [{"endpoint": "x"}]})),
            }
            gateway.logs(REFUSED, round + 1);
            let answer = gateway.get("/x");
            assert_eq!(answer.json(), json!({format!("v{}", round + 1): {"a": 1}}));
        }
        drop(end);
    });
    let count = count.into_inner();
    assert!(count > 2000, "only {count} requests: this was no load");
    let log = gateway.log();
    for problem in ["endpoints[0].endpoint", "no key has this name here; is port meant?"] {
        assert_eq!(log.matches(problem).count(), 5, "{problem} is told each time: {log}");
    }
}

/// Ends the load, even if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_request_under_way_ends_with_the_file_that_it_began_with() {
    let ((arrive, arrived), (release, released)) = (channel::<()>(), channel::<()>());
    let (arrive, released) = (Mutex::new(arrive), Mutex::new(released));
    let backend = Backend::start(move |asked, stream| {
        if asked.target == "/slow" {
            arrive.lock().expect("a lock").send(()).expect("said");
            released.lock().expect("a lock").recv().expect("a word");
        }
        reply(stream, 200, &[], "{\"a\":1}");
    });
    let of = |group: &str, path: &str| {
        json!({"host": [backend.host()], "timeout": "20s", "endpoints": [
            {"endpoint": "/x", "backend": [{"url_pattern": path, "group": group}]}]})
    };
    let gateway = Gateway::start(&of("old", "/slow"));
    let mut kept = Kept::to(&gateway);
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| kept.get("/x", "").expect("an answer"));
        arrived.recv().expect("the backend was asked");
        gateway.rewrite(&of("new", "/quick"));
        gateway.signal("HUP");
        gateway.logs(DONE, 1);
        assert_eq!(gateway.get("/x").json(), json!({"new": {"a": 1}}));
        release.send(()).expect("said");
        assert_eq!(under_way.join().expect("an answer").json(), json!({"old": {"a": 1}}));
    });
    let answer = kept.get("/x", "").expect("an answer");
    assert_eq!(answer.json(), json!({"new": {"a": 1}}), "the connection goes on");
}

/// The token is verified, the key is fetched, and the connection is open: a reload repeats none of this.
#[test]
fn connections_to_backends_and_keys_survive_a_reload() {
    let issuer = Issuer::new();
    let jwks = issuer.jwks();
    let keys = Backend::start(move |_, stream| reply(stream, 200, &[], &jwks));
    let backend = Backend::echo();
    let file = |path: &str, host: &Backend, others: &[Value]| {
        let mut endpoints = vec![
            json!({"endpoint": path, "backend": [{"url_pattern": path}], "extra_config": {
            "auth/validator": {"alg": "ES256", "jwk_url": format!("{}/jwks", keys.host())}}}),
        ];
        endpoints.extend_from_slice(others);
        json!({"host": [host.host()], "endpoints": endpoints})
    };
    let gateway = Gateway::start(&file("/a", &backend, &[]));
    let mut kept = Kept::to(&gateway);
    let token = format!("authorization: bearer {}\r\n", issuer.token(json!({})));
    let get = |kept: &mut Kept, path: &str| kept.get(path, &token).expect("an answer").status;
    assert_eq!(get(&mut kept, "/a"), 200);
    assert_eq!((backend.connections(), keys.asked().len()), (1, 1));
    for round in 1..=3 {
        let path = format!("/b{round}");
        gateway.rewrite(&file(&path, &backend, &[]));
        gateway.logs(DONE, round);
        assert_eq!(get(&mut kept, &path), 200);
        assert_eq!(get(&mut kept, "/a"), 404);
    }
    assert_eq!((backend.connections(), keys.asked().len()), (1, 1));

    // A source that is new is fetched before the file takes over, so its first request has a key.
    let other = Issuer::new();
    let jwks = other.jwks();
    let slow = Backend::start(move |_, stream| {
        std::thread::sleep(Duration::from_millis(300));
        reply(stream, 200, &[], &jwks);
    });
    let endpoint = json!({"endpoint": "/other", "backend": [{"url_pattern": "/other"}], "extra_config": {
        "auth/validator": {"alg": "ES256", "jwk_url": format!("{}/jwks", slow.host())}}});
    gateway.rewrite(&file("/a", &backend, &[endpoint]));
    let token = format!("authorization: bearer {}\r\n", other.token(json!({})));
    let since = Instant::now();
    let first = loop {
        match kept.get("/other", &token).expect("an answer").status {
            404 if since.elapsed() < Duration::from_secs(20) => std::thread::sleep(Duration::from_millis(2)),
            status => break status,
        }
    };
    assert_eq!(first, 200);
    assert_eq!(
        (backend.connections(), keys.asked().len(), slow.asked().len()),
        (1, 1, 1)
    );
}

#[test]
fn what_needs_a_restart_is_refused_by_name_and_the_rest_with_it() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&file(&backend, 1));
    let mut next = file(&backend, 2);
    next["read_header_timeout"] = "3s".into();
    next["extra_config"] = json!({"telemetry/logging": {"level": "DEBUG"}});
    gateway.rewrite(&next);
    gateway.logs(REFUSED, 1);
    let log = gateway.log();
    assert!(
        log.contains("read_header_timeout, telemetry/logging") && log.contains("restart"),
        "{log}"
    );
    assert!(gateway.get("/x").body.starts_with("{\"v1\""));
    gateway.rewrite(&file(&backend, 2));
    gateway.logs(DONE, 1);
    assert!(gateway.get("/x").body.starts_with("{\"v2\""));
}

/// The address of a client comes from a proxy that the newest file trusts, even on connections that were open before
/// the reload.
#[test]
fn a_connection_of_before_obeys_the_new_file() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&file(&backend, 1));
    let mut kept = Kept::to(&gateway);
    let mut client = || {
        let answer = kept.get("/x", "x-forwarded-for: 203.0.113.7\r\n").expect("an answer");
        let body = answer.json();
        let group = body.as_object().and_then(|object| object.values().next()).cloned();
        group.unwrap_or_default()["headers"]["x-forwarded-for"].clone()
    };
    assert_eq!(client(), "127.0.0.1");
    let mut next = file(&backend, 2);
    next["extra_config"] = json!({"router": {"trusted_proxies": ["127.0.0.0/8"]}});
    gateway.rewrite(&next);
    gateway.logs(DONE, 1);
    assert_eq!(client(), "203.0.113.7");
}

/// An editor writes a file piece by piece. The incomplete file must not cause an error in the log.
#[test]
fn a_file_that_is_being_written_is_waited_for() {
    let backend = Arc::new(Backend::echo());
    let gateway = Gateway::start(&file(&backend, 1));
    let text = std::fs::read_to_string(gateway.path("krakend.json")).expect("the file");
    let text = text.replace("v1", "v2");
    for end in (20..text.len()).step_by(8) {
        std::fs::write(gateway.path("krakend.json"), &text[..end]).expect("written");
        std::thread::sleep(Duration::from_millis(80));
    }
    std::fs::write(gateway.path("krakend.json"), &text).expect("written");
    gateway.logs(DONE, 1);
    assert!(gateway.get("/x").body.starts_with("{\"v2\""));
    assert!(!gateway.log().contains(REFUSED), "{}", gateway.log());
}
