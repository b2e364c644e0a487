//! Clause 12: processes that start after any change of the ring.

use std::future::Future;

use signet_api::{ErrorKind, ExpiredKeys, Trials};
use signet_core::{KeyRecord, KeyState};

use crate::clauses::signing::revocation;
use crate::ring::{assert_same_key, create, find, list, newest, quickest};
use crate::subject::Subject;

/// Clause 12, for every state of a key. A new process makes each change, and another new process looks at the result.
pub async fn clause_12_a_new_process_reads_the_ring_in_every_state<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let algorithm = quickest(&*subject.provider);
    let mut made: Vec<KeyRecord> = Vec::new();
    for _ in 0..4 {
        let of = made.last().map(|key: &KeyRecord| key.kid().clone());
        made.push(create(&*subject.reopen().await, algorithm, of.as_ref()).await);
    }
    let mark = revocation("leaked; a new process must know");

    // The first key expires and is disabled, as SIGNET_EXPIRED_KEYS says.
    let [first, second, third, fourth] = &made[..] else {
        panic!("four keys")
    };
    subject
        .reopen()
        .await
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("by a new process");
    let keys = look(&subject, &[second, third, fourth]).await;
    assert!(find(&keys, first.kid()).is_none_or(|key| key.state == KeyState::Disabled));

    // A key leaks and is revoked, and then another one.
    for (leaked, rest) in [(second, vec![third, fourth]), (third, vec![fourth])] {
        subject
            .reopen()
            .await
            .revoke(leaked.kid(), &mark)
            .await
            .expect("by a new process");
        let keys = look(&subject, &rest).await;
        let listed = find(&keys, leaked.kid()).expect("a revoked key is listed");
        assert_same_key(leaked, listed);
        assert_eq!(
            listed.revoked.as_ref(),
            Some(&mark),
            "a process that never saw the key enabled knows the mark"
        );
    }

    // The newest key is revoked too, so no key can sign.
    subject
        .reopen()
        .await
        .revoke(fourth.kid(), &mark)
        .await
        .expect("by a new process");
    let keys = look(&subject, &[]).await;
    assert_eq!(newest(&keys).map(KeyRecord::kid), Some(fourth.kid()));

    let fifth = create(&*subject.reopen().await, algorithm, Some(fourth.kid())).await;
    let sixth = create(&*subject.reopen().await, algorithm, Some(fifth.kid())).await;
    look(&subject, &[&fifth, &sixth]).await;

    // Keys are destroyed, or scheduled for deletion if the provider cannot do it at once.
    subject
        .reopen()
        .await
        .retire(fifth.kid(), ExpiredKeys::Destroy)
        .await
        .expect("by a new process");
    let keys = look(&subject, &[&sixth]).await;
    assert!(find(&keys, fifth.kid()).is_none(), "a destroyed key is not listed");
    for revoked in [second, third, fourth] {
        assert!(
            find(&keys, revoked.kid()).is_some_and(|key| key.revoked.is_some()),
            "no revocation is forgotten"
        );
    }
    subject
        .reopen()
        .await
        .retire(second.kid(), ExpiredKeys::Destroy)
        .await
        .expect("by a new process");
    let keys = look(&subject, &[&sixth]).await;
    assert!(find(&keys, second.kid()).is_none_or(|key| key.revoked.is_some()));
}

/// The ring as a new process reads it. Exactly these keys can sign; `prune` finds nothing, and
/// no permission is missing.
async fn look(subject: &Subject, signing: &[&KeyRecord]) -> Vec<KeyRecord> {
    let handle = subject.reopen().await;
    let keys = list(&*handle).await;
    for key in signing {
        let listed = find(&keys, key.kid()).expect("listed");
        assert_same_key(key, listed);
        assert_eq!((listed.state, listed.revoked.is_some()), (KeyState::Enabled, false));
        let signature = handle.sign(key.kid(), b"message").await.expect("signed");
        assert!(key.public.verifies(b"message", signature.as_ref()));
    }
    for key in keys
        .iter()
        .filter(|key| !signing.iter().any(|signs| signs.kid() == key.kid()))
    {
        let refused = handle
            .sign(key.kid(), b"message")
            .await
            .expect_err("a revoked key must not sign");
        assert_eq!(refused.kind, ErrorKind::KeyUnusable, "{refused:?}");
    }
    let checked = subject.reopen().await;
    for check in Trials::of(async |trials| checked.check(trials).await).await {
        assert!(!check.answer.is_bad(), "{}: {:?}", check.permission, check.answer);
    }
    let pruned = subject.reopen().await.prune().await.expect("prunes");
    assert!(pruned.is_empty(), "{pruned:?}");
    keys
}
