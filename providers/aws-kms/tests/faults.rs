//! Faults at every call, and what is left afterwards.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Cloud, told};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider, ProviderError, SETTLING};
use signet_base::Clock as _;
use signet_core::{Algorithm, KeyRecord, KeyState, Kid, Revocation, Timestamp};
use signet_fakes::{Fault, Response};
use signet_testkit::new_key;

fn run(test: impl Future<Output = ()>) {
    signet_testkit::run(test);
}

fn problem(status: u16, code: &str) -> Response {
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"scripted\"}}");
    Response::new(status, "application/x-amz-json-1.1", body)
}

fn mark() -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: "scripted".to_owned(),
    }
}

async fn create(provider: &dyn KeyProvider, of: Option<&Kid>) -> Result<KeyRecord, ProviderError> {
    provider.create(&new_key(Algorithm::ES256, of)).await
}

/// All ways in which a call can fail.
fn faults() -> Vec<(Fault, ErrorKind)> {
    vec![
        (Fault::Refused, ErrorKind::Unavailable),
        (Fault::LostAnswer, ErrorKind::Unavailable),
        (Fault::Answer(problem(400, "ThrottlingException")), ErrorKind::Throttled),
        (
            Fault::Answer(problem(500, "KMSInternalException")),
            ErrorKind::Unavailable,
        ),
        (
            Fault::Answer(Response::new(502, "text/html", "<html>bad gateway</html>")),
            ErrorKind::Unavailable,
        ),
    ]
}

#[test]
fn a_create_that_failed_at_any_call_is_completed_by_the_next_and_leaves_no_key_over() {
    run(async {
        let cloud = Cloud::new();
        let mut ring = 0;
        for call in [
            "ListAliases",
            "ListKeys",
            "CreateKey",
            "CreateAlias",
            "DescribeKey",
            "GetPublicKey",
        ] {
            for (fault, kind) in faults() {
                ring += 1;
                let before = cloud.aws.paid_keys();
                let provider = cloud.remote(&format!("ring-{ring}")).await;
                cloud.server.script(call, fault.clone());
                let failed = create(&*provider, None).await;
                if call == "DescribeKey" && failed.is_ok() {
                    // Creating the first key of a ring describes only that key and keys without an alias.
                    cloud.server.unscript();
                }
                if let Err(error) = &failed {
                    assert_eq!(error.kind, kind, "{call} {fault:?}: {}", told(error));
                }
                cloud.server.unscript();
                // As after a restart: nothing is remembered.
                let provider = cloud.remote(&format!("ring-{ring}")).await;
                let key = create(&*provider, None).await.expect("the next completes it");
                let listed = provider.list().await.expect("listed");
                assert_eq!(listed.len(), 1, "{call} {fault:?}");
                assert_eq!(listed[0].kid(), key.kid());
                assert_eq!(cloud.aws.paid_keys() - before, 1, "{call} {fault:?} left a key over");
                provider.sign(key.kid(), b"message").await.expect("it signs");
            }
        }
    });
}

#[test]
fn a_retirement_or_revocation_that_failed_at_any_call_is_completed_by_the_next() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let mut newest = create(&*provider, None).await.expect("a key");
        for call in [
            "DisableKey",
            "ScheduleKeyDeletion",
            "DeleteAlias",
            "UpdateKeyDescription",
            "DescribeKey",
        ] {
            for (fault, kind) in faults() {
                let old = newest;
                newest = create(&*provider, Some(old.kid())).await.expect("a successor");
                let act = |provider: Arc<dyn KeyProvider>| {
                    let kid = old.kid().clone();
                    async move {
                        match call {
                            "DisableKey" => provider.retire(&kid, ExpiredKeys::Disable).await,
                            "ScheduleKeyDeletion" | "DeleteAlias" => provider.retire(&kid, ExpiredKeys::Destroy).await,
                            _ => provider.revoke(&kid, &mark()).await,
                        }
                    }
                };
                cloud.server.script(call, fault.clone());
                let error = act(Arc::clone(&provider)).await.expect_err("it failed");
                assert_eq!(error.kind, kind, "{call} {fault:?}: {}", told(&error));
                cloud.server.unscript();
                let again = cloud.remote("ring").await;
                match act(Arc::clone(&again)).await {
                    Ok(()) => {}
                    // The key is being deleted and no longer in the ring, as intended.
                    Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{}", told(&error)),
                }
                for handle in [&provider, &again] {
                    let keys = handle.list().await.expect("listed");
                    let listed = keys.iter().find(|key| key.kid() == old.kid());
                    match call {
                        // A process that never saw it enabled does not list it.
                        "DisableKey" => assert!(listed.is_none_or(|key| key.state == KeyState::Disabled)),
                        "ScheduleKeyDeletion" | "DeleteAlias" => assert!(listed.is_none(), "{call} {fault:?}"),
                        _ => assert_eq!(listed.and_then(|key| key.revoked.as_ref()), Some(&mark())),
                    }
                    handle.sign(old.kid(), b"message").await.expect_err("it never signs");
                }
                provider.sign(newest.kid(), b"message").await.expect("the newest signs");
            }
        }
        // After a crash between the two calls of a deletion, only an alias is left.
        let pruned = provider.prune().await.expect("pruned");
        assert!(pruned.iter().all(|what| what.starts_with("alias/ring/")), "{pruned:?}");
        assert_eq!(provider.prune().await.expect("pruned"), Vec::<String>::new());
    });
}

