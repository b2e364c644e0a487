//! The promises of the store, with a store in memory that behaves and one that does not.

mod common;
#[path = "common/strange.rs"]
mod strange;

use std::sync::Arc;

use common::handle;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use signet_api::{Answer, ErrorKind, ExpiredKeys, KeyProvider, ProviderError, Trials};
use signet_core::{Algorithm, KeyState, Kid, Revocation, Timestamp};
use signet_objects::{Grants, ObjectRing};
use signet_sealed::{RingStore, Stored, Swap};
use signet_testkit::new_key;
use strange::{Strange, StrangeStore};

const POLICY: &str = "{\n  \"Action\": \"s3:GetObject\"\n}";

fn ring(store: &StrangeStore) -> ObjectRing {
    let grants = Grants {
        read: Some(POLICY.to_owned()),
        write: Some("{ \"Action\": \"s3:PutObject\" }".to_owned()),
    };
    ObjectRing::new(Arc::new(store.clone()), "eu/ring", "s3://rings/eu/ring", grants).expect("a ring")
}

async fn object(store: &StrangeStore) -> Option<Vec<u8>> {
    let answer = store.inner.get(&Path::from("eu/ring")).await.ok()?;
    Some(answer.bytes().await.expect("bytes").to_vec())
}

async fn overwrite(store: &StrangeStore, bytes: &[u8]) {
    store
        .inner
        .put(&Path::from("eu/ring"), bytes.to_vec().into())
        .await
        .expect("put");
}

fn text(error: &ProviderError) -> String {
    error.source.to_string()
}

async fn loaded(ring: &ObjectRing) -> Stored {
    ring.load().await.expect("loads").expect("a document")
}

#[tokio::test]
async fn a_document_is_loaded_and_swapped_and_a_stale_swap_loses() {
    let store = StrangeStore::default();
    let (here, there) = (ring(&store), ring(&store));
    assert_eq!(here.load().await.expect("loads"), None);
    let Swap::Stored(first) = here.compare_and_swap(None, b"1").await.expect("swaps") else {
        panic!("an empty place takes it");
    };
    assert_eq!(there.compare_and_swap(None, b"x").await.expect("swaps"), Swap::Lost);
    let seen = loaded(&there).await;
    assert_eq!((seen.bytes.as_slice(), &seen.version), (b"1".as_slice(), &first));
    let Swap::Stored(second) = there.compare_and_swap(Some(&first), b"2").await.expect("swaps") else {
        panic!("the version is right");
    };
    assert_ne!(first, second);
    assert_eq!(
        here.compare_and_swap(Some(&first), b"x").await.expect("swaps"),
        Swap::Lost
    );
    assert_eq!(loaded(&here).await.bytes, b"2");
    store.inner.delete(&Path::from("eu/ring")).await.expect("deleted");
    assert_eq!(
        here.compare_and_swap(Some(&second), b"x").await.expect("swaps"),
        Swap::Lost
    );
    assert_eq!(
        object(&store).await,
        None,
        "a swap never makes a document that was taken away"
    );
}

#[tokio::test]
async fn one_of_two_writers_wins_each_round() {
    let store = StrangeStore::default();
    let rings = [Arc::new(ring(&store)), Arc::new(ring(&store))];
    let mut expected = None;
    for round in 0..50 {
        let race = rings.each_ref().map(|ring| {
            let (ring, expected) = (Arc::clone(ring), expected.clone());
            tokio::spawn(async move {
                ring.compare_and_swap(expected.as_ref(), format!("{round}").as_bytes())
                    .await
            })
        });
        let mut stored = Vec::new();
        for racer in race {
            match racer.await.expect("ran").expect("swaps") {
                Swap::Stored(version) => stored.push(version),
                Swap::Lost => {}
            }
        }
        assert_eq!(stored.len(), 1, "round {round}");
        expected = stored.pop();
        assert_eq!(Some(loaded(&rings[0]).await.version), expected);
    }
}

