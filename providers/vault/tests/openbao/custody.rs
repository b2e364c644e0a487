//! Sealed custody with transit and KV, namespaces, and secrets that must never be visible.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::json;
use signet_api::{ErrorKind, KeyProvider, Operation, Trials};
use signet_core::{Algorithm, KeyRecord};
use signet_sealed::{Context, Purpose, Swap};
use signet_testkit::{new_key, run};
use signet_vault::VaultConfig;
use tracing_subscriber::fmt::MakeWriter;

use crate::server::{shared, unique};
use crate::{app_role, chain, remote, sealed};

async fn create(provider: &dyn KeyProvider, of: Option<&KeyRecord>) -> KeyRecord {
    let new = new_key(Algorithm::ES256, of.map(KeyRecord::kid));
    provider.create(&new).await.expect("a key")
}

#[test]
fn a_ciphertext_unwraps_in_its_own_context_and_under_its_own_key_alone() {
    run(async {
        let mut sealers = Vec::new();
        for _ in 0..2 {
            let name = unique("wrapping");
            shared().post(&format!("transit/keys/{name}"), json!({})).await;
            let config = VaultConfig::new(&shared().as_root(), &name).expect("good");
            sealers.push(signet_vault::sealer(config).await.expect("a sealer"));
        }
        let context = Context::new("ring", Purpose::RingKey);
        let secret = [7; 4096];
        let wrapped = sealers[0].wrap(&secret, &context).await.expect("wrapped");
        let unwrapped = sealers[0].unwrap(&wrapped, &context).await.expect("unwrapped");
        assert_eq!(unwrapped.as_slice(), secret);
        let mut flipped = wrapped.clone();
        let middle = flipped.len() / 2;
        flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
        let other = Context::new("other", Purpose::RingKey);
        for refused in [
            sealers[0].unwrap(&wrapped, &other).await,
            sealers[1].unwrap(&wrapped, &context).await,
            sealers[0].unwrap(&flipped, &context).await,
            sealers[0].unwrap(b"vault:v9:AAAA", &context).await,
            sealers[0].unwrap(b"vault:v1:", &context).await,
            sealers[0].unwrap(b"not of transit", &context).await,
            sealers[0].unwrap(&[0xff, 0xfe], &context).await,
        ] {
            assert_eq!(refused.expect_err("refused").kind, ErrorKind::BadAnswer);
        }
    });
}

/// A token that may do everything may also create a key by encrypting. A check would then change what it checks, and a
/// lost key would be replaced by one that cannot decrypt anything.
#[test]
fn a_wrapping_key_that_is_missing_is_not_made_for_root_either() {
    run(async {
        let name = unique("wrapping");
        let config = VaultConfig::new(&shared().as_root(), &name).expect("good");
        let sealer = signet_vault::sealer(config).await.expect("a sealer");
        let context = Context::new("ring", Purpose::RingKey);
        let key = format!("transit/keys/{name}");
        for _ in 0..2 {
            let error = sealer.wrap(b"secret", &context).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::NotFound, "{}", chain(&error));
            assert!(chain(&error).contains("restore it from a backup"), "{}", chain(&error));
            assert_eq!(shared().request("GET", &key, None).await.0, 404);
        }
        shared().post(&key, json!({})).await;
        sealer.wrap(b"secret", &context).await.expect("wrapped");
    });
}

#[test]
fn a_wrapping_key_that_is_missing_is_not_made_in_passing() {
    run(async {
        let ring = unique("ring");
        let provider = sealed(app_role(&ring, &["vault-sidecar-sealed.hcl"]).await, ring.clone()).await;
        let error = provider
            .create(&new_key(Algorithm::ES256, None))
            .await
            .expect_err("no key");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
        assert!(
            chain(&error).contains(&format!("vault write -f transit/keys/{ring}")),
            "{error:?}"
        );
        assert_eq!(
            shared().request("GET", &format!("transit/keys/{ring}"), None).await.0,
            404
        );
    });
}

#[test]
fn a_ring_survives_the_rotation_of_its_wrapping_key() {
    run(async {
        let ring = unique("ring");
        shared().post(&format!("transit/keys/{ring}"), json!({})).await;
        let provider = sealed(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, None).await;
        shared().post(&format!("transit/keys/{ring}/rotate"), json!({})).await;
        let second = create(&*provider, Some(&first)).await;
        let other = sealed(shared().as_root(), ring).await;
        for key in [first, second] {
            let signature = other.sign(key.kid(), b"message").await.expect("signed");
            assert!(key.public.verifies(b"message", signature.as_ref()));
        }
    });
}

