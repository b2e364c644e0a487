//! The admin listener: whether the gateway is alive and ready, and what its metrics count.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Backend, Gateway, reply};

/// The value of a series in the text of `/metrics`.
fn value(gateway: &Gateway, series: &str) -> Option<f64> {
    let text = gateway.admin("GET", "/metrics").body;
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until a series has this value, as an answer is counted after its last byte.
fn becomes(gateway: &Gateway, series: &str, expected: f64) {
    let since = Instant::now();
    while value(gateway, series) != Some(expected) {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "{series} is {:?}, not {expected}",
            value(gateway, series)
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_gateway_without_validators_is_alive_and_ready() {
    let gateway = Gateway::start(&json!({"endpoints": []}));
    let live = gateway.admin("GET", "/livez");
    assert_eq!((live.status, live.body.as_str()), (200, "ok\n"));
    let ready = gateway.admin("GET", "/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["ready"], true);
    assert_eq!(ready.json()["phase"], "serving");
    assert_eq!(ready.json()["conditions"], json!([]));
    assert_eq!(gateway.admin("HEAD", "/readyz").status, 200);
    assert_eq!(gateway.admin("POST", "/readyz").status, 405);
    assert_eq!(gateway.admin("GET", "/readyz/x").status, 404);
    // The clients' listener has none of it.
    assert_eq!(gateway.get("/livez").status, 404);
    assert_eq!(gateway.get("/metrics").status, 404);
}

#[test]
fn requests_are_counted_by_the_pattern_of_the_file_and_never_by_their_path() {
    let backend = Backend::start(|asked, stream| match asked.target.as_str() {
        "/y/bad" => reply(stream, 500, &[], "no"),
        _ => reply(stream, 200, &[("content-type", "application/json")], r#"{"a":1}"#),
    });
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x/{id}", "backend": [{"url_pattern": "/y/{id}"}]},
        {"endpoint": "/s/{id}", "output_encoding": "no-op", "backend": [{"url_pattern": "/y/{id}"}]},
    ]}));
    let endpoint = "http_route=\"/x/{id}\",http_request_method=\"GET\"";
    let requests = |class: &str| format!("signet_gateway_requests_total{{{endpoint},class=\"{class}\"}}");
    assert_eq!(value(&gateway, &requests("5xx")), Some(0.0), "before the first request");
    for path in ["/x/one", "/x/two", "/x/bad", "/s/secret-7", "/nowhere/secret-8"] {
        gateway.get(path);
    }
    becomes(&gateway, &requests("2xx"), 2.0);
    becomes(&gateway, &requests("5xx"), 1.0);
    let of_status = |name: &str, endpoint: &str, status: u16| {
        format!("{name}{{{endpoint},http_response_status_code=\"{status}\"}}")
    };
    becomes(&gateway, &of_status("http_server_duration_count", endpoint, 200), 2.0);
    becomes(
        &gateway,
        &of_status("http_server_response_size_sum", endpoint, 200),
        14.0,
    );
    let streamed = endpoint.replace("/x/", "/s/");
    becomes(
        &gateway,
        &of_status("http_server_response_size_sum", &streamed, 200),
        7.0,
    );
    becomes(
        &gateway,
        &of_status(
            "http_server_duration_count",
            "http_route=\"none\",http_request_method=\"any\"",
            404,
        ),
        1.0,
    );
    becomes(
        &gateway,
        &format!("signet_gateway_backend_failures_total{{{endpoint},reason=\"status\"}}"),
        1.0,
    );
    let (address, port) = backend
        .host()
        .trim_start_matches("http://")
        .rsplit_once(':')
        .map(|(a, p)| (a.to_owned(), p.to_owned()))
        .expect("a port");
    let host = format!("server_address=\"{address}\",server_port=\"{port}\"");
    becomes(&gateway, &of_status("http_client_duration_count", &host, 200), 3.0);
    becomes(&gateway, &of_status("http_client_duration_count", &host, 500), 1.0);
    becomes(
        &gateway,
        &format!("http_client_request_started_count_total{{{host}}}"),
        4.0,
    );
    becomes(&gateway, "signet_gateway_requests_in_flight", 0.0);
    let text = gateway.admin("GET", "/metrics").body;
    assert!(!text.contains("secret"), "{text}");
    assert!(text.contains("signet_gateway_build_info{version="), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_backend_that_is_silent_or_gone_has_its_own_counters() {
    let silent = Backend::start(|_, _| std::thread::sleep(Duration::from_secs(2)));
    let gateway = Gateway::start(&json!({"endpoints": [
        {"endpoint": "/silent", "timeout": "50ms", "backend": [{"host": [silent.host()], "url_pattern": "/"}]},
        {"endpoint": "/gone", "backend": [{"host": ["http://127.0.0.1:1"], "url_pattern": "/"}]},
    ]}));
    assert_eq!(gateway.get("/silent").status, 500);
    assert_eq!(gateway.get("/gone").status, 500);
    let failures = |route: &str, reason: &str| {
        format!(
            "signet_gateway_backend_failures_total{{http_route=\"{route}\",http_request_method=\"GET\",reason=\"{reason}\"}}"
        )
    };
    becomes(&gateway, &failures("/silent", "timeout"), 1.0);
    becomes(&gateway, &failures("/gone", "connect"), 1.0);
    becomes(&gateway, &failures("/gone", "timeout"), 0.0);
    let gone = "server_address=\"127.0.0.1\",server_port=\"1\"";
    becomes(
        &gateway,
        &format!("http_client_request_failed_count_total{{{gone}}}"),
        1.0,
    );
    becomes(
        &gateway,
        &format!("http_client_request_timedout_count_total{{{gone}}}"),
        0.0,
    );
    becomes(
        &gateway,
        &format!("http_client_duration_count{{{gone},http_response_status_code=\"0\"}}"),
        1.0,
    );
}

#[test]
fn a_client_that_leaves_is_counted_as_such() {
    use std::io::Write as _;
    let slow = Backend::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(1500));
        reply(stream, 200, &[], "{}");
    });
    let gateway = Gateway::start(&json!({"host": [slow.host()], "endpoints": [
        {"endpoint": "/slow", "timeout": "10s", "backend": [{"url_pattern": "/"}]}]}));
    let mut client = gateway.connect();
    client
        .write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("sent");
    becomes(&gateway, "signet_gateway_requests_in_flight", 1.0);
    becomes(&gateway, "signet_gateway_connections", 1.0);
    // Closing with unread or expected octets resets the connection, as a killed client does.
    drop(client);
    becomes(&gateway, "signet_gateway_requests_in_flight", 0.0);
    becomes(&gateway, "signet_gateway_connections", 0.0);
}

