//! Scripted faults between the sidecar and Google: refused, throttled, down, silent, lost.

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{Cloud, RING, SIDECAR, create, es256, fresh_key, revocation};
use signet_api::{ErrorKind, ExpiredKeys, Trials};
use signet_core::{KeyState, Kid};
use signet_fakes::gcp::{exhausted, problem};
use signet_fakes::{Authority, Fault, Server};
use signet_gcp_kms::GcpConfig;
use signet_testkit::run;

/// All calls of a `create` that must create the crypto key, and of one that need not.
const CREATING: [&str; 7] = [
    "ListCryptoKeyVersions",
    "ListCryptoKeys",
    "CreateCryptoKey",
    "UpdateCryptoKey",
    "CreateCryptoKeyVersion",
    "GetCryptoKeyVersion",
    "GetPublicKey",
];

fn faults() -> Vec<(Fault, ErrorKind)> {
    let unavailable = problem(503, "UNAVAILABLE", "The service is currently unavailable.");
    vec![
        (Fault::LostAnswer, ErrorKind::Unavailable),
        (Fault::Refused, ErrorKind::Unavailable),
        (Fault::Answer(unavailable), ErrorKind::Unavailable),
        (Fault::Answer(exhausted(7)), ErrorKind::Throttled),
    ]
}

/// The kids that a new process lists.
async fn listed(cloud: &Cloud, key: &str) -> HashSet<Kid> {
    let keys = cloud.remote(key).await.list().await.expect("the ring lists");
    keys.iter().map(|key| key.kid().clone()).collect()
}

#[test]
fn a_create_that_fails_at_any_call_is_finished_by_another_process_without_a_second_key() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_pending(1);
        let mut failures = 0;
        for (index, operation) in CREATING.into_iter().enumerate() {
            for (number, (fault, kind)) in faults().into_iter().enumerate() {
                let key = format!("{RING}/cryptoKeys/create-{index}-{number}");
                if operation == "UpdateCryptoKey" {
                    // An operator created it, for another algorithm.
                    cloud
                        .google
                        .create_empty_signing_key(&key, "RSA_SIGN_PKCS1_2048_SHA256");
                }
                cloud.server.script(operation, fault.clone());
                let first = cloud.remote(&key).await.create(&es256(None)).await;
                cloud.server.unscript();
                let error = first.expect_err("a create that met a fault");
                assert_eq!(error.kind, kind, "{operation} {fault:?}: {}", error.source);
                assert_eq!(error.retry_after.is_some(), kind == ErrorKind::Throttled);
                failures += 1;

                // The process was killed; the next one continues.
                let other = cloud.remote(&key).await;
                let made = create(&*other, None).await;
                assert_eq!(cloud.google.states(&key), ["ENABLED"], "{operation} {fault:?}");
                assert_eq!(listed(&cloud, &key).await, HashSet::from([made.kid().clone()]));
                let again = create(&*cloud.remote(&key).await, None).await;
                assert_eq!(again.kid(), made.kid());
            }
        }
        assert_eq!(failures, CREATING.len() * faults().len(), "every fault was met");
    });
}

#[test]
fn a_revocation_that_fails_at_any_call_comes_true_when_it_is_repeated() {
    run(async {
        let cloud = Cloud::new();
        for operation in [
            "ListCryptoKeyVersions",
            "ListCryptoKeys",
            "CreateCryptoKey",
            "UpdateCryptoKeyVersion",
        ] {
            for (number, (fault, kind)) in faults().into_iter().enumerate() {
                let key = format!("{RING}/cryptoKeys/revoke-{}-{number}", operation.to_lowercase());
                let first = cloud.remote(&key).await;
                let revoked = create(&*first, None).await;
                create(&*first, Some(revoked.kid())).await;
                let mark = revocation("stolen");
                cloud.server.script(operation, fault.clone());
                let error = first.revoke(revoked.kid(), &mark).await.expect_err(operation);
                cloud.server.unscript();
                assert_eq!(error.kind, kind, "{operation} {fault:?}: {}", error.source);

                let other = cloud.remote(&key).await;
                other.revoke(revoked.kid(), &mark).await.expect("repeated");
                let refused = other.sign(revoked.kid(), b"message").await.expect_err("revoked");
                assert_eq!(refused.kind, ErrorKind::KeyUnusable);
                assert_eq!(cloud.google.states(&key), ["DISABLED", "ENABLED"]);
                let keys = cloud.remote(&key).await.list().await.expect("lists");
                let found = keys
                    .iter()
                    .find(|found| found.kid() == revoked.kid())
                    .expect("still listed");
                assert_eq!(found.revoked.as_ref(), Some(&mark), "{operation} {fault:?}");
            }
        }
    });
}