#[test]
fn a_store_swaps_by_version_and_a_deleted_ring_is_not_an_empty_place() {
    run(async {
        let place = unique("vault:secret/store");
        let path = place.trim_start_matches("vault:secret/").to_owned();
        let store = signet_vault::store(&shared().as_root(), &place).await.expect("a store");
        assert_eq!(store.load().await.expect("loads"), None);
        let Swap::Stored(first) = store.compare_and_swap(None, b"one").await.expect("swaps") else {
            panic!("the place was empty");
        };
        assert_eq!(store.compare_and_swap(None, b"two").await.expect("swaps"), Swap::Lost);
        assert!(matches!(
            store.compare_and_swap(Some(&first), b"two").await,
            Ok(Swap::Stored(_))
        ));
        assert_eq!(
            store.compare_and_swap(Some(&first), b"three").await.expect("swaps"),
            Swap::Lost
        );
        assert_eq!(store.load().await.expect("loads").expect("there").bytes, b"two");

        shared().request("DELETE", &format!("secret/data/{path}"), None).await;
        let error = store.load().await.expect_err("deleted");
        assert_eq!((error.kind, error.operation), (ErrorKind::BadAnswer, Operation::List));
        assert!(chain(&error).contains("vault kv undelete -versions=2"), "{error:?}");
        assert_eq!(store.compare_and_swap(None, b"new").await.expect("swaps"), Swap::Lost);
        shared()
            .post(&format!("secret/destroy/{path}"), json!({"versions": [2]}))
            .await;
        let error = store.load().await.expect_err("destroyed");
        assert!(chain(&error).contains("vault kv metadata delete"), "{error:?}");
    });
}

#[test]
fn a_place_that_is_no_mount_and_path_is_refused_when_opening() {
    run(async {
        for place in [
            "vault:",
            "vault:secret",
            "vault:/secret/a",
            "vault:secret/../a",
            "vault:secret/a b",
        ] {
            let error = signet_vault::store(&shared().as_root(), place).await.expect_err(place);
            assert_eq!(
                (error.kind, error.operation),
                (ErrorKind::InvalidConfig, Operation::Open)
            );
            assert!(chain(&error).contains("SIGNET_STORE"), "{error:?}");
        }
        let config = VaultConfig::new(&shared().as_root(), "a.b").expect("good for sealed custody");
        let clock = Arc::new(signet_base::ManualClock::default());
        let error = signet_vault::remote(config, clock)
            .await
            .expect_err("not for remote custody");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
    });
}

#[test]
fn both_custodies_work_in_a_namespace() {
    run(async {
        let (server, namespace, ring) = (shared(), unique("team"), unique("ring"));
        server.post(&format!("sys/namespaces/{namespace}"), json!({})).await;
        server
            .post(&format!("{namespace}/sys/mounts/transit"), json!({"type": "transit"}))
            .await;
        let kv = json!({"type": "kv", "options": {"version": "2"}});
        server.post(&format!("{namespace}/sys/mounts/secret"), kv).await;
        server
            .post(&format!("{namespace}/transit/keys/{ring}"), json!({}))
            .await;
        let variables = server.variables(&[("VAULT_TOKEN", server.root()), ("VAULT_NAMESPACE", &namespace)]);
        for provider in [
            remote(variables.clone(), ring.clone()).await,
            sealed(variables.clone(), ring.clone()).await,
        ] {
            let key = create(&*provider, None).await;
            let signature = provider.sign(key.kid(), b"message").await.expect("signed");
            assert!(key.public.verifies(b"message", signature.as_ref()));
            for check in Trials::of(async |trials| provider.check(trials).await).await {
                assert!(!check.answer.is_bad(), "{check:?}");
            }
        }
        server.get(&format!("{namespace}/transit/keys/{ring}.es256")).await;
        assert_eq!(
            server
                .request("GET", &format!("transit/keys/{ring}.es256"), None)
                .await
                .0,
            404
        );
    });
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn nothing_secret_is_logged_at_any_level() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let secret_id = runtime.expect("a runtime").block_on(async {
        let ring = unique("ring");
        shared().post(&format!("transit/keys/{ring}"), json!({})).await;
        let variables = app_role(&ring, &["vault-sidecar-sealed.hcl"]).await;
        let secret_id = variables.get("VAULT_SECRET_ID").expect("set").to_owned();
        let provider = sealed(variables, ring.clone()).await;
        let key = create(&*provider, None).await;
        provider.sign(key.kid(), b"message").await.expect("signed");
        let error = provider
            .sign(&signet_core::Kid::new("x"), b"message")
            .await
            .expect_err("unknown");
        tracing::error!(?error, ?provider, "marker");
        secret_id
    });
    drop(guard);
    let text = String::from_utf8(log.0.lock().expect("the log").clone()).expect("text");
    assert!(text.contains("marker"), "the log was written");
    assert!(!text.contains(&secret_id), "{text}");
    assert!(!text.contains(shared().root()), "{text}");
    assert!(!text.contains("s."), "no token of OpenBao begins otherwise: {text}");
}
