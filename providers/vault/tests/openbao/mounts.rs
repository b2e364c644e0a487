//! Mounts that do not exist are reported as such, not as a missing permission or key.

use signet_api::{Check, ErrorKind, KeyProvider, ProviderError, Trials, Variables};
use signet_core::Algorithm;
use signet_sealed::{Context, Purpose};
use signet_testkit::{new_key, run};
use signet_vault::VaultConfig;

use crate::server::{shared, unique};
use crate::{chain, remote};

fn with(variables: &Variables, pairs: &[(&str, &str)]) -> Variables {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.overlaid(&pairs.iter().map(owned).collect())
}

/// The part of Vault's `default` policy that is needed.
const DEFAULT: &str = "path \"auth/token/lookup-self\" { capabilities = [\"read\"] }\n\
                       path \"sys/capabilities-self\" { capabilities = [\"update\"] }\n";

/// A token with this policy and the default one.
async fn as_policy(text: &str) -> Variables {
    let name = unique("policy");
    shared().policy(&name, &[DEFAULT, text].concat()).await;
    let token = shared().token(&[&name], "1h").await;
    shared().variables(&[("VAULT_TOKEN", &token)])
}

async fn checked(provider: &dyn KeyProvider) -> Vec<Check> {
    Trials::of(async |trials| provider.check(trials).await).await
}

/// The error in this row of the check.
fn row<'a>(checks: &'a [Check], what: &str) -> &'a ProviderError {
    let row = checks.iter().find(|check| check.permission == what);
    let row = row.unwrap_or_else(|| panic!("{what} is not in {checks:?}"));
    row.answer.error().unwrap_or_else(|| panic!("{row:?}"))
}

#[test]
fn a_mount_that_does_not_exist_is_told_as_such_whatever_the_policies() {
    run(async {
        let granted = "path \"nokv/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n\
                       path \"notransit/*\" { capabilities = [\"create\", \"read\", \"update\"] }\n\
                       path \"secret/data/mine\" { capabilities = [\"read\"] }";
        let mounts = [("VAULT_KV_MOUNT", "nokv"), ("VAULT_TRANSIT_MOUNT", "notransit")];
        for variables in [shared().as_root(), as_policy(granted).await] {
            let provider = remote(with(&variables, &mounts), unique("ring")).await;
            let error = provider
                .create(&new_key(Algorithm::ES256, None))
                .await
                .expect_err("no mount");
            assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
            assert!(chain(&error).contains("no secrets engine"), "{error:?}");
            let checks = checked(&*provider).await;
            for what in ["KV version 2 is mounted at nokv", "transit is mounted at notransit"] {
                let error = row(&checks, what);
                assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
                let text = chain(error);
                for part in ["nothing is mounted at", "vault secrets list", "secret (kv version 2)"] {
                    assert!(text.contains(part), "{part}: {text}");
                }
                assert!(!text.contains("lack"), "{text}");
            }
        }
    });
}

#[test]
fn where_vault_does_not_tell_a_missing_mount_from_a_missing_permission_both_are_told() {
    run(async {
        let variables = as_policy("path \"secret/data/mine\" { capabilities = [\"read\"] }").await;
        let provider = remote(with(&variables, &[("VAULT_KV_MOUNT", "nokv")]), unique("ring")).await;
        let error = provider.list().await.expect_err("no mount");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
        assert!(chain(&error).contains("a mount that does not exist"), "{error:?}");
        let checks = checked(&*provider).await;
        let error = row(&checks, "KV version 2 is mounted at nokv");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error:?}");
        let text = chain(error);
        for part in [
            "nothing is mounted at nokv, or",
            "VAULT_KV_MOUNT",
            "The token may use secret (kv version 2)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    });
}

#[test]
fn a_ring_and_its_wrapping_key_below_a_mount_that_does_not_exist_are_not_told_as_missing() {
    run(async {
        let root = shared().as_root();
        let variables = with(&root, &[("VAULT_TRANSIT_MOUNT", "notransit")]);
        let config = VaultConfig::new(&variables, "signet").expect("a configuration");
        let sealer = signet_vault::sealer(config).await.expect("a sealer");
        let context = Context::new("ring", Purpose::RingKey);
        let error = sealer.wrap(b"secret", &context).await.expect_err("no mount");
        assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
        assert!(chain(&error).contains("no secrets engine"), "{error:?}");
        let store = signet_vault::store(&root, "vault:nokv/ring").await.expect("a store");
        let error = store.load().await.expect_err("no mount");
        assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
        let error = store.compare_and_swap(None, b"ring").await.expect_err("no mount");
        assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
        assert!(chain(&error).contains("nothing is mounted at nokv"), "{error:?}");
    });
}
