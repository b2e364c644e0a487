//! The ring in detail: ages, retirement, revocation, the use of the sealer, and the readable form.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{TestSealer, ed25519, eventful, grow, handle, mark, sealed_by};
use serde_json::Value;
use signet_api::{ErrorKind, ExpiredKeys, KeyProvider, ProviderError, Trials, async_trait};
use signet_base::ManualClock;
use signet_base::chain;
use signet_core::{KeyRecord, KeyState, Kid, Terms, Timestamp};
use signet_sealed::{MemoryStore, RingStore, Sealed, Stored, Swap, Version};
use signet_testkit::new_key;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

fn document(store: &MemoryStore) -> Value {
    serde_json::from_slice(&store.bytes().expect("a ring")).expect("JSON")
}

#[tokio::test]
async fn an_empty_store_lists_as_an_empty_ring_and_stays_empty() {
    let store = MemoryStore::default();
    assert!(handle(store.clone()).list().await.expect("lists").is_empty());
    assert_eq!(store.writes(), 0);
}

#[tokio::test]
async fn the_successor_of_a_key_that_an_empty_ring_never_had_is_not_made() {
    let store = MemoryStore::default();
    let unknown = Kid::new("unknown");
    let error = handle(store.clone())
        .create(&ed25519(Some(&unknown)))
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(store.writes(), 0);
}

#[tokio::test]
async fn each_key_is_younger_than_the_one_before_though_the_clock_stands_still_or_goes_back() {
    let clock = Arc::new(ManualClock::default());
    let provider = Sealed::new(
        "ring",
        "test",
        TestSealer::new(7),
        MemoryStore::default(),
        Arc::clone(&clock) as _,
    );
    let start = signet_base::Clock::now(&*clock);
    let first = grow(&provider, 1).await.remove(0);
    let second = grow(&provider, 1).await.remove(0);
    clock.set(Timestamp::from_secs(0));
    let third = grow(&provider, 1).await.remove(0);
    clock.set(start.plus(Duration::from_secs(60)));
    let fourth = grow(&provider, 1).await.remove(0);
    let ages: Vec<i64> = [first, second, third, fourth]
        .iter()
        .map(|key| key.created_at.as_millis() - start.as_millis())
        .collect();
    assert_eq!(ages, [0, 1, 2, 60_000]);
}

#[tokio::test]
async fn a_clock_beyond_all_calendars_makes_no_key() {
    let store = MemoryStore::default();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(i64::MAX)));
    let provider = Sealed::new("ring", "test", TestSealer::new(7), store.clone(), clock);
    let error = provider.create(&ed25519(None)).await.expect_err("refused");
    assert!(chain(&error).contains("outside the years"), "{}", chain(&error));
    assert_eq!(store.writes(), 0);
}

#[tokio::test]
async fn terms_are_kept_in_whole_milliseconds_from_the_first_answer_on() {
    let provider = handle(MemoryStore::default());
    let mut new = ed25519(None);
    new.terms = Terms::new(
        Duration::from_micros(1500),
        new.terms.token_max_ttl,
        new.terms.retention,
    );
    let created = provider.create(&new).await.expect("a key");
    let listed = provider.list().await.expect("lists").remove(0);
    assert_eq!(created.terms, listed.terms);
    assert_eq!(created.terms.map(|terms| terms.lead), Some(Duration::from_millis(1)));
}

#[tokio::test]
async fn the_newest_key_that_can_sign_is_not_retired() {
    let provider = handle(MemoryStore::default());
    let keys = grow(&provider, 3).await;
    for action in [ExpiredKeys::Disable, ExpiredKeys::Destroy] {
        let error = provider.retire(keys[2].kid(), action).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
        assert!(chain(&error).contains("newest key of the ring"), "{}", chain(&error));
    }
    // The newest key is revoked, so the one before it is the last that can sign.
    provider.revoke(keys[2].kid(), &mark("stolen")).await.expect("revoked");
    provider
        .retire(keys[1].kid(), ExpiredKeys::Destroy)
        .await
        .expect_err("refused");
    provider
        .retire(keys[0].kid(), ExpiredKeys::Destroy)
        .await
        .expect("an older one is");
}

