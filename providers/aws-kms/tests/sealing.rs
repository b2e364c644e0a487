//! The sealer with a KMS key, and the number of calls for a sealed ring.

mod common;

use std::sync::Arc;

use common::{Cloud, clock, told};
use signet_api::{ErrorKind, ExpiredKeys};
use signet_aws_kms::{AwsKmsConfig, sealer};
use signet_core::Algorithm;
use signet_fakes::{Fault, Response};
use signet_sealed::{Context, Purpose, Sealer};
use signet_testkit::new_key;

async fn sealer_of(cloud: &Cloud, key: &str) -> Arc<dyn Sealer> {
    let config = AwsKmsConfig::new(&cloud.variables(&[]), key).expect("a configuration");
    sealer(config).await.expect("a sealer")
}

#[test]
fn what_was_sealed_opens_in_its_context_under_its_key_alone() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let (key, other) = (cloud.aws.create_symmetric_key(), cloud.aws.create_symmetric_key());
        cloud.aws.create_alias("alias/gateway", &key);
        let id = key.rsplit('/').next().expect("an id");
        let context = Context::new("ring", Purpose::RingKey);
        let secret = vec![7; 4096];
        let wrapped = sealer_of(&cloud, &key)
            .await
            .wrap(&secret, &context)
            .await
            .expect("wrapped");
        for name in [key.as_str(), id, "gateway", "alias/gateway"] {
            let opened = sealer_of(&cloud, name).await.unwrap(&wrapped, &context).await;
            assert_eq!(opened.map_err(|error| told(&error)).expect(name).as_slice(), secret);
        }
        let mut refusals = vec![sealer_of(&cloud, &other).await.unwrap(&wrapped, &context).await];
        let sealer = sealer_of(&cloud, &key).await;
        for context in [
            Context::new("gnir", Purpose::RingKey),
            Context::new("ring", Purpose::Trial),
        ] {
            refusals.push(sealer.unwrap(&wrapped, &context).await);
        }
        let mut flipped = wrapped.clone();
        *flipped.last_mut().expect("octets") ^= 1;
        refusals.push(sealer.unwrap(&flipped, &context).await);
        refusals.push(sealer.unwrap(&wrapped[..20], &context).await);
        for refusal in refusals {
            let error = refusal.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{}", told(&error));
        }
    });
}

#[test]
fn a_wrapping_key_that_is_disabled_or_being_deleted_does_nothing_and_says_what_to_do() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let key = cloud.aws.create_symmetric_key();
        let id = key.rsplit('/').next().expect("an id");
        let context = Context::new("ring", Purpose::RingKey);
        let sealer = sealer_of(&cloud, &key).await;
        let wrapped = sealer.wrap(b"secret", &context).await.expect("wrapped");
        for state in ["disabled", "deletion"] {
            match state {
                "disabled" => cloud.aws.disable(id),
                _ => cloud.aws.schedule_deletion(id),
            }
            let errors = [
                sealer.wrap(b"secret", &context).await.expect_err(state),
                sealer.unwrap(&wrapped, &context).await.expect_err(state),
            ];
            for error in errors {
                assert_eq!(error.kind, ErrorKind::KeyUnusable, "{}", told(&error));
                for command in ["aws kms cancel-key-deletion", "aws kms enable-key"] {
                    assert!(told(&error).contains(command), "{}", told(&error));
                }
            }
        }
        cloud.aws.enable(id);
        assert_eq!(
            sealer.unwrap(&wrapped, &context).await.expect("opened").as_slice(),
            b"secret"
        );
    });
}

#[test]
fn a_sealer_refuses_what_is_too_long_and_says_what_is_wrong_with_its_key() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let key = cloud.aws.create_symmetric_key();
        let context = Context::new("ring", Purpose::RingKey);
        let error = sealer_of(&cloud, &key)
            .await
            .wrap(&[7; 4097], &context)
            .await
            .expect_err("too long");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        assert!(cloud.server.calls().is_empty(), "KMS was not asked");
        let signing = cloud.aws.create_signing_key("not for sealing");
        for (key, kind) in [
            (signing.as_str(), ErrorKind::KeyUnusable),
            ("1234abcd-12ab-34cd-56ef-1234567890ab", ErrorKind::NotFound),
            ("alias/nobody", ErrorKind::NotFound),
        ] {
            let error = sealer_of(&cloud, key)
                .await
                .wrap(b"secret", &context)
                .await
                .expect_err("refused");
            assert_eq!(error.kind, kind, "{}", told(&error));
            assert!(
                told(&error).contains(key) && told(&error).contains("kms:Encrypt"),
                "{}",
                told(&error)
            );
        }
    });
}

#[test]
fn an_answer_of_another_key_is_not_believed() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let sealer = sealer_of(&cloud, &cloud.aws.create_symmetric_key()).await;
        let context = Context::new("ring", Purpose::RingKey);
        let wrapped = sealer.wrap(b"secret", &context).await.expect("wrapped");
        let swap = || {
            Fault::Changed(Arc::new(|mut response: Response| {
                let text = String::from_utf8(response.body.to_vec()).expect("text");
                response.body = text.replace(":key/", ":key/0").into();
                response
            }))
        };
        cloud.server.script("Encrypt", swap());
        cloud.server.script("Decrypt", swap());
        let wrapping = sealer.wrap(b"secret", &context).await.expect_err("refused");
        let unwrapping = sealer.unwrap(&wrapped, &context).await.expect_err("refused");
        for error in [wrapping, unwrapping] {
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{}", told(&error));
            assert!(!told(&error).contains("c2VjcmV0"), "{}", told(&error));
        }
    });
}

#[test]
fn the_calls_of_a_sealed_ring_are_counted() {
    signet_testkit::run(async {
        let cloud = Cloud::new();
        let key = cloud.aws.create_symmetric_key();
        let provider = cloud.sealed(&key, "ring.json", clock()).await;
        let count = || {
            let calls = cloud.server.calls();
            cloud.server.forget_calls();
            calls
                .into_iter()
                .map(|(name, calls)| format!("{name} {calls}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let first = provider.create(&new_key(Algorithm::ES256, None)).await.expect("a key");
        assert_eq!(
            count(),
            "Encrypt 2, GetObject 1, PutObject 2",
            "the ring's own key, and the proof of conditions"
        );
        let second = provider
            .create(&new_key(Algorithm::ES256, Some(first.kid())))
            .await
            .expect("a key");
        assert_eq!(
            count(),
            "Encrypt 1, GetObject 1, PutObject 2",
            "the proof of the other condition"
        );
        provider
            .create(&new_key(Algorithm::ES256, Some(second.kid())))
            .await
            .expect("a key");
        assert_eq!(count(), "Encrypt 1, GetObject 1, PutObject 1");
        provider.list().await.expect("listed");
        assert_eq!(count(), "GetObject 1");
        provider.unseal(second.kid()).await.expect("unsealed");
        assert_eq!(count(), "Decrypt 1, GetObject 1");
        provider
            .retire(first.kid(), ExpiredKeys::Disable)
            .await
            .expect("retired");
        assert_eq!(count(), "GetObject 1, PutObject 1");
        let other = cloud.sealed(&key, "ring.json", clock()).await;
        other.list().await.expect("listed");
        assert_eq!(
            count(),
            "Decrypt 1, GetObject 1",
            "the ring's own key, once for each process"
        );
    });
}
