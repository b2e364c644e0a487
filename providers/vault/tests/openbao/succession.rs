//! Creation in remote custody: crashes, competing replicas, and changes that others make in transit and KV.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider};
use signet_base::Clock as _;
use signet_base::ManualClock;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation};
use signet_testkit::{new_key, run, terms};

use crate::policies::as_policy;
use crate::server::{shared, unique};
use crate::{app_role, chain, policy, remote, remote_with};

async fn create(provider: &dyn KeyProvider, of: Option<&KeyRecord>) -> KeyRecord {
    let new = new_key(Algorithm::EdDSA, of.map(KeyRecord::kid));
    provider.create(&new).await.expect("a key")
}

async fn signs(provider: &dyn KeyProvider, key: &KeyRecord) {
    let signature = provider.sign(key.kid(), b"message").await.expect("signed");
    assert!(key.public.verifies(b"message", signature.as_ref()));
}

/// Changes the record into a state that only a crash would leave.
async fn edit(ring: &str, change: impl FnOnce(&mut Value)) {
    let mut record = recorded(ring).await;
    change(&mut record);
    let data = json!({"record": record.to_string()});
    shared()
        .post(&format!("secret/data/signet/{ring}"), json!({"data": data}))
        .await;
}

/// The content of the record.
async fn recorded(ring: &str) -> Value {
    let found = shared().get(&format!("secret/data/signet/{ring}")).await;
    let text = found["data"]["data"]["record"].as_str().expect("a text");
    serde_json::from_str(text).expect("JSON")
}

/// The claim of a replica that was killed after making it.
async fn claim(ring: &str, of: &KeyRecord, version: u64, clock: &ManualClock) {
    let claim = json!({
        "number": 2,
        "place": {"transit_key": format!("{ring}.eddsa"), "version": version},
        "algorithm": "EdDSA",
        "predecessor": of.kid().as_str(),
        "terms": terms(),
        "nonce": "somebody else",
        "claimed_at_ms": clock.now(),
    });
    edit(ring, |record| {
        record["last_number"] = json!(2);
        record["claim"] = claim;
    })
    .await;
}

async fn latest(ring: &str) -> u64 {
    let key = shared().get(&format!("transit/keys/{ring}.eddsa")).await;
    key["data"]["latest_version"].as_u64().expect("a number")
}

#[test]
fn a_claim_whose_owner_died_is_waited_for_and_then_taken_over() {
    run(async {
        let (ring, clock) = (unique("ring"), Arc::new(ManualClock::default()));
        let provider = remote_with(shared().as_root(), &ring, Arc::clone(&clock)).await;
        let first = create(&*provider, None).await;
        claim(&ring, &first, 2, &clock).await;
        assert_eq!(provider.list().await.expect("lists").len(), 1);

        let waiting = provider.create(&new_key(Algorithm::EdDSA, Some(first.kid()))).await;
        let error = waiting.expect_err("its owner may still be at work");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(chain(&error).contains("was claimed"), "{error:?}");
        assert_eq!(latest(&ring).await, 1, "nothing was made");

        clock.advance(Duration::from_secs(31));
        let second = create(&*provider, Some(&first)).await;
        assert_eq!(second.predecessor.as_ref(), Some(first.kid()));
        assert_eq!(
            (provider.list().await.expect("lists").len(), latest(&ring).await),
            (2, 2)
        );
        signs(&*provider, &second).await;
    });
}

/// A replica whose token has a sidecar's permissions, except this path of the ring's transit key.
async fn replica_without(path: &str, ring: &str, clock: &Arc<ManualClock>) -> Arc<dyn KeyProvider> {
    let deny = format!("path \"transit/keys/{ring}.eddsa{path}\" {{ capabilities = [\"deny\"] }}");
    let variables = as_policy(&format!("{}\n{deny}", policy("vault-sidecar-remote.hcl", ring))).await;
    remote_with(variables, ring, Arc::clone(clock)).await
}

