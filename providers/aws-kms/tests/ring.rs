//! Which keys belong to a ring, and what is accepted about them.

mod common;

use std::time::Duration;

use common::{Cloud, clock, told};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider};
use signet_core::{Algorithm, KeyRecord, Kid, Revocation, Timestamp};
use signet_fakes::Fault;
use signet_testkit::new_key;

fn run(test: impl Future<Output = ()>) {
    signet_testkit::run(test);
}

async fn create(provider: &dyn KeyProvider, of: Option<&Kid>) -> KeyRecord {
    provider.create(&new_key(Algorithm::ES256, of)).await.expect("a key")
}

fn mark(reason: &str) -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: reason.to_owned(),
    }
}

#[test]
fn rings_whose_names_begin_alike_stay_apart() {
    run(async {
        let cloud = Cloud::new();
        let mut keys = Vec::new();
        for name in ["a", "a/1", "a-1", "a/1/2", "A"] {
            let provider = cloud.remote(name).await;
            let first = create(&*provider, None).await;
            keys.push((
                provider,
                create(&*provider_of(&cloud, name).await, Some(first.kid())).await,
                first,
            ));
        }
        let stranger = cloud.aws.create_signing_key("somebody's");
        cloud.aws.create_alias(
            "alias/a/01",
            &format!("arn:aws:kms:eu-central-1:111122223333:key/{stranger}"),
        );
        cloud.aws.create_alias(
            "alias/a/x",
            &format!("arn:aws:kms:eu-central-1:111122223333:key/{stranger}"),
        );
        for (provider, second, first) in &keys {
            let mut listed = provider.list().await.expect("listed");
            listed.sort_by(KeyRecord::creation_order);
            let kids: Vec<&Kid> = listed.iter().map(KeyRecord::kid).collect();
            assert_eq!(kids, [first.kid(), second.kid()], "{provider:?}");
            assert_eq!(listed[1].predecessor.as_ref(), Some(first.kid()));
        }
    });
}

async fn provider_of(cloud: &Cloud, name: &str) -> std::sync::Arc<dyn KeyProvider> {
    cloud.remote(name).await
}

#[test]
fn lists_that_come_in_pages_are_read_to_their_end() {
    run(async {
        let cloud = Cloud::new();
        cloud.aws.page_size(2);
        for _ in 0..5 {
            cloud.aws.create_signing_key("somebody's");
        }
        let provider = cloud.remote("ring").await;
        let mut of = None;
        for _ in 0..5 {
            of = Some(create(&*provider, of.as_ref()).await.kid().clone());
        }
        assert_eq!(provider.list().await.expect("listed").len(), 5);
        // A lost page is an error and never gives a shorter ring.
        cloud.server.script("ListAliases", Fault::Slow(Duration::ZERO));
        cloud.server.script("ListAliases", Fault::Refused);
        assert_eq!(provider.list().await.expect_err("no list").kind, ErrorKind::Unavailable);
    });
}

#[test]
fn a_revoked_key_that_somebody_enables_again_stays_revoked_for_every_handle() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let key = create(&*provider, None).await;
        create(&*provider, Some(key.kid())).await;
        let id = cloud
            .aws
            .keys()
            .iter()
            .find(|(_, _, description, _)| description.contains("\"sequence\":1"))
            .expect("it")
            .0
            .clone();
        let reason = "laptop stolen; \"quoted\" \\ ü 🔑 \u{7f}\n";
        provider.revoke(key.kid(), &mark(reason)).await.expect("revoked");
        cloud.aws.enable(&id);
        let other = cloud.remote("ring").await;
        for handle in [&provider, &other] {
            let listed = handle.list().await.expect("listed");
            let listed = listed
                .iter()
                .find(|listed| listed.kid() == key.kid())
                .expect("it is listed");
            assert_eq!(listed.revoked.as_ref(), Some(&mark(reason)));
            let error = handle.sign(key.kid(), b"message").await.expect_err("never");
            assert_eq!(error.kind, ErrorKind::KeyUnusable);
        }
        // Removing the revocation affects new processes, but not those that saw it.
        let label = cloud
            .aws
            .keys()
            .iter()
            .find(|(found, ..)| *found == id)
            .expect("it")
            .2
            .clone();
        let (unmarked, _) = label.split_once(",\"revoked\"").expect("a mark");
        cloud.aws.describe(&id, &format!("{unmarked}}}"));
        provider.list().await.expect("listed");
        provider.sign(key.kid(), b"message").await.expect_err("never");
    });
}

