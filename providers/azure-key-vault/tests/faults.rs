//! Scripted faults between us and the vault.

mod support;

use std::sync::Arc;
use std::time::Duration;

use signet_api::{ErrorKind, ExpiredKeys, KeyProvider, ProviderError, SETTLING};
use signet_base::Clock as _;
use signet_core::KeyState;
use signet_fakes::azure::{forbidden, throttled};
use signet_fakes::{Authority, Fault, Response};
use support::{Fake, create, find, new_key, revocation};

fn text(error: &ProviderError) -> String {
    error.source.to_string()
}

#[tokio::test]
async fn a_vault_that_wants_fewer_calls_is_throttled_with_its_own_word_on_when_to_come_back() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    fake.server.forget_calls();
    fake.server.script("Sign", Fault::Answer(throttled(7)));
    let error = provider.sign(key.kid(), b"message").await.expect_err("throttled");
    assert_eq!(
        (error.kind, error.retry_after),
        (ErrorKind::Throttled, Some(Duration::from_secs(7)))
    );
    assert_eq!(fake.called("Sign"), 1, "nothing but the guards retries");
    let in_millis = throttled(1).with("retry-after-ms", "250");
    fake.server.script("GetKeyVersions", Fault::Answer(in_millis));
    let error = provider.list().await.expect_err("throttled");
    assert_eq!(error.retry_after, Some(Duration::from_millis(250)));
}

