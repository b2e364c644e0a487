//! Remote custody beyond the contract: what the vault's own behaviour could break.

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use signet_api::{ErrorKind, ExpiredKeys};
use signet_core::{KeyRecord, KeyState};
use signet_fakes::azure::{CLIENT, Settings};
use signet_fakes::{Fault, Response};
use support::{Fake, create, find, new_key, revocation};

fn counts(calls: &[(&str, u64)]) -> Vec<(String, u64)> {
    calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn changed(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    Fault::Changed(Arc::new(move |response: Response| {
        let mut body: Value = serde_json::from_slice(&response.body).expect("JSON");
        change(&mut body);
        Response::json(200, &body)
    }))
}

#[tokio::test]
async fn each_call_of_the_contract_makes_as_few_calls_of_the_vault_as_the_documentation_says() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    assert_eq!(fake.counted(), counts(&[("CreateKey", 1), ("GetKeyVersions", 1)]));
    let mut newest = first.clone();
    for _ in 0..3 {
        newest = create(&*provider, Some(newest.kid())).await;
    }
    fake.counted();

    provider.list().await.expect("listed");
    assert_eq!(
        fake.counted(),
        counts(&[("GetKeyVersions", 1)]),
        "a steady ring of four keys"
    );
    provider.sign(newest.kid(), b"message").await.expect("signed");
    assert_eq!(fake.counted(), counts(&[("Sign", 1)]));
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("retired");
    assert_eq!(fake.counted(), counts(&[("GetKeyVersions", 1), ("UpdateKey", 1)]));
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("retired");
    assert_eq!(
        fake.counted(),
        counts(&[("GetKeyVersions", 1)]),
        "it is disabled already"
    );
    provider.revoke(first.kid(), &revocation("why")).await.expect("revoked");
    assert_eq!(fake.counted(), counts(&[("GetKeyVersions", 1), ("UpdateKey", 2)]));

    let other = fake.remote("ring").await;
    other.list().await.expect("listed");
    assert_eq!(
        fake.counted(),
        counts(&[("GetKey", 4), ("GetKeyVersions", 1), ("UpdateKey", 1)]),
        "each process reads each public key once, and that of the disabled version by an update that changes nothing"
    );
    other.list().await.expect("listed");
    assert_eq!(fake.counted(), counts(&[("GetKeyVersions", 1)]));
}

#[tokio::test]
async fn the_first_call_of_a_process_is_preceded_by_one_challenge_and_one_token() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    assert!(fake.server.calls().is_empty(), "opening makes no call");
    for _ in 0..3 {
        provider.list().await.expect("listed");
    }
    assert_eq!((fake.called("Challenge"), fake.called("Token")), (1, 1));
    create(&*provider, None).await;
    assert_eq!(fake.called("Challenge"), 2, "creating has a client with more patience");
    assert_eq!(fake.called("Token"), 1, "both have one identity");
}

#[tokio::test]
async fn keys_of_one_second_are_in_the_order_of_their_creation_and_pages_hide_none() {
    let fake = Fake::with(Settings {
        page: 2,
        ..Settings::default()
    });
    let provider = fake.remote("ring").await;
    let mut made: Vec<KeyRecord> = Vec::new();
    for _ in 0..9 {
        made.push(create(&*provider, made.last().map(KeyRecord::kid)).await);
    }
    let instants: std::collections::HashSet<_> = made.iter().map(|key| key.created_at).collect();
    assert!(instants.len() < made.len(), "some share their second");
    let mut keys = fake.remote("ring").await.list().await.expect("listed");
    keys.sort_by(|a, b| a.creation_order(b));
    let kids = |keys: &[KeyRecord]| keys.iter().map(|key| key.kid().clone()).collect::<Vec<_>>();
    assert_eq!(kids(&keys), kids(&made));
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(key.sequence, index as u64);
        assert_eq!(
            key.predecessor.as_ref(),
            index.checked_sub(1).map(|before| made[before].kid())
        );
    }
}

