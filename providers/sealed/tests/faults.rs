//! At each call, the store fails, loses the swap, or acts and loses its answer.

mod common;

use common::{ed25519, grow, handle, mark};
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider};
use signet_base::chain;
use signet_core::{KeyState, Kid};
use signet_sealed::{Fault, FaultyStore, MemoryStore};

const FAULTS: [Fault; 4] = [
    Fault::Fails(ErrorKind::Unavailable),
    Fault::Fails(ErrorKind::Throttled),
    Fault::AnswerLost,
    Fault::Loses,
];

#[derive(Clone, Copy, Debug)]
enum Call {
    First,
    Successor,
    Disable,
    Destroy,
    Revoke,
}

async fn carry_out(call: Call, provider: &dyn KeyProvider, keys: &[Kid]) -> Result<(), ErrorKind> {
    match call {
        Call::First => provider.create(&ed25519(None)).await.map(|_| ()),
        Call::Successor => provider.create(&ed25519(keys.last())).await.map(|_| ()),
        Call::Disable => provider.retire(&keys[0], ExpiredKeys::Disable).await,
        Call::Destroy => provider.retire(&keys[0], ExpiredKeys::Destroy).await,
        Call::Revoke => provider.revoke(&keys[0], &mark("fault")).await,
    }
    .map_err(|error| error.kind)
}

#[tokio::test]
async fn a_fault_at_any_call_leaves_a_ring_on_which_the_repeated_call_comes_true() {
    for call in [Call::First, Call::Successor, Call::Disable, Call::Destroy, Call::Revoke] {
        for fault in FAULTS {
            for before in 0..3 {
                let memory = MemoryStore::default();
                let store = FaultyStore::new(memory.clone());
                let provider = handle(store.clone());
                let count = if matches!(call, Call::First) { 0 } else { 2 };
                let keys: Vec<Kid> = grow(&provider, count)
                    .await
                    .iter()
                    .map(|key| key.kid().clone())
                    .collect();

                store.script(std::iter::repeat_n(Fault::None, before).chain([fault]));
                let first = carry_out(call, &provider, &keys).await;
                // Use up the rest of the script.
                while provider.list().await.is_err() {}
                let again = carry_out(call, &provider, &keys).await;
                let what = format!("{call:?}, {fault:?} after {before} calls: {first:?}, then {again:?}");
                if matches!(call, Call::Destroy) {
                    assert!(matches!(again, Ok(()) | Err(ErrorKind::NotFound)), "{what}");
                } else {
                    assert_eq!(again, Ok(()), "{what}");
                }
                if fault == Fault::Loses {
                    assert_eq!(first, Ok(()), "{what}: a lost race is run again");
                }

                let listed = handle(memory).list().await.expect("lists");
                let oldest = keys.first().and_then(|kid| listed.iter().find(|key| key.kid() == kid));
                match call {
                    Call::First => assert_eq!(listed.len(), 1, "{what}"),
                    Call::Successor => assert_eq!(listed.len(), 3, "{what}"),
                    Call::Disable => assert_eq!(oldest.map(|key| key.state), Some(KeyState::Disabled), "{what}"),
                    Call::Destroy => assert!(oldest.is_none() && listed.len() == 1, "{what}"),
                    Call::Revoke => assert!(oldest.is_some_and(|key| key.revoked.is_some()), "{what}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_key_whose_answer_was_lost_is_adopted_by_the_next_create() {
    let memory = MemoryStore::default();
    let store = FaultyStore::new(memory.clone());
    let provider = handle(store.clone());
    store.script([Fault::None, Fault::AnswerLost]);
    let error = provider.create(&ed25519(None)).await.expect_err("the answer is lost");
    assert_eq!(error.kind, ErrorKind::TimedOut);
    let made = handle(memory.clone()).list().await.expect("lists");
    assert_eq!(made.len(), 1, "but the key is made");
    let adopted = provider.create(&ed25519(None)).await.expect("a key");
    assert_eq!(adopted.kid(), made[0].kid());
    assert_eq!(memory.writes(), 1);
}

#[tokio::test]
async fn a_race_that_is_lost_for_ever_ends_as_unavailable_and_changes_nothing() {
    let memory = MemoryStore::default();
    let store = FaultyStore::new(memory.clone());
    let provider = handle(store.clone());
    let keys = grow(&provider, 1).await;
    let writes = memory.writes();
    store.script(std::iter::repeat_n([Fault::None, Fault::Loses], 1000).flatten());
    let error = provider
        .create(&ed25519(Some(keys[0].kid())))
        .await
        .expect_err("gives up");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        chain(&error).contains("other sidecars changed the ring"),
        "{}",
        chain(&error)
    );
    let error = provider
        .revoke(keys[0].kid(), &mark("never"))
        .await
        .expect_err("gives up");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(memory.writes(), writes);
}

#[tokio::test]
async fn an_error_of_the_store_bears_the_name_of_the_provider_and_of_the_call() {
    let store = FaultyStore::new(MemoryStore::default());
    let provider = handle(store.clone());
    store.script([Fault::Fails(ErrorKind::Throttled)]);
    let error = provider.list().await.expect_err("scripted");
    assert_eq!(error.to_string(), "test: list failed (throttled)");
}
