//! Clauses 1, 2, 3 and 9: creating keys.

use std::future::Future;
use std::sync::Arc;

use signet_api::{Claim, ErrorKind};
use signet_core::{Algorithm, KeyState};
use tokio::task::JoinSet;

use crate::ring::{assert_same_key, create, few_algorithms, find, list, new_key, newest, quickest, terms};
use crate::subject::Subject;

/// Clause 1 for every key type. An empty ring lists as empty.
pub async fn clause_01_a_created_key_is_listed<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    assert!(list(provider).await.is_empty(), "a fresh ring is empty");
    let mut of = None;
    for (index, algorithm) in few_algorithms(provider).into_iter().enumerate() {
        let created = create(provider, algorithm, of.as_ref()).await;
        let keys = list(provider).await;
        assert_eq!(keys.len(), index + 1);
        let listed = find(&keys, created.kid()).expect("the created key is listed");
        assert_same_key(&created, listed);
        assert_eq!(listed.public.algorithm(), algorithm);
        assert_eq!(listed.state, KeyState::Enabled);
        assert!(listed.revoked.is_none());
        of = Some(created.kid().clone());
    }
}

/// Clause 2, through the whole life of a key.
pub async fn clause_02_a_key_never_changes<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let first = create(provider, algorithm, None).await;
    assert!(
        first.terms.is_none_or(|held| held == terms()),
        "the provider keeps the terms unchanged, or not at all"
    );
    let second = create(provider, algorithm, Some(first.kid())).await;
    assert!(second.created_at >= first.created_at);
    assert_ne!(second.kid(), first.kid());
    let third = create(provider, algorithm, Some(second.kid())).await;
    provider
        .retire(first.kid(), signet_api::ExpiredKeys::Disable)
        .await
        .expect("retired");
    let revocation = crate::clauses::signing::revocation("no longer trusted");
    provider.revoke(second.kid(), &revocation).await.expect("revoked");
    for handle in [Arc::clone(&subject.provider), subject.reopen().await] {
        let keys = list(&*handle).await;
        for before in [&second, &third] {
            assert_same_key(before, find(&keys, before.kid()).expect("still listed"));
        }
        if let Some(after) = find(&keys, first.kid()) {
            assert_same_key(&first, after);
        }
    }
}

/// Clause 3: with an atomic claim, asking for the successor of a key that is not the newest creates nothing.
pub async fn clause_03_successors_are_of_a_named_key<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let first = create(provider, algorithm, None).await;
    let second = create(provider, algorithm, Some(first.kid())).await;
    for stale in [None, Some(first.kid())] {
        let again = create(provider, algorithm, stale).await;
        let keys = list(provider).await;
        match provider.capabilities().claim {
            Claim::Atomic => {
                assert_same_key(&again, &second);
                assert_eq!(keys.len(), 2, "nothing was made");
            }
            Claim::Tolerated => assert_same_key(&again, find(&keys, again.kid()).expect("it is listed")),
        }
    }
}

/// Clause 3: many callers on two handles ask for the first key and then for its successor.
pub async fn clause_03_a_race_for_one_successor_makes_one_key<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    const RACERS: usize = 24;
    let subject = fresh().await;
    let handles = [Arc::clone(&subject.provider), subject.reopen().await];
    let algorithm = quickest(&*subject.provider);
    let mut of = None;
    for round in 1..=3 {
        let mut racers = JoinSet::new();
        for racer in 0..RACERS {
            let (handle, new) = (Arc::clone(&handles[racer % 2]), new_key(algorithm, of.as_ref()));
            racers.spawn(async move { handle.create(&new).await.expect("a key") });
        }
        let made = racers.join_all().await;
        let keys = list(&*subject.provider).await;
        if subject.provider.capabilities().claim == Claim::Atomic {
            assert_eq!(keys.len(), round, "one key for {RACERS} racers");
            for key in &made {
                assert_same_key(key, &made[0]);
            }
        }
        for key in &made {
            assert_same_key(key, find(&keys, key.kid()).expect("every created key is listed"));
        }
        of = newest(&keys).map(|key| key.kid().clone());
    }
}

/// Clause 9. If the provider declares every algorithm, there is nothing to test.
pub async fn clause_09_an_algorithm_that_is_not_declared_is_refused<F: Future<Output = Subject>>(
    fresh: impl Fn() -> F,
) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let declared = provider.capabilities().algorithms;
    assert!(!declared.is_empty());
    for algorithm in Algorithm::ALL.into_iter().filter(|other| !declared.contains(other)) {
        let error = provider.create(&new_key(algorithm, None)).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::InvalidConfig, "{algorithm}");
        assert!(list(provider).await.is_empty(), "nothing was made");
    }
}