#[test]
fn a_hundred_starts_killed_within_two_seconds_make_at_most_two_keys() {
    const MEASURED: usize = 5;
    run(async {
        let cloud = Cloud::new();
        // The shortest of several runs: if the machine was briefly busy during the measurement, every process would
        // live long enough.
        let mut whole = Duration::MAX;
        for ring in 0..MEASURED {
            let started = tokio::time::Instant::now();
            let measured = cloud.remote(&format!("measured-{ring}")).await;
            create(&*measured, None).await.expect("a key");
            whole = whole.min(started.elapsed());
        }
        let (mut seed, mut killed) = (0x0051_676e_6574_u64, 0);
        for start in 0..100 {
            // Each start is a separate process that remembers nothing. A process lives at most as long as a whole
            // start takes with this fake server, which answers at once.
            let provider = cloud.remote("loop").await;
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let life = whole.mul_f64((seed >> 40) as f64 / f64::from(1u32 << 24));
            let new = new_key(Algorithm::ES256, None);
            killed += usize::from(tokio::time::timeout(life, provider.create(&new)).await.is_err());
            assert!(
                cloud.aws.paid_keys() <= 2 + MEASURED,
                "after start {start}: two of the ring, and the measured ones"
            );
        }
        assert!(killed > 10, "{killed} of 100 were killed");
        let provider = cloud.remote("loop").await;
        create(&*provider, None).await.expect("a key");
        assert!(cloud.aws.paid_keys() <= 2 + MEASURED, "{:?}", cloud.aws.keys());
        assert_eq!(provider.list().await.expect("listed").len(), 1);
    });
}

/// The worst loop: every start dies between creating the key and naming it.
#[test]
fn a_hundred_starts_that_all_die_before_the_key_has_its_name_make_one_key() {
    run(async {
        let cloud = Cloud::new();
        for _ in 0..100 {
            cloud.server.script("CreateAlias", Fault::Refused);
            create(&*cloud.remote("loop").await, None).await.expect_err("killed");
        }
        assert_eq!(cloud.aws.paid_keys(), 1, "each took up the key of the one before");
    });
}

#[test]
fn replicas_that_start_at_once_agree_on_one_key_and_delete_the_others() {
    run(async {
        let cloud = Cloud::new();
        let mut replicas = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let provider = cloud.remote("herd").await;
            replicas.spawn(async move { create(&*provider, None).await.expect("a key").kid().clone() });
        }
        let kids = replicas.join_all().await;
        assert!(kids.iter().all(|kid| *kid == kids[0]));
        assert_eq!(cloud.aws.paid_keys(), 1, "{:?}", cloud.aws.keys());
    });
}

#[test]
fn what_was_just_made_may_stay_unseen_for_some_calls() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        for hidden in 1..=4 {
            let of = provider
                .list()
                .await
                .expect("listed")
                .iter()
                .max_by(|a, b| a.creation_order(b))
                .map(|key| key.kid().clone());
            cloud.aws.hide_new(hidden);
            let key = create(&*provider, of.as_ref()).await.expect("it shows in time");
            let other = cloud.remote("ring").await;
            assert!(
                provider
                    .list()
                    .await
                    .expect("listed")
                    .iter()
                    .any(|listed| listed.kid() == key.kid())
            );
            assert!(
                other
                    .list()
                    .await
                    .expect("listed")
                    .iter()
                    .any(|listed| listed.kid() == key.kid())
            );
            other.sign(key.kid(), b"message").await.expect("signed");
        }
        let ring = provider.list().await.expect("listed").len();
        assert_eq!((ring, cloud.aws.paid_keys()), (4, 4));
    });
}

#[test]
fn no_call_hangs() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let key = create(&*provider, None).await.expect("a key");
        let started = tokio::time::Instant::now();
        for call in ["ListAliases", "Sign"] {
            cloud.server.script(call, Fault::Hang);
        }
        let (listed, signed) = tokio::join!(provider.list(), provider.sign(key.kid(), b"message"));
        for error in [listed.expect_err("no list"), signed.expect_err("no signature")] {
            assert_eq!(error.kind, ErrorKind::TimedOut, "{}", told(&error));
        }
        assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    });
}

#[test]
fn a_throttled_call_says_when_to_come_back() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        cloud.server.script(
            "ListAliases",
            Fault::Answer(problem(400, "ThrottlingException").with("retry-after", "7")),
        );
        let error = provider.list().await.expect_err("throttled");
        assert_eq!(
            (error.kind, error.retry_after),
            (ErrorKind::Throttled, Some(Duration::from_secs(7)))
        );
        assert_eq!(
            cloud.server.calls().get("ListAliases"),
            Some(&1),
            "nothing is retried here"
        );
    });
}

