//! What can happen to a ring of versions: slow generation, changes by others, and races.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Cloud, RING, create, es256, revocation};
use signet_api::{ErrorKind, ExpiredKeys, NewKey};
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, KeyState, Kid, Terms};
use signet_fakes::Fault;
use signet_testkit::{new_key, run, terms};

fn key(name: &str) -> String {
    format!("{RING}/cryptoKeys/{name}")
}

#[test]
fn a_list_of_a_known_ring_is_two_calls_and_a_signature_is_one() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote(&key("calls")).await;
        let mut of: Option<Kid> = None;
        for _ in 0..4 {
            cloud.server.forget_calls();
            of = Some(create(&*provider, of.as_ref()).await.kid().clone());
        }
        let count = |operation: &str| cloud.server.calls().get(operation).copied().unwrap_or(0);
        assert_eq!(cloud.server.calls().len(), 4, "{:?}", cloud.server.calls());
        let rotation = [
            "ListCryptoKeyVersions",
            "ListCryptoKeys",
            "CreateCryptoKeyVersion",
            "GetPublicKey",
        ]
        .map(count);
        assert_eq!(rotation, [2, 2, 1, 1], "a rotation");

        let kid = of.expect("a key");
        cloud.server.forget_calls();
        for _ in 0..10 {
            provider.list().await.expect("lists");
            provider.sign(&kid, b"message").await.expect("signed");
        }
        let calls = ["ListCryptoKeyVersions", "ListCryptoKeys", "AsymmetricSign"].map(count);
        assert_eq!(calls, [10, 10, 10]);
        assert_eq!(cloud.server.calls().len(), 3, "{:?}", cloud.server.calls());
        let reads = provider.capabilities().reads.expect("a quota");
        assert_eq!(reads.calls_per_list, 2);

        cloud.server.forget_calls();
        cloud
            .remote(&key("calls"))
            .await
            .sign(&kid, b"message")
            .await
            .expect("signed");
        assert_eq!(
            count("GetPublicKey"),
            4,
            "a process that knows nothing asks once for each"
        );
    });
}

#[test]
fn a_version_that_is_being_generated_is_waited_for_and_neither_listed_nor_doubled() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_pending(6);
        let name = key("pending");
        // This call is cancelled while it waits, as if the process was told to stop.
        let waiting = cloud.remote(&name).await;
        let given_up = tokio::time::timeout(Duration::from_millis(300), create(&*waiting, None)).await;
        assert!(given_up.is_err() && cloud.google.states(&name) == ["PENDING_GENERATION"]);
        assert!(cloud.remote(&name).await.list().await.expect("lists").is_empty());
        let made = create(&*cloud.remote(&name).await, None).await;
        assert_eq!(cloud.google.states(&name), ["ENABLED"]);
        assert_eq!(made.sequence, 1);
    });
}

#[test]
fn a_version_that_google_cannot_generate_is_said_to_have_failed_and_another_is_made() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_failing(true);
        let name = key("failing");
        let provider = cloud.remote(&name).await;
        let error = provider.create(&es256(None)).await.expect_err("it fails");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(
            error.source.to_string().contains("the module has no more room"),
            "{}",
            error.source
        );
        cloud.google.set_failing(false);
        let made = create(&*provider, None).await;
        assert_eq!(
            (made.sequence, made.predecessor),
            (2, None),
            "what failed was never a key"
        );
    });
}

#[test]
fn a_version_that_does_not_show_at_once_is_not_made_twice() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_invisible(3);
        let name = key("invisible");
        let made = create(&*cloud.remote(&name).await, None).await;
        assert_eq!(cloud.google.states(&name), ["ENABLED"]);
        assert_eq!(made.sequence, 1);
    });
}

#[test]
fn another_algorithm_is_set_on_the_key_and_versions_keep_their_own() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote(&key("switch")).await;
        let mut of: Option<Kid> = None;
        for (algorithm, bits, octets) in [
            (Algorithm::ES256, RsaBits::B2048, 64),
            (Algorithm::RS256, RsaBits::B3072, 384),
            (Algorithm::EdDSA, RsaBits::B2048, 64),
            // Google has these only for keys of 4096 bits.
            (Algorithm::PS512, RsaBits::B2048, 512),
            (Algorithm::ES384, RsaBits::B2048, 96),
        ] {
            let new = NewKey {
                rsa_bits: bits,
                ..new_key(algorithm, of.as_ref())
            };
            let made = provider.create(&new).await.expect("a key");
            assert_eq!(
                (made.public.algorithm(), made.public.public().signature_len()),
                (algorithm, octets)
            );
            of = Some(made.kid().clone());
        }
        let keys = cloud.remote(&key("switch")).await.list().await.expect("lists");
        let algorithms: Vec<_> = keys.iter().map(|key| key.public.algorithm().as_str()).collect();
        assert_eq!(algorithms, ["ES256", "RS256", "EdDSA", "PS512", "ES384"]);
        let error = provider
            .create(&new_key(Algorithm::ES512, of.as_ref()))
            .await
            .expect_err("not there");
        assert!(
            error
                .source
                .to_string()
                .contains("RS256 RS512 PS256 PS512 ES256 ES384 EdDSA"),
            "{}",
            error.source
        );
    });
}