#[tokio::test]
async fn each_refusal_of_the_vault_says_who_must_act_and_how() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let json = |status: u16, body: &str| Response::new(status, "application/json", body.to_owned());
    for (answer, kind, says) in [
        (
            forbidden("ForbiddenByRbac"),
            ErrorKind::PermissionDenied,
            "Microsoft.KeyVault/vaults/keys/sign/action",
        ),
        (
            forbidden("ForbiddenByPolicy"),
            ErrorKind::PermissionDenied,
            "access policy",
        ),
        (
            forbidden("ForbiddenByConnection"),
            ErrorKind::PermissionDenied,
            "private endpoint",
        ),
        (forbidden("ForbiddenByFirewall"), ErrorKind::PermissionDenied, "network"),
        (forbidden("KeyDisabled"), ErrorKind::KeyUnusable, "disabled"),
        (forbidden("KeyNotYetValidOrExpired"), ErrorKind::KeyUnusable, "validity"),
        (forbidden("KeyOperationForbidden"), ErrorKind::KeyUnusable, "key_ops"),
        (
            json(
                403,
                r#"{"error":{"code":"Forbidden","message":"Operation sign is not allowed on a disabled key."}}"#,
            ),
            ErrorKind::KeyUnusable,
            "disabled",
        ),
        (
            json(
                404,
                r#"{"error":{"code":"KeyNotFound","message":"A key was not found"}}"#,
            ),
            ErrorKind::NotFound,
            "SIGNET_KEY",
        ),
        (
            json(400, r#"{"error":{"code":"BadParameter","message":"no"}}"#),
            ErrorKind::InvalidConfig,
            "SIGNET_KEY",
        ),
        (
            json(500, r#"{"error":{"code":"InternalServerError"}}"#),
            ErrorKind::Unavailable,
            "tries again",
        ),
        (json(503, "<html>busy</html>"), ErrorKind::Unavailable, "503"),
        (json(504, ""), ErrorKind::TimedOut, "504"),
        (
            json(200, "<html>hotel wifi</html>"),
            ErrorKind::BadAnswer,
            "cannot be read",
        ),
        (json(302, ""), ErrorKind::BadAnswer, "302"),
    ] {
        fake.server.script("Sign", Fault::Answer(answer));
        let error = provider.sign(key.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, kind, "{}", text(&error));
        assert!(text(&error).contains(says), "{says}: {}", text(&error));
        assert!(
            text(&error).contains("/keys/ring"),
            "it names the key: {}",
            text(&error)
        );
        assert!(!format!("{error:?}").contains("fake-token"), "no token in an error");
    }
}

#[tokio::test]
async fn a_vault_that_never_answers_is_given_up_within_its_deadline() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    for operation in ["Sign", "GetKeyVersions"] {
        fake.server.script(operation, Fault::Hang);
    }
    let begun = tokio::time::Instant::now();
    let (signed, listed) = tokio::join!(provider.sign(key.kid(), b"message"), provider.list());
    for error in [signed.expect_err("given up"), listed.expect_err("given up")] {
        assert_eq!(error.kind, ErrorKind::TimedOut, "{}", text(&error));
    }
    assert!(begun.elapsed() < Duration::from_secs(7));
    provider.sign(key.kid(), b"message").await.expect("the next one signs");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_fails_at_once() {
    let fake = Fake::start();
    let stranger = fake.file("stranger.pem", Authority::new().pem());
    let variables = fake.variables_but(&[("SSL_CERT_FILE", stranger.to_str().expect("a path"))]);
    let config = signet_azure_key_vault::AzureConfig::new(&variables, &fake.key("ring")).expect("a configuration");
    let clock = Arc::new(signet_base::ManualClock::default());
    let provider = signet_azure_key_vault::remote(config, clock).await.expect("opens");
    let begun = tokio::time::Instant::now();
    let error = provider.list().await.expect_err("refused");
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(text(&error).contains("SSL_CERT_FILE"), "{}", text(&error));
    assert!(
        error.retry_after > Some(Duration::from_secs(20)),
        "no layer tries it again"
    );
}

#[tokio::test]
async fn a_certificate_of_entra_that_is_not_trusted_fails_at_once_and_names_the_setting() {
    let (fake, other) = (Fake::start(), Fake::start());
    let variables = fake.variables_but(&[("AZURE_AUTHORITY_HOST", &other.server.url())]);
    let config = signet_azure_key_vault::AzureConfig::new(&variables, &fake.key("ring")).expect("a configuration");
    let clock = Arc::new(signet_base::ManualClock::default());
    let provider = signet_azure_key_vault::remote(config, clock).await.expect("opens");
    let store = signet_azure_key_vault::store(&variables, "az://acme/rings/ring")
        .await
        .expect("a store");
    let begun = tokio::time::Instant::now();
    for error in [
        provider.list().await.expect_err("refused"),
        store.load().await.expect_err("refused"),
    ] {
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(error.kind, ErrorKind::Unavailable, "{}", text(&error));
        assert!(text(&error).contains("set SSL_CERT_FILE to"), "{}", text(&error));
        assert!(
            error.retry_after > Some(Duration::from_secs(20)),
            "no layer tries it again"
        );
    }
    assert_eq!(other.called("Token"), 0);
}

#[tokio::test]
async fn a_vault_that_is_down_is_unavailable_and_the_provider_opens_without_it() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let variables = fake.variables();
    let config = signet_azure_key_vault::AzureConfig::new(&variables, "https://localhost:9/keys/ring").expect("fine");
    let clock = Arc::new(signet_base::ManualClock::default());
    let nowhere = signet_azure_key_vault::remote(config, clock).await.expect("opens");
    let error = nowhere.list().await.expect_err("down");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    fake.server.script("*", Fault::Refused);
    let error = provider.list().await.expect_err("down");
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", text(&error));
    provider.list().await.expect("up again");
}

/// Loses the answer of each call of `run` in turn, until `run` succeeds.
async fn losing_each<F>(fake: &Fake, operations: &[&str], run: impl Fn() -> F)
where
    F: Future<Output = Result<(), ProviderError>>,
{
    for operation in operations {
        for fault in [Fault::LostAnswer, Fault::Refused] {
            // Script it several times: a request that the previous run abandoned may still arrive and use up the fault.
            for _ in 0..8 {
                fake.server.script(operation, fault.clone());
            }
            let outcome = run().await;
            assert!(outcome.is_err(), "the lost answer of {operation} is an error");
            fake.server.unscript();
        }
    }
    run().await.expect("without faults");
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_at_any_call_is_adopted_by_the_next() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let first = create(&*provider, None).await;
    for operation in ["GetKeyVersions", "CreateKey"] {
        let of = newest(&*provider).await;
        fake.server.script(operation, Fault::LostAnswer);
        provider.create(&new_key(Some(&of))).await.expect_err("lost");
        let before = fake.azure.versions("ring");
        let made = create(&*fake.remote("ring").await, Some(&of)).await;
        assert_eq!(made.predecessor.as_ref(), Some(&of));
        let grown = fake.azure.versions("ring") - before;
        assert_eq!(
            grown,
            usize::from(operation != "CreateKey"),
            "what was made is adopted, not made twice"
        );
    }
    assert_eq!(provider.list().await.expect("listed").len(), 3);
    assert!(find(&provider.list().await.expect("listed"), first.kid()).is_some());
}

