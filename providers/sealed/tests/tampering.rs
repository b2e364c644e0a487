//! Somebody who can write to the store but cannot use the sealer can only cause errors.

mod common;

use common::forge::{decode, encode, with_ring_key, without_sealer};
use common::{TestSealer, ed25519, eventful, grow, handle, mark, sealed_by};
use serde_json::Value;
use signet_api::{ErrorKind, KeyProvider};
use signet_base::chain;
use signet_core::algorithm::RsaBits;
use signet_core::jwk::Jwk;
use signet_core::{Algorithm, KeyRecord, SigningKey};
use signet_sealed::{MemoryStore, Sealer as _};

type Edit = Box<dyn Fn(&mut Value)>;

/// All facts about a ring that affect anything else.
fn facts(keys: &[KeyRecord]) -> String {
    keys.iter()
        .map(|key| {
            let jwk = Jwk::from(&key.public);
            format!(
                "{jwk:?} {:?} {:?} {:?} {:?}\n",
                key.created_at, key.terms, key.state, key.revoked
            )
        })
        .collect()
}

async fn assert_refused(store: &MemoryStore, bytes: &[u8], provider: &dyn KeyProvider) -> String {
    store.overwrite(Some(bytes.to_vec()));
    let error = provider.list().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    let text = chain(&error);
    let created = provider
        .create(&ed25519(None))
        .await
        .expect_err("It creates no new ring");
    assert_eq!(created.kind, ErrorKind::BadAnswer);
    assert_eq!(store.bytes().as_deref(), Some(bytes), "what was there is still there");
    text
}

#[tokio::test]
async fn a_ring_truncated_at_any_length_is_refused_and_never_replaced() {
    let store = MemoryStore::default();
    eventful(&store).await;
    let bytes = store.bytes().expect("a ring");
    let whole = bytes.trim_ascii_end().len();
    for len in 0..whole {
        let text = assert_refused(&store, &bytes[..len], &handle(store.clone())).await;
        assert!(text.contains("Restore it from a backup"), "{text}");
    }
    store.overwrite(Some(bytes[..whole].to_vec()));
    assert_eq!(
        handle(store).list().await.expect("only the line feed is missing").len(),
        4
    );
}

#[tokio::test]
async fn every_flipped_bit_of_the_ring_is_refused_or_harmless() {
    let store = MemoryStore::default();
    let before = facts(&eventful(&store).await);
    let bytes = store.bytes().expect("a ring");
    let running = handle(store.clone());
    running.list().await.expect("lists");
    let mut harmless = 0;
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            store.overwrite(Some(flipped));
            // A process that has seen the ring reads it with the same code, so for that process one bit of each byte is
            // enough.
            for provider in [&handle(store.clone()), &running]
                .into_iter()
                .take(1 + usize::from(bit == 0))
            {
                match provider.list().await {
                    Ok(keys) => {
                        assert_eq!(facts(&keys), before, "octet {index}, bit {bit}");
                        harmless += 1;
                    }
                    Err(error) => assert_eq!(error.kind, ErrorKind::BadAnswer, "octet {index}, bit {bit}"),
                }
            }
        }
    }
    assert!(
        harmless < 200,
        "{harmless} flips, of white space outside the body, were harmless"
    );
}

