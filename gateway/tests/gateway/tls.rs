//! TLS on the listener: versions, suites, certificates by name, certificates of clients, and files that change.

use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::{Authority, TlsClient, directory, get, issue, path, replace};
use crate::support::{Answer, Backend, Gateway};

const NAME: &str = "gateway.test";

/// A file with these TLS settings besides the certificate.
fn file(backend: &Backend, directory: &TempDir, more: Value) -> Value {
    let mut tls =
        json!({"keys": [{"public_key": path(directory, "server.crt"), "private_key": path(directory, "server.key")}]});
    for (name, value) in more.as_object().expect("settings") {
        tls[name] = value.clone();
    }
    json!({"host": [backend.host()], "tls": tls, "endpoints": [
        {"endpoint": "/x", "input_headers": ["*"], "backend": [{"url_pattern": "/x"}]}]})
}

/// Waits for something that happens soon.
pub(crate) fn soon<T>(what: &str, mut happens: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(happened) = happens() {
            return happened;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{what} does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn of_version(client: &TlsClient, version: &'static rustls::SupportedProtocolVersion) -> TlsClient {
    TlsClient {
        versions: vec![version],
        ..client.clone()
    }
}

#[test]
fn the_listener_speaks_tls_1_3_and_both_versions_of_http_and_backends_learn_the_scheme() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let directory = directory(&authority);
    let file = file(&backend, &directory, json!({}));
    let gateway = Gateway::start_in(directory, &file);
    let client = TlsClient::of(&authority);
    let mut stream = client.connect(gateway.address(), NAME).expect("a connection");
    for _ in 0..2 {
        let answer = get(
            &mut stream,
            "/x",
            "x-forwarded-proto: http\r\nx-forwarded-for: 1.2.3.4\r\n",
        )
        .expect("an answer");
        let headers = &answer.json()["headers"];
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-host"], NAME);
    }
    assert_eq!(stream.get_ref().conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let both = TlsClient {
        protocols: vec!["h2", "http/1.1"],
        ..client.clone()
    };
    let stream = both.connect(gateway.address(), NAME).expect("a connection");
    assert_eq!(stream.get_ref().conn.alpn_protocol(), Some(&b"h2"[..]));
    // As in KrakenD, TLS 1.2 needs min_version.
    of_version(&client, &TLS12)
        .get(gateway.address(), NAME, "/x")
        .expect_err("an old version");
    assert_eq!(
        gateway.raw("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").matches("200").count(),
        0
    );
}

/// The real thing: curl speaks HTTP/2 to the listener.
#[test]
fn curl_speaks_http_2_over_tls() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let directory = directory(&authority);
    let (file, ca) = (file(&backend, &directory, json!({})), path(&directory, "ca.pem"));
    let gateway = Gateway::start_in(directory, &file);
    let port = gateway.address().port();
    let ran = std::process::Command::new("curl")
        .args([
            "-sS",
            "--http2",
            "--noproxy",
            "*",
            "--cacert",
            &ca,
            "-w",
            "\n%{http_version} %{response_code}",
        ])
        .args([
            "--resolve",
            &format!("{NAME}:{port}:127.0.0.1"),
            &format!("https://{NAME}:{port}/x"),
        ])
        .output()
        .expect("curl");
    let text = String::from_utf8_lossy(&ran.stdout);
    let (body, last) = text.rsplit_once('\n').unwrap_or_default();
    assert_eq!(last, "2 200", "{text} {}", String::from_utf8_lossy(&ran.stderr));
    let echoed: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(echoed["headers"]["x-forwarded-proto"], "https");
    assert_eq!(echoed["headers"]["x-forwarded-host"], format!("{NAME}:{port}"));
}

#[test]
fn a_trusted_proxy_says_with_which_scheme_its_client_came() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&json!({"host": [backend.host()], "endpoints": [
        {"endpoint": "/x", "backend": [{"url_pattern": "/x"}]}],
        "extra_config": {"router": {"trusted_proxies": ["127.0.0.1"]}}}));
    let scheme = |headers: &[(&str, &str)]| {
        gateway.send("GET", "/x", headers, "").json()["headers"]["x-forwarded-proto"].clone()
    };
    assert_eq!(scheme(&[]), "http");
    assert_eq!(scheme(&[("x-forwarded-proto", "HTTPS")]), "https");
    assert_eq!(scheme(&[("x-forwarded-proto", "gopher")]), "http");
    assert_eq!(
        scheme(&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]),
        "http"
    );
}