#[test]
fn a_reason_that_kms_cannot_hold_is_refused_before_anything_is_changed() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let key = create(&*provider, None).await;
        let error = provider
            .revoke(key.kid(), &mark(&"r".repeat(9000)))
            .await
            .expect_err("too long");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        assert!(told(&error).contains("shorter reason"), "{}", told(&error));
        provider.sign(key.kid(), b"message").await.expect("nothing was changed");
    });
}

#[test]
fn a_key_whose_description_was_changed_makes_the_ring_unreadable_and_says_what_to_do() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        create(&*provider, None).await;
        let id = cloud.aws.keys()[0].0.clone();
        cloud.aws.describe(&id, "my key");
        let error = provider.list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        for part in ["alias/ring/1", &id, "audit log"] {
            assert!(told(&error).contains(part), "{}", told(&error));
        }
    });
}

#[test]
fn prune_deletes_what_a_crash_left_and_nobody_elses() {
    run(async {
        let cloud = Cloud::new();
        let clock = clock();
        let provider = cloud.remote_with("ring", &[], clock.clone()).await;
        let key = create(&*provider, None).await;
        let neighbour = cloud.remote("ring-2").await;
        cloud.server.script("CreateAlias", Fault::Refused);
        neighbour
            .create(&new_key(Algorithm::ES256, None))
            .await
            .expect_err("broken off");
        cloud.aws.create_signing_key("A key of a Signet ring; do not edit: {}");
        cloud.server.script("CreateAlias", Fault::Refused);
        provider
            .create(&new_key(Algorithm::ES256, Some(key.kid())))
            .await
            .expect_err("broken off");
        assert_eq!(cloud.aws.paid_keys(), 4);
        assert_eq!(
            provider.prune().await.expect("pruned"),
            Vec::<String>::new(),
            "somebody may still be at it"
        );
        clock.advance(Duration::from_secs(700));
        let pruned = provider.prune().await.expect("pruned");
        assert_eq!(pruned.len(), 1, "{pruned:?}");
        assert!(pruned[0].contains("alias/ring/2"), "{pruned:?}");
        assert_eq!(cloud.aws.paid_keys(), 3);
        assert_eq!(provider.list().await.expect("listed").len(), 1);
    });
}

#[test]
fn a_key_that_was_made_for_other_terms_is_not_adopted_and_goes_with_a_later_create() {
    run(async {
        let cloud = Cloud::new();
        let clock = clock();
        let provider = cloud.remote_with("ring", &[], clock.clone()).await;
        cloud.server.script("CreateAlias", Fault::Refused);
        let mut other = new_key(Algorithm::ES256, None);
        other.terms.lead += Duration::from_secs(1);
        provider.create(&other).await.expect_err("broken off");
        let key = create(&*provider, None).await;
        assert_eq!(key.terms, Some(signet_testkit::terms()));
        assert_eq!(cloud.aws.paid_keys(), 2);
        clock.advance(Duration::from_secs(4000));
        create(&*provider, Some(key.kid())).await;
        assert_eq!(cloud.aws.paid_keys(), 2, "the two of the ring");
    });
}

#[test]
fn a_key_that_was_adopted_is_as_old_as_its_name() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        cloud.server.script("CreateAlias", Fault::Refused);
        provider
            .create(&new_key(Algorithm::ES256, None))
            .await
            .expect_err("broken off");
        cloud.aws.advance(Duration::from_secs(3000));
        let key = create(&*provider, None).await;
        assert_eq!(cloud.aws.paid_keys(), 1, "it was adopted");
        let now = signet_base::Clock::now(&*clock());
        assert!(
            key.created_at.since(now) > Duration::from_secs(2900),
            "or its lead would be over before it is published"
        );
    });
}

#[test]
fn a_ring_that_vanished_is_not_begun_anew() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let unknown = Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let error = provider
            .create(&new_key(Algorithm::ES256, Some(&unknown)))
            .await
            .expect_err("refused");
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(cloud.aws.paid_keys(), 0);
    });
}

#[test]
fn a_destroyed_key_that_somebody_takes_back_is_no_longer_of_the_ring() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let first = create(&*provider, None).await;
        create(&*provider, Some(first.kid())).await;
        provider
            .retire(first.kid(), ExpiredKeys::Destroy)
            .await
            .expect("destroyed");
        let id = cloud
            .aws
            .keys()
            .iter()
            .find(|(_, state, ..)| state == "PendingDeletion")
            .expect("it")
            .0
            .clone();
        cloud.aws.enable(&id);
        assert_eq!(provider.list().await.expect("listed").len(), 1);
        provider.sign(first.kid(), b"message").await.expect_err("never");
    });
}
