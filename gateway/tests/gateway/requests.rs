//! Which parts of a client's request reach a backend, and how endpoints are found.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use serde_json::json;

use crate::support::{Answer, Backend, Gateway, reply};

fn proxy(backend: &Backend) -> Gateway {
    Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/users/{id}", "backend": [{"url_pattern": "/v1/users/{id}?fixed=1"}]},
        {"endpoint": "/users/me", "backend": [{"url_pattern": "/v1/me"}]},
        {"endpoint": "/raw/{id}", "method": "POST", "output_encoding": "no-op", "timeout": "20s",
         "input_headers": ["X-Listed", "Content-Type", "Te", "X-Hop"], "input_query_strings": ["a", "b"],
         "backend": [{"url_pattern": "/raw/{id}"}]},
        {"endpoint": "/all", "output_encoding": "no-op", "input_headers": ["*"], "input_query_strings": ["*"],
         "backend": [{"url_pattern": "/all"}]},
    ], "extra_config": {"router": {"error_body": {"404": {"error": "no such page"}}}}}))
}

#[test]
fn only_what_is_listed_reaches_the_backend() {
    let backend = Backend::echo();
    let gateway = proxy(&backend);
    let headers = [
        ("X-Listed", "1"),
        ("X-Secret", "2"),
        ("Cookie", "a=b"),
        ("Authorization", "Bearer x"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Te", "trailers"),
        ("X-Hop", "3"),
        ("Connection", "X-Hop"),
    ];
    let answer = gateway.send("POST", "/raw/7?b=2&c=3&a=1&b=%261", &headers, "a body");
    assert_eq!(answer.status, 200, "{answer:?}");
    let asked = &backend.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/raw/7?a=1&b=2&b=%261")
    );
    assert_eq!(asked.body, "a body");
    assert_eq!(asked.header("content-length"), Some("6"));
    let mut names: Vec<&str> = asked.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "host",
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-listed"
        ]
    );
    assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.header("x-forwarded-host"), Some("gateway.test"));
    assert!(
        asked
            .header("user-agent")
            .is_some_and(|agent| agent.starts_with("Signet-Gateway/"))
    );
    assert_eq!(asked.header("host"), backend.host().strip_prefix("http://"));
}

#[test]
fn a_star_lets_all_through_but_what_concerns_a_connection() {
    let backend = Backend::echo();
    let gateway = proxy(&backend);
    let headers = [
        ("Cookie", "a=b"),
        ("User-Agent", "me"),
        ("Upgrade", "h2c"),
        ("X-Forwarded-Host", "evil"),
        ("Accept-Encoding", "gzip"),
    ];
    assert_eq!(gateway.send("GET", "/all?z=1&a=2", &headers, "").status, 200);
    let asked = &backend.asked()[0];
    assert_eq!(asked.target, "/all?a=2&z=1");
    assert_eq!(asked.header("cookie"), Some("a=b"));
    assert_eq!(asked.header("user-agent"), Some("me"));
    assert_eq!(asked.header("accept-encoding"), Some("gzip"));
    assert_eq!(asked.header("x-forwarded-host"), Some("gateway.test"));
    assert!(asked.header("x-forwarded-via").is_some());
    assert_eq!((asked.header("upgrade"), asked.header("connection")), (None, None));
}

#[test]
fn no_parameter_leaves_its_place() {
    let backend = Backend::echo();
    let gateway = proxy(&backend);
    for (path, target) in [
        ("/users/7", "/v1/users/7?fixed=1"),
        ("/users/a%20b", "/v1/users/a%20b?fixed=1"),
        ("/users/a%2Fb", "/v1/users/a%2Fb?fixed=1"),
        ("/users/..%2F..%2Fadmin", "/v1/users/..%2F..%2Fadmin?fixed=1"),
        ("/users/a&fixed=2;b", "/v1/users/a%26fixed%3D2%3Bb?fixed=1"),
        ("/users/%7Bresp0_x%7D", "/v1/users/%7Bresp0_x%7D?fixed=1"),
        ("/users/me", "/v1/me"),
    ] {
        let answer = gateway.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.json()["target"], target, "{path}");
    }
    for path in [
        "/users/..",
        "/users/.",
        "/users/%2e%2E",
        "/users/a%3Fb",
        "/users/a%23b",
        "/users/%252e%252e",
        "/users/%",
        "/users/%ff",
    ] {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    assert_eq!(backend.asked().len(), 7, "nothing else was asked for");
}

#[test]
fn what_is_no_endpoint_is_told_apart() {
    let backend = Backend::echo();
    let gateway = proxy(&backend);
    let nothing = gateway.get("/nothing");
    assert_eq!(
        (nothing.status, nothing.json()),
        (404, json!({"error": "no such page"}))
    );
    assert_eq!(nothing.header("x-krakend-completed"), Some("false"));
    assert!(
        nothing
            .header("x-krakend")
            .is_some_and(|value| value.starts_with("Version Signet-Gateway/"))
    );
    let other = gateway.send("DELETE", "/all", &[], "");
    assert_eq!((other.status, other.header("allow")), (405, Some("GET")));
    assert_eq!(gateway.send("HEAD", "/all", &[], "").status, 405);
    let slash = gateway.get("/all/?a=1");
    assert_eq!((slash.status, slash.header("location")), (301, Some("/all?a=1")));
    let case = gateway.send("POST", "/RAW/Ab", &[], "");
    assert_eq!((case.status, case.header("location")), (307, Some("/raw/Ab")));
    let health = gateway.get("/__health");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
    assert!(backend.asked().is_empty());
}

