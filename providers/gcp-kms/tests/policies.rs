//! The policies `deploy/policies/gcp*` grant exactly what the calls need. Each is tried
//! without each of its permissions.

mod common;

use std::path::Path;

use common::{Cloud, RING, SIDECAR, clock, create, es256, revocation};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider as _, ProviderError, Trials};
use signet_gcp_kms::{NAME, sealer, store};
use signet_sealed::Sealed;
use signet_testkit::{new_key, run};

/// The permissions in a role file.
fn permissions(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy/policies")
        .join(file);
    let text = std::fs::read_to_string(&path).expect("the role");
    let found: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  - "))
        .map(str::to_owned)
        .collect();
    assert!(!found.is_empty() && text.contains("includedPermissions:"), "{file}");
    found
}

fn allow(cloud: &Cloud, permissions: &[String]) {
    let all: Vec<&str> = permissions.iter().map(String::as_str).collect();
    cloud.google.allow(SIDECAR, Some(&all));
}

fn without(permissions: &[String], index: usize) -> Vec<String> {
    let mut fewer = permissions.to_vec();
    fewer.remove(index);
    fewer
}

/// Everything that a sidecar does in remote custody, starting with the operator's empty key,
/// which has another algorithm.
async fn remote_life(cloud: &Cloud, name: &str) -> Result<(), ProviderError> {
    cloud.google.create_empty_signing_key(name, "EC_SIGN_P384_SHA384");
    let provider = cloud.remote(name).await;
    let first = provider.create(&es256(None)).await?;
    let second = provider.create(&es256(Some(first.kid()))).await?;
    cloud.remote(name).await.list().await?;
    provider.sign(second.kid(), b"message").await?;
    provider.retire(first.kid(), ExpiredKeys::Disable).await
}

/// Everything that an operator does.
async fn operate(cloud: &Cloud, name: &str) -> Result<(), ProviderError> {
    let provider = cloud.remote(name).await;
    let first = provider.create(&es256(None)).await?;
    let second = provider
        .create(&new_key(signet_core::Algorithm::EdDSA, Some(first.kid())))
        .await?;
    provider.create(&es256(Some(second.kid()))).await?;
    provider.revoke(second.kid(), &revocation("lost")).await?;
    provider.retire(first.kid(), ExpiredKeys::Destroy).await
}

async fn sealed_life(cloud: &Cloud, name: &str) -> Result<(), ProviderError> {
    cloud.google.create_symmetric_key(name);
    let place = format!("gs://rings/{}", name.rsplit('/').next().expect("a name"));
    let handle = async || -> Result<_, ProviderError> {
        let store = store(&cloud.usual(), &place).await?;
        Ok(Sealed::new(
            "signet",
            NAME,
            sealer(cloud.config(name)).await?,
            store,
            clock(),
        ))
    };
    let provider = handle().await?;
    let first = provider.create(&es256(None)).await?;
    provider.create(&es256(Some(first.kid()))).await?;
    handle().await?.sign(first.kid(), b"message").await.map(drop)
}

#[test]
fn the_sidecars_roles_are_enough_in_remote_custody_and_have_nothing_to_spare() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_pending(1);
        let needed = [
            permissions("gcp-sidecar-remote.yaml"),
            permissions("gcp-sidecar-ring.yaml"),
        ]
        .concat();
        allow(&cloud, &needed);
        let name = format!("{RING}/cryptoKeys/whole");
        remote_life(&cloud, &name).await.expect("enough");
        let provider = cloud.remote(&name).await;
        for check in Trials::of(async |trials| provider.check(trials).await).await {
            assert!(check.answer.is_yes(), "{}: {:?}", check.permission, check.answer);
        }
        for (index, permission) in needed.iter().enumerate() {
            allow(&cloud, &without(&needed, index));
            let name = format!("{RING}/cryptoKeys/without-{index}");
            let error = remote_life(&cloud, &name).await.expect_err(permission);
            assert_eq!(
                error.kind,
                ErrorKind::PermissionDenied,
                "{permission}: {}",
                error.source
            );
            assert!(
                error.source.to_string().contains(permission),
                "{permission}: {}",
                error.source
            );
            let provider = cloud.remote(&name).await;
            let missing: Vec<_> = Trials::of(async |trials| provider.check(trials).await)
                .await
                .into_iter()
                .filter(|c| c.answer.is_bad())
                .collect();
            assert!(
                missing[0].permission.starts_with(permission),
                "`signet check` names it: {missing:?}"
            );
        }
    });
}

#[test]
fn the_sidecars_role_neither_revokes_nor_destroys() {
    run(async {
        let cloud = Cloud::new();
        let name = format!("{RING}/cryptoKeys/limits");
        let provider = cloud.remote(&name).await;
        let first = create(&*provider, None).await;
        create(&*provider, Some(first.kid())).await;
        allow(
            &cloud,
            &[
                permissions("gcp-sidecar-remote.yaml"),
                permissions("gcp-sidecar-ring.yaml"),
            ]
            .concat(),
        );
        for error in [
            provider
                .revoke(first.kid(), &revocation("lost"))
                .await
                .expect_err("an operator's"),
            provider
                .retire(first.kid(), ExpiredKeys::Destroy)
                .await
                .expect_err("an operator's"),
        ] {
            assert_eq!(error.kind, ErrorKind::PermissionDenied);
        }
    });
}

#[test]
fn the_operators_role_is_enough_has_nothing_to_spare_and_cannot_sign() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_pending(1);
        let needed = permissions("gcp-operator.yaml");
        allow(&cloud, &needed);
        let name = format!("{RING}/cryptoKeys/whole");
        operate(&cloud, &name).await.expect("enough");
        let provider = cloud.remote(&name).await;
        let newest = provider.list().await.expect("lists").pop().expect("a key");
        let error = provider
            .sign(newest.kid(), b"message")
            .await
            .expect_err("not an operator's");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        for (index, permission) in needed.iter().enumerate() {
            allow(&cloud, &without(&needed, index));
            let error = operate(&cloud, &format!("{RING}/cryptoKeys/without-{index}"))
                .await
                .expect_err(permission);
            assert!(
                error.source.to_string().contains(permission),
                "{permission}: {}",
                error.source
            );
        }
    });
}

#[test]
fn the_sidecars_roles_are_enough_in_sealed_custody_and_have_nothing_to_spare() {
    run(async {
        let cloud = Cloud::new();
        let needed = [
            permissions("gcp-sidecar-sealed.yaml"),
            permissions("gcp-sidecar-store.yaml"),
        ]
        .concat();
        allow(&cloud, &needed);
        sealed_life(&cloud, &format!("{RING}/cryptoKeys/whole"))
            .await
            .expect("enough");
        for (index, permission) in needed.iter().enumerate() {
            allow(&cloud, &without(&needed, index));
            let error = sealed_life(&cloud, &format!("{RING}/cryptoKeys/without-{index}"))
                .await
                .expect_err(permission);
            assert_eq!(
                error.kind,
                ErrorKind::PermissionDenied,
                "{permission}: {}",
                error.source
            );
        }
    });
}
