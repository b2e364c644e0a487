//! The roles in `deploy/policies` grant exactly the calls that are made, and `check` names a missing one.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use signet_api::{Check, ErrorKind, ExpiredKeys, KeyProvider, Trials};
use signet_azure_key_vault::{NAME, sealer};
use signet_base::ManualClock;
use signet_fakes::azure::CLIENT;
use signet_sealed::{Context, MemoryStore, Purpose, Sealed, Sealer as _};
use support::{Fake, create, new_key, revocation};

/// The data actions in a role's file.
fn actions(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/policies")
        .join(file);
    let role: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the role")).expect("JSON");
    assert_eq!(role["IsCustom"], true);
    assert_eq!(role["Actions"], serde_json::json!([]), "nothing on the control plane");
    let list = role["DataActions"].as_array().expect("a list").clone();
    let actions: BTreeSet<String> = list
        .iter()
        .map(|action| action.as_str().expect("text").to_owned())
        .collect();
    assert!(actions.iter().all(|action| !action.contains('*')), "no wildcards");
    actions
}

fn allow(fake: &Fake, actions: &BTreeSet<String>) {
    fake.azure.allow_only(CLIENT, actions.iter().map(String::as_str));
}

/// Each refused check must be about the missing action, because there is one check per action.
fn assert_only_missing(checks: &[Check], missing: &str) {
    for check in checks {
        let is_missing = check.permission.starts_with(missing);
        assert_eq!(
            check.answer.is_bad(),
            is_missing,
            "{}: {:?}",
            check.permission,
            check.answer
        );
        if let Some(error) = check.answer.error() {
            assert_eq!(check.answer.as_str(), "no");
            assert_eq!(error.kind, ErrorKind::PermissionDenied);
            assert!(error.source.to_string().contains(missing), "{}", error.source);
            let grant = check.grant.as_ref().expect("a role grants it");
            assert!(grant.contains(missing) && grant.contains("keys/ring"), "{grant}");
        }
    }
    assert!(
        checks.iter().any(|check| check.permission.starts_with(missing)),
        "{missing} is tried"
    );
}

#[tokio::test]
async fn the_role_of_a_sidecar_in_remote_custody_is_enough_and_each_of_its_actions_is_needed() {
    let role = actions("azure-sidecar-remote.json");
    let fake = Fake::start();
    allow(&fake, &role);
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    let third = create(&*provider, Some(second.kid())).await;
    provider.list().await.expect("listed");
    provider.sign(third.kid(), b"message").await.expect("signed");
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("disabled");
    provider
        .retire(first.kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    provider
        .revoke(second.kid(), &revocation("why"))
        .await
        .expect("revoked");
    for check in Trials::of(async |trials| provider.check(trials).await).await {
        assert!(!check.answer.is_bad(), "{}: {:?}", check.permission, check.answer);
    }
    for (index, missing) in role.iter().enumerate() {
        let rest: BTreeSet<String> = role.iter().filter(|action| *action != missing).cloned().collect();
        allow(&fake, &rest);
        let checks = Trials::of(async |trials| provider.check(trials).await).await;
        assert_only_missing(&checks, missing);
        allow(&fake, &role);
        let handle = fake.remote(&format!("ring-{index}")).await;
        let key = create(&*handle, None).await;
        allow(&fake, &rest);
        let outcomes = [
            handle.list().await.err(),
            handle.sign(key.kid(), b"message").await.err(),
            handle.create(&new_key(Some(key.kid()))).await.err(),
            handle.revoke(key.kid(), &revocation("why")).await.err(),
        ];
        let denied = outcomes
            .into_iter()
            .flatten()
            .filter(|error| error.kind == ErrorKind::PermissionDenied);
        assert!(denied.count() > 0, "without {missing} something fails");
    }
}

#[tokio::test]
async fn the_role_of_a_sidecar_in_sealed_custody_is_enough_and_each_of_its_actions_is_needed() {
    let role = actions("azure-sidecar-sealed.json");
    let fake = Fake::start();
    fake.azure.create_elsewhere("ring", "RSA", "2048");
    allow(&fake, &role);
    let open = || async {
        let sealer = sealer(fake.config("ring")).await.expect("opens");
        Sealed::new(
            "ring",
            NAME,
            sealer,
            MemoryStore::default(),
            Arc::new(ManualClock::default()),
        )
    };
    let provider = open().await;
    let key = create(&provider, None).await;
    provider.sign(key.kid(), b"message").await.expect("signed");
    for check in Trials::of(async |trials| provider.check(trials).await).await {
        assert!(!check.answer.is_bad(), "{}: {:?}", check.permission, check.answer);
    }
    let context = Context::new("ring", Purpose::Trial);
    for missing in &role {
        let rest: BTreeSet<String> = role.iter().filter(|action| *action != missing).cloned().collect();
        allow(&fake, &role);
        let sealer = sealer(fake.config("ring")).await.expect("opens");
        let wrapped = sealer.wrap(b"secret", &context).await.expect("wrapped");
        allow(&fake, &rest);
        let checks = Trials::of(async |trials| sealer.check(trials).await).await;
        assert_only_missing(&checks, missing);
        let outcomes = [
            sealer.wrap(b"secret", &context).await.map(drop),
            sealer.unwrap(&wrapped, &context).await.map(drop),
        ];
        assert!(outcomes.iter().any(Result::is_err), "without {missing} something fails");
    }
}

#[tokio::test]
async fn the_role_of_an_operator_makes_marks_and_disables_keys_and_cannot_use_them() {
    let role = actions("azure-operator.json");
    let fake = Fake::start();
    allow(&fake, &role);
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    provider.revoke(first.kid(), &revocation("why")).await.expect("revoked");
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("retired");
    assert!(provider.prune().await.expect("pruned").is_empty());
    let error = provider.sign(second.kid(), b"message").await.expect_err("denied");
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
}

#[test]
fn no_role_can_delete_export_or_grant() {
    for file in [
        "azure-sidecar-remote.json",
        "azure-sidecar-sealed.json",
        "azure-operator.json",
        "azure-blob.json",
    ] {
        for action in actions(file) {
            for forbidden in ["delete", "backup", "release", "purge", "import", "decrypt", "rotate"] {
                assert!(!action.contains(forbidden), "{file}: {action}");
            }
        }
    }
}
