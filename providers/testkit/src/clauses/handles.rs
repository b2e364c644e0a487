//! Several handles to one ring, as different replicas have them.

use std::future::Future;
use std::sync::Arc;

use signet_api::{ExpiredKeys, Trials};
use signet_core::KeyState;
use tokio::task::JoinSet;

use crate::clauses::signing::revocation;
use crate::ring::{assert_same_key, create, few_algorithms, find, list, quickest};
use crate::subject::Subject;

/// A handle that is opened later, as after a restart, has the same keys and signs with them.
pub async fn another_handle_sees_the_same_ring<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let mut of = None;
    for algorithm in few_algorithms(&*subject.provider) {
        of = Some(create(&*subject.provider, algorithm, of.as_ref()).await.kid().clone());
    }
    let other = subject.reopen().await;
    let (here, there) = (list(&*subject.provider).await, list(&*other).await);
    assert_eq!(here.len(), there.len());
    for key in &here {
        assert_same_key(key, find(&there, key.kid()).expect("the other handle lists it"));
        let signature = other.sign(key.kid(), b"message").await.expect("the other handle signs");
        assert!(key.public.verifies(b"message", signature.as_ref()));
    }
}

/// Two handles create, retire and revoke keys at the same time. Every change that was confirmed
/// is in the ring afterwards.
pub async fn changes_at_once_through_two_handles_all_come_true<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    const EACH: usize = 5;
    let subject = fresh().await;
    let handles = [Arc::clone(&subject.provider), subject.reopen().await];
    let algorithm = quickest(&*subject.provider);
    let mut keys = Vec::new();
    for _ in 0..=2 * EACH {
        let of = keys.last().map(|key: &signet_core::KeyRecord| key.kid());
        keys.push(create(&*subject.provider, algorithm, of).await);
    }
    let last = keys.pop().expect("a key");
    let mut changes = JoinSet::new();
    for (index, key) in keys.iter().enumerate() {
        let (handle, kid) = (Arc::clone(&handles[index % 2]), key.kid().clone());
        changes.spawn(async move {
            match index < EACH {
                true => handle.retire(&kid, ExpiredKeys::Disable).await,
                false => handle.revoke(&kid, &revocation("at once")).await,
            }
            .expect("changed");
        });
    }
    for handle in handles {
        let of = last.kid().clone();
        changes.spawn(async move {
            create(&*handle, algorithm, Some(&of)).await;
        });
    }
    changes.join_all().await;

    let after = list(&*subject.provider).await;
    for (index, key) in keys.iter().enumerate() {
        let listed = find(&after, key.kid());
        if index < EACH {
            assert!(listed.is_none_or(|key| key.state == KeyState::Disabled && key.revoked.is_none()));
        } else {
            assert!(listed.is_some_and(|key| key.revoked.is_some()), "no revocation is lost");
        }
    }
    assert!(find(&after, last.kid()).is_some_and(|key| key.state == KeyState::Enabled));
}

/// `check` passes on a working provider, with and without a ring, and changes nothing. `prune` finds nothing to do.
pub async fn checks_pass_and_leave_nothing_behind<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    for keys in 0..2 {
        let checks = Trials::of(async |trials| provider.check(trials).await).await;
        assert!(!checks.is_empty());
        for check in checks {
            assert!(!check.answer.is_bad(), "{}: {:?}", check.permission, check.answer);
            assert!(!check.needed_for.is_empty());
        }
        assert_eq!(list(provider).await.len(), keys);
        assert!(provider.prune().await.expect("prunes").is_empty());
        assert_eq!(list(provider).await.len(), keys);
        create(provider, quickest(provider), None).await;
    }
}
