//! What the API server of Kubernetes demands of the policy, and what it is told.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#external-serviceaccount-token-signing-and-key-management>

use std::time::Duration;

use humantime::format_duration;
use signet_config::Reader;
use signet_core::{Algorithm, Policy};

use super::parse;

/// The API server starts with no signer that allows less.
const LEAST_LIFE: Duration = Duration::from_secs(600);

/// What the API server is told of the policy, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The longest life of a token that it may ask for. It computes `exp` by its own clock, which may be ahead of ours by 2S;
    /// so this is T − 2S.
    pub longest: Duration,
    /// How often it asks for the keys.
    pub refresh_hint: Duration,
}

impl Kubernetes {
    /// The algorithms that it takes.
    #[must_use]
    pub fn takes(algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, ES512, RS256};
        matches!(algorithm, RS256 | ES256 | ES384 | ES512)
    }

    fn of(policy: &Policy) -> Self {
        let durations = policy.durations();
        let skews = durations.clock_skew * 2;
        Self {
            longest: Duration::from_secs(durations.token_max_ttl.saturating_sub(skews).as_secs()),
            // M is in whole seconds, and may be zero; the hint may not.
            refresh_hint: durations.jwks_max_age.max(Duration::from_secs(1)),
        }
    }
}

pub(super) fn kubernetes(r: &mut Reader, policy: Option<&Policy>) -> Option<Kubernetes> {
    let is_on = r.required("kubernetes", parse::switch)?;
    let policy = policy.filter(|_| is_on)?;
    let (told, durations) = (Kubernetes::of(policy), policy.durations());
    let algorithm = policy.algorithm();
    if !Kubernetes::takes(algorithm) {
        let text = format!(
            "{algorithm} is not for Kubernetes (SIGNET_KUBERNETES), whose API server takes RS256, ES256, ES384 and ES512; \
             write one of them"
        );
        r.refuse("algorithm", text);
    }
    if told.longest < LEAST_LIFE {
        let least = LEAST_LIFE + durations.clock_skew * 2;
        let text = format!(
            "{} is too short for Kubernetes (SIGNET_KUBERNETES), whose API server must be allowed tokens of 10m by its own \
             clock. At least {least} is needed = 10m + 2 × SIGNET_CLOCK_SKEW {}; write at least {least}",
            format_duration(durations.token_max_ttl),
            format_duration(durations.clock_skew),
            least = format_duration(least),
        );
        r.refuse("token_max_ttl", text);
    }
    // Its fetch may fail once.
    let least = durations.refresh_interval + told.refresh_hint * 2 + durations.clock_skew * 2;
    if durations.publish_lead < least {
        let text = format!(
            "{} is too short for Kubernetes (SIGNET_KUBERNETES), whose API server fetches the keys every \
             SIGNET_JWKS_MAX_AGE, and may fail to once: a key would sign before the API server has it. At least {least} is \
             needed = SIGNET_REFRESH_INTERVAL {} + 2 × SIGNET_JWKS_MAX_AGE {} + 2 × SIGNET_CLOCK_SKEW {}; write at least \
             {least}, or lower one of these",
            format_duration(durations.publish_lead),
            format_duration(durations.refresh_interval),
            format_duration(told.refresh_hint),
            format_duration(durations.clock_skew),
            least = format_duration(least),
        );
        r.refuse("publish_lead", text);
    }
    Some(told)
}