#[tokio::test]
async fn a_version_that_somebody_else_made_is_no_key_of_the_ring_and_is_left_alone() {
    let fake = Fake::start();
    fake.azure.create_elsewhere("ring", "EC", "P-256");
    let provider = fake.remote("ring").await;
    assert!(provider.list().await.expect("listed").is_empty());
    let key = create(&*provider, None).await;
    fake.azure.create_elsewhere("ring", "RSA", "2048");
    let keys = provider.list().await.expect("listed");
    assert_eq!((keys.len(), keys[0].kid()), (1, key.kid()));
    create(&*provider, Some(key.kid())).await;
    assert!(provider.prune().await.expect("pruned").is_empty());
    assert_eq!(fake.azure.versions("ring"), 4);
}

#[tokio::test]
async fn a_destroyed_key_does_not_come_back_if_somebody_enables_it() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    provider
        .retire(first.kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    fake.azure.set_enabled("ring", true);
    for handle in [provider, fake.remote("ring").await] {
        let keys = handle.list().await.expect("listed");
        assert_eq!((keys.len(), keys[0].kid()), (1, second.kid()));
        let error = handle.sign(first.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn a_revoked_key_does_not_sign_again_if_somebody_enables_it_and_revoking_disables_it_again() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let long = revocation(&"a reason of some length, ü, \"quoted\" 🔑 ".repeat(30));
    provider.revoke(key.kid(), &long).await.expect("revoked");
    fake.azure.set_enabled("ring", true);
    for handle in [Arc::clone(&provider), fake.remote("ring").await] {
        let listed = find(&handle.list().await.expect("listed"), key.kid()).expect("a revoked key is listed");
        assert_eq!(listed.revoked.as_ref(), Some(&long));
        let error = handle.sign(key.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
    }
    provider.revoke(key.kid(), &revocation("again")).await.expect("revoked");
    let listed = find(&provider.list().await.expect("listed"), key.kid()).expect("listed");
    assert_eq!((listed.state, listed.revoked), (KeyState::Disabled, Some(long)));
}

#[tokio::test]
async fn a_reason_that_does_not_fit_into_the_tags_is_refused_and_nothing_is_changed() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let error = provider
        .revoke(key.kid(), &revocation(&"x".repeat(2_000)))
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidConfig);
    assert!(error.source.to_string().contains("shorter reason"), "{}", error.source);
    assert_eq!(fake.called("UpdateKey"), 0);
}

#[tokio::test]
async fn a_mark_that_a_change_of_tags_wipes_at_the_same_moment_is_written_again() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let azure = Arc::clone(&fake.azure);
    let tags = azure.tags("ring");
    // Somebody adds a tag in the portal, which writes back all the tags that it read earlier.
    fake.server.script(
        "UpdateKey",
        Fault::Changed(Arc::new(move |response| {
            let mut old: Vec<(&str, &str)> = tags
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            old.push(("cost-centre", "4711"));
            azure.set_tags("ring", &old);
            response
        })),
    );
    provider
        .revoke(key.kid(), &revocation("stolen"))
        .await
        .expect("revoked");
    assert_eq!(fake.called("UpdateKey"), 4, "written and looked at, twice");
    let keys = fake.remote("ring").await.list().await.expect("listed");
    assert_eq!(keys[0].revoked, Some(revocation("stolen")));
    let tags = fake.azure.tags("ring");
    assert!(tags.contains_key("cost-centre"), "tags of others stay");
}