#[test]
fn the_admin_listener_ends_last_and_says_that_the_gateway_stops() {
    let slow = Backend::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(1200));
        reply(stream, 200, &[], "{}");
    });
    let mut gateway = Gateway::start(&json!({"host": [slow.host()], "endpoints": [
        {"endpoint": "/slow", "timeout": "10s", "backend": [{"url_pattern": "/"}]}]}));
    let client = std::thread::scope(|scope| {
        let asking = scope.spawn(|| gateway.get("/slow"));
        becomes(&gateway, "signet_gateway_requests_in_flight", 1.0);
        gateway.signal("TERM");
        let since = Instant::now();
        while gateway.admin("GET", "/readyz").json()["phase"] != "stopping" {
            assert!(since.elapsed() < Duration::from_secs(1));
        }
        assert_eq!(gateway.admin("GET", "/readyz").status, 503);
        assert_eq!(gateway.admin("GET", "/livez").status, 200);
        asking.join().expect("an answer")
    });
    assert_eq!(client.status, 200);
    assert!(gateway.ends().success());
}

#[test]
fn an_address_that_is_taken_is_refused_only_if_somebody_wrote_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, text) = Gateway::refused(&json!({"endpoints": []}), &[("SIGNET_GATEWAY_ADMIN_LISTEN", &address)]);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("change SIGNET_GATEWAY_ADMIN_LISTEN"), "{text}");
    let (code, text) = Gateway::refused(&json!({"endpoints": []}), &[("SIGNET_GATEWAY_ADMIN_LISTN", &address)]);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("did you mean SIGNET_GATEWAY_ADMIN_LISTEN?"), "{text}");
}
