//! Keys whose public key AWS does not show, and rings of the previous version.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Cloud, clock, told};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider};
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation, Timestamp};
use signet_fakes::{Fault, Response};
use signet_testkit::new_key;

fn run(test: impl Future<Output = ()>) {
    signet_testkit::run(test);
}

async fn create(provider: &dyn KeyProvider, of: Option<&Kid>) -> KeyRecord {
    provider.create(&new_key(Algorithm::ES256, of)).await.expect("a key")
}

async fn list(provider: &dyn KeyProvider) -> Vec<KeyRecord> {
    provider.list().await.expect("the ring reads")
}

fn find<'a>(keys: &'a [KeyRecord], key: &KeyRecord) -> Option<&'a KeyRecord> {
    keys.iter().find(|listed| listed.kid() == key.kid())
}

fn mark(reason: &str) -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: reason.to_owned(),
    }
}

/// The id and the description of the key with this number.
fn described(cloud: &Cloud, sequence: u64) -> (String, String) {
    let label = format!("\"sequence\":{sequence},");
    let keys = cloud.aws.keys();
    let (id, _, description, _) = keys
        .iter()
        .find(|(_, _, description, _)| description.contains(&label))
        .expect("the key");
    (id.clone(), description.clone())
}

/// The description without the public key, as marks used to be written.
fn as_before(description: &str) -> String {
    let (start, rest) = description
        .split_once(",\"public\":\"")
        .expect("a public key in the mark");
    let (_, end) = rest.split_once('"').expect("its end");
    format!("{start}{end}")
}

async fn two_keys(cloud: &Cloud) -> (Arc<dyn KeyProvider>, KeyRecord, KeyRecord) {
    let provider = cloud.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    (provider, first, second)
}

#[test]
fn a_ring_whose_marks_bear_no_public_key_reads_and_its_revoked_keys_stay_refused() {
    run(async {
        let cloud = Cloud::new();
        let (before, first, second) = two_keys(&cloud).await;
        before
            .revoke(first.kid(), &mark("by the version before"))
            .await
            .expect("revoked");
        let (id, description) = described(&cloud, 1);
        cloud.aws.describe(&id, &as_before(&description));

        let fresh = cloud.remote("ring").await;
        let keys = list(&*fresh).await;
        assert!(find(&keys, &first).is_none() && find(&keys, &second).is_some());
        let refused = fresh.sign(first.kid(), b"message").await.expect_err("never");
        assert_eq!(refused.kind, ErrorKind::NotFound);
        // Another leaked key can be revoked, and a successor created.
        fresh
            .revoke(second.kid(), &mark("leaked as well"))
            .await
            .expect("revoked");
        create(&*fresh, Some(second.kid())).await;
        assert!(find(&list(&*cloud.remote("ring").await).await, &second).is_some_and(|key| key.revoked.is_some()));

        // If somebody enables it, it is still listed as revoked. Revoking it again keeps its public
        // key and the first reason.
        cloud.aws.enable(&id);
        let again = cloud.remote("ring").await;
        let keys = list(&*again).await;
        assert_eq!(
            find(&keys, &first).and_then(|key| key.revoked.clone()),
            Some(mark("by the version before"))
        );
        again.sign(first.kid(), b"message").await.expect_err("never");
        again
            .revoke(first.kid(), &mark("another reason"))
            .await
            .expect("revoked");
        let keys = list(&*cloud.remote("ring").await).await;
        let listed = find(&keys, &first).expect("listed though it is disabled");
        assert_eq!(listed.state, KeyState::Disabled);
        assert_eq!(listed.revoked, Some(mark("by the version before")));
    });
}

#[test]
fn a_key_that_somebody_disabled_is_listed_by_who_saw_it_enabled_and_stops_nobody_else() {
    run(async {
        let cloud = Cloud::new();
        let (before, first, second) = two_keys(&cloud).await;
        cloud.aws.disable(&described(&cloud, 1).0);
        let keys = list(&*before).await;
        assert_eq!(find(&keys, &first).map(|key| key.state), Some(KeyState::Disabled));
        let fresh = cloud.remote("ring").await;
        assert_eq!(list(&*fresh).await.len(), 1);
        fresh.sign(second.kid(), b"message").await.expect("signed");
        // The error says how to revoke it.
        let error = fresh.revoke(first.kid(), &mark("leaked")).await.expect_err("unknown");
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(told(&error).contains("aws kms enable-key"), "{}", told(&error));
        cloud.aws.enable(&described(&cloud, 1).0);
        fresh.revoke(first.kid(), &mark("leaked")).await.expect("revoked");
        assert!(find(&list(&*cloud.remote("ring").await).await, &first).is_some_and(|key| key.revoked.is_some()));
    });
}

