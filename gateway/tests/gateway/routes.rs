//! What the gateway answers itself, calls that race, and what `check -t` tries.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, reply};

#[test]
fn debug_and_echo_answer_below_their_paths_only_if_the_file_says_so() {
    let backend = Backend::echo();
    let endpoint = json!([{"endpoint": "/a", "backend": [{"url_pattern": "/a"}]}]);
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": endpoint}));
    for path in ["/__debug", "/__debug/a", "/__echo/a"] {
        assert_eq!(gateway.get(path).status, 404, "{path}");
    }
    let gateway = Gateway::start(
        &json!({"debug_endpoint": true, "echo_endpoint": true, "host": [backend.host()], "endpoints": endpoint}),
    );
    for method in ["GET", "POST", "DELETE"] {
        let answer = gateway.send(method, "/__debug/some/path?x=1", &[], "");
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"message": "pong"})),
            "{method}"
        );
    }
    assert_eq!(gateway.get("/__debugger").status, 404);
    let answer = gateway.send(
        "PUT",
        "/__echo/a%20b?x=1&y=%26&x=2",
        &[("X-One", "1"), ("x-one", "2")],
        "a body",
    );
    assert_eq!(
        answer.json(),
        json!({
            "req_uri": "/__echo/a%20b?x=1&y=%26&x=2",
            "req_uri_details": {"user": "", "host": "gateway.test", "path": "/__echo/a b", "query": "x=1&y=%26&x=2", "fragment": ""},
            "req_method": "PUT",
            "req_querystring": {"x": ["1", "2"], "y": ["&"]},
            "req_body": "a body",
            "req_headers": {"X-One": ["1", "2"], "Connection": ["close"], "Content-Length": ["6"]},
        })
    );
    assert!(backend.asked().is_empty());
}

#[test]
fn options_is_answered_with_the_methods_of_a_path() {
    let backend = Backend::echo();
    let file = |on: bool| {
        json!({"host": [backend.host()], "extra_config": {"router": {"auto_options": on}}, "endpoints": [
            {"endpoint": "/a/{id}", "method": "POST", "backend": [{"url_pattern": "/a"}]},
            {"endpoint": "/a/{id}", "backend": [{"url_pattern": "/a"}]}]})
    };
    let gateway = Gateway::start(&file(true));
    let answer = gateway.send("OPTIONS", "/a/7", &[], "");
    assert_eq!(
        (answer.status, answer.header("allow"), answer.body.as_str()),
        (200, Some("GET, POST"), "")
    );
    assert_eq!(gateway.send("OPTIONS", "/b", &[], "").status, 404);
    assert_eq!(gateway.send("PUT", "/a/7", &[], "").status, 405);
    assert_eq!(
        Gateway::start(&file(false)).send("OPTIONS", "/a/7", &[], "").status,
        405
    );
}

/// A backend whose first call hangs, whose second one fails, and whose others succeed at once.
fn uneven() -> Backend {
    let calls = Mutex::new(0);
    Backend::start(move |asked, stream| {
        let call = {
            let mut calls = calls.lock().expect("a lock");
            *calls += 1;
            *calls
        };
        match call % 3 {
            1 => std::thread::sleep(Duration::from_secs(4)),
            2 => reply(stream, 500, &[], ""),
            _ => {
                std::thread::sleep(Duration::from_millis(50));
                reply(
                    stream,
                    200,
                    &[("content-type", "application/json")],
                    &json!({"body": asked.body}).to_string(),
                );
            }
        }
    })
}

#[test]
fn of_concurrent_calls_the_first_complete_answer_counts() {
    for (output, filter) in [("json", None), ("json", Some("body"))] {
        let backend = uneven();
        let mut to = json!({"url_pattern": "/a"});
        if let Some(filter) = filter {
            to["allow"] = json!([filter]);
        }
        let gateway = Gateway::start(
            &json!({"host": [backend.host()], "endpoints": [{"endpoint": "/a", "method": "POST",
            "output_encoding": output, "concurrent_calls": 3, "timeout": "3s", "backend": [to]}]}),
        );
        let since = Instant::now();
        let answer = gateway.send("POST", "/a", &[], "a body");
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"body": "a body"})),
            "{answer:?}"
        );
        assert_eq!(backend.asked().len(), 3);
        assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    }
    let backend = Backend::start(|_, stream| reply(stream, 500, &[], ""));
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [{"endpoint": "/a",
        "concurrent_calls": 3, "backend": [{"url_pattern": "/a"}]}]}));
    assert_eq!((gateway.get("/a").status, backend.asked().len()), (500, 3));
}