#[test]
fn versions_and_suites_are_those_of_the_file() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let client = TlsClient::of(&authority);
    let spoken = |settings: Value, version| -> Option<u16> {
        let directory = directory(&authority);
        let file = file(&backend, &directory, settings);
        let gateway = Gateway::start_in(directory, &file);
        let mut stream = of_version(&client, version).connect(gateway.address(), NAME).ok()?;
        get(&mut stream, "/x", "").ok()?;
        let suite = stream.get_ref().conn.negotiated_cipher_suite()?;
        Some(suite.suite().into())
    };
    assert_eq!(
        spoken(json!({"min_version": "TLS12", "cipher_suites": [49196]}), &TLS12),
        Some(49196)
    );
    let named = json!(["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"]);
    assert_eq!(
        spoken(json!({"min_version": "TLS12", "cipher_suites": named}), &TLS12),
        Some(52393)
    );
    assert!(spoken(json!({"min_version": "TLS12", "cipher_suites": named}), &TLS13).is_some());
    // The key of the certificate is not RSA.
    assert_eq!(
        spoken(json!({"min_version": "TLS12", "cipher_suites": [49199]}), &TLS12),
        None
    );
    assert_eq!(spoken(json!({"cipher_suites": [4867]}), &TLS13), Some(4867));
    assert_eq!(
        spoken(json!({"min_version": "TLS12", "max_version": "TLS12"}), &TLS13),
        None
    );
    assert!(spoken(json!({"curve_preferences": [24, 25]}), &TLS13).is_some());
}

#[test]
fn each_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let directory = directory(&authority);
    issue(&authority, directory.path(), "other", &["other.test", "*.wild.test"]);
    let pair = |name: &str| json!({"public_key": path(&directory, &format!("{name}.crt")), "private_key": path(&directory, &format!("{name}.key"))});
    let file = file(&backend, &directory, json!({"keys": [pair("server"), pair("other")]}));
    let gateway = Gateway::start_in(directory, &file);
    let client = TlsClient::of(&authority);
    for name in [NAME, "other.test", "a.wild.test"] {
        let answer = client.get(gateway.address(), name, "/x").expect(name);
        assert_eq!(answer.status, 200, "{name}");
    }
    let error = client
        .get(gateway.address(), "third.test", "/x")
        .expect_err("no certificate for it");
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[test]
fn with_mtls_only_clients_with_a_certificate_of_the_authority_get_in() {
    let (authority, theirs, backend) = (Authority::new(), Authority::new(), Backend::echo());
    let directory = directory(&authority);
    issue(&authority, directory.path(), "client", &["client.test"]);
    issue(&theirs, directory.path(), "stranger", &["client.test"]);
    let file = file(
        &backend,
        &directory,
        json!({"enable_mtls": true, "ca_certs": [path(&directory, "ca.pem")]}),
    );
    let files = |name: &str| {
        Some((
            path(&directory, &format!("{name}.crt")),
            path(&directory, &format!("{name}.key")),
        ))
    };
    let (client, stranger) = (files("client"), files("stranger"));
    let gateway = Gateway::start_in(directory, &file);
    let get = |own: Option<(String, String)>| {
        let client = TlsClient {
            own,
            ..TlsClient::of(&authority)
        };
        client.get(gateway.address(), NAME, "/x")
    };
    assert_eq!(get(client).expect("an answer").status, 200);
    get(None).expect_err("no certificate");
    get(stranger).expect_err("a certificate of another authority");
    assert_eq!(backend.asked().len(), 1);
}

