//! What transit itself still signs after a revocation. Somebody with a stolen Vault token could use it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider};
use signet_core::{Algorithm, KeyRecord, KeyState, Revocation};
use signet_testkit::{new_key, run, terms};

use crate::relay::Relay;
use crate::remote;
use crate::server::{shared, unique};

async fn create(provider: &dyn KeyProvider, algorithm: Algorithm, of: Option<&KeyRecord>) -> KeyRecord {
    let new = new_key(algorithm, of.map(KeyRecord::kid));
    provider.create(&new).await.expect("a key")
}

/// A ring of three keys, of which the second signs after its lead.
async fn three(ring: &str) -> (Arc<dyn KeyProvider>, [KeyRecord; 3]) {
    let provider = remote(shared().as_root(), ring.to_owned()).await;
    let first = create(&*provider, Algorithm::EdDSA, None).await;
    let second = create(&*provider, Algorithm::EdDSA, Some(&first)).await;
    let third = create(&*provider, Algorithm::EdDSA, Some(&second)).await;
    (provider, [first, second, third])
}

/// A revocation dated when the key had been signing for a second.
fn after_it_signed(key: &KeyRecord) -> Revocation {
    mark(key, terms().lead + Duration::from_secs(1))
}

/// A revocation dated before the key started to sign.
fn while_it_waits(key: &KeyRecord) -> Revocation {
    mark(key, terms().lead - Duration::from_secs(1))
}

fn mark(key: &KeyRecord, age: Duration) -> Revocation {
    Revocation {
        at: key.created_at.plus(age),
        reason: "it was stolen".to_owned(),
    }
}

/// The versions of a transit key with which the server itself signs.
async fn usable(transit_key: &str) -> Vec<u64> {
    let key = shared().get(&format!("transit/keys/{transit_key}")).await;
    let latest = key["data"]["latest_version"].as_u64().expect("a number");
    let mut usable = Vec::new();
    for version in 1..=latest {
        let body = json!({"input": "bQ==", "key_version": version});
        let path = format!("transit/sign/{transit_key}");
        if shared().request("POST", &path, Some(body)).await.0 == 200 {
            usable.push(version);
        }
    }
    usable
}

#[test]
fn transit_refuses_a_revoked_signer_at_once_though_an_older_key_is_published() {
    run(async {
        let ring = unique("ring");
        let (provider, [first, second, _]) = three(&ring).await;
        assert_eq!(usable(&format!("{ring}.eddsa")).await, [1, 2, 3]);
        provider
            .revoke(second.kid(), &after_it_signed(&second))
            .await
            .expect("revoked");
        assert_eq!(usable(&format!("{ring}.eddsa")).await, [3]);

        // This does not disable the older key: its tokens are good, and it is retired later.
        let keys = provider.list().await.expect("lists");
        assert_eq!((keys[0].kid(), keys[0].state), (first.kid(), KeyState::Enabled));
        for action in [ExpiredKeys::Disable, ExpiredKeys::Destroy] {
            provider.retire(first.kid(), action).await.expect("retired");
            let keys = provider.list().await.expect("lists");
            let listed = keys.iter().find(|key| key.kid() == first.kid());
            let expected = (action == ExpiredKeys::Disable).then_some(KeyState::Disabled);
            assert_eq!(listed.map(|key| key.state), expected);
            assert_eq!(usable(&format!("{ring}.eddsa")).await, [3]);
        }
    });
}

#[test]
fn a_key_that_is_revoked_while_it_waits_leaves_the_one_that_signs() {
    run(async {
        let ring = unique("ring");
        let (provider, [first, second, third]) = three(&ring).await;
        provider
            .revoke(second.kid(), &while_it_waits(&second))
            .await
            .expect("revoked");
        provider
            .sign(first.kid(), b"message")
            .await
            .expect("it is the active key");
        // Transit can forbid only prefixes, so the revoked key can sign until the active one is retired.
        assert_eq!(usable(&format!("{ring}.eddsa")).await, [1, 2, 3]);
        provider
            .revoke(first.kid(), &mark(&first, Duration::ZERO))
            .await
            .expect("revoked");
        assert_eq!(usable(&format!("{ring}.eddsa")).await, [3]);
        provider.sign(third.kid(), b"message").await.expect("signed");
    });
}

