//! Clause 10: calls that are dropped at each of their await points.

use std::future::Future;

use signet_api::{Claim, ExpiredKeys};

use crate::clauses::signing::revocation;
use crate::ring::{cancelled_after, create, find, list, new_key, newest, quickest};
use crate::subject::Subject;

/// The maximum number of steps in a call.
const MOST_STEPS: usize = 500;

/// Clause 10: if `create` is dropped at any step, the next call adopts the key that it made.
pub async fn clause_10_a_cancelled_create_leaves_at_most_the_successor<F: Future<Output = Subject>>(
    fresh: impl Fn() -> F,
) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let mut of = None;
    for steps in 0..MOST_STEPS {
        let before = list(provider).await.len();
        let new = new_key(algorithm, of.as_ref());
        let answered = cancelled_after(steps, provider.create(&new)).await;
        list(provider).await;
        let key = create(provider, algorithm, of.as_ref()).await;
        let keys = list(provider).await;
        assert!(find(&keys, key.kid()).is_some());
        match provider.capabilities().claim {
            Claim::Atomic => assert_eq!(keys.len(), before + 1, "dropped at step {steps}"),
            Claim::Tolerated => assert!((1..=2).contains(&(keys.len() - before)), "dropped at step {steps}"),
        }
        if answered.is_some() {
            return;
        }
        of = newest(&keys).map(|key| key.kid().clone());
    }
    panic!("create took more than {MOST_STEPS} steps");
}

/// Clause 10: if `retire` or `revoke` is dropped at any step, repeating it succeeds.
pub async fn clause_10_a_cancelled_retire_or_revoke_leaves_a_ring_that_lists<F: Future<Output = Subject>>(
    fresh: impl Fn() -> F,
) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let mut newest = create(provider, algorithm, None).await;
    for steps in 0..MOST_STEPS {
        let retired = newest;
        let revoked = create(provider, algorithm, Some(retired.kid())).await;
        newest = create(provider, algorithm, Some(revoked.kid())).await;

        let first = cancelled_after(steps, provider.retire(retired.kid(), ExpiredKeys::Disable)).await;
        list(provider).await;
        provider
            .retire(retired.kid(), ExpiredKeys::Disable)
            .await
            .expect("retired");
        let mark = revocation("cancelled");
        let second = cancelled_after(steps, provider.revoke(revoked.kid(), &mark)).await;
        list(provider).await;
        provider.revoke(revoked.kid(), &mark).await.expect("revoked");

        let keys = list(provider).await;
        let listed = find(&keys, revoked.kid()).expect("a revoked key is listed");
        assert_eq!(listed.revoked.as_ref(), Some(&mark));
        provider.sign(newest.kid(), b"message").await.expect("the newest signs");
        if first.is_some() && second.is_some() {
            return;
        }
    }
    panic!("retire or revoke took more than {MOST_STEPS} steps");
}