#[test]
fn changed_certificates_are_taken_up_and_bad_ones_are_not() {
    let (first, second, backend) = (Authority::new(), Authority::new(), Backend::echo());
    let directory = directory(&first);
    let mut next = file(&backend, &directory, json!({}));
    let gateway = Gateway::start_in(directory, &next);
    let get = |authority: &Authority| TlsClient::of(authority).get(gateway.address(), NAME, "/x");
    let mut kept = TlsClient::of(&first)
        .connect(gateway.address(), NAME)
        .expect("a connection");
    assert_eq!(get(&first).expect("an answer").status, 200);
    replace(&gateway.path("server.crt"), "nonsense");
    gateway.logs("the new TLS files cannot be used", 1);
    assert_eq!(get(&first).expect("an answer").status, 200);
    issue(&second, &gateway.path(""), "server", &[NAME]);
    soon("the second certificate", || get(&second).ok());
    get(&first).expect_err("the first certificate is gone");
    let answer = crate::certificates::get(&mut kept, "/x", "").expect("an answer");
    assert_eq!(answer.status, 200, "a connection of before goes on");

    // The file can name others, but TLS cannot be switched off while clients expect it.
    let third = Authority::new();
    issue(&third, &gateway.path(""), "third", &[NAME]);
    next["tls"]["keys"] =
        json!([{"public_key": gateway.path("third.crt"), "private_key": gateway.path("missing.key")}]);
    gateway.rewrite(&next);
    gateway.logs("tls.keys.private_key cannot be used", 1);
    next["tls"]["keys"][0]["private_key"] = json!(gateway.path("third.key"));
    gateway.rewrite(&next);
    soon("the third certificate", || get(&third).ok());
    next["tls"]["disabled"] = true.into();
    gateway.rewrite(&next);
    gateway.logs("changed\":\"tls\"", 1);
    assert_eq!(get(&third).expect("an answer").status, 200);
}

#[test]
fn what_cannot_be_used_is_refused_at_the_start_with_what_to_do() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let directory = directory(&authority);
    let checked = |settings: Value| Gateway::command("check", &file(&backend, &directory, settings));
    for (settings, text) in [
        (json!({"min_version": "TLS11"}), "TLS11 is broken"),
        (json!({"min_version": "1.2"}), "not one of TLS12, TLS13"),
        (json!({"max_version": "TLS12"}), "write \"min_version\": \"TLS12\""),
        (
            json!({"cipher_suites": [49171]}),
            "49195 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (json!({"cipher_suites": 1}), "this must be an array"),
        (
            json!({"min_version": "TLS12", "max_version": "TLS12", "cipher_suites": [4865]}),
            "no suite of TLS 1.2",
        ),
        (json!({"curve_preferences": [25]}), "no curve that is spoken here"),
        (json!({"enable_mtls": true}), "ca_certs is missing"),
        (json!({"ca_certs": ["a.pem"]}), "set enable_mtls"),
        (json!({"keys": []}), "there is no certificate"),
        (json!({"keys": [{"public_key": "a.pem"}]}), "private_key is missing"),
        (json!({"enable_mtsl": true}), "is enable_mtls meant?"),
    ] {
        let (code, errors) = checked(settings.clone());
        assert_eq!(code, Some(64), "{settings}: {errors}");
        assert!(errors.contains(text) && errors.contains("tls"), "{settings}: {errors}");
    }
    let started = |text: &str| {
        let (code, errors) = Gateway::command("run", &file(&backend, &directory, json!({})));
        assert_eq!(code, Some(78), "{errors}");
        assert!(errors.contains(text), "{errors}");
    };
    let key = std::fs::read_to_string(directory.path().join("server.key")).expect("a key");
    issue(&authority, directory.path(), "server", &[NAME]);
    replace(&directory.path().join("server.key"), &key);
    started("tls.keys.public_key and tls.keys.private_key do not belong together");
    replace(&directory.path().join("server.key"), "nonsense");
    started("no readable private key");
    replace(&directory.path().join("server.crt"), "");
    started("no readable certificate chain");
    std::fs::remove_file(directory.path().join("server.crt")).expect("removed");
    started("tls.keys.public_key cannot be used");
}

/// The names of the version 2 of the file are still taken.
#[test]
fn one_certificate_may_be_named_without_a_list() {
    let (authority, backend) = (Authority::new(), Backend::echo());
    let directory = directory(&authority);
    let mut file = file(&backend, &directory, json!({}));
    file["tls"] = json!({"public_key": path(&directory, "server.crt"), "private_key": path(&directory, "server.key")});
    let gateway = Gateway::start_in(directory, &file);
    let answer: Answer = TlsClient::of(&authority)
        .get(gateway.address(), NAME, "/x")
        .expect("an answer");
    assert_eq!(answer.status, 200);
}