#[test]
fn a_replica_that_may_not_rotate_keeps_no_other_from_it() {
    run(async {
        let (ring, clock) = (unique("ring"), Arc::new(ManualClock::default()));
        let good = remote_with(shared().as_root(), &ring, Arc::clone(&clock)).await;
        let bad = replica_without("/rotate", &ring, &clock).await;
        let first = create(&*good, None).await;
        let successor = new_key(Algorithm::EdDSA, Some(first.kid()));
        for second in 0..40 {
            let error = bad.create(&successor).await.expect_err("it may not rotate");
            assert_eq!(error.kind, ErrorKind::PermissionDenied, "after {second} s: {error:?}");
            assert!(
                chain(&error).contains("Another replica may create the key"),
                "{error:?}"
            );
            let record = recorded(&ring).await;
            assert!(record["claim"].is_null(), "after {second} s: {record}");
            let claims = 2 + second / 30;
            assert_eq!(record["last_number"], json!(claims), "it claims once in 30 s");
            clock.advance(Duration::from_secs(1));
        }
        let second = create(&*good, Some(&first)).await;
        signs(&*good, &second).await;
        assert_eq!(create(&*bad, Some(&first)).await.kid(), second.kid());
        signs(&*bad, &second).await;
    });
}

#[test]
fn the_successor_of_the_only_key_is_made_at_once_after_one_who_may_not_make_it_revoked_it() {
    run(async {
        let (ring, clock) = (unique("ring"), Arc::new(ManualClock::default()));
        let good = remote_with(shared().as_root(), &ring, Arc::clone(&clock)).await;
        let bad = replica_without("/rotate", &ring, &clock).await;
        let first = create(&*good, None).await;
        let mark = Revocation {
            at: clock.now(),
            reason: String::new(),
        };
        bad.revoke(first.kid(), &mark).await.expect("it may revoke");
        let made = bad.create(&new_key(Algorithm::EdDSA, Some(first.kid()))).await;
        assert_eq!(made.expect_err("it may not rotate").kind, ErrorKind::PermissionDenied);
        signs(&*good, &create(&*good, Some(&first)).await).await;
    });
}

#[test]
fn a_first_key_that_transit_refuses_one_replica_is_made_by_another_at_once() {
    run(async {
        let (ring, clock) = (unique("ring"), Arc::new(ManualClock::default()));
        let good = remote_with(shared().as_root(), &ring, Arc::clone(&clock)).await;
        let text = policy("vault-sidecar-remote.hcl", &ring)
            .replace("\"create\", \"read\", \"update\"]\n  allowed", "\"read\"]\n  allowed");
        let bad = remote_with(as_policy(&text).await, &ring, Arc::clone(&clock)).await;
        let made = bad.create(&new_key(Algorithm::EdDSA, None)).await;
        assert_eq!(made.expect_err("it may not create").kind, ErrorKind::PermissionDenied);
        signs(&*good, &create(&*good, None).await).await;
    });
}

#[test]
fn a_key_is_in_the_ring_as_soon_as_transit_made_it_and_is_adopted() {
    run(async {
        let (ring, clock) = (unique("ring"), Arc::new(ManualClock::default()));
        let provider = remote_with(shared().as_root(), &ring, Arc::clone(&clock)).await;
        let first = create(&*provider, None).await;
        claim(&ring, &first, 2, &clock).await;
        shared()
            .post(&format!("transit/keys/{ring}.eddsa/rotate"), json!({}))
            .await;

        let keys = provider.list().await.expect("lists");
        let listed = keys.iter().find(|key| key.kid() != first.kid()).expect("the second");
        assert_eq!(listed.terms, Some(terms()));
        assert_eq!(listed.predecessor.as_ref(), Some(first.kid()));
        signs(&*provider, listed).await;

        let adopted = create(&*provider, Some(&first)).await;
        assert_eq!(adopted.kid(), listed.kid());
        assert_eq!(adopted.created_at, listed.created_at);
        assert_eq!(latest(&ring).await, 2, "nothing was made");
        let third = create(&*provider, Some(&adopted)).await;
        assert_eq!(third.predecessor.as_ref(), Some(adopted.kid()));
    });
}

#[test]
fn versions_that_no_claim_names_are_never_in_the_ring() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, None).await;
        for _ in 0..3 {
            shared()
                .post(&format!("transit/keys/{ring}.eddsa/rotate"), json!({}))
                .await;
        }
        assert_eq!(provider.list().await.expect("lists").len(), 1);
        let second = create(&*provider, Some(&first)).await;
        let keys = remote(shared().as_root(), ring.clone())
            .await
            .list()
            .await
            .expect("lists");
        assert_eq!((keys.len(), latest(&ring).await), (2, 5));
        signs(&*provider, &second).await;
        signs(&*provider, &first).await;
    });
}

