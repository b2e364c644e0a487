//! Clause 11: what errors must say, and what they must never contain.

use std::error::Error as _;
use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use signet_api::{ExpiredKeys, KeyProvider, ProviderError};
use signet_core::Kid;

use crate::clauses::signing::revocation;
use crate::ring::{create, quickest};
use crate::subject::Subject;

/// Clause 11: the text names the kind, and the source adds information. Neither they nor `Debug` contain
/// any part of a private key.
pub async fn clause_11_errors_say_who_must_act_and_hold_no_key<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let algorithm = quickest(provider);
    let first = create(provider, algorithm, None).await;
    let private = provider.unseal(first.kid()).await.expect("an answer");
    let secret = private
        .map(|key| key.to_pkcs8().expect("encodes").to_vec())
        .unwrap_or_default();
    create(provider, algorithm, Some(first.kid())).await;
    provider
        .retire(first.kid(), ExpiredKeys::Disable)
        .await
        .expect("retired");

    let mut texts = vec![format!("{provider:?}"), format!("{:?}", provider.capabilities())];
    for error in errors(provider, first.kid()).await {
        assert_eq!(error.provider, provider.capabilities().provider);
        assert!(error.to_string().contains(error.kind.as_str()), "{error}");
        let source = error.source().expect("a source").to_string();
        assert!(source.len() > 10, "the source explains: {source:?}");
        assert!(
            !error.to_string().contains(&source),
            "Display does not repeat its source"
        );
        texts.extend([format!("{error:?}"), error.to_string(), source]);
    }
    for text in &texts {
        for window in secret.windows(12) {
            for leak in [
                URL_SAFE_NO_PAD.encode(window),
                STANDARD_NO_PAD.encode(window),
                format!("{window:?}"),
                window.iter().map(|octet| format!("{octet:02x}")).collect(),
            ] {
                assert!(!text.contains(leak.as_str()), "a private key in {text}");
            }
        }
    }
}

async fn errors(provider: &dyn KeyProvider, retired: &Kid) -> Vec<ProviderError> {
    let unknown = Kid::new("unknown");
    let mut errors = Vec::new();
    for kid in [retired, &unknown] {
        errors.extend(provider.sign(kid, b"message").await.err());
        errors.extend(provider.unseal(kid).await.err());
    }
    errors.extend(provider.retire(&unknown, ExpiredKeys::Destroy).await.err());
    errors.extend(provider.revoke(&unknown, &revocation("none")).await.err());
    assert_eq!(errors.len(), 6, "each of these calls fails");
    errors
}
