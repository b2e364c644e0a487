//! `auth/signer`: members of an answer that the sidecar signs.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::sidecar_process::{ISSUER, JWKS, Spec};
use crate::support::{Backend, Gateway};

/// The answer of the backend. `later` is far in the future.
const ANSWER: &[(&str, &str)] = &[
    (
        "/login",
        r#"{"access_token":{"sub":"user-7","aud":"api","n":1.50,"iat":1,"exp":4000000000},"plain":"a","kind":"b"}"#,
    ),
    ("/jti", r#"{"access_token":{"sub":"user-7","aud":"api","jti":"1"}}"#),
    (
        "/iss",
        r#"{"access_token":{"sub":"user-7","aud":"api","iss":"https://other.test"}}"#,
    ),
    ("/ended", r#"{"access_token":{"sub":"user-7","aud":"api","exp":1}}"#),
    ("/none", r#"{"plain":"a"}"#),
];

fn endpoint(path: &str, signer: &Value) -> Value {
    let mut signer = signer.clone();
    signer["keys_to_sign"] = json!(["access_token", "plain", "missing"]);
    json!({"endpoint": path, "backend": [{"url_pattern": path}], "extra_config": {"auth/signer": signer}})
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

#[test]
fn the_sidecar_signs_what_the_file_names_and_unsigned_claims_are_never_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sidecar = Spec::new(directory.path()).start();
    let backend = Backend::json(ANSWER);
    let endpoints = [
        endpoint("/login", &json!({"alg": "ES256", "jwk_url": JWKS, "typ": "at+jwt"})),
        endpoint("/jti", &json!({})),
        endpoint("/iss", &json!({})),
        endpoint("/ended", &json!({})),
        endpoint("/none", &json!({})),
    ];
    let socket = sidecar.spec().socket();
    let gateway = Gateway::start_with(
        tempfile::tempdir().expect("a directory"),
        &json!({"host": [backend.host()], "endpoints": endpoints}),
        &[("SIGNET_SOCKET", socket.to_str().expect("text"))],
    );
    for _ in 0..3 {
        let answer = gateway.get("/login");
        assert_eq!(
            (answer.status, answer.header("x-krakend-completed")),
            (200, Some("true"))
        );
        let answer = answer.json();
        assert_eq!(
            (&answer["plain"], &answer["kind"]),
            (&json!("a"), &json!("b")),
            "no object is not signed"
        );
        let token = answer["access_token"].as_str().expect("a token");
        let (header, claims) = (part(token, 0), part(token, 1));
        assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("at+jwt")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ISSUER), &json!("user-7")));
        let payload = URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).expect("a part"))
            .expect("base64url");
        assert!(String::from_utf8_lossy(&payload).contains("\"n\":1.50"), "digits stay");
        let life = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
        assert_eq!(life, 3600, "the longest that the sidecar allows");
    }
    for (path, status) in [("/jti", 500), ("/iss", 500), ("/ended", 500), ("/none", 200)] {
        let answer = gateway.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.contains("user-7"), "{path}: {}", answer.body);
    }
    sidecar.kill();
    let answer = gateway.get("/login");
    assert_eq!(
        (answer.status, answer.header("retry-after"), answer.body.as_str()),
        (503, Some("1"), "")
    );
    let _sidecar = sidecar.spec().start();
    assert_eq!(gateway.get("/login").status, 200, "a new connection is made");
}

#[test]
fn a_token_that_is_not_as_the_file_says_is_not_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let sidecar = Spec::new(directory.path()).start();
    let backend = Backend::json(ANSWER);
    for (signer, status) in [
        (json!({"full": true}), 200),
        (json!({"alg": "RS256"}), 500),
        (json!({"jwk_url": "https://other.test/.well-known/jwks.json"}), 500),
    ] {
        let gateway = Gateway::start_with(
            tempfile::tempdir().expect("a directory"),
            &json!({"host": [backend.host()], "endpoints": [endpoint("/login", &signer)]}),
            &[("SIGNET_SOCKET", sidecar.spec().socket().to_str().expect("text"))],
        );
        let answer = gateway.get("/login");
        assert_eq!(answer.status, status, "{signer}");
        if status == 200 {
            let text = answer.json()["access_token"].as_str().expect("a text").to_owned();
            let whole: Value = serde_json::from_str(&text).expect("JSON in the text");
            assert!(
                whole["payload"].is_string() && whole["signature"].is_string(),
                "{whole}"
            );
        } else {
            gateway.logs("auth/signer says", 1);
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_at_the_start_with_what_to_do() {
    let check = |signer: Value, output: &str, socket: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("krakend.json");
        let mut endpoint = endpoint("/login", &signer);
        endpoint["output_encoding"] = output.into();
        let file = json!({"version": 3, "host": ["http://a"], "endpoints": [endpoint]});
        std::fs::write(&path, file.to_string()).expect("written");
        let ran = Command::new(env!("CARGO_BIN_EXE_signet-gateway"))
            .args(["check", "-c"])
            .arg(&path)
            .env("SIGNET_SOCKET", socket)
            .output()
            .expect("ran");
        let text = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    for (signer, output, socket, said) in [
        (json!({"kid": "a"}), "json", "/s", "kid changes at each rotation"),
        (json!({"jwk_local_path": "/k"}), "json", "/s", "the sidecar has the key"),
        (json!({"secret_url": "base64key://"}), "json", "/s", "SIGNET_CUSTODY"),
        (json!({"alg": "HS256"}), "json", "/s", "SIGNET_ALGORITHM"),
        (json!({}), "no-op", "/s", "write json as output_encoding"),
        (json!({}), "json", "off", "SIGNET_SOCKET is off"),
        (json!({}), "json", "relative", "not an absolute path"),
    ] {
        let (code, text) = check(signer.clone(), output, socket);
        assert_eq!(code, Some(64), "{signer}: {text}");
        assert!(text.contains(said), "{signer}: {text}");
    }
    let (code, text) = check(json!({"alg": "ES256"}), "json", "/s");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("-> sign access_token, plain, missing -> json"), "{text}");
}