#[test]
fn a_replica_that_was_out_of_touch_gets_no_signature_before_it_has_read_the_revocation() {
    run(async {
        let ring = unique("ring");
        let early = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*early, Algorithm::EdDSA, None).await;
        // This handle does not read what happens next.
        let operator = remote(shared().as_root(), ring.clone()).await;
        let second = create(&*operator, Algorithm::EdDSA, Some(&first)).await;
        let third = create(&*operator, Algorithm::EdDSA, Some(&second)).await;
        early.sign(first.kid(), b"message").await.expect("transit signs still");
        operator
            .revoke(second.kid(), &after_it_signed(&second))
            .await
            .expect("revoked");

        let error = early.sign(first.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::KeyUnusable, "{error:?}");
        let text = error.source.to_string();
        assert!(
            text.contains("If a newer key was revoked, this replica had not read that yet"),
            "{text}"
        );
        let keys = early.list().await.expect("lists");
        assert!(
            keys.iter()
                .any(|key| key.kid() == second.kid() && key.revoked.is_some())
        );
        early.sign(third.kid(), b"message").await.expect("signed");
    });
}

#[test]
fn a_retirement_that_read_before_a_revocation_lowers_nothing() {
    run(async {
        let ring = unique("ring");
        let (operator, [first, second, third]) = three(&ring).await;
        let Relay {
            address,
            arrived,
            go_on,
        } = Relay::holding(format!("transit/keys/{ring}.eddsa/config")).await;
        let slow = remote(
            shared().variables(&[("VAULT_ADDR", &address), ("VAULT_TOKEN", shared().root())]),
            ring.clone(),
        )
        .await;
        let kid = first.kid().clone();
        let retiring = tokio::spawn(async move { slow.retire(&kid, ExpiredKeys::Disable).await });
        arrived.await.expect("it has read, and is about to write");
        operator
            .revoke(second.kid(), &after_it_signed(&second))
            .await
            .expect("revoked");
        assert_eq!(usable(&format!("{ring}.eddsa")).await, [3]);
        go_on.send(()).expect("it waits");
        retiring.await.expect("it ends").expect("retired");
        assert_eq!(
            usable(&format!("{ring}.eddsa")).await,
            [3],
            "what was raised stays raised"
        );
        operator.sign(third.kid(), b"message").await.expect("signed");
    });
}

#[test]
fn a_revoked_key_is_refused_when_the_ring_goes_on_with_another_algorithm() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, Algorithm::ES256, None).await;
        let second = create(&*provider, Algorithm::EdDSA, Some(&first)).await;
        provider
            .revoke(first.kid(), &mark(&first, Duration::ZERO))
            .await
            .expect("revoked");
        // Transit cannot forbid the latest version, so a version that no ring names was created above it.
        assert_eq!(usable(&format!("{ring}.es256")).await, [2]);
        assert_eq!(provider.list().await.expect("lists").len(), 2);

        // The result is the same if the successor is created after the revocation.
        provider
            .revoke(second.kid(), &mark(&second, Duration::ZERO))
            .await
            .expect("revoked");
        assert_eq!(
            usable(&format!("{ring}.eddsa")).await,
            [1],
            "there is nothing newer yet"
        );
        let third = create(&*provider, Algorithm::ES256, Some(&second)).await;
        assert_eq!(usable(&format!("{ring}.eddsa")).await, [2]);
        provider.sign(third.kid(), b"message").await.expect("signed");
        assert_eq!(
            provider.prune().await.expect("prunes").len(),
            2,
            "the versions of both revoked keys"
        );
        assert_eq!(provider.list().await.expect("lists").len(), 3);
    });
}
