//! The limits that the API server of Kubernetes sets for the policy, and the values that it is given.
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#external-serviceaccount-token-signing-and-key-management>

use std::time::Duration;

use humantime::format_duration;
use signet_config::Reader;
use signet_core::{Algorithm, Policy};

use super::parse;

/// The API server does not start with a signer that allows less than this.
const LEAST_LIFE: Duration = Duration::from_secs(600);

/// The values of the policy for the API server, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The maximum lifetime of a token: T − 2S. The API server computes `exp` with its own clock, which
    /// may be ahead of ours by 2S.
    pub longest: Duration,
    /// How often the API server requests the keys.
    pub refresh_hint: Duration,
}

impl Kubernetes {
    /// Whether the API server accepts this algorithm.
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
            // M is in whole seconds and may be zero; the hint must not be zero.
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
            "{algorithm} does not work with SIGNET_KUBERNETES, because the API server of Kubernetes accepts only \
             RS256, ES256, ES384 and ES512; write one of them"
        );
        r.refuse("algorithm", text);
    }
    if told.longest < LEAST_LIFE {
        let least = LEAST_LIFE + durations.clock_skew * 2;
        let text = format!(
            "{} is too short for SIGNET_KUBERNETES, because the API server of Kubernetes needs tokens of at least \
             10m by its own clock. At least {least} is needed = 10m + 2 × SIGNET_CLOCK_SKEW {}; write at \
             least {least}",
            format_duration(durations.token_max_ttl),
            format_duration(durations.clock_skew),
            least = format_duration(least),
        );
        r.refuse("token_max_ttl", text);
    }
    // One fetch of the API server may fail.
    let least = durations.refresh_interval + told.refresh_hint * 2 + durations.clock_skew * 2;
    if durations.publish_lead < least {
        let text = format!(
            "{} is too short for SIGNET_KUBERNETES: the API server of Kubernetes fetches the keys every \
             SIGNET_JWKS_MAX_AGE and may fail once, so a key would sign before the API server has it. At \
             least {least} is needed = SIGNET_REFRESH_INTERVAL {} + 2 × SIGNET_JWKS_MAX_AGE {} + 2 × \
             SIGNET_CLOCK_SKEW {}; write at least {least}, or lower one of these",
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
