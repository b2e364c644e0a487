//! Clauses 4 to 8: which keys can sign.

use std::future::Future;

use signet_api::{Claim, Custody, ErrorKind, ExpiredKeys, KeyProvider};
use signet_core::{KeyState, Kid, Revocation, Timestamp};

use crate::ring::{create, few_algorithms, find, list, new_key, quickest};
use crate::subject::Subject;

const MESSAGE: &[u8] = b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0";

pub(crate) fn revocation(reason: &str) -> Revocation {
    Revocation {
        at: Timestamp::from_secs(1_767_229_200),
        reason: reason.to_owned(),
    }
}

/// Clause 4 for every algorithm, with other keys in the ring, and with short and long messages.
pub async fn clause_04_a_signature_is_by_the_key_that_was_asked_for<F: Future<Output = Subject>>(
    fresh: impl Fn() -> F,
) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let mut of: Option<Kid> = None;
    for algorithm in provider.capabilities().algorithms {
        of = Some(create(provider, *algorithm, of.as_ref()).await.kid().clone());
    }
    let keys = list(provider).await;
    assert_eq!(keys.len(), provider.capabilities().algorithms.len());
    for key in &keys {
        let bound = (provider.capabilities().longest_message)(key.public.algorithm());
        let longest = vec![b'a'; bound.unwrap_or(20_000)];
        if bound.is_some() {
            let beyond = [longest.as_slice(), b"a"].concat();
            let error = provider.sign(key.kid(), &beyond).await.expect_err("too long");
            assert_eq!(error.kind, ErrorKind::InvalidConfig, "{error:?}");
        }
        for message in [MESSAGE, b"", &longest] {
            let signature = provider.sign(key.kid(), message).await.expect("signed");
            let algorithm = key.public.algorithm();
            assert!(key.public.verifies(message, signature.as_ref()), "{algorithm}");
            for other in keys.iter().filter(|other| other.kid() != key.kid()) {
                assert!(!other.public.verifies(message, signature.as_ref()), "{algorithm}");
            }
        }
    }
}

/// Clause 5 for every key type.
pub async fn clause_05_custody_is_as_declared<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let mut of: Option<Kid> = None;
    for algorithm in few_algorithms(provider) {
        let key = create(provider, algorithm, of.as_ref()).await;
        let unsealed = provider.unseal(key.kid()).await.expect("an answer");
        match (provider.capabilities().custody, unsealed) {
            (Custody::Remote, None) => {}
            (Custody::Remote, Some(_)) => panic!("a private key left a remote provider"),
            (Custody::Sealed, None) => panic!("sealed custody returned no private key"),
            (Custody::Sealed, Some(private)) => {
                assert_eq!(private.verifying_key().kid(), key.kid());
                assert_eq!(private.verifying_key().algorithm(), algorithm);
                let signature = private.sign(MESSAGE).expect("signed");
                assert!(key.public.verifies(MESSAGE, signature.as_ref()));
            }
        }
        of = Some(key.kid().clone());
    }
}

/// Clause 6 for every key type, with `disable`.
pub async fn clause_06_a_retired_key_cannot_sign<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    for algorithm in few_algorithms(provider) {
        let before = list(provider).await;
        let of = crate::ring::newest(&before).map(|key| key.kid().clone());
        let first = create(provider, algorithm, of.as_ref()).await;
        let second = create(provider, quickest(provider), Some(first.kid())).await;
        for time in ["once", "twice"] {
            let retired = provider.retire(first.kid(), ExpiredKeys::Disable).await;
            assert!(retired.is_ok(), "retiring {time}: {retired:?}");
            assert_refuses(provider, first.kid(), &[ErrorKind::KeyUnusable, ErrorKind::NotFound]).await;
        }
        if let Some(listed) = find(&list(provider).await, first.kid()) {
            assert_eq!(listed.state, KeyState::Disabled);
        }
        provider.sign(second.kid(), MESSAGE).await.expect("the other signs");
    }
}