#[test]
fn a_body_follows_a_redirect_only_if_the_file_says_so() {
    for (sends, asked) in [
        (true, vec!["POST /a a body", "POST /b a body"]),
        (false, vec!["POST /a a body"]),
    ] {
        let backend = Backend::start(|asked, stream| match asked.target.as_str() {
            "/a" => reply(stream, 307, &[("location", "/b")], ""),
            _ => reply(stream, 200, &[], "done"),
        });
        let gateway = Gateway::start(
            &json!({"host": [backend.host()], "endpoints": [{"endpoint": "/a", "method": "POST",
            "output_encoding": "no-op", "backend": [{"url_pattern": "/a",
                "extra_config": {"backend/http/client": {"send_body_on_redirect": sends}}}]}]}),
        );
        let answer = gateway.send("POST", "/a", &[], "a body");
        assert_eq!(answer.status, if sends { 200 } else { 307 });
        let seen = backend.asked();
        let seen: Vec<String> = seen
            .iter()
            .map(|asked| format!("{} {} {}", asked.method, asked.target, asked.body))
            .collect();
        assert_eq!(seen, asked);
    }
}

#[test]
fn the_listed_header_names_the_client_behind_a_trusted_proxy() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "extra_config": {"router": {
            "trusted_proxies": ["127.0.0.1"], "remote_ip_headers": ["X-Client", "X-Forwarded-For"]}},
        "endpoints": [{"endpoint": "/a", "backend": [{"url_pattern": "/a"}]}]}));
    let client = |headers: &[(&str, &str)]| {
        let answer = gateway.send("GET", "/a", headers, "");
        answer.json()["headers"]["x-forwarded-for"].as_str().map(str::to_owned)
    };
    let forwarded = ("X-Forwarded-For", "192.0.2.7");
    assert_eq!(client(&[forwarded]).as_deref(), Some("192.0.2.7"));
    assert_eq!(
        client(&[forwarded, ("X-Client", "192.0.2.8")]).as_deref(),
        Some("192.0.2.8")
    );
}

fn check(file: &Value, flags: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("krakend.json");
    std::fs::write(&path, file.to_string()).expect("written");
    Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
        .args(["check", "-c"])
        .arg(path)
        .args(flags)
        .output()
        .expect("it runs")
}

#[test]
fn a_trial_finds_a_port_in_use_and_a_missing_certificate_and_warns_of_silent_backends() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let backend = Backend::echo();
    let mut file = json!({"version": 3, "port": port, "listen_ip": "127.0.0.1", "endpoints": [
        {"endpoint": "/a", "backend": [{"host": [backend.host(), "http://127.0.0.1:1"], "url_pattern": "/a"}],
         "extra_config": {"auth/validator": {"alg": "RS256", "jwk_url": "https://127.0.0.1:1/keys", "issuer": "i",
            "audience": ["a"], "jwk_local_ca": "/no/such/ca.pem"}}}]});
    assert_eq!(check(&file, &[]).status.code(), Some(0));
    let output = check(&file, &["-t"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    for says in [
        &*format!("listening on 127.0.0.1:{port} failed; free the port"),
        "jwk_local_ca /no/such/ca.pem cannot be read",
        "warning: the keys of https://127.0.0.1:1/keys",
        "the backend http://127.0.0.1:1 cannot be reached from here: Connection refused",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
    assert!(!told.contains(&backend.host()), "{told}");
    drop(taken);
    if let Some(validator) = file
        .pointer_mut("/endpoints/0/extra_config/auth~1validator")
        .and_then(Value::as_object_mut)
    {
        validator.remove("jwk_local_ca");
    }
    let output = check(&file, &["-tlnd"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("warning: the keys of https://127.0.0.1:1/keys cannot be fetched from here"),
        "{told}"
    );
    // Nothing of the trial is served or stays.
    assert!(backend.asked().is_empty());
}

#[test]
fn an_endpoint_at_the_health_path_is_refused() {
    let file = json!({"version": 3, "host": ["http://a"], "extra_config": {"router": {"health_path": "/a/b"}},
        "endpoints": [{"endpoint": "/a/{id}", "backend": [{"url_pattern": "/a"}]}]});
    let output = check(&file, &[]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(
        told.contains("endpoints[0].endpoint: /a/{id} is also the health path"),
        "{told}"
    );
}