#[tokio::test]
async fn a_mark_that_was_wiped_later_still_binds_the_process_that_saw_it_and_can_be_restored() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let clean = fake.azure.tags("ring");
    let clean: Vec<(&str, &str)> = clean
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    provider
        .revoke(key.kid(), &revocation("stolen"))
        .await
        .expect("revoked");
    fake.azure.set_tags("ring", &clean);
    fake.azure.set_enabled("ring", true);
    let listed = find(&provider.list().await.expect("listed"), key.kid()).expect("listed");
    assert_eq!(listed.revoked, Some(revocation("stolen")));
    let error = provider.sign(key.kid(), b"message").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::KeyUnusable);
    provider.revoke(key.kid(), &revocation("again")).await.expect("revoked");
    let restored = fake.remote("ring").await.list().await.expect("listed");
    assert_eq!(restored[0].revoked, Some(revocation("stolen")), "the first reason");
}

#[tokio::test]
async fn tags_that_somebody_removed_or_changed_are_an_error_that_says_how_to_put_them_back() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    create(&*provider, None).await;
    let good = fake.azure.tags("ring");
    let good: Vec<(&str, &str)> = good
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let but = |name: &str, value: Option<&'static str>| {
        let mut tags = good.clone();
        tags.retain(|(tag, _)| *tag != name);
        tags.extend(value.map(|value| ("signet-alg", value)));
        tags
    };
    for wrong in [vec![], but("signet-alg", None), but("signet-alg", Some("RS256"))] {
        fake.azure.set_tags("ring", &wrong);
        let error = provider.list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        let text = error.source.to_string();
        assert!(
            text.contains("signet-alg=ES256") && text.contains("signet-ring=ring"),
            "{text}"
        );
    }
    // A process that has not seen the key cannot tell our version without tags from somebody else's.
    fake.azure.set_tags("ring", &but("signet-alg", None));
    let error = fake.remote("ring").await.list().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    fake.azure.set_tags("ring", &good);
    assert_eq!(provider.list().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn an_answer_about_another_version_or_key_is_not_believed() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    let elsewhere = [
        "https://evil.example/keys/ring/0123",
        "",
        "https://localhost/keys/other/0123",
    ];
    let other_version = format!("{}/{}", fake.key("ring"), "0".repeat(32));
    for kid in elsewhere.into_iter().chain([other_version.as_str()]) {
        let lie = kid.to_owned();
        fake.server
            .script("Sign", changed(move |body| body["kid"] = json!(lie)));
        let error = provider.sign(second.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{kid}");

        let lie = kid.to_owned();
        fake.server
            .script("GetKey", changed(move |body| body["key"]["kid"] = json!(lie)));
        let error = fake.remote("ring").await.list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{kid}");
    }
    // The same version, but of another key or another vault.
    for (from, to) in [("/keys/ring/", "/keys/other/"), ("localhost", "evil.example")] {
        let elsewhere = move |kid: &Value| json!(kid.as_str().expect("text").replace(from, to));
        fake.server
            .script("Sign", changed(move |body| body["kid"] = elsewhere(&body["kid"])));
        let error = provider.sign(second.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{to}");
        fake.server.script(
            "GetKeyVersions",
            changed(move |body| body["value"][0]["kid"] = elsewhere(&body["value"][0]["kid"])),
        );
        assert_eq!(
            provider.list().await.expect_err("refused").kind,
            ErrorKind::BadAnswer,
            "{to}"
        );
    }
    for short in ["", "AAAA"] {
        fake.server
            .script("Sign", changed(move |body| body["value"] = json!(short)));
        let error = provider.sign(second.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
    fake.server.script(
        "GetKeyVersions",
        changed(|body| body["value"][0]["attributes"] = json!({})),
    );
    assert_eq!(provider.list().await.expect_err("refused").kind, ErrorKind::BadAnswer);
    fake.server.script(
        "GetKeyVersions",
        changed(|body| body["value"][0]["attributes"]["created"] = json!(1)),
    );
    assert_eq!(
        provider.list().await.expect_err("a key never changes").kind,
        ErrorKind::BadAnswer
    );
}

#[tokio::test]
async fn a_version_of_which_the_vault_does_not_know_yet_is_listed_by_who_made_it() {
    let fake = Fake::with(Settings {
        hidden_for: 3,
        ..Settings::default()
    });
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let listed = provider.list().await.expect("listed");
    assert_eq!((listed.len(), listed[0].kid()), (1, key.kid()));
    let error = provider.sign(key.kid(), b"message").await.expect_err("not there yet");
    assert_eq!(error.kind, ErrorKind::NotFound, "which is tried again after a creation");
    let again = create(&*provider, None).await;
    assert_eq!(again.kid(), key.kid(), "no second first key");
    provider.sign(key.kid(), b"message").await.expect("now it is there");
}

#[tokio::test]
async fn a_key_that_another_process_destroyed_a_moment_after_it_was_made_is_gone() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    let other = fake.remote("ring").await;
    other
        .retire(first.kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    let keys = provider.list().await.expect("listed");
    assert_eq!((keys.len(), keys[0].kid()), (1, second.kid()));
}

#[tokio::test]
async fn the_tags_of_a_destroyed_version_do_not_matter_any_more() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    let second = create(&*provider, Some(first.kid())).await;
    provider
        .retire(first.kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    fake.azure.set_first_tags("ring", &[("signet-ring", "ring")]);
    create(&*provider, Some(second.kid())).await;
    let keys = provider.list().await.expect("listed");
    assert_eq!((keys.len(), keys[0].kid()), (2, second.kid()));
}

#[tokio::test]
async fn a_version_outside_its_validity_is_disabled() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    fake.server.script(
        "GetKeyVersions",
        changed(|body| body["value"][0]["attributes"]["exp"] = json!(1_700_000_000)),
    );
    let listed = provider.list().await.expect("listed");
    assert_eq!(listed[0].state, KeyState::Disabled);
    let error = provider.sign(key.kid(), b"message").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::KeyUnusable);
    provider.list().await.expect("listed");
    provider.sign(key.kid(), b"message").await.expect("valid again");
}

#[tokio::test]
async fn of_disabled_keys_the_newest_64_are_listed_and_a_revoked_one_always() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let mut newest = create(&*provider, None).await;
    let revoked = newest.clone();
    for _ in 0..70 {
        newest = create(&*provider, Some(newest.kid())).await;
    }
    provider
        .revoke(revoked.kid(), &revocation("stolen"))
        .await
        .expect("revoked");
    fake.azure.set_enabled("ring", false);
    let keys = fake.remote("ring").await.list().await.expect("listed");
    assert_eq!(keys.len(), 65);
    assert!(find(&keys, revoked.kid()).is_some() && find(&keys, newest.kid()).is_some());
}

/// For example a process whose `SIGNET_ALSO_PUBLISH` names this ring.
#[tokio::test]
async fn who_may_only_read_reads_a_ring_with_disabled_versions_without_them() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let revoked = create(&*provider, None).await;
    let retired = create(&*provider, Some(revoked.kid())).await;
    let newest = create(&*provider, Some(retired.kid())).await;
    provider
        .revoke(revoked.kid(), &revocation("stolen"))
        .await
        .expect("revoked");
    provider
        .retire(retired.kid(), ExpiredKeys::Disable)
        .await
        .expect("retired");
    fake.azure.allow_only(CLIENT, ["Microsoft.KeyVault/vaults/keys/read"]);
    let keys = fake.remote("ring").await.list().await.expect("listed");
    assert_eq!((keys.len(), keys[0].kid()), (1, newest.kid()));
    // A process that saw them before still lists them.
    assert_eq!(provider.list().await.expect("listed").len(), 3);
}

#[tokio::test]
async fn a_name_that_belongs_to_a_deleted_key_is_refused_with_what_to_do() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let body = json!({"error": {"code": "Conflict", "message": "Key ring is currently in a deleted but recoverable state",
        "innererror": {"code": "ObjectIsDeletedButRecoverable"}}});
    fake.server
        .script("CreateKey", Fault::Answer(Response::json(409, &body)));
    let error = provider.create(&new_key(None)).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::KeyUnusable);
    assert!(error.source.to_string().contains("recover it"), "{}", error.source);
}