#[test]
fn a_successor_is_never_older_than_its_predecessor() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, None).await;
        // As if the server's clock had been an hour ahead when it created the first key.
        let then = first.created_at.plus(Duration::from_secs(3600));
        edit(&ring, |record| record["keys"][0]["created_at_ms"] = json!(then)).await;
        let second = create(&*provider, Some(&first)).await;
        assert_eq!(second.created_at, then.plus(Duration::from_millis(1)));
        assert_eq!(create(&*provider, Some(&first)).await.kid(), second.kid());
        let third = create(&*provider, Some(&second)).await;
        let keys = remote(shared().as_root(), ring.clone())
            .await
            .list()
            .await
            .expect("lists");
        let newest = keys.iter().max_by(|a, b| a.creation_order(b)).expect("a key");
        assert_eq!((newest.kid(), newest.created_at), (third.kid(), third.created_at));
        // Write access to the record alone is not enough to make a key older than transit says.
        let before = third.created_at.minus(Duration::from_secs(7200));
        edit(&ring, |record| record["keys"][0]["created_at_ms"] = json!(before)).await;
        let keys = provider.list().await.expect("lists");
        let again = keys.iter().find(|key| key.kid() == first.kid()).expect("the first");
        assert_eq!(again.created_at, first.created_at);
    });
}

#[test]
fn a_lost_record_is_not_a_new_ring() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, None).await;
        let data = format!("secret/data/signet/{ring}");
        shared().request("DELETE", &data, None).await;
        for handle in [&provider, &remote(shared().as_root(), ring.clone()).await] {
            for error in [
                handle.list().await.expect_err("deleted"),
                handle
                    .create(&new_key(Algorithm::EdDSA, None))
                    .await
                    .expect_err("deleted"),
            ] {
                assert_eq!(error.kind, ErrorKind::BadAnswer);
                assert!(chain(&error).contains("vault kv undelete -versions=2"), "{error:?}");
            }
        }
        shared()
            .post(&format!("secret/undelete/signet/{ring}"), json!({"versions": [2]}))
            .await;
        assert_eq!(provider.list().await.expect("lists").len(), 1);

        shared()
            .request("DELETE", &format!("secret/metadata/signet/{ring}"), None)
            .await;
        let error = provider.list().await.expect_err("it has seen one");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        let other = remote(shared().as_root(), ring.clone()).await;
        let error = other
            .create(&new_key(Algorithm::ES256, None))
            .await
            .expect_err("transit has a key");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        assert!(chain(&error).contains(&format!("{ring}.eddsa")), "{error:?}");
        signs(&*provider, &first).await;
    });
}

#[test]
fn a_transit_key_that_was_deleted_or_replaced_is_noticed() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, None).await;
        let key = format!("transit/keys/{ring}.eddsa");
        shared()
            .post(&format!("{key}/config"), json!({"deletion_allowed": true}))
            .await;
        shared().request("DELETE", &key, None).await;
        let error = provider.list().await.expect_err("gone");
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
        assert!(
            chain(&error).contains(&format!("signet keys revoke {}", first.kid())),
            "{error:?}"
        );

        shared().post(&key, json!({"type": "ed25519"})).await;
        let error = provider.list().await.expect_err("another one");
        assert_eq!(error.kind, ErrorKind::BadAnswer);

        let mark = Revocation {
            at: ManualClock::default().now(),
            reason: "the transit key was deleted".to_owned(),
        };
        provider.revoke(first.kid(), &mark).await.expect("revoked");
        let keys = provider.list().await.expect("lists again");
        assert_eq!(keys[0].revoked.as_ref(), Some(&mark));
        let second = create(&*provider, Some(&first)).await;
        signs(&*provider, &second).await;
    });
}

#[test]
fn a_record_of_another_ring_or_shape_is_refused() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        create(&*provider, None).await;
        type Change = fn(&mut Value);
        let changes: [(Change, Change); 4] = [
            (|record| record["ring"] = json!("other"), |_| {}),
            (
                |record| record["format"] = json!(2),
                |record| record["format"] = json!(1),
            ),
            (
                |record| record["keys"][0]["place"]["transit_key"] = json!("other.eddsa"),
                |_| {},
            ),
            (|record| record["keys"][0]["surprise"] = json!(1), |_| {}),
        ];
        let good = recorded(&ring).await;
        for (change, _) in changes {
            edit(&ring, change).await;
            let error = provider.list().await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{error:?}");
            edit(&ring, |record| *record = good.clone()).await;
            assert_eq!(provider.list().await.expect("lists").len(), 1);
        }
    });
}

