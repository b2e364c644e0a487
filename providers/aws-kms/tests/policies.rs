//! The policies grant exactly the calls that the crate makes. The files are compared, and each action is tried.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{Cloud, KEY, clock, told};
use signet_api::{Answer, Check, ErrorKind, ExpiredKeys, ProviderError, Trials};
use signet_aws_kms::{Role, policy};
use signet_base::ManualClock;
use signet_core::{Algorithm, Revocation, Timestamp};
use signet_fakes::Fault;
use signet_testkit::new_key;

/// All actions of a policy, in the order of its text. The parser knows only the form of our policies.
fn actions(policy: &str) -> BTreeSet<String> {
    policy
        .split('"')
        .filter(|text| {
            let (service, action) = text.split_once(':').unwrap_or_default();
            ["kms", "s3"].contains(&service)
                && !action.is_empty()
                && action.bytes().all(|octet| octet.is_ascii_alphabetic())
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_files_are_what_the_crate_says() {
    for role in Role::ALL {
        let path = format!(
            "{}/../../deploy/policies/{}.json",
            env!("CARGO_MANIFEST_DIR"),
            role.file()
        );
        let file = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(file.trim_end(), policy(role, "signet"), "{path}");
        assert!(actions(&file).len() >= 5, "{path}");
    }
}

#[test]
fn the_key_policy_gives_the_sidecar_the_same_as_its_iam_policy() {
    let path = format!(
        "{}/../../deploy/policies/aws-kms-sealed-key-policy.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let file = std::fs::read_to_string(path).expect("the file");
    let (operator, sidecar) = file.split_once("The sidecar seals").expect("two statements");
    let whole = policy(Role::Sealed, "signet");
    let (iam, _) = whole.split_once("s3:").expect("the statement of KMS first");
    assert_eq!(actions(sidecar), actions(iam));
    assert!(
        actions(operator).is_disjoint(&actions(sidecar)),
        "who administers the key does not use it"
    );
    let condition = |text: &str| {
        let (_, condition) = text
            .split_once("\"kms:EncryptionContext:signet-ring\"")
            .expect("a condition");
        condition
            .split(']')
            .next()
            .expect("a list")
            .split_whitespace()
            .collect::<String>()
    };
    assert_eq!(condition(sidecar), condition(iam));
}

async fn sidecar(cloud: &Cloud, ring: &str) -> Result<(), ProviderError> {
    let provider = cloud.remote(ring).await;
    let first = provider.create(&new_key(Algorithm::ES256, None)).await?;
    let second = provider.create(&new_key(Algorithm::ES256, Some(first.kid()))).await?;
    provider.list().await?;
    provider.sign(second.kid(), b"message").await?;
    provider.retire(first.kid(), ExpiredKeys::Disable).await?;
    provider.retire(first.kid(), ExpiredKeys::Destroy).await
}

async fn operator(cloud: &Cloud, ring: &str, clock: Arc<ManualClock>) -> Result<(), ProviderError> {
    let provider = cloud.remote_with(ring, &[], clock.clone()).await;
    let first = provider.create(&new_key(Algorithm::ES256, None)).await?;
    let mark = Revocation {
        at: Timestamp::from_secs(1),
        reason: "tried".to_owned(),
    };
    provider.revoke(first.kid(), &mark).await?;
    let second = provider.create(&new_key(Algorithm::ES256, Some(first.kid()))).await?;
    // A crash at each of the two places where one leaves something.
    cloud.server.script("CreateAlias", Fault::Refused);
    provider
        .create(&new_key(Algorithm::ES256, Some(second.kid())))
        .await
        .expect_err("broken off");
    cloud.server.script("DeleteAlias", Fault::Refused);
    provider
        .retire(first.kid(), ExpiredKeys::Destroy)
        .await
        .expect_err("broken off");
    cloud.server.unscript();
    clock.advance(Duration::from_secs(700));
    let pruned = provider.prune().await?;
    assert_eq!(pruned.len(), 2, "{pruned:?}");
    Ok(())
}

async fn sealed(cloud: &Cloud, key: &str, object: &str) -> Result<(), ProviderError> {
    let provider = cloud.sealed(key, object, clock()).await;
    let key = provider.create(&new_key(Algorithm::ES256, None)).await?;
    // Another process must unseal what it did not seal.
    provider.list().await?;
    provider.sign(key.kid(), b"message").await.map(drop)
}

async fn live(role: Role, cloud: &Cloud, key: &str, name: &str) -> Result<(), ProviderError> {
    match role {
        Role::RemoteSidecar => sidecar(cloud, name).await,
        Role::RemoteOperator => operator(cloud, name, clock()).await,
        Role::Sealed => sealed(cloud, key, name).await,
    }
}

#[test]
fn each_policy_is_enough_and_no_action_of_it_is_too_much() {
    signet_testkit::run(async {
        for role in Role::ALL {
            let cloud = Cloud::new();
            let key = cloud.aws.create_symmetric_key();
            let all = actions(&policy(role, "signet"));
            let allow = |without: Option<&String>| {
                let rest: Vec<&str> = all
                    .iter()
                    .filter(|action| Some(*action) != without)
                    .map(String::as_str)
                    .collect();
                cloud.aws.allow(KEY, &rest);
            };
            allow(None);
            live(role, &cloud, &key, "whole")
                .await
                .unwrap_or_else(|error| panic!("{role:?}: {}", told(&error)));
            for (index, action) in all.iter().enumerate() {
                allow(Some(action));
                let outcome = live(role, &cloud, &key, &format!("without-{index}")).await;
                cloud.server.unscript();
                let error = outcome.expect_err(&format!("{role:?} needs no {action}"));
                // S3 answers this for a missing object if the caller may not list the bucket.
                assert_eq!(error.kind, ErrorKind::PermissionDenied, "{action}: {}", told(&error));
                let named = told(&error).contains(action.as_str()) || action == "s3:ListBucket";
                let is_tag = action == "kms:TagResource" && told(&error).contains("kms:TagResource");
                assert!(named || is_tag, "{action}: {}", told(&error));
            }
        }
    });
}

#[test]
fn check_names_the_permission_that_is_missing_and_the_statement_that_grants_it() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("gateway").await;
        let first = provider.create(&new_key(Algorithm::ES256, None)).await.expect("a key");
        provider
            .create(&new_key(Algorithm::ES256, Some(first.kid())))
            .await
            .expect("a key");
        provider
            .retire(first.kid(), ExpiredKeys::Disable)
            .await
            .expect("disabled");
        let all = actions(&policy(Role::RemoteSidecar, "gateway"));
        let tried = [
            "kms:ListKeys",
            "kms:CreateKey",
            "kms:TagResource",
            "kms:GetPublicKey",
            "kms:Sign",
            "kms:CreateAlias",
            "kms:DisableKey",
        ];
        for missing in tried {
            let rest: Vec<&str> = all
                .iter()
                .map(String::as_str)
                .filter(|action| *action != missing)
                .collect();
            cloud.aws.allow(KEY, &rest);
            let checks = Trials::of(async |trials| provider.check(trials).await).await;
            let failed: Vec<_> = checks.iter().filter(|check| check.answer.is_bad()).collect();
            assert_eq!(failed.len(), 1, "{missing}: {failed:?}");
            let grant = failed[0].grant.as_deref().expect("a statement");
            assert!(
                grant.contains(missing) && (grant.contains("gateway") || missing == "kms:ListKeys"),
                "{grant}"
            );
            assert!(actions(grant).is_subset(&all), "{grant}");
        }
        assert_eq!(
            provider.list().await.expect("listed").len(),
            2,
            "nothing was left behind"
        );
        assert_eq!(cloud.aws.keys().len(), 2);
    });
}

/// The answer in each row, by permission.
async fn answers(cloud: &Cloud, denied: &str) -> Vec<Check> {
    let all: BTreeSet<String> = [Role::RemoteSidecar, Role::RemoteOperator]
        .into_iter()
        .flat_map(|role| actions(&policy(role, "gateway")))
        .collect();
    let rest: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|action| *action != denied)
        .collect();
    cloud.aws.allow(KEY, &rest);
    // A process that has just started and knows no public key yet.
    let provider = cloud.remote("gateway").await;
    Trials::of(async |trials| provider.check(trials).await).await
}