#[test]
fn a_retirement_that_fails_at_any_call_comes_true_when_it_is_repeated() {
    run(async {
        let cloud = Cloud::new();
        for (action, operation, state) in [
            (ExpiredKeys::Disable, "UpdateCryptoKeyVersion", "DISABLED"),
            (ExpiredKeys::Destroy, "DestroyCryptoKeyVersion", "DESTROY_SCHEDULED"),
        ] {
            for (number, (fault, kind)) in faults().into_iter().enumerate() {
                let key = format!("{RING}/cryptoKeys/retire-{}-{number}", operation.to_lowercase());
                let provider = cloud.remote(&key).await;
                let retired = create(&*provider, None).await;
                let newest = create(&*provider, Some(retired.kid())).await;
                cloud.server.script(operation, fault);
                let error = provider.retire(retired.kid(), action).await.expect_err(operation);
                cloud.server.unscript();
                assert_eq!(error.kind, kind);
                // Another process may not see the key any more, which is equally good.
                if let Err(error) = cloud.remote(&key).await.retire(retired.kid(), action).await {
                    assert_eq!(error.kind, ErrorKind::NotFound);
                }
                assert_eq!(cloud.google.states(&key), [state, "ENABLED"]);
                assert!(
                    provider.retire(newest.kid(), action).await.is_err(),
                    "the last one that signs stays"
                );
                let keys = provider.list().await.expect("lists");
                let found = keys.iter().find(|found| found.kid() == retired.kid());
                assert!(found.is_none_or(|found| found.state == KeyState::Disabled));
            }
        }
    });
}

#[test]
fn no_call_hangs_whatever_does_not_answer() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/hang");
        let provider = cloud.remote(&key).await;
        let made = create(&*provider, None).await;
        for operation in ["AsymmetricSign", "ListCryptoKeys"] {
            cloud.server.script(operation, Fault::Hang);
        }
        let begin = tokio::time::Instant::now();
        let (signed, listed) = tokio::join!(provider.sign(made.kid(), b"message"), provider.list());
        for error in [signed.expect_err("silence"), listed.expect_err("silence")] {
            assert_eq!(error.kind, ErrorKind::TimedOut, "{}", error.source);
        }
        assert!(begin.elapsed() < Duration::from_secs(7), "{:?}", begin.elapsed());
        provider.sign(made.kid(), b"message").await.expect("signed again");
    });
}

#[test]
fn opening_makes_no_call_and_a_cloud_that_is_not_there_is_said_to_be_down() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/down");
        cloud.server.script("*", Fault::Refused);
        let provider = cloud.remote(&key).await;
        assert!(cloud.server.calls().is_empty());
        let error = provider.list().await.expect_err("down");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        drop(cloud);
        let error = provider.list().await.expect_err("gone");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(
            error.source.to_string().contains("Signet tries again"),
            "{}",
            error.source
        );
    });
}

#[test]
fn a_refusal_says_which_permission_is_missing_and_what_grants_it() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/denied");
        let provider = cloud.remote(&key).await;
        let made = create(&*provider, None).await;
        cloud.google.allow(
            SIDECAR,
            Some(&["cloudkms.cryptoKeyVersions.list", "cloudkms.cryptoKeys.list"]),
        );
        let permission = "cloudkms.cryptoKeyVersions.useToSign";
        let error = provider.sign(made.kid(), b"message").await.expect_err("denied");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        let text = error.source.to_string();
        for part in [permission, "deploy/policies", &format!("{key}/cryptoKeyVersions/1")] {
            assert!(text.contains(part), "{part}: {text}");
        }

        let checks = Trials::of(async |trials| provider.check(trials).await).await;
        assert_eq!(checks.len(), 9);
        let (good, bad): (Vec<_>, Vec<_>) = checks.into_iter().partition(|check| check.answer.is_yes());
        assert_eq!(
            good.len(),
            3,
            "the two that are granted, and the ring that is read with them"
        );
        for check in bad {
            let error = check.answer.error().expect("missing");
            assert_eq!(error.kind, ErrorKind::PermissionDenied);
            let grant = check.grant.expect("what grants it");
            let parts = [
                "--file=deploy/policies/gcp-sidecar-",
                "--project=p",
                "--keyring=signet",
                "binding denied",
            ];
            for part in parts {
                assert!(grant.contains(part), "{part}: {grant}");
            }
        }
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_explained_and_not_tried_again_at_once() {
    run(async {
        let cloud = Cloud::new();
        let stranger = Server::start(cloud.google.service(), Some(&Authority::new())).expect("a server");
        let account = cloud.file("sidecar.json");
        let variables = common::variables(&[
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &stranger.url()),
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE", &stranger.url()),
            ("GOOGLE_APPLICATION_CREDENTIALS", account.to_str().expect("text")),
        ]);
        let config = GcpConfig::new(&variables, &fresh_key()).expect("a configuration");
        let provider = signet_gcp_kms::remote(config, common::clock()).await.expect("opens");
        let store = signet_gcp_kms::store(&variables, "gs://rings/ring.json")
            .await
            .expect("a store");
        for error in [
            provider.list().await.expect_err("refused"),
            store.load().await.expect_err("refused"),
        ] {
            let text = error.source.to_string();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{text}");
            assert!(text.contains("set SSL_CERT_FILE to"), "{text}");
            assert!(
                error.retry_after > Some(Duration::from_secs(20)),
                "no layer tries it again"
            );
        }
    });
}