#[test]
fn a_destruction_that_the_sidecar_may_not_do_is_finished_by_the_operator() {
    run(async {
        let ring = unique("ring");
        let sidecar = remote(app_role(&ring, &["vault-sidecar-remote.hcl"]).await, ring.clone()).await;
        let operator = remote(app_role(&ring, &["vault-operator.hcl"]).await, ring.clone()).await;
        let first = create(&*sidecar, None).await;
        let second = create(&*sidecar, Some(&first)).await;
        sidecar
            .retire(first.kid(), ExpiredKeys::Disable)
            .await
            .expect("disabled");
        let error = sidecar
            .retire(first.kid(), ExpiredKeys::Destroy)
            .await
            .expect_err("not allowed");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        assert!(
            chain(&error).contains(&format!("transit/keys/{ring}.eddsa/config")),
            "{error:?}"
        );
        assert_eq!(
            sidecar.list().await.expect("lists").len(),
            1,
            "it is out of the ring all the same"
        );

        let gone = operator.prune().await.expect("pruned");
        assert_eq!(gone.len(), 2, "{gone:?}");
        assert!(operator.prune().await.expect("pruned").is_empty());
        let key = shared().get(&format!("transit/keys/{ring}.eddsa")).await;
        assert_eq!(key["data"]["min_available_version"], 2);
        signs(&*sidecar, &second).await;
        let error = operator
            .sign(second.kid(), b"m")
            .await
            .expect_err("an operator cannot sign");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
    });
}

#[test]
fn transit_itself_refuses_a_retired_key_and_a_revoked_one_once_there_is_a_newer_one() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let first = create(&*provider, None).await;
        let second = create(&*provider, Some(&first)).await;
        provider
            .retire(first.kid(), ExpiredKeys::Disable)
            .await
            .expect("retired");
        let mark = Revocation {
            at: ManualClock::default().now(),
            reason: String::new(),
        };
        provider.revoke(second.kid(), &mark).await.expect("revoked");
        // Transit itself would still sign with its newest version.
        let error = provider.sign(second.kid(), b"message").await.expect_err("at once");
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
        let third = create(&*provider, Some(&second)).await;
        for (version, may) in [(1, false), (2, false), (3, true)] {
            let body = json!({"input": "bQ==", "key_version": version});
            let (status, _) = shared()
                .request("POST", &format!("transit/sign/{ring}.eddsa"), Some(body))
                .await;
            assert_eq!(status == 200, may, "version {version}");
        }
        // Whatever somebody changes in transit, the revocation is in the record.
        let config = json!({"min_encryption_version": 1});
        shared()
            .post(&format!("transit/keys/{ring}.eddsa/config"), config)
            .await;
        let keys = provider.list().await.expect("lists");
        let states: Vec<KeyState> = keys.iter().map(|key| key.state).collect();
        assert_eq!(states, [KeyState::Disabled, KeyState::Disabled, KeyState::Enabled]);
        for kid in [first.kid(), second.kid()] {
            let error = provider.sign(kid, b"message").await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::KeyUnusable);
        }
        signs(&*provider, &third).await;
        let unknown = Kid::new("unknown");
        assert_eq!(
            provider.sign(&unknown, b"m").await.expect_err("unknown").kind,
            ErrorKind::NotFound
        );
    });
}

#[test]
fn a_ring_has_room_for_more_keys_than_a_server_takes_texts_in_one_request() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        let mut newest = create(&*provider, None).await;
        for count in 1..40 {
            let before = newest;
            newest = create(&*provider, Some(&before)).await;
            let mark = Revocation {
                at: ManualClock::default().now(),
                reason: format!("the {count}th"),
            };
            provider.revoke(before.kid(), &mark).await.expect("revoked");
        }
        assert_eq!(provider.list().await.expect("lists").len(), 40);
        signs(&*provider, &newest).await;

        // A record in the form of the first versions.
        let path = format!("secret/data/signet/{ring}");
        let mut record = recorded(&ring).await;
        let keys = record["keys"].as_array_mut().expect("keys");
        keys.drain(..30);
        shared().post(&path, json!({"data": record})).await;
        assert_eq!(provider.list().await.expect("lists").len(), 10);
        let next = create(&*provider, Some(&newest)).await;
        signs(&*provider, &next).await;
        assert_eq!(recorded(&ring).await["keys"].as_array().map(Vec::len), Some(11));
    });
}