#[test]
fn an_answer_is_handed_on_as_it_comes() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let receive = std::sync::Mutex::new(receive);
    let backend = Backend::start(move |_, stream| {
        let head = "HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
                    connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\r\n5\r\nfirst\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        // The rest is sent only once the client has the first piece.
        receive.lock().expect("a lock").recv().expect("a word");
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").expect("sent");
    });
    let gateway = proxy(&backend);
    let mut stream = gateway.connect();
    stream.write_all(b"GET /all HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).expect("a line"), 0);
    }
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    assert!(
        head.contains("set-cookie: a=1\r\n") && head.contains("set-cookie: b=2\r\n"),
        "{head}"
    );
    assert!(!head.contains("x-hop") && !head.contains("keep-alive"), "{head}");
    let mut piece = [0; 10];
    reader.read_exact(&mut piece).expect("the first piece");
    assert_eq!(&piece, b"5\r\nfirst\r\n");
    send.send(()).expect("said");
    let mut rest = [0; 11 + 5];
    reader.read_exact(&mut rest).expect("the rest");
    assert_eq!(&rest, b"6\r\nsecond\r\n0\r\n\r\n");
}

#[test]
fn a_long_body_and_a_long_answer_pass_with_their_length() {
    const LONG: usize = 40 * 1024 * 1024;
    let backend = Backend::start(|asked, stream| {
        assert_eq!(
            (asked.body.len(), asked.header("content-length")),
            (LONG, Some("41943040"))
        );
        reply(stream, 200, &[], &asked.body);
    });
    let gateway = proxy(&backend);
    let mut stream = gateway.connect();
    let mut writer = stream.try_clone().expect("a stream");
    let writing = std::thread::spawn(move || {
        writer
            .write_all(
                format!("POST /raw/1 HTTP/1.1\r\nhost: a\r\ncontent-length: {LONG}\r\nconnection: close\r\n\r\n")
                    .as_bytes(),
            )
            .expect("sent");
        writer.write_all(&vec![b'x'; LONG]).expect("sent");
    });
    stream.flush().expect("flushed");
    let answer = Answer::read(&mut BufReader::new(stream)).expect("an answer");
    writing.join().expect("written");
    assert_eq!((answer.status, answer.body.len()), (200, LONG));
    assert_eq!(answer.header("content-length"), Some("41943040"));
}

#[test]
fn the_address_of_a_client_is_believed_only_of_trusted_proxies() {
    let backend = Backend::echo();
    for (proxies, forwarded) in [
        (json!([]), "127.0.0.1"),
        (json!(["10.0.0.0/8"]), "127.0.0.1"),
        (json!(["127.0.0.0/8", "10.0.0.0/8"]), "192.0.2.7"),
    ] {
        let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
            {"endpoint": "/x", "backend": [{"url_pattern": "/x"}]}],
            "extra_config": {"router": {"trusted_proxies": proxies}}}));
        let headers = [("x-forwarded-for", "1.1.1.1, 192.0.2.7, 10.0.0.2")];
        let answer = gateway.send("GET", "/x", &headers, "").json();
        assert_eq!(answer["headers"]["x-forwarded-for"], forwarded, "{proxies}");
    }
}

#[test]
fn hosts_are_asked_in_turn() {
    let backends = [Backend::echo(), Backend::echo()];
    let hosts: Vec<String> = backends.iter().map(Backend::host).collect();
    let gateway = Gateway::start(&json!({"endpoints": [
        {"endpoint": "/a", "backend": [{"host": hosts, "url_pattern": "/a"}]}]}));
    for _ in 0..6 {
        assert_eq!(gateway.get("/a").status, 200);
    }
    assert_eq!(backends.map(|backend| backend.asked().len()), [3, 3]);
}

#[test]
fn a_request_under_way_is_finished_when_the_process_ends() {
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let (arrived, wait) = std::sync::mpsc::channel::<()>();
    let (receive, arrived) = (std::sync::Mutex::new(receive), std::sync::Mutex::new(arrived));
    let backend = Backend::start(move |_, stream| {
        arrived.lock().expect("a lock").send(()).expect("said");
        receive.lock().expect("a lock").recv().expect("a word");
        reply(stream, 200, &[], "{\"a\":1}");
    });
    let mut gateway = Gateway::start(&json!({"host": [backend.host()], "timeout": "20s", "endpoints": [
        {"endpoint": "/a", "backend": [{"url_pattern": "/a"}]}]}));
    let mut stream = gateway.connect();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").expect("sent");
    wait.recv().expect("the backend was asked");
    gateway.signal("TERM");
    send.send(()).expect("said");
    let answer = Answer::read(&mut BufReader::new(stream)).expect("an answer");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"a\":1}"));
    assert_eq!(gateway.ends().code(), Some(0));
}

#[test]
fn a_page_of_a_listed_origin_may_read_answers_and_errors() {
    let backend = Backend::echo();
    let gateway = Gateway::start(
        &json!({"host": [backend.host()], "endpoints": [{"endpoint": "/x", "backend": [{"url_pattern": "/y"}]}],
        "extra_config": {"security/cors": {"allow_origins": ["https://a.test"], "allow_methods": ["GET"], "allow_headers": ["x-a"]}}}),
    );
    let preflight = [
        ("origin", "https://a.test"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "x-a"),
    ];
    let answer = gateway.send("OPTIONS", "/x", &preflight, "");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (204, Some("https://a.test"))
    );
    assert!(backend.asked().is_empty());
    for path in ["/x", "/nothing"] {
        let allowed = |origin: &str| {
            let answer = gateway.send("GET", path, &[("origin", origin)], "");
            answer.header("access-control-allow-origin").map(str::to_owned)
        };
        assert_eq!(allowed("https://a.test").as_deref(), Some("https://a.test"), "{path}");
        assert_eq!(allowed("https://b.test"), None, "{path}");
    }
}