fn answer<'a>(checks: &'a [Check], permission: &str) -> &'a Check {
    let found = checks.iter().find(|check| check.permission == permission);
    found.unwrap_or_else(|| panic!("no row for {permission}: {checks:?}"))
}

#[test]
fn check_has_a_row_and_a_statement_for_every_action_of_both_policies() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("gateway").await;
        for has_keys in [false, true] {
            let checks = answers(&cloud, "none").await;
            for role in [Role::RemoteSidecar, Role::RemoteOperator] {
                let all = actions(&policy(role, "gateway"));
                for action in all.iter().filter(|action| *action != "kms:TagResource") {
                    let check = answer(&checks, action);
                    assert!(!check.answer.is_bad(), "{check:?}");
                    let grant = check.grant.as_deref().expect("a statement");
                    assert!(grant.contains(action.as_str()), "{grant}");
                }
            }
            if !has_keys {
                provider.create(&new_key(Algorithm::ES256, None)).await.expect("a key");
            }
        }
    });
}

#[test]
fn check_tries_to_disable_a_disabled_key_that_this_process_cannot_list() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("gateway").await;
        let first = provider.create(&new_key(Algorithm::ES256, None)).await.expect("a key");
        let next = new_key(Algorithm::ES256, Some(first.kid()));
        provider.create(&next).await.expect("a key");
        let why = |check: &Check| match &check.answer {
            Answer::NotTried(why) => why.clone(),
            other => panic!("{other:?}"),
        };
        let checks = answers(&cloud, "none").await;
        assert!(why(answer(&checks, "kms:DisableKey")).contains("the ring has none"));

        provider
            .retire(first.kid(), ExpiredKeys::Disable)
            .await
            .expect("disabled");
        let checks = answers(&cloud, "none").await;
        assert!(answer(&checks, "kms:DisableKey").answer.is_yes(), "{checks:?}");
        let checks = answers(&cloud, "kms:DisableKey").await;
        assert_eq!(answer(&checks, "kms:DisableKey").answer.as_str(), "no");
        let checks = answers(&cloud, "kms:DescribeKey").await;
        assert!(why(answer(&checks, "kms:DisableKey")).contains("cannot be read"));
    });
}

