//! Tokens for endpoints: which are accepted, which of their claims reach a backend, and what a refusal says.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_core::algorithm::RsaBits;
use signet_core::jwk::Jwk;
use signet_core::{Algorithm, SigningKey};

use crate::support::{Answer, Backend, Gateway, reply};

/// An issuer of tokens.
pub(crate) struct Issuer(SigningKey);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(SigningKey::generate(Algorithm::ES256, RsaBits::default()).expect("a key"))
    }

    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [Jwk::from(self.0.verifying_key())]}).to_string()
    }

    /// A token with these claims in addition to the usual ones.
    pub(crate) fn token(&self, claims: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
        let mut all = json!({"iss": "https://issuer.test", "aud": ["api", "other"], "sub": "user-7", "exp": now + 300,
            "roles": ["reader"], "scope": "read list", "realm": {"roles": ["admin"]}, "tenant": "a/../b"});
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "kid": self.0.verifying_key().kid().as_str(), "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&all));
        let signature = self.0.sign(input.as_bytes()).expect("a signature");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// A backend that serves these keys, and echoes all other requests.
pub(crate) fn backend(jwks: &'static [(&'static str, String)]) -> Backend {
    Backend::start(move |asked, stream| {
        let json = [("content-type", "application/json")];
        match jwks.iter().find(|(path, _)| *path == asked.target) {
            Some((_, jwks)) => reply(stream, 200, &json, jwks),
            None => reply(stream, 200, &json, &asked.json().to_string()),
        }
    })
}

