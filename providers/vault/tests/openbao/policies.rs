//! Tests that the policy files grant exactly what the calls need.

use serde_json::json;
use signet_api::{Check, ErrorKind, Trials};
use signet_core::{Algorithm, KeyRecord, Revocation, Timestamp};
use signet_testkit::{clauses, new_key, run};

use crate::server::{shared, unique};
use crate::{SERVER, app_role, chain, policy, remote, sealed};

/// The stanzas of a policy.
fn stanzas(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let text = lines.join("\n");
    let stanzas = text.split("path ").skip(1);
    stanzas.map(|stanza| format!("path {}", stanza.trim_end())).collect()
}

pub(crate) async fn as_policy(text: &str) -> signet_api::Variables {
    let name = unique("policy");
    shared().policy(&name, text).await;
    let token = shared().token(&[&name], "1h").await;
    shared().variables(&[("VAULT_TOKEN", &token)])
}

fn failed(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|check| check.answer.is_bad()).collect()
}

async fn as_sidecar() -> signet_testkit::Subject {
    let ring = unique("ring");
    let variables = app_role(&ring, &["vault-sidecar-remote.hcl"]).await;
    let open = move || remote(variables.clone(), ring.clone());
    signet_testkit::Subject::new(open().await, open, ()).against(SERVER)
}

#[test]
fn the_sidecar_s_policy_is_enough_for_all_but_destroying() {
    run(async {
        clauses::clause_01_a_created_key_is_listed(as_sidecar).await;
        clauses::clause_02_a_key_never_changes(as_sidecar).await;
        clauses::clause_03_a_race_for_one_successor_makes_one_key(as_sidecar).await;
        clauses::clause_06_a_retired_key_cannot_sign(as_sidecar).await;
        clauses::checks_pass_and_leave_nothing_behind(as_sidecar).await;
        clauses::every_algorithm_signs_or_is_refused(as_sidecar).await;
    });
}

#[test]
fn each_stanza_of_the_remote_sidecar_s_policy_is_needed_and_missed_by_the_check() {
    run(async {
        let ring = unique("ring");
        let all = stanzas(&policy("vault-sidecar-remote.hcl", &ring));
        assert_eq!(all.len(), 6);
        let whole = remote(as_policy(&all.join("\n")).await, ring.clone()).await;
        let checks = Trials::of(async |trials| whole.check(trials).await).await;
        assert!(failed(&checks).is_empty(), "{checks:?}");
        whole.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
        for missing in &all {
            let rest: Vec<&str> = all
                .iter()
                .filter(|stanza| *stanza != missing)
                .map(String::as_str)
                .collect();
            let provider = remote(as_policy(&rest.join("\n")).await, ring.clone()).await;
            let checks = Trials::of(async |trials| provider.check(trials).await).await;
            let failed = failed(&checks);
            assert!(!failed.is_empty(), "nobody misses {missing}");
            for check in failed.iter().filter(|check| check.grant.is_some()) {
                let error = check.answer.error().expect("failed");
                assert_eq!(error.kind, ErrorKind::PermissionDenied, "{check:?}");
                let path = missing.split('"').nth(1).expect("a path");
                assert!(
                    check.grant.as_ref().is_some_and(|grant| grant.contains(path)),
                    "{check:?}"
                );
            }
        }
    });
}

#[test]
fn what_the_check_says_is_missing_is_enough_when_it_is_granted() {
    run(async {
        let ring = unique("ring");
        let mut granted = "path \"nothing\" { capabilities = [\"read\"] }".to_owned();
        let mut last = Vec::new();
        for round in 0..10 {
            let provider = remote(as_policy(&granted).await, ring.clone()).await;
            let checks = Trials::of(async |trials| provider.check(trials).await).await;
            if failed(&checks).is_empty() {
                assert!(round > 0, "an empty policy is not enough");
                provider.create(&new_key(Algorithm::ES256, None)).await.expect("a key");
                return;
            }
            let mut more: Vec<&str> = failed(&checks)
                .iter()
                .filter_map(|check| check.grant.as_deref())
                .collect();
            more.sort_unstable();
            more.dedup();
            // Two capabilities on one path are two grants. Vault combines them only if they are in different policies.
            granted = merged(&granted, &more);
            last = checks;
        }
        panic!("the grants of the check lead nowhere: {granted}\n{last:?}");
    });
}

