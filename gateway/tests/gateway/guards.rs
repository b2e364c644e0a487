//! What the gateway does to requests and answers before and after the backends: hosts, bots, headers for browsers,
//! schemas, `flatmap_filter`, and compressed answers.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::{Backend, Gateway, reply};

#[test]
fn values_are_moved_at_a_backend_and_in_the_merged_answer() {
    let backend = Backend::json(&[
        (
            "/a",
            r#"{"data":{"list":[{"id":1,"secret":2},{"id":3,"secret":4}],"x":0}}"#,
        ),
        ("/b", r#"{"items":[5],"secret":6}"#),
    ]);
    let remove = json!({"type": "del", "args": ["list.*.secret", "x"]});
    let endpoint = |name: &str, other: &str| {
        json!({"endpoint": name, "backend": [
            {"url_pattern": "/a", "target": "data", "group": "one", "extra_config": {"proxy": {"flatmap_filter": [remove]}}},
            {"url_pattern": other, "group": "other"},
        ], "extra_config": {"proxy": {"flatmap_filter": [
            {"type": "move", "args": ["one.list", "all"]},
            {"type": "append", "args": ["other.items", "all"]},
            {"type": "del", "args": ["other.secret", "one"]},
        ]}}})
    };
    let file = json!({"host": [backend.host()], "endpoints": [endpoint("/both", "/b"), endpoint("/part", "/none")]});
    let gateway = Gateway::start(&file);
    assert_eq!(
        gateway.get("/both").json(),
        json!({"all": [{"id": 1}, {"id": 3}, 5], "other": null})
    );
    // Also if a backend has failed: the filter may remove what nobody should see.
    let part = gateway.get("/part");
    assert_eq!(
        (part.status, part.json()),
        (200, json!({"all": [{"id": 1}, {"id": 3}]}))
    );
}

#[test]
fn a_host_that_is_not_allowed_and_a_bot_reach_no_backend() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "backend": [{"url_pattern": "/x"}]},
        {"endpoint": "/y", "backend": [{"url_pattern": "/y"}],
         "extra_config": {"security/bot-detector": {"empty_user_agent_is_bot": true}}},
    ], "extra_config": {
        "security/http": {"allowed_hosts": ["gateway.test"], "frame_deny": true, "content_type_nosniff": true},
        "security/bot-detector": {"deny": ["bad"], "patterns": ["(?i)crawler"]},
    }}));
    let good = gateway.get("/x");
    assert_eq!((good.status, good.header("x-frame-options")), (200, Some("DENY")));
    assert_eq!(good.header("x-content-type-options"), Some("nosniff"));
    let nowhere = gateway.get("/nowhere");
    assert_eq!((nowhere.status, nowhere.header("x-frame-options")), (404, Some("DENY")));
    for (path, agent, status) in [
        ("/x", "bad", 403),
        ("/x", "My Crawler/1", 403),
        ("/nowhere", "bad", 403),
        ("/x", "Firefox", 200),
        ("/y", "", 403),
        ("/y", "Firefox", 200),
    ] {
        let answer = gateway.send("GET", path, &[("user-agent", agent)], "");
        assert_eq!(
            (answer.status, answer.body.is_empty()),
            (status, status == 403),
            "{path} {agent}"
        );
    }
    let asked = backend.asked().len();
    let other = gateway.raw("GET /x HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n");
    assert!(
        other.starts_with("HTTP/1.1 500") && other.ends_with("Bad Host\n"),
        "{other}"
    );
    let absolute = gateway.raw("GET http://evil.test/x HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n");
    assert!(absolute.starts_with("HTTP/1.1 500"), "{absolute}");
    assert_eq!(backend.asked().len(), asked, "no backend was asked");
}

#[test]
fn a_client_is_sent_to_https_unless_its_proxy_says_it_used_it() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "method": "POST", "backend": [{"url_pattern": "/x"}]}],
        "extra_config": {"router": {"trusted_proxies": ["127.0.0.1"]}, "security/http": {
            "ssl_redirect": true, "ssl_proxy_headers": {"X-Forwarded-Proto": "https"}, "sts_seconds": 60}}}));
    let http = gateway.send("POST", "/x?a=b", &[], "{}");
    assert_eq!(
        (http.status, http.header("location")),
        (301, Some("https://gateway.test/x?a=b"))
    );
    assert!(backend.asked().is_empty());
    let https = gateway.send("POST", "/x", &[("x-forwarded-proto", "https")], "{}");
    assert_eq!(
        (https.status, https.header("strict-transport-security")),
        (200, Some("max-age=60"))
    );
}

#[test]
fn a_preflight_that_passes_through_gets_the_status_of_the_routes() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "backend": [{"url_pattern": "/x"}]}],
        "extra_config": {"security/cors": {"allow_origins": ["https://a.test"], "options_passthrough": true}}}));
    let headers = [("origin", "https://a.test"), ("access-control-request-method", "GET")];
    let answer = gateway.send("OPTIONS", "/x", &headers, "");
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (405, Some("https://a.test"))
    );
    assert!(backend.asked().is_empty());
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("written")
}

/// A backend that answers with these bytes, coded as the path says.
fn coded(octets: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Backend {
    Backend::start(move |asked, stream| {
        let octets = octets(&asked.target);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            octets.len()
        );
        let _ = stream.write_all(&[head.as_bytes(), &octets].concat());
    })
}

