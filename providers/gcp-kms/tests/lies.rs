//! Answers that were changed on the way are all refused.

mod common;

use std::sync::Arc;

use common::{Cloud, RING, clock, create, es256};
use serde_json::{Value, json};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider, ProviderError};
use signet_core::Algorithm;
use signet_fakes::{Fault, Response};
use signet_gcp_kms::{NAME, sealer, store};
use signet_sealed::{Context, Purpose, Sealed};
use signet_testkit::{new_key, run};

fn changed(change: impl Fn(&mut Value) + Send + Sync + 'static) -> Fault {
    Fault::Changed(Arc::new(move |response: Response| {
        let mut body = serde_json::from_slice(&response.body).expect("JSON");
        change(&mut body);
        Response::json(response.status.as_u16(), &body)
    }))
}

/// Removes the field, or replaces its value.
fn with(field: &'static str, value: Value) -> Fault {
    changed(move |body| match &value {
        Value::Null => drop(body.as_object_mut().expect("an object").remove(field)),
        value => body[field] = value.clone(),
    })
}

fn assert_lie(error: &ProviderError, what: &str) {
    assert_eq!(error.kind, ErrorKind::BadAnswer, "{what}: {}", error.source);
}

#[test]
fn a_signature_that_is_not_what_was_asked_for_is_not_used() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/sign");
        let provider = cloud.remote(&key).await;
        let first = create(&*provider, None).await;
        create(&*provider, Some(first.kid())).await;
        let other = format!("{key}/cryptoKeyVersions/2");
        let table = [
            ("name", json!(other)),
            ("name", Value::Null),
            ("signatureCrc32c", json!("1")),
            ("signatureCrc32c", Value::Null),
            ("signature", json!("AAAA")),
            ("verifiedDigestCrc32c", Value::Null),
            ("verifiedDigestCrc32c", json!(false)),
            ("protectionLevel", json!(2)),
        ];
        for (field, value) in table {
            cloud.server.script("AsymmetricSign", with(field, value.clone()));
            let error = provider.sign(first.kid(), b"message").await.expect_err(field);
            assert_lie(&error, &format!("{field}: {value}"));
        }
        // The checksum is right, but the signature is not two numbers.
        cloud.server.script(
            "AsymmetricSign",
            changed(|body| {
                body["signature"] = json!("AAAA");
                body["signatureCrc32c"] = json!(crc32c::crc32c(&[0; 3]).to_string());
            }),
        );
        assert_lie(
            &provider.sign(first.kid(), b"message").await.expect_err("no numbers"),
            "not DER",
        );
        for garbage in ["<html>", "{\"signature\":7}"] {
            let answer = Response::new(200, "text/html", garbage);
            cloud.server.script("AsymmetricSign", Fault::Answer(answer));
            assert_lie(
                &provider.sign(first.kid(), b"message").await.expect_err(garbage),
                garbage,
            );
        }
        provider.sign(first.kid(), b"message").await.expect("the truth");
    });
}

#[test]
fn data_that_google_did_not_verify_is_not_signed_for() {
    run(async {
        let cloud = Cloud::new();
        let provider = cloud.remote(&format!("{RING}/cryptoKeys/data")).await;
        let made = provider.create(&new_key(Algorithm::EdDSA, None)).await.expect("a key");
        cloud
            .server
            .script("AsymmetricSign", with("verifiedDataCrc32c", Value::Null));
        assert_lie(
            &provider.sign(made.kid(), b"message").await.expect_err("unverified"),
            "unverified",
        );
        provider.sign(made.kid(), b"message").await.expect("the truth");
    });
}

#[test]
fn a_public_key_that_is_not_that_of_the_version_is_not_published() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/public");
        create(&*cloud.remote(&key).await, None).await;
        let other = format!("{key}/cryptoKeyVersions/2");
        for (field, value) in [
            ("name", json!(other)),
            ("pemCrc32c", json!("1")),
            ("pemCrc32c", Value::Null),
            (
                "pem",
                json!("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
            ),
            ("pem", json!("")),
        ] {
            cloud.server.script("GetPublicKey", with(field, value.clone()));
            let error = cloud.remote(&key).await.list().await.expect_err(field);
            assert_lie(&error, &format!("{field}: {value}"));
        }
        // The checksum is right, but the algorithm is not the listed one.
        cloud.server.script(
            "ListCryptoKeyVersions",
            changed(|body| {
                body["cryptoKeyVersions"][0]["algorithm"] = json!(13);
            }),
        );
        assert_lie(
            &cloud.remote(&key).await.list().await.expect_err("another curve"),
            "another curve",
        );
    });
}

