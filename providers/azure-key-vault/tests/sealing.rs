//! The sealer accepts only what it made itself, for the same context, as a caller that may use the vault's key.

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use signet_api::ErrorKind;
use signet_azure_key_vault::sealer;
use signet_fakes::{Fault, Response};
use signet_sealed::{Context, Purpose, Sealer};
use support::Fake;

fn context() -> Context {
    Context::new("ring", Purpose::RingKey)
}

async fn fresh() -> (Fake, Arc<dyn Sealer>) {
    let fake = Fake::start();
    fake.azure.create_elsewhere("ring", "RSA", "2048");
    let sealer = sealer(fake.config("ring")).await.expect("opens");
    (fake, sealer)
}

#[tokio::test]
async fn what_was_wrapped_unwraps_whole_in_its_own_context_alone() {
    let (fake, sealer) = fresh().await;
    let secret = vec![7; 4096];
    let wrapped = sealer.wrap(&secret, &context()).await.expect("wrapped");
    assert_eq!(fake.counted(), [("GetKey".to_owned(), 1), ("Sign".to_owned(), 1)]);
    let unwrapped = sealer.unwrap(&wrapped, &context()).await.expect("unwrapped");
    assert_eq!(unwrapped.as_slice(), secret);
    assert_eq!(fake.counted(), [("UnwrapKey".to_owned(), 1)]);
    assert_ne!(wrapped, sealer.wrap(&secret, &context()).await.expect("wrapped"));
    for other in [
        Context::new("ring", Purpose::Trial),
        Context::new("gnir", Purpose::RingKey),
    ] {
        let error = sealer.unwrap(&wrapped, &other).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
}

#[tokio::test]
async fn a_blob_that_was_changed_anywhere_is_refused_before_the_vault_decrypts_it() {
    let (fake, sealer) = fresh().await;
    let wrapped = sealer.wrap(b"secret", &context()).await.expect("wrapped");
    fake.counted();
    for len in (0..wrapped.len()).step_by(7).chain([wrapped.len() - 1]) {
        let error = sealer.unwrap(&wrapped[..len], &context()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "cut to {len}");
    }
    for index in 0..wrapped.len() {
        let mut flipped = wrapped.clone();
        flipped[index] ^= 1;
        let error = sealer.unwrap(&flipped, &context()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "flipped at {index}");
    }
    assert!(
        !fake.server.calls().contains_key("UnwrapKey"),
        "{:?}",
        fake.server.calls()
    );
}

#[tokio::test]
async fn a_blob_of_another_key_is_refused_and_so_is_one_that_only_its_version_moved() {
    let (fake, sealer) = fresh().await;
    fake.azure.create_elsewhere("other", "RSA", "2048");
    let other = signet_azure_key_vault::sealer(fake.config("other"))
        .await
        .expect("opens");
    let wrapped = other.wrap(b"secret", &context()).await.expect("wrapped");
    let error = sealer.unwrap(&wrapped, &context()).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(error.source.to_string().contains("SIGNET_KEY"), "{}", error.source);
}

#[tokio::test]
async fn secrets_of_earlier_versions_open_after_the_key_was_rotated_also_in_a_new_process() {
    let (fake, sealer) = fresh().await;
    let mut wrapped = vec![sealer.wrap(b"first", &context()).await.expect("wrapped")];
    fake.azure.create_elsewhere("ring", "RSA", "3072");
    wrapped.push(sealer.wrap(b"second", &context()).await.expect("wrapped"));
    let other = signet_azure_key_vault::sealer(fake.config("ring"))
        .await
        .expect("opens");
    for (blob, secret) in wrapped.iter().zip(["first", "second"]) {
        for sealer in [&sealer, &other] {
            let unwrapped = sealer.unwrap(blob, &context()).await.expect("unwrapped");
            assert_eq!(unwrapped.as_slice(), secret.as_bytes());
        }
    }
}

#[tokio::test]
async fn a_key_that_cannot_seal_is_refused_with_the_command_that_makes_one() {
    let fake = Fake::start();
    fake.azure.create_elsewhere("curve", "EC", "P-256");
    let curve = sealer(fake.config("curve")).await.expect("opens");
    let error = curve.wrap(b"secret", &context()).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidConfig);
    assert!(error.source.to_string().contains("--kty RSA"), "{}", error.source);
    let none = sealer(fake.config("none")).await.expect("opens");
    let error = none.wrap(b"secret", &context()).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_disabled_key_neither_seals_nor_unseals() {
    let (fake, sealer) = fresh().await;
    let wrapped = sealer.wrap(b"secret", &context()).await.expect("wrapped");
    fake.azure.set_enabled("ring", false);
    for error in [
        sealer.wrap(b"secret", &context()).await.expect_err("refused"),
        sealer.unwrap(&wrapped, &context()).await.expect_err("refused"),
    ] {
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
    }
}

#[tokio::test]
async fn a_vault_that_answers_wrongly_is_not_believed() {
    let (fake, sealer) = fresh().await;
    let wrapped = sealer.wrap(b"secret", &context()).await.expect("wrapped");
    let lie = |name: &'static str, value: Value| {
        Fault::Changed(Arc::new(move |response: Response| {
            let mut body: Value = serde_json::from_slice(&response.body).expect("JSON");
            body[name] = value.clone();
            Response::json(200, &body)
        }))
    };
    for value in ["AAAA", "", &"A".repeat(43)] {
        fake.server.script("UnwrapKey", lie("value", json!(value)));
        let error = sealer.unwrap(&wrapped, &context()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{value}");
        fake.server.script("Sign", lie("value", json!(value)));
        let error = sealer.wrap(b"secret", &context()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer, "{value}");
    }
    let elsewhere = json!(format!("{}/{}", fake.key("ring"), "0".repeat(32)));
    for operation in ["UnwrapKey"] {
        fake.server.script(operation, lie("kid", elsewhere.clone()));
        let error = sealer.unwrap(&wrapped, &context()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
}
