//! Tokens: where they come from, how they are kept alive, and what happens when they expire.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signet_api::{ErrorKind, KeyProvider};
use signet_core::{Algorithm, KeyRecord, Kid};
use signet_testkit::{new_key, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::server::{Server, shared, unique};
use crate::{chain, policy, remote};

/// A ring with one key, and the name of a policy for its sidecar.
async fn ring() -> (String, KeyRecord, String) {
    let (ring, name) = (unique("ring"), unique("policy"));
    shared().policy(&name, &policy("vault-sidecar-remote.hcl", &ring)).await;
    let provider = remote(shared().as_root(), ring.clone()).await;
    let key = provider.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
    (ring, key, name)
}

/// Signs repeatedly for this time; no signature may fail.
#[allow(clippy::disallowed_methods, reason = "a test measures")]
async fn signs_for(provider: &dyn KeyProvider, kid: &Kid, span: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        provider.sign(kid, b"message").await.expect("signed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An AppRole mount for one test, whose logins can be counted and revoked.
async fn app_role_mount(policy: &str, ttl: &str, longest: &str) -> (String, [(&'static str, String); 3]) {
    let mount = unique("approle");
    let server = shared();
    server
        .post(&format!("sys/auth/{mount}"), json!({"type": "approle"}))
        .await;
    let settings = json!({
        "token_policies": [policy], "token_no_default_policy": true, "token_ttl": ttl, "token_max_ttl": longest,
    });
    server.post(&format!("auth/{mount}/role/signet"), settings).await;
    let role = server.get(&format!("auth/{mount}/role/signet/role-id")).await;
    let secret = server
        .post(&format!("auth/{mount}/role/signet/secret-id"), json!({}))
        .await;
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let variables = [
        ("VAULT_AUTH_MOUNT", mount.clone()),
        ("VAULT_ROLE_ID", text(&role["data"]["role_id"])),
        ("VAULT_SECRET_ID", text(&secret["data"]["secret_id"])),
    ];
    (mount, variables)
}

async fn logins(mount: &str) -> usize {
    let path = format!("sys/leases/lookup/auth/{mount}/login");
    let (_, found) = shared().request("LIST", &path, None).await;
    found["data"]["keys"].as_array().map_or(0, Vec::len)
}

fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    run(async {
        let (ring, key, policy) = ring().await;
        let token = shared().token(&[&policy], "3s").await;
        let provider = remote(shared().variables(&[("VAULT_TOKEN", &token)]), ring).await;
        signs_for(&*provider, key.kid(), Duration::from_secs(7)).await;
    });
}

#[test]
fn a_token_that_was_there_before_its_server_is_renewed_all_the_same() {
    run(async {
        let server = Server::start().await;
        let ring = unique("ring");
        let provider = remote(server.as_root(), ring.clone()).await;
        let key = provider.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
        server
            .policy("signet", &policy("vault-sidecar-remote.hcl", &ring))
            .await;
        let token = server.token(&["signet"], "6s").await;
        let variables = [("VAULT_TOKEN", token.as_str()), ("VAULT_CLIENT_TIMEOUT", "1s")];
        let provider = remote(server.variables(&variables), ring).await;
        server.freeze();
        let error = provider.list().await.expect_err("nobody answers");
        assert_eq!(error.kind, ErrorKind::TimedOut);
        // By now, the request for the token's lease has failed, too.
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.thaw();
        signs_for(&*provider, key.kid(), Duration::from_secs(9)).await;
    });
}

#[test]
fn a_login_is_repeated_before_its_token_reaches_its_longest_life() {
    run(async {
        let (ring, key, policy) = ring().await;
        let (_, variables) = app_role_mount(&policy, "3s", "4s").await;
        let provider = remote(shared().variables(&borrowed(&variables)), ring).await;
        signs_for(&*provider, key.kid(), Duration::from_secs(9)).await;
    });
}

#[test]
fn a_revoked_token_is_replaced_by_one_login_for_all() {
    run(async {
        let (ring, key, policy) = ring().await;
        let (mount, variables) = app_role_mount(&policy, "1h", "1h").await;
        let provider = remote(shared().variables(&borrowed(&variables)), ring).await;
        let mut first = JoinSet::new();
        for _ in 0..16 {
            let (provider, kid) = (Arc::clone(&provider), key.kid().clone());
            first.spawn(async move { provider.sign(&kid, b"message").await.expect("signed") });
        }
        first.join_all().await;
        assert_eq!(logins(&mount).await, 1, "one login for all");

        shared()
            .post(&format!("sys/leases/revoke-prefix/auth/{mount}"), json!({}))
            .await;
        let mut again = JoinSet::new();
        for _ in 0..16 {
            let (provider, kid) = (Arc::clone(&provider), key.kid().clone());
            again.spawn(async move { provider.sign(&kid, b"message").await.expect("signed again") });
        }
        again.join_all().await;
        assert_eq!(logins(&mount).await, 1, "one login for all");
    });
}

#[test]
fn a_permission_that_is_missing_is_no_reason_to_log_in_again() {
    run(async {
        let (ring, _, policy) = ring().await;
        let narrow = unique("policy");
        for with_look_up in [true, false] {
            let text = match with_look_up {
                true => "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }",
                false => "path \"nothing\" { capabilities = [\"read\"] }",
            };
            shared().policy(&narrow, text).await;
            let (mount, variables) = app_role_mount(&narrow, "1h", "1h").await;
            let provider = remote(shared().variables(&borrowed(&variables)), ring.clone()).await;
            for _ in 0..10 {
                let error = provider.list().await.expect_err("denied");
                assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
                let line = format!("path \"secret/data/signet/{ring}\" {{ capabilities = [\"read\"] }}");
                assert!(chain(&error).contains(&line), "{error:?}");
            }
            let most = if with_look_up { 1 } else { 2 };
            assert_eq!(logins(&mount).await, most, "looking itself up: {with_look_up}");
        }
        drop(policy);
    });
}

#[test]
fn a_token_file_is_read_again_when_its_token_died() {
    run(async {
        let (ring, key, policy) = ring().await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        let tokens = [
            shared().token(&[&policy], "1h").await,
            shared().token(&[&policy], "1h").await,
        ];
        std::fs::write(&file, format!("{}\n", tokens[0])).expect("written");
        let variables = shared().variables(&[("VAULT_TOKEN_FILE", &file.display().to_string())]);
        let provider = remote(variables, ring).await;
        provider.sign(key.kid(), b"message").await.expect("signed");

        shared().post("auth/token/revoke", json!({"token": tokens[0]})).await;
        let error = provider.sign(key.kid(), b"message").await.expect_err("dead");
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        assert!(chain(&error).contains("VAULT_TOKEN_FILE"), "{error:?}");
        std::fs::write(&file, &tokens[1]).expect("written");
        provider.sign(key.kid(), b"message").await.expect("signed");

        std::fs::remove_file(&file).expect("removed");
        provider
            .sign(key.kid(), b"message")
            .await
            .expect("the token still lives");
    });
}

#[test]
fn credentials_that_are_wrong_are_unauthenticated_and_never_shown() {
    run(async {
        let role = unique("role");
        let (role_id, _) = shared().app_role(&role, json!({"token_policies": ["none"]})).await;
        let secret = "0f6f0b3c-hush-hush-hush-3c1d7f0a9e55";
        let secret_file = "/nonexistent/secret-id";
        for (variables, words) in [
            (vec![("VAULT_TOKEN", secret)], "VAULT_TOKEN"),
            (
                vec![("VAULT_ROLE_ID", role_id.as_str()), ("VAULT_SECRET_ID", secret)],
                "VAULT_AUTH_MOUNT",
            ),
            (
                vec![("VAULT_ROLE_ID", secret), ("VAULT_SECRET_ID", secret)],
                "VAULT_AUTH_MOUNT",
            ),
            (
                vec![
                    ("VAULT_ROLE_ID", role_id.as_str()),
                    ("VAULT_SECRET_ID_FILE", secret_file),
                ],
                secret_file,
            ),
            (
                vec![("VAULT_K8S_ROLE", "signet"), ("VAULT_K8S_TOKEN_FILE", secret_file)],
                secret_file,
            ),
        ] {
            let provider = remote(shared().variables(&variables), unique("ring")).await;
            let error = provider.list().await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error:?}");
            let text = format!("{} {error:?} {provider:?}", chain(&error));
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
    });
}

#[test]
fn a_pod_logs_in_with_its_service_account() {
    run(async {
        let (ring, key, policy) = ring().await;
        let (server, mount) = (shared(), unique("kubernetes"));
        let reviews = token_reviews().await;
        server
            .post(&format!("sys/auth/{mount}"), json!({"type": "kubernetes"}))
            .await;
        let authority = std::fs::read_to_string(server.authority()).expect("a certificate");
        let config = json!({
            "kubernetes_ca_cert": authority,
            "kubernetes_host": reviews, "token_reviewer_jwt": service_account("reviewer"), "disable_local_ca_jwt": true,
        });
        server.post(&format!("auth/{mount}/config"), config).await;
        let role = json!({
            "bound_service_account_names": "signet", "bound_service_account_namespaces": "gateway",
            "token_policies": [policy], "token_ttl": "1h",
        });
        server.post(&format!("auth/{mount}/role/gateway"), role).await;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token").display().to_string();
        let variables = server.variables(&[
            ("VAULT_K8S_ROLE", "gateway"),
            ("VAULT_K8S_TOKEN_FILE", &file),
            ("VAULT_AUTH_MOUNT", &mount),
        ]);
        std::fs::write(&file, service_account("signet")).expect("written");
        let provider = remote(variables.clone(), ring.clone()).await;
        provider.sign(key.kid(), b"message").await.expect("signed");
        std::fs::write(&file, service_account("other")).expect("written");
        let error = remote(variables, ring).await.list().await.expect_err("not bound");
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{error:?}");
    });
}

/// A token of this service account, with the claims that the login reads before it asks Kubernetes.
fn service_account(name: &str) -> String {
    let claims = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": format!("system:serviceaccount:gateway:{name}"),
        "kubernetes.io/serviceaccount/namespace": "gateway",
        "kubernetes.io/serviceaccount/service-account.name": name,
        "kubernetes.io/serviceaccount/service-account.uid": "d77f89bc-9055-11e7-a068-0800276d99bf",
        "kubernetes.io/serviceaccount/secret.name": "token",
    });
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = json!({"alg": "RS256", "kid": "k"}).to_string();
    format!(
        "{}.{}.{}",
        encode(header),
        encode(claims.to_string()),
        encode("signature".to_owned())
    )
}

/// Answers a token review as Kubernetes does: the token is good, and belongs to this service account.
async fn token_reviews() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let mut len = 0;
            let token = loop {
                len += stream.read(&mut request[len..]).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&request[..len]);
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
                if let Some(review) = body.and_then(|body| serde_json::from_str::<Value>(body.trim()).ok()) {
                    break review["spec"]["token"].as_str().unwrap_or_default().to_owned();
                }
            };
            let claims = token
                .split('.')
                .nth(1)
                .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
            let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
            let body = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                "status": {"authenticated": true, "user": {
                    "username": claims["sub"], "uid": claims["kubernetes.io/serviceaccount/service-account.uid"],
                    "groups": ["system:serviceaccounts", "system:authenticated"],
                }},
            })
            .to_string();
            let head =
                "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ";
            let answer = format!("{head}{}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("written");
        }
    });
    address
}