#[tokio::test]
async fn garbage_and_emptiness_are_refused_with_what_to_do() {
    let store = MemoryStore::default();
    eventful(&store).await;
    let huge = vec![b' '; 9 * 1024 * 1024];
    for (bytes, text) in [
        (&b""[..], "it is empty"),
        (b"\n", "it is empty"),
        (b"\0\0\0\0", "not a ring document"),
        (b"[]", "not a ring document"),
        (b"{}", "not a ring document"),
        (b"\xff\xfe", "not a ring document"),
        (&huge, "longer than"),
    ] {
        let said = assert_refused(&store, bytes, &handle(store.clone())).await;
        assert!(
            said.contains(text) && said.contains("backup") && said.contains("memory"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn an_unknown_format_is_refused_by_its_name() {
    let store = MemoryStore::default();
    eventful(&store).await;
    let newer = br#"{"format":"signet-ring/2","something":"else"}"#;
    let text = assert_refused(&store, newer, &handle(store.clone())).await;
    assert!(
        text.contains("signet-ring/2") && text.contains("run the version that wrote it"),
        "{text}"
    );
}

#[tokio::test]
async fn a_forged_public_key_a_lifted_revocation_and_a_moved_instant_are_refused() {
    let store = MemoryStore::default();
    eventful(&store).await;
    let bytes = store.bytes().expect("a ring");
    let attacker = SigningKey::generate(Algorithm::EdDSA, RsaBits::B2048).expect("a key");
    let jwk = serde_json::to_value(Jwk::from(attacker.verifying_key())).expect("writes");
    let edits: [(&str, Edit); 8] = [
        ("another public key", {
            let jwk = jwk.clone();
            Box::new(move |ring| {
                ring["body"]["keys"][3]["kid"] = jwk["kid"].clone();
                ring["body"]["keys"][3]["public"] = jwk.clone();
            })
        }),
        ("one key more", {
            Box::new(move |ring| {
                let mut key = ring["body"]["keys"][3].clone();
                key["kid"] = jwk["kid"].clone();
                key["public"] = jwk.clone();
                key["created_at_ms"] = (key["created_at_ms"].as_i64().expect("a number") + 1).into();
                ring["body"]["keys"].as_array_mut().expect("keys").push(key);
            })
        }),
        (
            "one key less",
            Box::new(|ring| drop(ring["body"]["keys"].as_array_mut().expect("keys").pop())),
        ),
        (
            "no revocation",
            Box::new(|ring| {
                drop(
                    ring["body"]["keys"][0]
                        .as_object_mut()
                        .expect("a key")
                        .remove("revoked"),
                )
            }),
        ),
        (
            "a moved instant",
            Box::new(|ring| ring["body"]["keys"][3]["created_at_ms"] = 1.into()),
        ),
        (
            "another lead",
            Box::new(|ring| ring["body"]["keys"][3]["terms"]["lead_ms"] = 0.into()),
        ),
        (
            "a later generation",
            Box::new(|ring| ring["generation"] = 1_000_000.into()),
        ),
        ("another ring", Box::new(|ring| ring["ring"] = "gnir".into())),
    ];
    for (what, edit) in edits {
        let forged = without_sealer(&bytes, edit);
        let text = assert_refused(&store, &forged, &handle(store.clone())).await;
        assert!(
            text.contains("authentication code") || text.contains("\"gnir\""),
            "{what}: {text}"
        );
    }
}

#[tokio::test]
async fn a_ring_of_another_sealer_or_another_name_is_refused() {
    let (store, foreign) = (MemoryStore::default(), MemoryStore::default());
    eventful(&store).await;
    grow(&sealed_by(TestSealer::new(9), foreign.clone()), 1).await;
    let bytes = foreign.bytes().expect("a ring");
    assert_refused(&store, &bytes, &handle(store.clone())).await;
}

#[tokio::test]
async fn even_the_ring_key_does_not_let_private_keys_be_swapped() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    let keys = grow(&handle(store.clone()), 3).await;
    let bytes = store.bytes().expect("a ring");
    let swapped = with_ring_key(&bytes, &sealer, |ring| {
        let first = ring["body"]["keys"][0]["wrapped"].take();
        ring["body"]["keys"][0]["wrapped"] = ring["body"]["keys"][1]["wrapped"].take();
        ring["body"]["keys"][1]["wrapped"] = first;
    })
    .await;
    store.overwrite(Some(swapped));
    let provider = handle(store);
    assert_eq!(provider.list().await.expect("the code holds").len(), 3);
    for key in &keys[..2] {
        let error = provider.unseal(key.kid()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        let error = provider.sign(key.kid(), b"message").await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
    provider
        .sign(keys[2].kid(), b"message")
        .await
        .expect("the third is as it was");
}

#[tokio::test]
async fn even_the_ring_key_does_not_let_a_private_key_have_other_terms_or_another_age() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    let keys = grow(&handle(store.clone()), 1).await;
    let bytes = store.bytes().expect("a ring");
    let edits: [Edit; 2] = [
        Box::new(|ring| ring["body"]["keys"][0]["terms"]["lead_ms"] = 0.into()),
        Box::new(|ring| {
            ring["body"]["keys"][0]["created_at_ms"] = 0.into();
            ring["body"]["keys"][0]["created_at"] = "1970-01-01T00:00:00.000Z".into();
        }),
    ];
    for edit in edits {
        store.overwrite(Some(with_ring_key(&bytes, &sealer, edit).await));
        let provider = handle(store.clone());
        provider.list().await.expect("the code holds");
        let error = provider.unseal(keys[0].kid()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
    }
}

#[tokio::test]
async fn a_private_key_that_is_not_the_half_of_its_public_key_is_refused() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    let keys = grow(&handle(store.clone()), 1).await;
    let other = SigningKey::generate(Algorithm::EdDSA, RsaBits::B2048).expect("a key");
    let context = signet_sealed::Context::new(
        "ring",
        signet_sealed::Purpose::PrivateKey {
            kid: keys[0].kid().clone(),
            algorithm: Algorithm::EdDSA,
            created_at: keys[0].created_at,
            terms: keys[0].terms.expect("terms"),
        },
    );
    for plaintext in [other.to_pkcs8().expect("encodes").to_vec(), b"no key at all".to_vec()] {
        let wrapped = sealer.wrap(&plaintext, &context).await.expect("wrapped");
        let bytes = store.bytes().expect("a ring");
        let forged = with_ring_key(&bytes, &sealer, |ring| {
            ring["body"]["keys"][0]["wrapped"] = encode(&wrapped)
        })
        .await;
        store.overwrite(Some(forged));
        let error = handle(store.clone()).unseal(keys[0].kid()).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        assert!(chain(&error).contains("is wrong"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn contradictions_are_refused_even_under_a_valid_code() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    eventful(&store).await;
    let bytes = store.bytes().expect("a ring");
    let edits: [(&str, Edit); 9] = [
        (
            "twice",
            Box::new(|ring| {
                let key = ring["body"]["keys"][3].clone();
                ring["body"]["keys"].as_array_mut().expect("keys").push(key);
            }),
        ),
        (
            "thumbprint",
            Box::new(|ring| ring["body"]["keys"][3]["kid"] = "other".into()),
        ),
        (
            "kid or algorithm",
            Box::new(|ring| ring["body"]["keys"][3]["alg"] = "ES256".into()),
        ),
        (
            "creation times differ",
            Box::new(|ring| ring["body"]["keys"][3]["created_at_ms"] = 5.into()),
        ),
        (
            "outside the years",
            Box::new(|ring| ring["body"]["keys"][3]["created_at_ms"] = i64::MAX.into()),
        ),
        (
            "contradict",
            Box::new(|ring| ring["body"]["keys"][1]["state"] = "enabled".into()),
        ),
        (
            "contradict",
            Box::new(|ring| ring["body"]["keys"][3]["revoked"] = ring["body"]["keys"][0]["revoked"].clone()),
        ),
        (
            "order of their creation",
            Box::new(|ring| ring["body"]["keys"].as_array_mut().expect("keys").reverse()),
        ),
        (
            "unknown field",
            Box::new(|ring| ring["body"]["keys"][3]["secret"] = true.into()),
        ),
    ];
    for (what, edit) in edits {
        let forged = with_ring_key(&bytes, &sealer, edit).await;
        let text = assert_refused(&store, &forged, &handle(store.clone())).await;
        assert!(text.contains(what), "{what}: {text}");
    }
    let untouched = with_ring_key(&bytes, &sealer, |_| ()).await;
    store.overwrite(Some(untouched));
    handle(store)
        .list()
        .await
        .expect("the forger writes valid documents where it changes nothing");
}

#[tokio::test]
async fn an_older_ring_is_refused_by_a_process_that_has_seen_a_newer_one() {
    let store = MemoryStore::default();
    let provider = handle(store.clone());
    let keys = grow(&provider, 2).await;
    let old = store.bytes().expect("a ring");
    provider.revoke(keys[0].kid(), &mark("stolen")).await.expect("revoked");
    let new = store.bytes().expect("a ring");

    for _ in 0..2 {
        let text = assert_refused(&store, &old, &provider).await;
        assert!(text.contains("was rolled back") && text.contains("restart"), "{text}");
        // This holds even after another document was refused in between.
        assert_refused(&store, b"garbage", &provider).await;
    }
    store.overwrite(Some(old));
    assert_eq!(
        handle(store.clone())
            .list()
            .await
            .expect("a process that starts now cannot know")
            .len(),
        2
    );
    store.overwrite(Some(new));
    provider.list().await.expect("the newest is taken again");
}

#[tokio::test]
async fn another_ring_of_the_same_generation_is_refused() {
    let store = MemoryStore::default();
    grow(&handle(store.clone()), 2).await;
    let base = store.bytes().expect("a ring");
    let provider = handle(store.clone());
    grow(&provider, 1).await;
    store.overwrite(Some(base));
    grow(&handle(store.clone()), 1).await;
    let fork = store.bytes().expect("a ring");
    assert_refused(&store, &fork, &provider).await;
}

#[tokio::test]
async fn a_ring_that_disappears_is_never_silently_replaced() {
    let store = MemoryStore::default();
    let provider = handle(store.clone());
    let keys = grow(&provider, 1).await;
    store.overwrite(None);
    for error in [
        provider.list().await.expect_err("refused"),
        provider.create(&ed25519(None)).await.expect_err("refused"),
        provider
            .create(&ed25519(Some(keys[0].kid())))
            .await
            .expect_err("refused"),
    ] {
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        assert!(chain(&error).contains("disappeared"), "{}", chain(&error));
    }
    assert_eq!(store.bytes(), None);
}

#[tokio::test]
async fn a_replaced_ring_key_is_refused_by_a_process_that_knows_the_right_one() {
    let store = MemoryStore::default();
    let provider = handle(store.clone());
    grow(&provider, 1).await;
    store.overwrite(None);
    grow(&handle(store.clone()), 5).await;
    let other = store.bytes().expect("a ring of the same sealer and name");
    assert_refused(&store, &other, &provider).await;
    assert_eq!(
        decode(&serde_json::from_slice::<Value>(&other).expect("JSON")["mac"]).len(),
        32
    );
}