#[test]
fn the_call_that_was_refused_is_the_row_that_says_no() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote("gateway").await;
        provider.create(&new_key(Algorithm::ES256, None)).await.expect("a key");
        for (denied, describing) in [
            ("kms:ListAliases", "unknown"),
            ("kms:DescribeKey", "no"),
            ("kms:GetPublicKey", "yes"),
        ] {
            let checks = answers(&cloud, denied).await;
            let refused: Vec<&str> = checks
                .iter()
                .filter(|check| check.answer.is_bad())
                .map(|check| check.permission.as_str())
                .collect();
            assert_eq!(refused, [denied], "{checks:?}");
            let error = answer(&checks, denied).answer.error().expect("refused");
            assert!(told(error).contains(denied), "{}", told(error));
            let grant = answer(&checks, denied).grant.as_deref().expect("a statement");
            assert!(grant.contains(denied), "{grant}");
            assert_eq!(
                answer(&checks, "kms:DescribeKey").answer.as_str(),
                describing,
                "without {denied}"
            );
            for untried in ["kms:Sign", "kms:CreateAlias", "kms:DisableKey"] {
                assert_eq!(
                    answer(&checks, untried).answer.as_str(),
                    "unknown",
                    "{untried} without {denied}"
                );
            }
        }
    });
}

#[test]
fn check_of_a_sealed_ring_tries_both_permissions_of_the_key() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let key = cloud.aws.create_symmetric_key();
        let provider = cloud.sealed(&key, "ring.json", clock()).await;
        for missing in ["kms:Encrypt", "kms:Decrypt"] {
            let all = actions(&policy(Role::Sealed, "gateway"));
            let rest: Vec<&str> = all
                .iter()
                .map(String::as_str)
                .filter(|action| *action != missing)
                .collect();
            cloud.aws.allow(KEY, &rest);
            let checks = Trials::of(async |trials| provider.check(trials).await).await;
            let failed = checks
                .iter()
                .find(|check| check.permission.starts_with(missing))
                .expect("it is tried");
            assert_eq!(
                failed.answer.error().expect("missing").kind,
                ErrorKind::PermissionDenied
            );
            let grant = failed.grant.as_deref().expect("a statement");
            assert!(
                grant.contains(missing) && grant.contains(&key) && grant.contains("EncryptionContext"),
                "{grant}"
            );
        }
    });
}
