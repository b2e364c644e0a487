//! `GET /v1/keys/events`: every accepted key at once, again after every change, and heartbeats.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use signet_core::algorithm::RsaBits;
use signet_core::jwk::Jwk;
use signet_core::{Algorithm, SigningKey};

use crate::harness::http::Connection;
use crate::harness::time::instant;
use crate::harness::{AUDIENCE, Home, ISSUER, Sidecar, Spec, kids};
use crate::{expect, sidecar};

const TRUSTED: &str = "https://login.test/";
/// Promised to readers.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A server with the keys of an issuer, which a test replaces.
struct Issuer {
    url: String,
    jwks: Arc<Mutex<Value>>,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
        let jwks = Arc::new(Mutex::new(json!({ "keys": [new_jwk()] })));
        let served = Arc::clone(&jwks);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut head = BufReader::new(stream.try_clone().expect("a copy")).lines();
                while head.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                let body = served.lock().to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, jwks }
    }

    fn rotate(&self) {
        self.jwks.lock()["keys"].as_array_mut().expect("keys").push(new_jwk());
    }

    fn keys(&self) -> Value {
        sorted(self.jwks.lock()["keys"].clone())
    }
}

fn new_jwk() -> Value {
    let key = SigningKey::generate(Algorithm::ES256, RsaBits::default()).expect("a key");
    serde_json::to_value(Jwk::from(key.verifying_key())).expect("a JWK")
}

fn sorted(mut keys: Value) -> Value {
    let keys = keys.as_array_mut().expect("keys");
    keys.sort_by_key(|key| key["kid"].as_str().map(str::to_owned));
    Value::from(std::mem::take(keys))
}

/// A sidecar that trusts this issuer, and waits a second between fetches that tokens cause.
fn trusting(issuer: &Issuer) -> Sidecar {
    let home = Home::new();
    let file = home.path("signet.toml");
    let table = format!(
        "[trusted_issuers.\"{TRUSTED}\"]\njwks_url = \"{}\"\naudiences = [\"{AUDIENCE}\"]\nunknown_kid_cooldown = \"1s\"\n",
        issuer.url
    );
    std::fs::write(&file, table).expect("written");
    Spec::new(&home)
        .set("SIGNET_CONFIG", file.display())
        .set("SIGNET_TRUSTED_ISSUERS", TRUSTED)
        .set("SIGNET_AUDIENCE", AUDIENCE)
        .start()
}

fn follow(sidecar: &Sidecar) -> Connection {
    let mut connection = sidecar.socket();
    connection
        .send(b"GET /v1/keys/events HTTP/1.1\r\nhost: signet\r\n\r\n")
        .expect("sent");
    let head = connection.head().expect("a head");
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream"))
    );
    connection
}

/// The next event with its name.
fn event(connection: &mut Connection) -> (String, Value) {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let chunk = connection.chunk().expect("a chunk").expect("not the end");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let name = line("event:").trim().to_owned();
    (name, serde_json::from_str(line("data:")).expect("JSON"))
}

/// The next document. Skips heartbeats before it, but only a few of them.
fn document(connection: &mut Connection) -> Value {
    for _ in 0..4 {
        let (name, data) = event(connection);
        if name == "keys" {
            return data;
        }
    }
    panic!("heartbeats only");
}

/// The JWKs of the issuer at this place of the document.
fn keys(document: &Value, place: usize) -> Value {
    let keys = document["issuers"][place]["keys"].as_array().expect("keys");
    sorted(keys.iter().map(|key| key["jwk"].clone()).collect())
}

fn published(sidecar: &Sidecar) -> Value {
    let jwks = sidecar
        .public()
        .get("/.well-known/jwks.json")
        .expect("an answer")
        .json();
    sorted(jwks["keys"].clone())
}

#[test]
fn followers_get_every_accepted_key_at_once_and_again_after_each_change() {
    let issuer = Issuer::start();
    let sidecar = trusting(&issuer);
    let mut follower = follow(&sidecar);
    let (name, first) = event(&mut follower);
    assert_eq!(
        (name.as_str(), &first["format"]),
        ("keys", &json!("signet-accepted-keys/1"))
    );
    let issuers = first["issuers"].as_array().expect("issuers");
    assert_eq!(issuers.len(), 2, "{first}");
    assert_eq!(
        (&issuers[0]["issuer"], &issuers[0]["own"]),
        (&json!(ISSUER), &json!(true))
    );
    assert_eq!(
        issuers[0]["jwks_url"],
        format!("{ISSUER}/.well-known/jwks.json"),
        "a gateway compares it with its jwk_url"
    );
    assert_eq!(
        (&issuers[1]["issuer"], &issuers[1]["own"]),
        (&json!(TRUSTED), &json!(false))
    );
    assert_eq!(issuers[1]["jwks_url"], issuer.url);
    assert_eq!(issuers[1]["audiences"], json!([AUDIENCE]));
    assert!(issuers[1]["usable_until"].is_string(), "{first}");
    assert_eq!((keys(&first, 0), keys(&first, 1)), (published(&sidecar), issuer.keys()));

    let ran = sidecar.spec().run(&["keys", "rotate", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    sidecar.hang_up();
    let mut rotated = document(&mut follower);
    while keys(&rotated, 0).as_array().map(Vec::len) == Some(1) {
        // SIGHUP also fetches the keys of the issuer.
        rotated = document(&mut follower);
    }
    assert_eq!(keys(&rotated, 0), published(&sidecar));
    let superseded = rotated["issuers"][0]["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .find(|key| {
            let is_first = key["jwk"]["kid"].as_str() == kids(&sidecar.ring()).first().map(String::as_str);
            is_first && key["published_until"].is_string()
        });
    assert!(superseded.is_some(), "the first key has an end now: {rotated}");

    issuer.rotate();
    sidecar.hang_up();
    let mut fetched = document(&mut follower);
    while keys(&fetched, 1).as_array().map(Vec::len) == Some(1) {
        fetched = document(&mut follower);
    }
    assert_eq!(keys(&fetched, 1), issuer.keys());
}

#[test]
fn a_heartbeat_comes_every_five_seconds_if_nothing_changes() {
    let sidecar = sidecar();
    let mut follower = follow(&sidecar);
    assert_eq!(event(&mut follower).0, "keys");
    for _ in 0..2 {
        let since = instant();
        let (name, data) = event(&mut follower);
        assert_eq!(name, "heartbeat");
        assert!(data["now"].is_string(), "{data}");
        assert!(since.elapsed() < HEARTBEAT, "{:?}", since.elapsed());
    }
}

#[test]
fn a_report_of_an_unknown_key_causes_a_fetch_of_that_issuer_s_keys() {
    let issuer = Issuer::start();
    let sidecar = trusting(&issuer);
    let mut follower = follow(&sidecar);
    assert_eq!(keys(&document(&mut follower), 1), issuer.keys());
    issuer.rotate();
    let report = |body: Value| sidecar.post("/v1/keys/refresh", &body);
    assert_eq!(report(json!({ "issuer": TRUSTED })).status, 202);
    let mut fetched = document(&mut follower);
    while keys(&fetched, 1) != issuer.keys() {
        fetched = document(&mut follower);
    }
    assert_eq!(report(json!({ "issuer": ISSUER })).status, 202);
    for (name, body) in [
        ("an unknown issuer", json!({ "issuer": "https://other.test/" })),
        ("no issuer", json!({})),
        ("a member too many", json!({ "issuer": ISSUER, "kid": "a" })),
    ] {
        expect(name, &report(body), 400, "invalid_request");
    }
}