pub(crate) fn keys(issuers: &[(&'static str, &Issuer)]) -> &'static [(&'static str, String)] {
    Vec::leak(issuers.iter().map(|(path, issuer)| (*path, issuer.jwks())).collect())
}

fn served(backend: &Backend, validator: Value, endpoint: Value) -> Gateway {
    let mut validator = validator;
    validator["alg"] = "ES256".into();
    validator["jwk_url"] = format!("{}/jwks", backend.host()).into();
    let mut endpoint = endpoint;
    endpoint["endpoint"] = "/x".into();
    endpoint["extra_config"] = json!({"auth/validator": validator});
    Gateway::start(&json!({"host": [backend.host()], "endpoints": [endpoint]}))
}

fn get(gateway: &Gateway, token: &str) -> Answer {
    gateway.send("GET", "/x", &[("authorization", &format!("Bearer {token}"))], "")
}

fn challenge(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("www-authenticate").unwrap_or_default())
}

const PLAIN: &str = r#"{"backend": [{"url_pattern": "/y"}]}"#;

fn plain() -> Value {
    serde_json::from_str(PLAIN).expect("JSON")
}

#[test]
fn a_good_token_passes_and_no_other() {
    let (ours, theirs) = (Issuer::new(), Issuer::new());
    let backend = backend(keys(&[("/jwks", &ours)]));
    let gateway = served(
        &backend,
        json!({"issuer": "https://issuer.test", "audience": ["api", "other"]}),
        plain(),
    );
    let good = ours.token(json!({}));
    for _ in 0..3 {
        let answer = get(&gateway, &good);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["headers"].get("authorization"), None, "it is not listed");
    }
    let bare = gateway.send("GET", "/x", &[("authorization", &good)], "");
    assert_eq!(bare.status, 200, "the scheme may be missing");
    assert_eq!(challenge(&gateway.get("/x")), (401, "Bearer realm=\"api\""));
    let (head, rest) = good.split_once('.').expect("a token");
    let (_, signature) = rest.split_once('.').expect("a token");
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        rest.split('.').next().expect("claims")
    );
    let forged = format!("{head}.{}.{signature}", URL_SAFE_NO_PAD.encode(r#"{"sub":"root"}"#));
    for (name, token) in [
        ("of another issuer's key", theirs.token(json!({}))),
        ("expired", ours.token(json!({"exp": 1_700_000_000}))),
        ("not yet valid", ours.token(json!({"nbf": 4_000_000_000_u64}))),
        ("of another issuer", ours.token(json!({"iss": "https://other.test"}))),
        ("for one of two audiences", ours.token(json!({"aud": ["api"]}))),
        ("without algorithm", none),
        ("forged", forged),
        ("no token", "a.b.c".to_owned()),
    ] {
        let answer = get(&gateway, &token);
        let (status, challenge) = challenge(&answer);
        assert_eq!(status, 401, "{name}");
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\""),
            "{name}: {challenge}"
        );
        assert_eq!(
            (answer.body.as_str(), answer.header("x-krakend-completed")),
            ("", None),
            "{name}"
        );
    }
    let reached = backend.asked().iter().filter(|asked| asked.target == "/y").count();
    assert_eq!(reached, 4, "no refused request reached the backend");
}

#[test]
fn the_keys_of_one_place_verify_no_token_of_another() {
    let (first, second) = (Issuer::new(), Issuer::new());
    let backend = backend(keys(&[("/first", &first), ("/second", &second)]));
    let endpoint = |path: &str| {
        json!({"endpoint": path, "backend": [{"url_pattern": "/y"}], "extra_config": {"auth/validator":
        {"alg": "ES256", "jwk_url": format!("{}{path}", backend.host())}}})
    };
    let gateway =
        Gateway::start(&json!({"host": [backend.host()], "endpoints": [endpoint("/first"), endpoint("/second")]}));
    let asks = |path: &str, token: &str| {
        let header = format!("Bearer {token}");
        gateway.send("GET", path, &[("authorization", &header)], "").status
    };
    for (path, token, status) in [
        ("/first", first.token(json!({})), 200),
        ("/second", second.token(json!({})), 200),
        ("/first", second.token(json!({})), 401),
        ("/second", first.token(json!({})), 401),
    ] {
        assert_eq!(asks(path, &token), status, "{path}");
    }
}

#[test]
fn roles_and_scopes_are_wanted_where_the_file_says() {
    let issuer = Issuer::new();
    let backend = backend(keys(&[("/jwks", &issuer)]));
    for (validator, status) in [
        (json!({"roles": ["reader", "writer"]}), 200),
        (json!({"roles": ["writer"]}), 403),
        (
            json!({"roles": ["admin"], "roles_key": "realm.roles", "roles_key_is_nested": true}),
            200,
        ),
        (json!({"roles": ["admin"], "roles_key": "realm.roles"}), 403),
        (json!({"scopes": ["write", "read"], "scopes_key": "scope"}), 200),
        (
            json!({"scopes": ["write", "read"], "scopes_key": "scope", "scopes_matcher": "all"}),
            403,
        ),
        (
            json!({"scopes": ["read", "list"], "scopes_key": "scope", "scopes_matcher": "all"}),
            200,
        ),
        (json!({"scopes": ["rea"], "scopes_key": "scope"}), 403),
    ] {
        let gateway = served(&backend, validator.clone(), plain());
        for _ in 0..2 {
            let answer = get(&gateway, &issuer.token(json!({})));
            assert_eq!(answer.status, status, "{validator}");
            let is_of_scopes = status == 403 && validator.get("scopes").is_some();
            let says = answer
                .header("www-authenticate")
                .unwrap_or_default()
                .contains("insufficient_scope");
            assert_eq!(says, is_of_scopes, "{validator}");
        }
    }
}

#[test]
fn claims_reach_the_backend_and_what_a_client_writes_in_their_place_does_not() {
    let issuer = Issuer::new();
    let backend = backend(keys(&[("/jwks", &issuer)]));
    let validator =
        json!({"propagate_claims": [["sub", "x-user"], ["realm.roles", "x-roles"], ["missing", "x-missing"]]});
    let gateway = served(
        &backend,
        validator,
        json!({"input_headers": ["*"], "output_encoding": "no-op", "backend": [{"url_pattern": "/of/{JWT.sub}?t={JWT.tenant}"}]}),
    );
    let token = format!("Bearer {}", issuer.token(json!({})));
    let forged = [
        ("authorization", token.as_str()),
        ("x-user", "root"),
        ("X_User", "root"),
        ("x-missing", "root"),
        ("x-other", "kept"),
    ];
    assert_eq!(gateway.send("GET", "/x", &forged, "").status, 200);
    let asked = backend.asked();
    let asked = asked.last().expect("a request");
    assert_eq!(asked.target, "/of/user-7?t=a%2F..%2Fb");
    assert_eq!(
        (asked.header("x-user"), asked.header("x-roles")),
        (Some("user-7"), Some("admin"))
    );
    assert_eq!((asked.header("x_user"), asked.header("x-missing")), (None, None));
    assert_eq!(asked.header("x-other"), Some("kept"));
    // A value that could not arrive unchanged is not passed on.
    for subject in ["a\nb", " a"] {
        assert_eq!(
            get(&gateway, &issuer.token(json!({"sub": subject}))).status,
            401,
            "{subject:?}"
        );
    }
    let count = backend.asked().len();
    for subject in ["..", "."] {
        assert_eq!(
            get(&gateway, &issuer.token(json!({"sub": subject}))).status,
            400,
            "{subject:?}"
        );
    }
    assert_eq!(backend.asked().len(), count);
}

#[test]
fn without_keys_the_answer_is_503_and_never_200() {
    let backend = Backend::start(|asked, stream| match asked.target.as_str() {
        "/jwks" => reply(
            stream,
            200,
            &[("content-type", "text/html")],
            "<html>maintenance</html>",
        ),
        _ => reply(stream, 200, &[], "{}"),
    });
    let gateway = served(&backend, json!({}), plain());
    let answer = get(&gateway, &Issuer::new().token(json!({})));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}

#[test]
fn a_cookie_counts_only_where_the_file_names_it() {
    let issuer = Issuer::new();
    let backend = backend(keys(&[("/jwks", &issuer)]));
    let token = issuer.token(json!({}));
    for (validator, cookie, status) in [
        (json!({}), "access_token", 401),
        (json!({"cookie_key": "session"}), "session", 200),
        (json!({"cookie_key": "session"}), "access_token", 401),
    ] {
        let gateway = served(&backend, validator, plain());
        let header = format!("a=b; {cookie}={token}");
        assert_eq!(
            gateway.send("GET", "/x", &[("cookie", &header)], "").status,
            status,
            "{cookie}"
        );
    }
}