#[tokio::test]
async fn retirement_and_revocation_erase_the_private_key() {
    let store = MemoryStore::default();
    eventful(&store).await;
    let ring = document(&store);
    let wrapped: Vec<bool> = (0..4)
        .map(|index| ring["body"]["keys"][index]["wrapped"].is_string())
        .collect();
    assert_eq!(wrapped, [false, false, true, true]);
}

#[tokio::test]
async fn a_revoked_key_that_is_destroyed_keeps_its_mark() {
    let store = MemoryStore::default();
    let keys = eventful(&store).await;
    let provider = handle(store.clone());
    let writes = store.writes();
    provider
        .retire(keys[0].kid(), ExpiredKeys::Destroy)
        .await
        .expect("destroyed");
    let listed = provider.list().await.expect("lists");
    assert_eq!(
        listed[0].revoked.as_ref().map(|mark| mark.reason.as_str()),
        Some("stolen")
    );
    assert_eq!(store.writes(), writes, "it had nothing left to lose");
}

#[tokio::test]
async fn a_retired_key_can_still_be_revoked() {
    let store = MemoryStore::default();
    let keys = eventful(&store).await;
    let provider = handle(store);
    provider
        .revoke(keys[1].kid(), &mark("found in a log"))
        .await
        .expect("revoked");
    let listed = provider.list().await.expect("lists");
    assert!(listed[1].revoked.is_some());
}

#[tokio::test]
async fn calls_that_change_nothing_write_nothing() {
    let store = MemoryStore::default();
    let keys = eventful(&store).await;
    let provider = handle(store.clone());
    let writes = store.writes();
    provider.revoke(keys[0].kid(), &mark("again")).await.expect("twice");
    provider
        .retire(keys[0].kid(), ExpiredKeys::Disable)
        .await
        .expect("revoked already");
    provider
        .retire(keys[1].kid(), ExpiredKeys::Disable)
        .await
        .expect("twice");
    provider.create(&ed25519(None)).await.expect("the newest");
    provider.list().await.expect("lists");
    Trials::of(async |trials| provider.check(trials).await).await;
    assert_eq!(store.writes(), writes);
}

#[tokio::test]
async fn the_newest_64_disabled_keys_are_kept_and_every_revoked_one() {
    let provider = handle(MemoryStore::default());
    let keys = grow(&provider, 70).await;
    provider.revoke(keys[0].kid(), &mark("stolen")).await.expect("revoked");
    for key in &keys[1..69] {
        provider.retire(key.kid(), ExpiredKeys::Disable).await.expect("retired");
    }
    let listed = provider.list().await.expect("lists");
    let disabled: Vec<&KeyRecord> = listed
        .iter()
        .filter(|key| key.state == KeyState::Disabled && key.revoked.is_none())
        .collect();
    assert_eq!(disabled.len(), 64);
    assert_eq!(disabled[0].kid(), keys[5].kid(), "the oldest went");
    assert!(listed[0].revoked.is_some(), "the revoked one did not");
    assert_eq!(listed.last().map(KeyRecord::kid), Some(keys[69].kid()));
}

#[tokio::test]
async fn with_the_sealer_down_the_ring_still_lists_where_its_key_is_known() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    let provider = sealed_by(sealer.clone(), store.clone());
    let keys = grow(&provider, 2).await;
    sealer.set_down(true);
    assert_eq!(provider.list().await.expect("lists").len(), 2);
    provider
        .revoke(keys[0].kid(), &mark("stolen"))
        .await
        .expect("an emergency does not wait for the sealer");
    for error in [
        provider.unseal(keys[1].kid()).await.expect_err("no private key"),
        provider
            .create(&ed25519(Some(keys[1].kid())))
            .await
            .expect_err("no new key"),
        sealed_by(sealer.clone(), store.clone())
            .list()
            .await
            .expect_err("the ring key is not known"),
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable);
    }
    sealer.set_down(false);
    provider.unseal(keys[1].kid()).await.expect("up again");
}

#[tokio::test]
async fn the_ring_key_is_unwrapped_once_and_a_private_key_only_when_asked_for() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    let keys = grow(&handle(store.clone()), 2).await;
    let provider = sealed_by(sealer.clone(), store);
    for _ in 0..5 {
        provider.list().await.expect("lists");
    }
    assert_eq!(sealer.unwraps(), 1);
    provider.unseal(keys[0].kid()).await.expect("unsealed");
    assert_eq!(sealer.unwraps(), 2);
}