#[test]
fn terms_are_written_once_for_a_policy_and_each_key_keeps_its_own() {
    run(async {
        let cloud = Cloud::new();
        let name = key("terms");
        let provider = cloud.remote(&name).await;
        let longer = Terms::new(Duration::from_secs(7200), terms().token_max_ttl, terms().retention);
        let mut of: Option<Kid> = None;
        for terms in [terms(), terms(), longer, longer] {
            let new = NewKey {
                terms,
                ..es256(of.as_ref())
            };
            of = Some(provider.create(&new).await.expect("a key").kid().clone());
        }
        let keys = cloud.remote(&name).await.list().await.expect("lists");
        let held: Vec<_> = keys.iter().map(|key| key.terms.expect("terms")).collect();
        assert_eq!(held, [terms(), terms(), longer, longer]);
        let labels = cloud.google.labels(&name).expect("the key");
        let epochs: Vec<_> = labels.keys().map(String::as_str).collect();
        assert_eq!(epochs, ["signet-terms-1", "signet-terms-3"]);

        // Another tool may remove them; its own labels are kept.
        cloud
            .google
            .set_labels(&name, BTreeMap::from([("team".to_owned(), "gateway".to_owned())]));
        let keys = cloud.remote(&name).await.list().await.expect("lists");
        assert!(keys.iter().all(|key| key.terms.is_none()), "nobody told a new process");
        let keys = provider.list().await.expect("lists");
        let held: Vec<_> = keys.iter().map(|key| key.terms.expect("as it saw them")).collect();
        assert_eq!(held, [terms(), terms(), longer, longer]);
        create(&*provider, of.as_ref()).await;
        let keys = cloud.remote(&name).await.list().await.expect("lists");
        let held: Vec<_> = keys.iter().map(|key| key.terms.expect("written back")).collect();
        assert_eq!(held, [terms(), terms(), longer, longer, terms()]);
        assert_eq!(cloud.google.labels(&name).expect("the key")["team"], "gateway");
    });
}

