//! A server that hangs, dies, is sealed, throttles, or is the wrong one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use signet_api::{ErrorKind, KeyProvider, ProviderError, Trials};
use signet_core::{Algorithm, KeyRecord};
use signet_testkit::{new_key, run};

use crate::server::{Server, free_port, shared, unique};
use crate::{chain, remote};

async fn with_a_key(server: &Server, more: &[(&str, &str)]) -> (Arc<dyn KeyProvider>, KeyRecord) {
    let mut variables = vec![("VAULT_TOKEN", server.root())];
    variables.extend(more);
    let provider = remote(server.variables(&variables), unique("ring")).await;
    let key = provider.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
    provider.sign(key.kid(), b"message").await.expect("signed");
    (provider, key)
}

/// Checks that every call fails in this way.
async fn all_fail(provider: &dyn KeyProvider, key: &KeyRecord, kind: ErrorKind, words: &str) {
    let errors: Vec<ProviderError> = vec![
        provider.list().await.expect_err("fails"),
        provider.sign(key.kid(), b"message").await.expect_err("fails"),
        provider
            .create(&new_key(Algorithm::EdDSA, Some(key.kid())))
            .await
            .expect_err("fails"),
    ];
    for error in errors {
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(chain(&error).contains(words), "{error:?}");
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test measures")]
fn a_server_that_hangs_costs_no_more_than_the_timeout() {
    run(async {
        let server = Server::start().await;
        let (provider, key) = with_a_key(&server, &[("VAULT_CLIENT_TIMEOUT", "500ms")]).await;
        server.freeze();
        let begun = Instant::now();
        all_fail(&*provider, &key, ErrorKind::TimedOut, "VAULT_CLIENT_TIMEOUT").await;
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        server.thaw();
        provider
            .sign(key.kid(), b"message")
            .await
            .expect("it goes on by itself");
    });
}

#[test]
fn a_server_that_died_is_unavailable_and_its_keys_are_there_again_after_it() {
    run(async {
        let mut server = Server::start_on_disk().await;
        let (provider, key) = with_a_key(&server, &[]).await;
        server.kill();
        all_fail(&*provider, &key, ErrorKind::Unavailable, "cannot be reached").await;
        server.restart().await;
        let signature = provider.sign(key.kid(), b"message").await.expect("signed");
        assert!(key.public.verifies(b"message", signature.as_ref()));
        assert_eq!(provider.list().await.expect("lists").len(), 1);
    });
}

#[test]
fn a_sealed_server_says_so() {
    run(async {
        let server = Server::start().await;
        let (provider, key) = with_a_key(&server, &[]).await;
        server.post("sys/seal", json!({})).await;
        all_fail(&*provider, &key, ErrorKind::Unavailable, "vault operator unseal").await;
        server.unseal().await;
        provider.sign(key.kid(), b"message").await.expect("signed");
    });
}

#[test]
fn a_quota_throttles_and_says_for_how_long() {
    run(async {
        let server = Server::start().await;
        let (provider, key) = with_a_key(&server, &[]).await;
        server
            .post("sys/quotas/config", json!({"enable_rate_limit_response_headers": true}))
            .await;
        let quota = json!({"path": "transit", "rate": 1, "interval": "30s"});
        server.post("sys/quotas/rate-limit/transit", quota).await;
        let mut refused = None;
        for _ in 0..5 {
            refused = refused.or(provider.sign(key.kid(), b"message").await.err());
        }
        let error = refused.expect("the quota holds");
        assert_eq!(error.kind, ErrorKind::Throttled, "{error:?}");
        let after = error.retry_after.expect("the server says when");
        assert!((1..=30).contains(&after.as_secs()), "{after:?}");
    });
}

#[test]
fn a_server_of_another_authority_or_name_never_sees_the_token() {
    run(async {
        let impostor = Server::start().await;
        let variables = impostor.variables(&[
            ("VAULT_TOKEN", "s.token"),
            ("VAULT_CACERT", &shared().authority().display().to_string()),
        ]);
        let provider = remote(variables, unique("ring")).await;
        let error = provider.list().await.expect_err("not trusted");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert!(chain(&error).contains("set VAULT_CACERT to"), "{error:?}");

        let token = ("VAULT_TOKEN", impostor.root());
        let named = impostor.variables(&[token, ("VAULT_TLS_SERVER_NAME", "vault.test")]);
        remote(named, unique("ring"))
            .await
            .list()
            .await
            .expect("that is its name");
        let misnamed = impostor.variables(&[token, ("VAULT_TLS_SERVER_NAME", "other.test")]);
        let error = remote(misnamed, unique("ring"))
            .await
            .list()
            .await
            .expect_err("not its name");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert!(chain(&error).contains("VAULT_TLS_SERVER_NAME"), "{error:?}");
    });
}

#[test]
fn nobody_there_is_unavailable_and_told_so_at_once() {
    run(async {
        let address = format!("https://127.0.0.1:{}", free_port());
        let variables = shared().variables(&[("VAULT_TOKEN", "s.token"), ("VAULT_ADDR", &address)]);
        let error = remote(variables, unique("ring"))
            .await
            .list()
            .await
            .expect_err("nobody");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(chain(&error).contains(&address), "{error:?}");
    });
}

#[test]
fn mounts_that_are_missing_or_of_the_wrong_kind_are_named() {
    run(async {
        let server = shared();
        let (missing, old) = (unique("missing"), unique("kv1"));
        let body = json!({"type": "kv", "options": {"version": "1"}});
        server.post(&format!("sys/mounts/{old}"), body).await;
        let root = ("VAULT_TOKEN", server.root());
        for (variable, mount, words) in [
            ("VAULT_TRANSIT_MOUNT", missing.as_str(), "VAULT_TRANSIT_MOUNT"),
            ("VAULT_KV_MOUNT", missing.as_str(), "VAULT_KV_MOUNT"),
            ("VAULT_KV_MOUNT", old.as_str(), "needs KV version 2"),
        ] {
            let provider = remote(server.variables(&[root, (variable, mount)]), unique("ring")).await;
            let error = provider
                .create(&new_key(Algorithm::EdDSA, None))
                .await
                .expect_err(mount);
            assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
            assert!(chain(&error).contains(words), "{error:?}");
            let checks = Trials::of(async |trials| provider.check(trials).await).await;
            assert!(checks.iter().any(|check| !check.answer.is_yes()), "{checks:?}");
        }
        let (status, _) = server.request("LIST", &format!("{old}/data"), None).await;
        assert_eq!(status, 404, "nothing was written to the mount of version 1");
    });
}