fn served(backend: &Backend) -> Gateway {
    Gateway::start(&json!({"host": [backend.host()], "timeout": "20s", "endpoints": [
        {"endpoint": "/plain", "backend": [{"url_pattern": "/good"}]},
        {"endpoint": "/filtered", "backend": [{"url_pattern": "/good", "allow": ["a"]}]},
        {"endpoint": "/stream", "output_encoding": "no-op", "backend": [{"url_pattern": "/good"}]},
        {"endpoint": "/bomb", "backend": [{"url_pattern": "/bomb"}]},
        {"endpoint": "/parts", "backend": [{"url_pattern": "/parts", "deny": ["x"]}]},
        {"endpoint": "/cut", "backend": [{"url_pattern": "/cut"}]},
        {"endpoint": "/none", "backend": [{"url_pattern": "/none"}]},
    ], "extra_config": {"router": {"return_error_msg": true}}}))
}

#[test]
fn a_compressed_answer_is_decoded_to_be_filtered_and_streamed_as_it_is() {
    let backend = coded(|_| gzip(br#"{"a":1,"b":2}"#));
    let gateway = served(&backend);
    let plain = gateway.get("/plain");
    assert_eq!(
        (plain.json(), plain.header("content-encoding")),
        (json!({"a": 1, "b": 2}), None)
    );
    assert_eq!(gateway.get("/filtered").json(), json!({"a": 1}));
    let stream = gateway.get("/stream");
    assert_eq!(stream.header("content-encoding"), Some("gzip"));
    let length = gzip(br#"{"a":1,"b":2}"#).len().to_string();
    assert_eq!(stream.header("content-length"), Some(length.as_str()));
}

#[test]
fn a_compressed_answer_expands_no_further_than_an_answer_may_be_long() {
    let backend = coded(|target| match target {
        // 1 GB in one megabyte.
        "/bomb" => gzip_bomb(),
        // Nothing, again and again.
        "/parts" => gzip(b"").repeat(500_000),
        "/cut" => gzip(br#"{"a":1}"#)[..20].to_vec(),
        _ => b"{\"a\":1}".to_vec(),
    });
    let gateway = served(&backend);
    for (path, says) in [
        ("/bomb", "longer than 8 MiB"),
        ("/parts", "longer than 8 MiB"),
        ("/cut", "aborted its response"),
        ("/none", "aborted its response"),
    ] {
        let answer = gateway.get(path);
        assert!(answer.status == 500 && answer.body.contains(says), "{path}: {answer:?}");
    }
    let (_, most) = gateway.memory();
    assert!(most < 100 << 20, "{} MiB", most >> 20);
}

/// A gigabyte of blanks.
fn gzip_bomb() -> Vec<u8> {
    gzip(&vec![b' '; 1 << 20]).repeat(1024)
}

#[test]
fn a_body_that_does_not_fit_its_schema_reaches_no_backend() {
    let backend = Backend::echo();
    let schema = json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}});
    let guarded = json!({"validation/json-schema": schema});
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/one", "method": "POST", "backend": [{"url_pattern": "/one"}], "extra_config": guarded},
        {"endpoint": "/stream", "method": "POST", "output_encoding": "no-op", "backend": [{"url_pattern": "/stream"}],
         "extra_config": guarded},
        {"endpoint": "/two", "method": "POST", "backend": [{"url_pattern": "/two", "group": "a"},
         {"url_pattern": "/two", "group": "b"}], "extra_config": guarded},
        {"endpoint": "/get", "backend": [{"url_pattern": "/get"}], "extra_config": guarded},
    ], "extra_config": {"router": {"return_error_msg": true}}}));
    for path in ["/one", "/stream", "/two"] {
        for (body, says) in [
            (r#"{"id":"x"}"#, "/id"),
            ("{}", "id"),
            ("no json", "not JSON"),
            ("", "no body"),
        ] {
            let answer = gateway.send("POST", path, &[], body);
            assert!(
                answer.status == 400 && answer.body.contains(says),
                "{path} {body}: {answer:?}"
            );
            assert_eq!(answer.header("x-krakend-completed"), Some("false"));
        }
    }
    assert_eq!(gateway.get("/get").status, 400);
    let long = format!(r#"{{"id":1,"x":"{}"}}"#, "x".repeat(2 << 20));
    assert_eq!(gateway.send("POST", "/one", &[], &long).status, 413);
    assert!(backend.asked().is_empty(), "no backend was asked");
    for (path, calls) in [("/one", 1), ("/stream", 2), ("/two", 4)] {
        assert_eq!(gateway.send("POST", path, &[], r#"{"id":7}"#).status, 200, "{path}");
        assert_eq!(backend.asked().len(), calls, "{path}");
    }
    assert!(backend.asked().iter().all(|asked| asked.body == r#"{"id":7}"#));
}

#[test]
fn an_answer_of_many_tiny_members_takes_no_multiple_of_its_memory() {
    let backend = Backend::start(|_, stream| {
        let members: Vec<String> = (0..300_000).map(|number| format!("\"{number:x}\":1")).collect();
        reply(stream, 200, &[], &format!("{{{}}}", members.join(",")));
    });
    let gateway = Gateway::start(&json!({"host": [backend.host()], "timeout": "30s", "endpoints": [
        {"endpoint": "/merge", "backend": (0..8).map(|number| json!({"url_pattern": format!("/{number}"), "deny": ["x"]}))
            .collect::<Vec<_>>()}], "extra_config": {"router": {"return_error_msg": true}}}));
    let answer = gateway.get("/merge");
    // All eight would take more than 350 MB.
    assert!(
        answer.status == 200 || answer.body.contains("too many long responses"),
        "{:.200}",
        answer.body
    );
    assert_ne!(answer.header("x-krakend-completed"), Some("true"));
    let (_, most) = gateway.memory();
    assert!(most < 250 << 20, "{} MiB", most >> 20);
}