#[tokio::test]
async fn a_check_names_what_is_broken() {
    let (store, sealer) = (MemoryStore::default(), TestSealer::new(7));
    grow(&handle(store.clone()), 1).await;
    let provider = sealed_by(sealer.clone(), store);
    sealer.set_down(true);
    let broken = Trials::of(async |trials| provider.check(trials).await).await;
    let [unknown] = broken.as_slice() else {
        panic!("the first failure ends the trials: {broken:?}");
    };
    assert_eq!(unknown.answer.as_str(), "unknown");
    sealer.set_down(false);
    assert!(
        Trials::of(async |trials| provider.check(trials).await)
            .await
            .iter()
            .all(|check| check.answer.is_yes())
    );
}

#[tokio::test]
async fn a_person_can_read_the_document() {
    let store = MemoryStore::default();
    let keys = eventful(&store).await;
    let text = String::from_utf8(store.bytes().expect("a ring")).expect("UTF-8");
    assert!(text.lines().count() > 40 && text.ends_with("}\n"), "{text}");
    assert!(text.contains("\n      {\n        \"kid\""), "{text}");
    let ring = document(&store);
    assert_eq!(ring["format"], "signet-ring/1");
    assert_eq!(ring["generation"], 6, "four keys, a revocation, a retirement");
    let key = &ring["body"]["keys"][1];
    assert_eq!(key["kid"], keys[1].kid().as_str());
    assert_eq!(key["predecessor"], keys[0].kid().as_str());
    assert_eq!(key["created_at"], "2026-01-01T00:00:00.001Z");
    assert_eq!(key["created_at_ms"], 1_767_225_600_001_i64);
    assert_eq!(key["state"], "disabled");
    assert_eq!(key["public"]["use"], "sig");
    assert_eq!(ring["body"]["keys"][0]["revoked"]["reason"], "stolen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_creates_through_fifty_handles_make_one_key_a_round() {
    let store = MemoryStore::default();
    let handles: Vec<_> = (0..50).map(|_| Arc::new(handle(store.clone()))).collect();
    let mut of = None;
    for round in 1..=4 {
        let mut racers = JoinSet::new();
        for provider in &handles {
            let (provider, new) = (
                Arc::clone(provider),
                new_key(signet_core::Algorithm::ES256, of.as_ref()),
            );
            racers.spawn(async move { provider.create(&new).await.expect("a key").kid().clone() });
        }
        let made = racers.join_all().await;
        assert!(made.iter().all(|kid| *kid == made[0]));
        assert_eq!(handles[0].list().await.expect("lists").len(), round);
        of = made.into_iter().next();
    }
}

/// A store whose first answer is held back until the test releases it.
#[derive(Debug)]
struct Delayed {
    inner: MemoryStore,
    first: Semaphore,
    taken: Arc<Notify>,
    release: Arc<Notify>,
}

#[async_trait]
impl RingStore for Delayed {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn load(&self) -> Result<Option<Stored>, ProviderError> {
        let stored = self.inner.load().await?;
        if let Ok(permit) = self.first.try_acquire() {
            permit.forget();
            self.taken.notify_one();
            self.release.notified().await;
        }
        Ok(stored)
    }

    async fn compare_and_swap(&self, expected: Option<&Version>, bytes: &[u8]) -> Result<Swap, ProviderError> {
        self.inner.compare_and_swap(expected, bytes).await
    }

    async fn check(&self, _: &mut Trials) {}
}

#[tokio::test]
async fn an_answer_that_was_overtaken_by_our_own_write_is_no_rollback() {
    let inner = MemoryStore::default();
    let keys = grow(&handle(inner.clone()), 1).await;
    let (taken, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let provider = Arc::new(handle(Delayed {
        inner,
        first: Semaphore::new(1),
        taken: Arc::clone(&taken),
        release: Arc::clone(&release),
    }));
    let slow = tokio::spawn({
        let provider = Arc::clone(&provider);
        async move { provider.list().await }
    });
    taken.notified().await;
    provider.create(&ed25519(Some(keys[0].kid()))).await.expect("a key");
    release.notify_one();
    let old = slow.await.expect("ends").expect("an honest answer, though an old one");
    assert_eq!(old.len(), 1);
    assert_eq!(provider.list().await.expect("lists").len(), 2);
}
