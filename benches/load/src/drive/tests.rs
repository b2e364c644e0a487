//! The generator with a real server, over both transports and protocols, and with servers that misbehave.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Response, StatusCode, Version};
use parking_lot::Mutex;

use super::*;
use crate::plan::{Expect, Template};
use crate::report::Report;
use crate::supply::Supply;
use crate::target::Target;
use crate::testserver::{Answer, TestServer, echo};

/// A short run of POSTs with one body.
fn plan(server: &TestServer, socket: Option<&Path>, protocol: Protocol) -> Plan {
    let url = server.address.map_or("http://localhost/echo".to_owned(), |address| {
        format!("http://{address}/echo")
    });
    let target = Target::parse(&url, socket.map(Path::to_owned)).expect("a target");
    let (connections, streams) = if protocol == Protocol::Http1 { (4, 1) } else { (2, 8) };
    Plan {
        template: Template::new(Method::POST, &target, protocol, &[]).expect("a template"),
        target,
        protocol,
        connections,
        streams,
        warmup: Duration::from_millis(50),
        window: Duration::from_millis(200),
        supply: body(r#"{"active":true}"#),
        authorizations: None,
        expect: Expect {
            status: 200,
            text: Some((r#""active":true"#.to_owned(), 1)),
        },
        pace: None,
        pids: Vec::new(),
        units: 1,
    }
}

fn body(text: &str) -> Supply {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), text).expect("written");
    Supply::same(file.path()).expect("a body")
}

fn distinct(lines: usize) -> Supply {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text: Vec<_> = (0..lines)
        .map(|line| format!(r#"{{"active":true,"line":{line}}}"#))
        .collect();
    fs::write(file.path(), text.join("\n")).expect("written");
    Supply::distinct(file.path()).expect("lines")
}

#[test]
fn both_protocols_run_over_both_transports() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let versions = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&versions);
    let answer: Answer = Arc::new(move |parts, body| {
        seen.lock().insert(parts.version);
        Response::new(Full::new(body))
    });
    let tcp = TestServer::start(None, Arc::clone(&answer));
    let unix = TestServer::start(Some(&path), answer);
    for (server, socket) in [(&tcp, None), (&unix, Some(path.as_path()))] {
        for (protocol, version) in [(Protocol::Http1, Version::HTTP_11), (Protocol::Http2, Version::HTTP_2)] {
            versions.lock().clear();
            let outcome = drive(plan(server, socket, protocol)).expect("a good run");
            assert_eq!(*versions.lock(), HashSet::from([version]));
            assert!(outcome.latencies.count() > 20, "{} requests", outcome.latencies.count());
            assert!(
                outcome.answered > outcome.latencies.count(),
                "the warm-up is checked and not counted"
            );
            assert!(outcome.latencies.quantile_us(0.5) > 1.0);
            assert!(outcome.window >= Duration::from_millis(200));
        }
    }
}

#[test]
fn the_report_is_one_object_with_the_cost_of_the_processes() {
    let server = TestServer::start(None, echo());
    let mut plan = plan(&server, None, Protocol::Http1);
    plan.pids = vec![std::process::id()];
    plan.units = 4;
    let report = serde_json::to_value(Report::new(&drive(plan).expect("a good run"))).expect("JSON");
    for field in ["requests_per_s", "units_per_s", "generator_cpu_us_per_request"] {
        assert!(
            report[field].as_f64().is_some_and(|figure| figure > 0.0),
            "{field} in {report}"
        );
    }
    for field in ["cpu_s", "cpu_us_per_request", "rss_kib", "rss_peak_kib"] {
        assert!(
            report["server"][field].as_f64().is_some_and(|figure| figure > 0.0),
            "{field} in {report}"
        );
    }
    let share = report["server"]["cpu_us_per_request"].as_f64().expect("a figure") / 4.0;
    assert!((report["server"]["cpu_us_per_unit"].as_f64().expect("a figure") - share).abs() < 1e-6);
    assert!(report["latency_us"]["p99"].as_f64() <= report["latency_us"]["max"].as_f64());
}

#[test]
fn every_body_of_a_distinct_supply_is_sent_once() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&bodies);
    let server = TestServer::start(
        None,
        Arc::new(move |_, body| {
            seen.lock().push(body.clone());
            Response::new(Full::new(body))
        }),
    );
    let mut plan = plan(&server, None, Protocol::Http2);
    plan.supply = distinct(200_000);
    let outcome = drive(plan).expect("a good run");
    let bodies = bodies.lock();
    assert_eq!(bodies.len() as u64, outcome.answered);
    assert_eq!(bodies.iter().collect::<HashSet<_>>().len(), bodies.len());
}