#[test]
fn an_answer_of_another_key_or_algorithm_is_not_believed() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let key = create(&*provider, None).await.expect("a key");
        let swap = |from: &'static str, to: &'static str| {
            Fault::Changed(Arc::new(move |mut response: Response| {
                let text = String::from_utf8(response.body.to_vec()).expect("text");
                assert!(text.contains(from), "{text}");
                response.body = text.replace(from, to).into();
                response
            }))
        };
        for (from, to) in [
            (":key/", ":key/0"),
            ("ECDSA_SHA_256", "ECDSA_SHA_384"),
            ("\"Signature\":\"M", "\"Signature\":\"N"),
            ("\"Signature\"", "\"Nothing\""),
        ] {
            cloud.server.script("Sign", swap(from, to));
            let error = provider.sign(key.kid(), b"message").await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{from}: {}", told(&error));
        }
        for (call, from, to) in [
            ("DescribeKey", ":key/", ":key/0"),
            ("DescribeKey", "sequence\\\":1", "sequence\\\":2"),
            ("DescribeKey", "ES256", "ES384"),
            ("GetPublicKey", ":key/", ":key/0"),
            ("GetPublicKey", "\"PublicKey\":\"M", "\"PublicKey\":\"N"),
        ] {
            let fresh = cloud.remote("ring").await;
            cloud.server.script(call, swap(from, to));
            let error = fresh.list().await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{call} {from}: {}", told(&error));
        }
    });
}

#[test]
fn the_calls_of_every_operation_are_counted() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("ring").await;
        let mut keys: Vec<KeyRecord> = Vec::new();
        for _ in 0..4 {
            let of = keys.last().map(|key| key.kid().clone());
            keys.push(create(&*provider, of.as_ref()).await.expect("a key"));
        }
        let count = |calls: BTreeMap<String, u64>| {
            cloud.server.forget_calls();
            calls
                .into_iter()
                .map(|(name, calls)| format!("{name} {calls}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        cloud.server.forget_calls();
        provider.list().await.expect("listed");
        let quota = provider.capabilities().reads.expect("a quota");
        let total: u64 = cloud.server.calls().values().sum();
        assert_eq!(total, u64::from(quota.calls_per_list), "as the quota says");
        assert_eq!(count(cloud.server.calls()), "DescribeKey 4, ListAliases 1");
        provider.sign(keys[3].kid(), b"message").await.expect("signed");
        assert_eq!(count(cloud.server.calls()), "Sign 1");
        provider
            .retire(keys[0].kid(), ExpiredKeys::Disable)
            .await
            .expect("disabled");
        assert_eq!(
            count(cloud.server.calls()),
            "DescribeKey 4, DisableKey 1, ListAliases 1",
            "a reading shows whether another key can sign"
        );
        provider
            .retire(keys[0].kid(), ExpiredKeys::Destroy)
            .await
            .expect("destroyed");
        assert_eq!(
            count(cloud.server.calls()),
            "DeleteAlias 1, DescribeKey 4, ListAliases 1, ScheduleKeyDeletion 1"
        );
        provider.revoke(keys[1].kid(), &mark()).await.expect("revoked");
        assert_eq!(
            count(cloud.server.calls()),
            "DescribeKey 1, DisableKey 1, UpdateKeyDescription 1"
        );
        create(&*provider, Some(keys[3].kid())).await.expect("a key");
        assert_eq!(
            count(cloud.server.calls()),
            "CreateAlias 1, CreateKey 1, DescribeKey 5, GetPublicKey 1, ListAliases 2, ListKeys 1",
            "the key that is being deleted is looked at once"
        );
    });
}

/// This also holds if somebody sets the wall clock meanwhile.
#[test]
fn a_key_that_a_list_lacks_is_listed_for_a_while_by_the_clock_that_nobody_sets() {
    run(async {
        let (cloud, clock) = (Cloud::new(), common::clock());
        let provider: Arc<dyn KeyProvider> = cloud.remote_with("ring", &[], clock.clone()).await;
        let key = create(&*provider, None).await.expect("a key");
        let listed_though_it_lacks = async || {
            let without = |_| {
                Response::new(
                    200,
                    "application/x-amz-json-1.1",
                    "{\"Aliases\":[],\"Truncated\":false}",
                )
            };
            cloud.server.script("ListAliases", Fault::Changed(Arc::new(without)));
            let keys = provider.list().await.expect("listed");
            keys.iter().any(|listed| listed.kid() == key.kid())
        };
        let day = Duration::from_secs(86_400);
        let now = clock.now();
        for set in [now.plus(day), now, now.minus(day)] {
            clock.set(set);
            assert!(listed_though_it_lacks().await, "{set:?}");
        }
        clock.advance(SETTLING - Duration::from_secs(1));
        assert!(listed_though_it_lacks().await);
        clock.advance(Duration::from_secs(1));
        assert!(!listed_though_it_lacks().await, "then the list is believed");
    });
}