/// A change of labels has no condition, so a late change overwrites what others wrote in the meantime.
#[test]
fn labels_that_a_late_call_overwrites_change_the_terms_of_no_key_that_was_seen() {
    run(async {
        let cloud = Cloud::new();
        let name = key("late");
        let (old, new) = (cloud.remote(&name).await, cloud.remote(&name).await);
        let first = create(&*old, None).await;
        cloud
            .server
            .script("UpdateCryptoKey", Fault::Slow(Duration::from_millis(500)));
        let other = NewKey {
            terms: Terms::new(Duration::from_secs(7200), terms().token_max_ttl, terms().retention),
            ..es256(Some(first.kid()))
        };
        let meanwhile = async {
            // It requests the terms that are already set, so it has nothing to write and is faster.
            while !cloud.server.calls().contains_key("UpdateCryptoKey") {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            create(&*old, Some(first.kid())).await
        };
        let (late, second) = tokio::join!(new.create(&other), meanwhile);
        assert_eq!(late.expect("somebody else was faster").kid(), second.kid());
        assert_eq!(second.terms, Some(terms()));
        let labels = cloud.google.labels(&name).expect("the key");
        assert!(labels["signet-terms-2"].starts_with("7200000-"), "{labels:?}");

        let keys = old.list().await.expect("lists");
        let held: Vec<_> = keys.iter().map(|key| key.terms.expect("terms")).collect();
        assert_eq!(held, [terms(), terms()], "a key never changes");
        create(&*old, Some(second.kid())).await;
        let keys = cloud.remote(&name).await.list().await.expect("lists");
        let held: Vec<_> = keys.iter().map(|key| key.terms.expect("terms")).collect();
        assert_eq!(held, [terms(); 3], "and new processes are told so");
    });
}

#[test]
fn replicas_with_different_policies_and_algorithms_settle_without_a_key_too_many() {
    run(async {
        let cloud = Cloud::new();
        let name = key("rollout");
        let handles = [cloud.remote(&name).await, cloud.remote(&name).await];
        for round in 1..=5 {
            let keys = handles[0].list().await.expect("lists");
            let newest = keys
                .iter()
                .max_by(|a, b| a.creation_order(b))
                .map(|key| key.kid().clone());
            let [old, new] = [Algorithm::ES256, Algorithm::EdDSA].map(|algorithm| NewKey {
                terms: Terms::new(
                    Duration::from_secs(if algorithm == Algorithm::ES256 { 60 } else { 120 }),
                    terms().token_max_ttl,
                    terms().retention,
                ),
                ..new_key(algorithm, newest.as_ref())
            });
            let (a, b) = tokio::join!(handles[0].create(&old), handles[1].create(&new));
            let (here, there) = (
                handles[0].list().await.expect("lists"),
                handles[1].list().await.expect("lists"),
            );
            assert_eq!(here.len(), there.len());
            assert!((1..=2 * round).contains(&here.len()));
            for made in [a, b] {
                let made = made.expect("a key");
                let found = here
                    .iter()
                    .find(|key| key.kid() == made.kid())
                    .expect("what was answered is listed");
                assert!(found.terms.is_some());
            }
        }
    });
}

#[test]
fn a_revoked_key_stays_revoked_though_google_still_signs_or_somebody_enables_it_again() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_disabling_lags(true);
        let name = key("revoked");
        let (here, there) = (cloud.remote(&name).await, cloud.remote(&name).await);
        let stolen = create(&*here, None).await;
        create(&*here, Some(stolen.kid())).await;
        there.sign(stolen.kid(), b"message").await.expect("known here too");
        let mark = revocation("stolen, ü 🔑");
        here.revoke(stolen.kid(), &mark).await.expect("revoked");
        // The other process sees it in its next reading, and then does not ask Google.
        there.list().await.expect("lists");
        cloud.google.set_state(&name, 1, "ENABLED");
        for handle in [&here, &there, &cloud.remote(&name).await] {
            let keys = handle.list().await.expect("lists");
            let found = keys.iter().find(|key| key.kid() == stolen.kid()).expect("listed");
            assert_eq!(found.revoked.as_ref(), Some(&mark));
            cloud.server.forget_calls();
            let refused = handle.sign(stolen.kid(), b"message").await.expect_err("revoked");
            assert_eq!(refused.kind, ErrorKind::KeyUnusable);
            assert!(!cloud.server.calls().contains_key("AsymmetricSign"));
        }
        // A second revocation disables the key again and keeps the first reason.
        here.revoke(stolen.kid(), &revocation("another")).await.expect("again");
        assert_eq!(cloud.google.states(&name)[0], "DISABLED");
        assert!(cloud.google.keys().contains(&format!("{name}-revoked-1")));
        assert!(
            cloud.google.states(&format!("{name}-revoked-1")).is_empty(),
            "a mark has no versions"
        );
    });
}