/// Combines the capabilities of each path into one stanza.
fn merged(before: &str, more: &[&str]) -> String {
    let mut paths: Vec<(String, Vec<String>, String)> = Vec::new();
    for stanza in before.lines().chain(more.iter().copied()) {
        let path = stanza.split('"').nth(1).expect("a path").to_owned();
        let (_, list) = stanza.split_once('[').expect("capabilities");
        let (list, rest) = list.split_once(']').expect("capabilities");
        let capabilities = list.split(',').map(|name| name.trim().to_owned());
        match paths.iter_mut().find(|(other, ..)| *other == path) {
            Some((_, all, _)) => all.extend(capabilities),
            None => paths.push((path, capabilities.collect(), rest.to_owned())),
        }
    }
    let lines = paths.into_iter().map(|(path, mut capabilities, rest)| {
        capabilities.sort_unstable();
        capabilities.dedup();
        format!("path \"{path}\" {{ capabilities = [{}]{rest}", capabilities.join(", "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_stanza_of_the_sealed_sidecar_s_policy_is_needed() {
    run(async {
        let ring = unique("ring");
        shared().post(&format!("transit/keys/{ring}"), json!({})).await;
        let all = stanzas(&policy("vault-sidecar-sealed.hcl", &ring));
        assert_eq!(all.len(), 6);
        let whole = sealed(as_policy(&all.join("\n")).await, ring.clone()).await;
        let checks = Trials::of(async |trials| whole.check(trials).await).await;
        assert!(failed(&checks).is_empty(), "{checks:?}");
        for missing in &all {
            let rest: Vec<&str> = all
                .iter()
                .filter(|stanza| *stanza != missing)
                .map(String::as_str)
                .collect();
            let provider = sealed(as_policy(&rest.join("\n")).await, ring.clone()).await;
            let checks = Trials::of(async |trials| provider.check(trials).await).await;
            assert!(!failed(&checks).is_empty(), "nobody misses {missing}");
        }
    });
}

#[test]
fn no_policy_lets_anybody_take_a_key_out() {
    run(async {
        for file in ["vault-sidecar-remote.hcl", "vault-operator.hcl"] {
            let ring = unique("ring");
            let provider = remote(app_role(&ring, &[file]).await, ring.clone()).await;
            let key: KeyRecord = provider.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
            let text = policy(file, &ring);
            let name = unique("policy");
            shared().policy(&name, &text).await;
            let token = shared().token(&[&name], "1h").await;
            let path = format!("transit/keys/{ring}.eddsa");
            for (method, path, body) in [
                ("POST", format!("{path}/config"), json!({"exportable": true})),
                (
                    "POST",
                    format!("{path}/config"),
                    json!({"allow_plaintext_backup": true}),
                ),
                ("POST", format!("{path}/config"), json!({"deletion_allowed": true})),
                (
                    "POST",
                    format!("transit/keys/{ring}.es384"),
                    json!({"type": "ecdsa-p384", "exportable": true}),
                ),
                ("DELETE", path.clone(), json!({})),
                ("GET", format!("transit/export/signing-key/{ring}.eddsa"), json!({})),
                ("GET", format!("transit/backup/{ring}.eddsa"), json!({})),
            ] {
                let status = shared().request_as(&token, method, &path, Some(body)).await.0;
                assert_eq!(status, 403, "{file}: {method} {path}");
            }
            let mark = Revocation {
                at: Timestamp::from_secs(1),
                reason: "tried".to_owned(),
            };
            provider.revoke(key.kid(), &mark).await.expect("either of them revokes");
        }
    });
}

#[test]
fn a_key_that_can_be_taken_out_fails_the_check() {
    run(async {
        let ring = unique("ring");
        let provider = remote(shared().as_root(), ring.clone()).await;
        provider.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
        shared()
            .post(
                &format!("transit/keys/{ring}.eddsa/config"),
                json!({"exportable": true}),
            )
            .await;
        let checks = Trials::of(async |trials| provider.check(trials).await).await;
        let failed = failed(&checks);
        assert_eq!(failed.len(), 1, "{checks:?}");
        let error = failed[0].answer.error().expect("failed");
        assert!(chain(error).contains("exportable"), "{error:?}");
    });
}