#[test]
fn a_key_that_is_disabled_as_its_public_key_is_read_keeps_nobody_from_the_ring() {
    run(async {
        let cloud = Cloud::new();
        let (_, first, second) = two_keys(&cloud).await;
        for code in ["DisabledException", "KMSInvalidStateException"] {
            let body = format!("{{\"__type\":\"{code}\",\"message\":\"scripted\"}}");
            let answer = Response::new(400, "application/x-amz-json-1.1", body);
            cloud.server.script("GetPublicKey", Fault::Answer(answer));
            let fresh = cloud.remote("ring").await;
            assert_eq!(list(&*fresh).await.len(), 1, "{code}");
            let keys = list(&*fresh).await;
            assert!(
                find(&keys, &first).is_some() && find(&keys, &second).is_some(),
                "it was not for good"
            );
        }
    });
}

#[test]
fn a_deletion_that_somebody_schedules_and_takes_back_forgets_no_revocation() {
    run(async {
        let cloud = Cloud::new();
        let (provider, first, second) = two_keys(&cloud).await;
        provider.revoke(first.kid(), &mark("leaked")).await.expect("revoked");
        let (id, _) = described(&cloud, 1);
        cloud.aws.schedule_deletion(&id);
        let keys = list(&*cloud.remote("ring").await).await;
        assert!(find(&keys, &first).is_none() && find(&keys, &second).is_some());
        // CancelKeyDeletion leaves this state.
        cloud.aws.disable(&id);
        let keys = list(&*cloud.remote("ring").await).await;
        assert_eq!(
            find(&keys, &first).and_then(|key| key.revoked.clone()),
            Some(mark("leaked"))
        );
    });
}

/// Somebody who may edit descriptions can revoke a key, but must not be able to publish their own key.
#[test]
fn the_public_key_of_a_mark_is_believed_for_revoked_keys_alone() {
    run(async {
        let cloud = Cloud::new();
        let (provider, first, second) = two_keys(&cloud).await;
        provider.revoke(first.kid(), &mark("leaked")).await.expect("revoked");
        let (_, marked) = described(&cloud, 1);
        let (_, foreign) = marked.split_once(",\"public\":").expect("a public key");
        let (id, description) = described(&cloud, 2);
        let inner = description.strip_suffix('}').expect("an object");
        // A public key next to a mark is ignored. With a public key in place of a mark, the description is not accepted
        // as Signet's.
        cloud.aws.describe(
            &id,
            &format!("{inner},\"revoked\":{{\"at\":1,\"reason\":\"\",\"public\":{foreign}"),
        );
        let keys = list(&*cloud.remote("ring").await).await;
        assert!(
            find(&keys, &second).is_some_and(|key| key.revoked.is_some()),
            "KMS tells its public key"
        );
        let public = foreign.trim_end_matches('}');
        cloud.aws.describe(&id, &format!("{inner},\"public\":{public}}}"));
        let error = cloud.remote("ring").await.list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    });
}

#[test]
fn aliases_without_instants_are_as_old_as_their_keys() {
    run(async {
        let cloud = Cloud::new();
        cloud.aws.hide_alias_instants();
        let (_, first, _) = two_keys(&cloud).await;
        let keys = list(&*cloud.remote("ring").await).await;
        assert_eq!(find(&keys, &first).map(|key| key.created_at), Some(first.created_at));

        // A key that a crash left is older than its future alias. It would sign before it was published for its lead.
        let clock = clock();
        let provider = cloud.remote_with("ring", &[], clock.clone()).await;
        let newest = list(&*provider)
            .await
            .iter()
            .max_by(|a, b| a.creation_order(b))
            .map(|key| key.kid().clone());
        cloud.server.script("CreateAlias", Fault::Refused);
        provider
            .create(&new_key(Algorithm::ES256, newest.as_ref()))
            .await
            .expect_err("broken off");
        let paid = cloud.aws.paid_keys();
        cloud.aws.advance(Duration::from_secs(3000));
        clock.advance(Duration::from_secs(3000));
        let third = create(&*provider, newest.as_ref()).await;
        assert_eq!(cloud.aws.paid_keys(), paid + 1, "another was made");
        assert!(third.created_at.since(first.created_at) >= Duration::from_secs(2999));
        // A young key is adopted.
        cloud.server.script("CreateAlias", Fault::Refused);
        provider
            .create(&new_key(Algorithm::ES256, Some(third.kid())))
            .await
            .expect_err("broken off");
        create(&*provider, Some(third.kid())).await;
        assert_eq!(cloud.aws.paid_keys(), paid + 2, "it was adopted");
        provider
            .retire(first.kid(), ExpiredKeys::Destroy)
            .await
            .expect("destroyed");
    });
}