/// Clause 6 with `destroy`, for an enabled and for a disabled key.
pub async fn clause_06_a_destroyed_key_is_not_listed<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let first = create(provider, algorithm, None).await;
    let second = create(provider, algorithm, Some(first.kid())).await;
    let third = create(provider, algorithm, Some(second.kid())).await;
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("disabled");
    for gone in [&first, &second] {
        provider
            .retire(gone.kid(), ExpiredKeys::Destroy)
            .await
            .expect("destroyed");
        assert!(find(&list(provider).await, gone.kid()).is_none(), "not listed");
        assert_refuses(provider, gone.kid(), &[ErrorKind::KeyUnusable, ErrorKind::NotFound]).await;
        // A provider that has forgotten the key treats it like one that never existed (clause 8).
        if let Err(error) = provider.retire(gone.kid(), ExpiredKeys::Destroy).await {
            assert_eq!(error.kind, ErrorKind::NotFound);
        }
    }
    provider.sign(third.kid(), MESSAGE).await.expect("the other signs");
    if provider.capabilities().claim == Claim::Atomic {
        let newest = create(provider, algorithm, Some(first.kid())).await;
        assert_eq!(newest.kid(), third.kid(), "a destroyed key has no second successor");
    }
}

/// Clause 6: the last key that can sign is not retired. This includes an older key, if all newer
/// ones are revoked or disabled.
pub async fn clause_06_the_newest_key_that_can_sign_is_not_retired<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let stays = async |kid: &Kid| {
        for action in [ExpiredKeys::Disable, ExpiredKeys::Destroy] {
            let refused = subject
                .reopen()
                .await
                .retire(kid, action)
                .await
                .expect_err("the newest");
            assert_eq!(refused.kind, ErrorKind::KeyUnusable, "{refused:?}");
            let text = refused.source.to_string();
            assert!(text.contains("the newest key of the ring that can sign"), "{text}");
        }
        subject.reopen().await.sign(kid, MESSAGE).await.expect("it signs on");
    };
    let first = create(provider, algorithm, None).await;
    stays(first.kid()).await;
    let second = create(provider, algorithm, Some(first.kid())).await;
    stays(second.kid()).await;
    let revoked = revocation("leaked before it signed");
    provider.revoke(second.kid(), &revoked).await.expect("revoked");
    stays(first.kid()).await;
    let third = create(provider, algorithm, Some(second.kid())).await;
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("another signs");
    stays(third.kid()).await;
}

/// Clause 7 for every key type. The revocation survives every later call, including `retire`.
pub async fn clause_07_a_revoked_key_never_signs_again<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let mut of: Option<Kid> = None;
    for algorithm in few_algorithms(provider) {
        let key = create(provider, algorithm, of.as_ref()).await;
        let first = revocation("laptop stolen; \"quoted\", ü, 🔑");
        provider.revoke(key.kid(), &first).await.expect("revoked");
        let again = revocation("another reason");
        provider.revoke(key.kid(), &again).await.expect("revoking twice");
        create(provider, quickest(provider), Some(key.kid())).await;
        for action in [None, Some(ExpiredKeys::Disable), Some(ExpiredKeys::Destroy)] {
            if let Some(action) = action {
                provider.retire(key.kid(), action).await.expect("retired");
            }
            assert_refuses(provider, key.kid(), &[ErrorKind::KeyUnusable, ErrorKind::NotFound]).await;
            match find(&list(&*subject.reopen().await).await, key.kid()) {
                Some(listed) => assert_eq!(listed.revoked.as_ref(), Some(&first), "the first reason is kept"),
                None => assert_eq!(
                    action,
                    Some(ExpiredKeys::Destroy),
                    "only a destroyed key disappears from the list"
                ),
            }
        }
        of = crate::ring::newest(&list(provider).await).map(|key| key.kid().clone());
    }
}

/// Clause 8, in an empty ring and in a ring with a key.
pub async fn clause_08_unknown_keys_are_not_found<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let unknown = Kid::new("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    for _ in 0..2 {
        assert_refuses(provider, &unknown, &[ErrorKind::NotFound]).await;
        let retired = provider
            .retire(&unknown, ExpiredKeys::Disable)
            .await
            .expect_err("unknown");
        let destroyed = provider
            .retire(&unknown, ExpiredKeys::Destroy)
            .await
            .expect_err("unknown");
        let revoked = provider.revoke(&unknown, &revocation("")).await.expect_err("unknown");
        for error in [retired, destroyed, revoked] {
            assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
        }
        provider
            .create(&new_key(quickest(provider), None))
            .await
            .expect("a key");
    }
}

async fn assert_refuses(provider: &dyn KeyProvider, kid: &Kid, kinds: &[ErrorKind]) {
    let signed = provider.sign(kid, MESSAGE).await.expect_err("sign refuses");
    assert!(kinds.contains(&signed.kind), "{signed:?}");
    match provider.unseal(kid).await {
        Err(error) => assert!(kinds.contains(&error.kind), "{error:?}"),
        Ok(unsealed) => panic!("unseal answered {unsealed:?}"),
    }
}