#[test]
fn every_value_of_authorization_is_sent_once() {
    let values = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&values);
    let server = TestServer::start(
        None,
        Arc::new(move |parts, body| {
            seen.lock().push(parts.headers["authorization"].clone());
            Response::new(Full::new(body))
        }),
    );
    let mut plan = plan(&server, None, Protocol::Http1);
    plan.authorizations = Some(distinct(200_000));
    let outcome = drive(plan).expect("a good run");
    let values = values.lock();
    assert_eq!(values.len() as u64, outcome.answered);
    assert_eq!(values.iter().collect::<HashSet<_>>().len(), values.len());
}

#[test]
fn a_run_that_uses_up_its_supply_fails() {
    let server = TestServer::start(None, echo());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut plan = plan(&server, None, protocol);
        plan.supply = distinct(20);
        assert!(matches!(drive(plan), Err(LoadError::SupplyExhausted { lines: 20, .. })));
    }
}

/// A server that echoes, except that its n-th answer is `wrong`.
fn faulty(n: usize, wrong: fn() -> Response<Full<Bytes>>) -> TestServer {
    let count = AtomicUsize::new(0);
    TestServer::start(
        None,
        Arc::new(move |_, body| {
            if count.fetch_add(1, Ordering::Relaxed) == n {
                wrong()
            } else {
                Response::new(Full::new(body))
            }
        }),
    )
}

#[test]
fn one_answer_with_a_wrong_status_fails_the_run() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = faulty(50, || {
            let mut response = Response::new(Full::new(Bytes::from_static(b"busy")));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        });
        let error = drive(plan(&server, None, protocol)).err().expect("a failure");
        assert!(
            matches!(&error, LoadError::Status { status: 503, excerpt, .. } if excerpt == "busy"),
            "{error}"
        );
    }
}

#[test]
fn one_answer_with_a_wrong_body_fails_the_run() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = faulty(50, || {
            Response::new(Full::new(Bytes::from_static(br#"{"active":false}"#)))
        });
        let error = drive(plan(&server, None, protocol)).err().expect("a failure");
        assert!(matches!(error, LoadError::Body { found: 0, .. }), "{error}");
    }
}

#[test]
fn a_connection_closed_by_the_server_fails_the_run() {
    let server = faulty(50, || {
        let mut response = Response::new(Full::new(Bytes::from_static(br#"{"active":true}"#)));
        response
            .headers_mut()
            .insert("connection", http::HeaderValue::from_static("close"));
        response
    });
    let error = drive(plan(&server, None, Protocol::Http1)).err().expect("a failure");
    assert!(
        matches!(error, LoadError::Closed | LoadError::Request { .. }),
        "{error}"
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server = TestServer::start(None, echo());
    let mut plan = plan(&server, None, Protocol::Http1);
    plan.target = Target::parse("http://localhost/x", Some("/nonexistent/socket".into())).expect("a target");
    let error = drive(plan).err().expect("a failure");
    assert!(crate::error::chain(&error).contains("/nonexistent/socket"));
}

#[test]
fn a_paced_client_keeps_its_pace() {
    let server = TestServer::start(None, echo());
    let mut plan = plan(&server, None, Protocol::Http1);
    plan.connections = 1;
    plan.pace = Some(Duration::from_millis(20));
    let outcome = drive(plan).expect("a good run");
    assert!(
        (6..=11).contains(&outcome.latencies.count()),
        "{} requests",
        outcome.latencies.count()
    );
}

#[test]
fn a_paced_client_charges_a_stall_to_the_requests_that_were_due() {
    let count = AtomicUsize::new(0);
    let server = TestServer::start(
        None,
        Arc::new(move |_, body| {
            // A single stall of 100 ms. Requests that were due during it waited too, and their latencies must show it.
            if count.fetch_add(1, Ordering::Relaxed) == 10 {
                std::thread::sleep(Duration::from_millis(100));
            }
            Response::new(Full::new(body))
        }),
    );
    let mut plan = plan(&server, None, Protocol::Http1);
    plan.connections = 1;
    plan.warmup = Duration::from_millis(20);
    plan.window = Duration::from_millis(400);
    plan.pace = Some(Duration::from_millis(10));
    let outcome = drive(plan).expect("a good run");
    assert!(
        outcome.latencies.quantile_us(0.9) > 30_000.0,
        "p90 {}",
        outcome.latencies.quantile_us(0.9)
    );
}

#[test]
fn a_body_in_several_pieces_is_put_together() {
    let server = TestServer::start(None, echo());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut plan = plan(&server, None, protocol);
        // Longer than a read buffer and a frame.
        plan.supply = body(&format!("{}{}", r#"{"active":true}"#, "x".repeat(100_000)));
        drive(plan).expect("a good run");
    }
}