async fn newest(provider: &dyn KeyProvider) -> signet_core::Kid {
    let keys = provider.list().await.expect("listed");
    let newest = keys.iter().max_by(|a, b| a.creation_order(b)).expect("a key");
    newest.kid().clone()
}

#[tokio::test]
async fn a_retirement_or_revocation_whose_answer_is_lost_at_any_call_comes_to_its_end_when_repeated() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let disabled = create(&*provider, None).await;
    let destroyed = create(&*provider, Some(disabled.kid())).await;
    let revoked = create(&*provider, Some(destroyed.kid())).await;
    let newest = create(&*provider, Some(revoked.kid())).await;
    let handle = || async { fake.remote("ring").await };

    // After it is disabled, no answer is left to lose.
    fake.server.script("UpdateKey", Fault::LostAnswer);
    provider
        .retire(disabled.kid(), ExpiredKeys::Disable)
        .await
        .expect_err("lost");
    provider
        .retire(disabled.kid(), ExpiredKeys::Disable)
        .await
        .expect("it happened");
    fake.server.script("UpdateKey", Fault::LostAnswer);
    provider
        .retire(destroyed.kid(), ExpiredKeys::Destroy)
        .await
        .expect_err("lost");
    let gone = provider
        .retire(destroyed.kid(), ExpiredKeys::Destroy)
        .await
        .expect_err("it happened");
    assert_eq!(gone.kind, ErrorKind::NotFound);

    fake.server.script("UpdateKey", Fault::LostAnswer);
    provider
        .revoke(revoked.kid(), &revocation("stolen"))
        .await
        .expect_err("lost");
    provider
        .revoke(revoked.kid(), &revocation("later"))
        .await
        .expect("it happened");
    let other = create(&*provider, Some(newest.kid())).await;
    losing_each(&fake, &["GetKeyVersions", "UpdateKey"], || async {
        // Only revocation is repeated here, because a new key each time would not test it. The result is checked below.
        handle().await.revoke(other.kid(), &revocation("stolen")).await
    })
    .await;

    let keys = provider.list().await.expect("listed");
    assert_eq!(find(&keys, disabled.kid()).expect("listed").state, KeyState::Disabled);
    assert!(find(&keys, destroyed.kid()).is_none());
    assert_eq!(
        find(&keys, revoked.kid()).expect("listed").revoked,
        Some(revocation("stolen"))
    );
    assert_eq!(
        find(&keys, other.kid()).expect("listed").revoked,
        Some(revocation("stolen"))
    );
    provider.sign(newest.kid(), b"message").await.expect("the newest signs");
}

/// This also holds if somebody sets the wall clock meanwhile.
#[tokio::test]
async fn a_version_that_a_list_lacks_is_listed_for_a_while_by_the_clock_that_nobody_sets() {
    let (fake, clock) = (Fake::start(), Arc::new(signet_base::ManualClock::default()));
    let provider = signet_azure_key_vault::remote(fake.config("ring"), clock.clone())
        .await
        .expect("opens");
    let key = create(&*provider, None).await;
    let listed_though_it_lacks = async || {
        let without = |_| Response::new(200, "application/json", "{\"value\":[],\"nextLink\":null}");
        fake.server.script("GetKeyVersions", Fault::Changed(Arc::new(without)));
        let keys = provider.list().await.expect("listed");
        find(&keys, key.kid()).is_some()
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
}