#[test]
fn a_list_that_contradicts_itself_is_an_error_and_never_a_shorter_ring() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/list");
        let provider = cloud.remote(&key).await;
        create(&*provider, None).await;
        let version = |change: fn(&mut Value)| changed(move |body| change(&mut body["cryptoKeyVersions"][0]));
        for (what, fault) in [
            (
                "another key's version",
                version(|v| v["name"] = json!("projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1")),
            ),
            (
                "no creation instant",
                version(|v| {
                    let fields = v.as_object_mut().expect("an object");
                    fields.remove("createTime");
                    fields.remove("generateTime");
                }),
            ),
            ("an unknown state", version(|v| v["state"] = json!(99))),
            (
                "a list without an end",
                changed(|body| body["nextPageToken"] = json!("after-0")),
            ),
        ] {
            let endless = what.contains("without an end");
            for _ in 0..if endless { 100 } else { 1 } {
                cloud.server.script("ListCryptoKeyVersions", fault.clone());
            }
            assert_lie(&provider.list().await.expect_err(what), what);
            cloud.server.unscript();
        }
        // The key is in one list and not in the other.
        for _ in 0..3 {
            cloud.server.script("ListCryptoKeys", with("cryptoKeys", Value::Null));
        }
        assert_eq!(
            provider.list().await.expect_err("half a ring").kind,
            ErrorKind::Unavailable
        );
        assert_eq!(provider.list().await.expect("the truth").len(), 1);
    });
}

#[test]
fn a_change_that_the_answer_does_not_show_is_not_taken_for_done() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/change");
        let provider = cloud.remote(&key).await;
        let first = create(&*provider, None).await;
        create(&*provider, Some(first.kid())).await;
        for (operation, action) in [
            ("UpdateCryptoKeyVersion", ExpiredKeys::Disable),
            ("DestroyCryptoKeyVersion", ExpiredKeys::Destroy),
        ] {
            cloud.server.script(operation, with("state", json!(1)));
            assert_lie(
                &provider.retire(first.kid(), action).await.expect_err(operation),
                operation,
            );
        }
        cloud
            .server
            .script("CreateCryptoKeyVersion", with("name", json!("projects/p")));
        let newest = cloud.remote(&format!("{RING}/cryptoKeys/change-2")).await;
        assert_lie(
            &newest.create(&es256(None)).await.expect_err("another key's version"),
            "create",
        );
        // The version was created and is adopted.
        create(&*newest, None).await;
        assert_eq!(cloud.google.states(&format!("{RING}/cryptoKeys/change-2")), ["ENABLED"]);
    });
}

#[test]
fn sealed_keys_are_checked_both_ways() {
    run(async {
        let cloud = Cloud::new();
        let key = format!("{RING}/cryptoKeys/sealing");
        cloud.google.create_symmetric_key(&key);
        let sealer = sealer(cloud.config(&key)).await.expect("opens");
        let store = store(&cloud.usual(), "gs://rings/lies/ring.json").await.expect("opens");
        let provider = Sealed::new("signet", NAME, sealer, store, clock());
        for (field, value) in [
            (
                "name",
                json!("projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"),
            ),
            ("ciphertext", json!("AAAA")),
            ("ciphertextCrc32c", Value::Null),
            ("verifiedPlaintextCrc32c", Value::Null),
            ("verifiedAdditionalAuthenticatedDataCrc32c", Value::Null),
        ] {
            cloud.server.script("Encrypt", with(field, value.clone()));
            let error = provider.create(&es256(None)).await.expect_err(field);
            assert_lie(&error, &format!("{field}: {value}"));
        }
        let made = create(&provider, None).await;
        for (field, value) in [("plaintext", json!("AAAA")), ("plaintextCrc32c", Value::Null)] {
            cloud.server.script("Decrypt", with(field, value.clone()));
            let error = provider.unseal(made.kid()).await.expect_err(field);
            assert_lie(&error, &format!("{field}: {value}"));
        }
        provider.unseal(made.kid()).await.expect("the truth");
        // A ciphertext of another key.
        let other = format!("{RING}/cryptoKeys/sealing-2");
        cloud.google.create_symmetric_key(&other);
        let foreign = signet_gcp_kms::sealer(cloud.config(&other)).await.expect("opens");
        let place = signet_gcp_kms::store(&cloud.usual(), "gs://rings/lies/ring.json")
            .await
            .expect("opens");
        let error = Sealed::new("signet", NAME, foreign, place, clock())
            .list()
            .await
            .expect_err("another key");
        assert_lie(&error, "another key");
    });
}

#[test]
fn a_secret_unwraps_in_its_own_context_and_under_its_own_key_alone() {
    run(async {
        let cloud = Cloud::new();
        let keys = ["wrap-1", "wrap-2"].map(|name| format!("{RING}/cryptoKeys/{name}"));
        for key in &keys {
            cloud.google.create_symmetric_key(key);
        }
        let [one, two] = keys.map(|key| cloud.config(&key));
        let (one, two) = (sealer(one).await.expect("opens"), sealer(two).await.expect("opens"));
        let context = Context::new("ring", Purpose::RingKey);
        let wrapped = one.wrap(b"secret", &context).await.expect("wrapped");
        assert_eq!(
            one.unwrap(&wrapped, &context).await.expect("unwrapped").as_slice(),
            b"secret"
        );
        let mut flipped = wrapped.clone();
        *flipped.last_mut().expect("octets") ^= 1;
        for refused in [
            one.unwrap(&wrapped, &Context::new("gnir", Purpose::RingKey)).await,
            one.unwrap(&wrapped, &Context::new("ring", Purpose::Trial)).await,
            one.unwrap(&flipped, &context).await,
            one.unwrap(&[], &context).await,
            two.unwrap(&wrapped, &context).await,
        ] {
            assert_lie(&refused.expect_err("another context, key or text"), "unwrap");
        }
    });
}
