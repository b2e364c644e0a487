//! The limits that the API server of Kubernetes sets for the policy.

use std::time::Duration;

use super::{Kubernetes, Start, problems};

fn asked() -> Start {
    Start::default().env("SIGNET_KUBERNETES", "true")
}

#[test]
fn kubernetes_is_off_unless_it_is_asked_for_and_then_told_what_the_policy_bears() {
    assert_eq!(Start::default().loaded().kubernetes, None);
    // The API server does not accept EdDSA, but that matters only if tokens are signed for Kubernetes.
    assert_eq!(Start::default().flag("--algorithm=EdDSA").loaded().kubernetes, None);
    let told = asked().flag("--token-max-ttl=2h").loaded().kubernetes;
    assert_eq!(
        told,
        Some(Kubernetes {
            longest: Duration::from_secs(7200 - 120),
            refresh_hint: Duration::from_secs(300),
        })
    );
}

#[test]
fn a_refresh_hint_is_never_zero() {
    let told = asked().flag("--jwks-max-age=0s").loaded().kubernetes;
    assert_eq!(told.map(|told| told.refresh_hint), Some(Duration::from_secs(1)));
}

#[test]
fn a_policy_is_refused_that_is_a_moment_too_short_for_the_api_server() {
    // The minimum is 10 min + 2S.
    asked().flag("--token-max-ttl=12m").loaded();
    let short = asked().flag("--token-max-ttl=11m59s").refused();
    let [problem] = problems(&short).try_into().expect("one problem");
    assert!(
        problem.starts_with("SIGNET_TOKEN_MAX_TTL") || problem.starts_with("--token-max-ttl"),
        "{problem}"
    );
    assert!(problem.contains("write at least 12m"), "{problem}");

    // The minimum is R + 2M + 2S, with R 1 min, M 20 min and S 1 min. V alone would need 23 min.
    let lead = |lead: &str| asked().flag("--jwks-max-age=20m").flag(lead);
    lead("--publish-lead=43m").loaded();
    let short = lead("--publish-lead=42m59s").refused();
    let [problem] = problems(&short).try_into().expect("one problem");
    assert!(
        problem.contains("At least 43m is needed = SIGNET_REFRESH_INTERVAL 1m + 2 × SIGNET_JWKS_MAX_AGE 20m"),
        "{problem}"
    );
}

#[test]
fn only_algorithms_that_the_api_server_takes_are_for_it() {
    for algorithm in ["RS256", "ES256", "ES384", "ES512"] {
        asked().env("SIGNET_ALGORITHM", algorithm).loaded();
    }
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"] {
        let refused = asked().env("SIGNET_ALGORITHM", algorithm).refused();
        let [problem] = problems(&refused).try_into().expect("one problem");
        assert!(
            problem.contains("SIGNET_KUBERNETES") && problem.contains("RS256"),
            "{problem}"
        );
    }
}