#[tokio::test]
async fn a_steady_swap_is_one_request_and_the_first_of_its_kind_two() {
    let store = StrangeStore::default();
    let ring = ring(&store);
    let Swap::Stored(mut version) = ring.compare_and_swap(None, b"0").await.expect("swaps") else {
        panic!("stored");
    };
    for round in 0..3 {
        let swap = ring.compare_and_swap(Some(&version), &[round]).await.expect("swaps");
        let Swap::Stored(next) = swap else { panic!("stored") };
        version = next;
    }
    ring.load().await.expect("loads");
    let expected = [
        "put create",
        "put create",
        "put update",
        "put update",
        "put update",
        "put update",
        "get",
    ];
    assert_eq!(store.calls(), expected);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_for_good() {
    for (creates, updates) in [(true, false), (false, true), (true, true)] {
        let store = StrangeStore::default();
        store.ignores(creates, updates);
        let ring = ring(&store);
        let error = match ring.compare_and_swap(None, b"1").await {
            Err(error) => {
                assert!(creates);
                error
            }
            Ok(Swap::Stored(version)) => {
                assert!(!creates);
                ring.compare_and_swap(Some(&version), b"2").await.expect_err("refused")
            }
            Ok(Swap::Lost) => panic!("nobody else writes"),
        };
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        assert!(
            text(&error).contains("ignores the conditions of a write"),
            "{}",
            text(&error)
        );
        assert!(text(&error).contains("s3://rings/eu/ring") && text(&error).contains("SIGNET_STORE"));
        let calls = store.calls().len();
        let version = loaded(&ring).await.version;
        for expected in [None, Some(&version)] {
            let again = ring.compare_and_swap(expected, b"3").await.expect_err("refused");
            assert_eq!(again.kind, ErrorKind::BadAnswer);
        }
        assert_eq!(store.calls().len(), calls + 1, "only the load: nothing more is written");
    }
}

#[tokio::test]
async fn check_finds_a_store_that_ignores_conditions_and_leaves_it_as_it_was() {
    for before in [None, Some(b"ring".to_vec())] {
        let store = StrangeStore::default();
        if let Some(bytes) = &before {
            overwrite(&store, bytes).await;
        }
        store.ignores(true, true);
        let checks = Trials::of(async |trials| ring(&store).check(trials).await).await;
        assert!(checks[0].answer.is_yes());
        let error = checks[1].answer.error().expect("refused");
        assert_eq!(error.kind, ErrorKind::BadAnswer);
        assert_eq!(object(&store).await, before, "what was there is there");
    }
}

#[tokio::test]
async fn check_proves_both_permissions_and_changes_nothing() {
    for before in [None, Some(b"ring".to_vec())] {
        let store = StrangeStore::default();
        if let Some(bytes) = &before {
            overwrite(&store, bytes).await;
        }
        let checks = Trials::of(async |trials| ring(&store).check(trials).await).await;
        assert!(checks.iter().all(|check| check.answer.is_yes()), "{checks:?}");
        assert_eq!(checks[0].grant.as_deref(), Some(POLICY));
        assert_eq!(store.calls(), ["get", "put update"]);
        assert_eq!(object(&store).await, before);
    }
}

#[tokio::test]
async fn check_says_which_of_the_two_permissions_is_missing() {
    const DENIED: Strange = Strange::Answers(
        "403 Forbidden",
        "<Code>AccessDenied</Code><Message>Access Denied</Message>",
    );
    let store = StrangeStore::default();
    store.script([Strange::No, DENIED]);
    let checks = Trials::of(async |trials| ring(&store).check(trials).await).await;
    assert!(checks[0].answer.is_yes());
    let error = checks[1].answer.error().expect("denied");
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(
        text(error),
        "cannot write s3://rings/eu/ring (SIGNET_STORE): the store answered 403 AccessDenied (Access Denied). The \
         credentials do not allow this process to write it; to grant it: { \"Action\": \"s3:PutObject\" }"
    );

    // If the store cannot be read, writing is not tried.
    store.script([DENIED]);
    let checks = Trials::of(async |trials| ring(&store).check(trials).await).await;
    let error = checks[0].answer.error().expect("denied");
    assert_eq!(
        text(error),
        "cannot read s3://rings/eu/ring (SIGNET_STORE): the store answered 403 AccessDenied (Access Denied). The \
         credentials do not allow this process to read it; to grant it: { \"Action\": \"s3:GetObject\" }"
    );
    assert!(
        matches!(&checks[1].answer, Answer::NotTried(why) if why.contains("could overwrite the ring")),
        "{:?}",
        checks[1].answer
    );
    assert_eq!(store.calls(), ["get", "put update", "get"]);
}

#[tokio::test]
async fn an_answer_without_a_version_is_refused() {
    let store = StrangeStore::default();
    overwrite(&store, b"ring").await;
    store.tells_no_version();
    let ring = ring(&store);
    let error = ring.load().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(
        text(&error).contains("neither an entity tag nor a version"),
        "{}",
        text(&error)
    );
    store.inner.delete(&Path::from("eu/ring")).await.expect("deleted");
    let error = ring.compare_and_swap(None, b"1").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
}

#[tokio::test]
async fn a_document_that_is_too_long_or_broken_off_is_refused() {
    const LONGEST: usize = 8 * 1024 * 1024;
    let store = StrangeStore::default();
    let ring = ring(&store);
    overwrite(&store, &vec![b'x'; LONGEST]).await;
    assert_eq!(loaded(&ring).await.bytes.len(), LONGEST);
    overwrite(&store, &vec![b'x'; LONGEST + 1]).await;
    let error = ring.load().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(text(&error).contains("longer than 8388608 bytes"), "{}", text(&error));
    // An object that is declared too long is not read.
    overwrite(&store, b"short").await;
    store.claims_size(LONGEST as u64 + 1);
    assert_eq!(ring.load().await.expect_err("refused").kind, ErrorKind::BadAnswer);
    // The store declares a wrong length.
    overwrite(&store, &vec![b'x'; LONGEST + 1]).await;
    store.claims_size(10);
    assert_eq!(ring.load().await.expect_err("refused").kind, ErrorKind::BadAnswer);
    overwrite(&store, b"short").await;
    let error = ring.load().await.expect_err("interrupted");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(text(&error).contains("5 of 10 bytes"), "{}", text(&error));
}

#[tokio::test]
async fn a_missing_bucket_is_an_error_and_not_an_empty_ring() {
    const GONE: Strange = Strange::Answers("404 Not Found", "<Code>NoSuchBucket</Code><Message>gone</Message>");
    let store = StrangeStore::default();
    let ring = ring(&store);
    store.script([GONE, GONE]);
    for error in [
        ring.load().await.expect_err("no bucket"),
        ring.compare_and_swap(None, b"1").await.expect_err("no bucket"),
    ] {
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(
            text(&error)
                .contains("Correct SIGNET_STORE if it is wrong. Create the bucket only if there is no ring yet"),
            "{}",
            text(&error)
        );
    }
    // The store does not say which of the two is missing.
    store.script([Strange::Answers("404 Not Found", "")]);
    let error = ring.compare_and_swap(None, b"1").await.expect_err("no bucket");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_given_up() {
    let store = StrangeStore::default();
    let ring = ring(&store);
    store.script([Strange::Hangs, Strange::Hangs]);
    for error in [
        ring.load().await.expect_err("too slow"),
        ring.compare_and_swap(None, b"1").await.expect_err("too slow"),
    ] {
        assert_eq!(error.kind, ErrorKind::TimedOut);
        assert!(text(&error).contains("no answer within 15 s"), "{}", text(&error));
    }
}

#[tokio::test]
async fn a_fault_at_any_request_leaves_a_ring_on_which_the_repeated_call_comes_true() {
    const FAULTS: [Strange; 4] = [
        Strange::Answers("503 Service Unavailable", "<Code>SlowDown</Code>"),
        Strange::Answers("500 Internal Server Error", ""),
        Strange::Answers("409 Conflict", "<Code>ConditionalRequestConflict</Code>"),
        Strange::AnswerLost,
    ];
    for call in ["create", "retire", "revoke"] {
        for fault in FAULTS {
            for before in 0..4 {
                let store = StrangeStore::default();
                let keys = grow(&store, 2).await;
                let provider = handle(ring(&store));
                store.script(std::iter::repeat_n(Strange::No, before).chain([fault]));
                let first = carry_out(call, &provider, &keys).await;
                // Use up the rest of the script.
                while provider.list().await.is_err() {}
                let again = carry_out(call, &provider, &keys).await;
                let what = format!("{call}, {fault:?} after {before} requests: {first:?}, then {again:?}");
                assert!(again.is_ok(), "{what}");
                let listed = handle(ring(&store)).list().await.expect("lists");
                let oldest = listed.iter().find(|key| key.kid() == &keys[0]).expect("listed");
                match call {
                    "create" => assert_eq!(listed.len(), 3, "{what}"),
                    "retire" => assert_eq!(oldest.state, KeyState::Disabled, "{what}"),
                    _ => assert!(oldest.revoked.is_some(), "{what}"),
                }
            }
        }
    }
}

async fn grow(store: &StrangeStore, keys: usize) -> Vec<Kid> {
    let provider = handle(ring(store));
    let mut made: Vec<Kid> = Vec::new();
    for _ in 0..keys {
        let key = provider.create(&new_key(Algorithm::EdDSA, made.last())).await;
        made.push(key.expect("a key").kid().clone());
    }
    made
}

async fn carry_out(call: &str, provider: &dyn KeyProvider, keys: &[Kid]) -> Result<(), ErrorKind> {
    let mark = Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: "fault".to_owned(),
    };
    match call {
        "create" => provider
            .create(&new_key(Algorithm::EdDSA, keys.last()))
            .await
            .map(|_| ()),
        "retire" => provider.retire(&keys[0], ExpiredKeys::Disable).await,
        _ => provider.revoke(&keys[0], &mark).await,
    }
    .map_err(|error| error.kind)
}

#[test]
fn a_key_that_no_object_can_have_is_refused_when_opening() {
    for wrong in ["", "/", "a/", "/a", "a//b", "a/../b"] {
        let opened = ObjectRing::new(Arc::new(StrangeStore::default()), wrong, "s3://b/…", Grants::default());
        let error = opened.expect_err(wrong);
        assert_eq!(error.kind, ErrorKind::InvalidConfig, "{wrong}");
        assert!(text(&error).contains("SIGNET_STORE"), "{}", text(&error));
    }
}

#[test]
fn debug_shows_the_place_and_nothing_of_the_client() {
    let store = StrangeStore::default();
    assert_eq!(format!("{:?}", ring(&store)), "ObjectRing(\"s3://rings/eu/ring\")");
}