#[test]
fn two_revocations_at_once_leave_two_marks_and_one_reason_each() {
    run(async {
        let cloud = Cloud::new();
        let name = key("at-once");
        let handles = [cloud.remote(&name).await, cloud.remote(&name).await];
        let mut keys = vec![create(&*handles[0], None).await];
        for _ in 0..4 {
            let of = keys.last().map(|key| key.kid().clone());
            keys.push(create(&*handles[0], of.as_ref()).await);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..8 {
            let (handle, kid) = (
                std::sync::Arc::clone(&handles[index % 2]),
                keys[index / 2].kid().clone(),
            );
            tasks.spawn(async move { handle.revoke(&kid, &revocation(&format!("by {}", index % 2))).await });
        }
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        let listed = cloud.remote(&name).await.list().await.expect("lists");
        assert_eq!(
            listed.iter().filter(|key| key.revoked.is_some()).count(),
            4,
            "none was lost"
        );
        for key in listed.iter().filter_map(|key| key.revoked.as_ref()) {
            assert!(["by 0", "by 1"].contains(&key.reason.as_str()));
        }
    });
}

#[test]
fn a_reason_too_long_for_labels_is_refused_before_anything_happens() {
    run(async {
        let cloud = Cloud::new();
        let name = key("reason");
        let provider = cloud.remote(&name).await;
        let new = NewKey {
            rsa_bits: RsaBits::B4096,
            ..new_key(Algorithm::RS256, None)
        };
        let made = provider.create(&new).await.expect("a key");
        let error = provider
            .revoke(made.kid(), &revocation(&"ü".repeat(501)))
            .await
            .expect_err("too long");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        assert_eq!(cloud.google.states(&name), ["ENABLED"]);
        provider
            .revoke(made.kid(), &revocation(&"ü".repeat(500)))
            .await
            .expect("fits beside RSA-4096");
        let listed = cloud.remote(&name).await.list().await.expect("lists");
        assert_eq!(
            listed[0].revoked.as_ref().map(|mark| mark.reason.chars().count()),
            Some(500)
        );
    });
}

#[test]
fn what_somebody_does_by_hand_is_seen_as_it_is() {
    run(async {
        let cloud = Cloud::new();
        let name = key("by-hand");
        let provider = cloud.remote(&name).await;
        let first = create(&*provider, None).await;
        let second = create(&*provider, Some(first.kid())).await;

        // After the key is disabled, only processes that saw its public key know it, because Google does not show it.
        cloud.google.set_state(&name, 1, "DISABLED");
        let keys = provider.list().await.expect("lists");
        assert_eq!((keys.len(), keys[0].state), (2, KeyState::Disabled));
        let other = cloud.remote(&name).await.list().await.expect("lists");
        assert_eq!(other.len(), 1);
        assert!(other[0].predecessor.is_some(), "that there was one is known");
        assert_eq!(
            provider.sign(first.kid(), b"m").await.expect_err("disabled").kind,
            ErrorKind::KeyUnusable
        );
        cloud.google.set_state(&name, 1, "ENABLED");
        provider.list().await.expect("lists");
        provider.sign(first.kid(), b"m").await.expect("enabled again");

        // The version is destroyed and restored.
        provider
            .retire(first.kid(), ExpiredKeys::Destroy)
            .await
            .expect("destroyed");
        assert_eq!(provider.list().await.expect("lists").len(), 1);
        assert_eq!(
            provider.sign(first.kid(), b"m").await.expect_err("gone").kind,
            ErrorKind::NotFound
        );
        cloud.google.set_state(&name, 1, "ENABLED");
        assert_eq!(provider.list().await.expect("lists").len(), 2);

        // A version with an algorithm that we do not support.
        cloud
            .google
            .create_signing_key(&key("foreign"), "EC_SIGN_SECP256K1_SHA256");
        let error = cloud.remote(&key("foreign")).await.list().await.expect_err("not ours");
        assert_eq!(error.kind, ErrorKind::KeyUnusable, "a setting of ours did not cause it");
        assert!(
            error.source.to_string().contains("EC_SIGN_SECP256K1_SHA256"),
            "{}",
            error.source
        );
        // A key with another purpose.
        cloud.google.create_symmetric_key(&key("symmetric"));
        let error = cloud
            .remote(&key("symmetric"))
            .await
            .list()
            .await
            .expect_err("wrong purpose");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        assert!(error.source.to_string().contains("ENCRYPT_DECRYPT"), "{}", error.source);
        assert_eq!(second.sequence, 2);
    });
}

#[test]
fn a_ring_on_many_pages_is_read_whole() {
    run(async {
        let cloud = Cloud::new();
        let name = key("pages");
        let provider = cloud.remote(&name).await;
        let mut of: Option<Kid> = None;
        for _ in 0..7 {
            of = Some(create(&*provider, of.as_ref()).await.kid().clone());
        }
        let first = provider.list().await.expect("lists")[0].kid().clone();
        provider
            .revoke(&first, &revocation("on a late page"))
            .await
            .expect("revoked");
        for other in 0..5 {
            cloud.google.create_symmetric_key(&key(&format!("a-{other}")));
        }
        cloud.google.set_page(2);
        let keys = cloud.remote(&name).await.list().await.expect("lists");
        assert_eq!(keys.len(), 7);
        assert!(keys[0].revoked.is_some(), "{keys:?}");
    });
}

#[test]
fn a_key_ring_that_is_not_there_is_not_an_empty_ring() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud
            .remote("projects/p/locations/global/keyRings/other/cryptoKeys/k")
            .await;
        for error in [
            provider.list().await.expect_err("no key ring"),
            provider.create(&es256(None)).await.expect_err("no key ring"),
        ] {
            assert_eq!(error.kind, ErrorKind::NotFound, "{}", error.source);
            assert!(error.source.to_string().contains("SIGNET_KEY"), "{}", error.source);
        }
    });
}
