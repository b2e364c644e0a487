//! The rotation policy. A [`Policy`] exists only if it is safe: its only constructor refuses durations under which a
//! good token could be refused, and says which setting to change.

use std::time::Duration;

use humantime::format_duration;

use crate::algorithm::Algorithm;
use crate::faults;
use crate::ring::{KeyRecord, Terms};

/// The maximum of any duration: ten years. A longer one is a typing error.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The maximum number of keys in the JWKS. Beyond it, verifiers with a size limit start to refuse the whole set.
const MOST_PUBLISHED_KEYS: u128 = 32;

/// The durations of the schedule, as configured. The fields have the names of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// P: how long a key signs.
    pub rotation_period: Duration,
    /// L: how long a key is published before it signs.
    pub publish_lead: Duration,
    /// The default lifetime of a token.
    pub token_ttl: Duration,
    /// T: the maximum lifetime of a token.
    pub token_max_ttl: Duration,
    /// R: the time between two readings of the provider.
    pub refresh_interval: Duration,
    /// M: the `max-age` of the JWKS.
    pub jwks_max_age: Duration,
    /// V: how long a verifier may keep a JWKS, whatever its `Cache-Control` says.
    pub verifier_cache: Duration,
    /// S: how far any clock may be off, including the provider's.
    pub clock_skew: Duration,
}

impl Default for Durations {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            rotation_period: minutes(24 * 60),
            publish_lead: minutes(60),
            token_ttl: minutes(5),
            token_max_ttl: minutes(60),
            refresh_interval: minutes(1),
            jwks_max_age: minutes(5),
            verifier_cache: minutes(20),
            clock_skew: minutes(1),
        }
    }
}

impl Durations {
    /// The durations with the names of their settings, in the order of the documentation.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Duration); 8] {
        [
            ("rotation_period", self.rotation_period),
            ("publish_lead", self.publish_lead),
            ("token_ttl", self.token_ttl),
            ("token_max_ttl", self.token_max_ttl),
            ("refresh_interval", self.refresh_interval),
            ("jwks_max_age", self.jwks_max_age),
            ("verifier_cache", self.verifier_cache),
            ("clock_skew", self.clock_skew),
        ]
    }

    /// The minimum lead: how long any cache may lack a key that the provider already lists.
    #[must_use]
    pub fn least_lead(&self) -> Duration {
        self.refresh_interval
            .saturating_add(self.jwks_max_age.max(self.verifier_cache))
            .saturating_add(self.clock_skew.saturating_mul(2))
    }

    /// How old a reading of the ring may be and still contain every key that signs anywhere, even in a cached JWKS.
    ///
    /// A key that is missing from the reading was created after it, and signs one lead later. Both clocks may be off by
    /// S, and a verifier that fetches the JWKS now may keep it for the longer of M and V. The result is at least R,
    /// because the lead is long enough.
    #[must_use]
    pub fn bearable_age(&self) -> Duration {
        if faults::has("a stale ring is ready for ever") {
            return LONGEST;
        }
        if faults::has("a stale ring is judged without caches") {
            return self.publish_lead.saturating_sub(self.clock_skew.saturating_mul(2));
        }
        self.publish_lead
            .saturating_sub(self.jwks_max_age.max(self.verifier_cache))
            .saturating_sub(self.clock_skew.saturating_mul(2))
    }

    /// How far apart two clocks may show the same instant, if one is ahead by S and the other behind by S.
    ///
    /// One second is added for providers that report whole seconds, and for the time between two readings of a clock.
    #[must_use]
    pub fn clocks_apart(&self) -> Duration {
        self.clock_skew.saturating_mul(2).saturating_add(Duration::from_secs(1))
    }

    /// How long a key stays published after it stopped signing.
    fn retention(&self) -> Duration {
        if faults::has("a retention without the clocks") {
            return self.token_max_ttl.saturating_add(self.refresh_interval);
        }
        if faults::has("a retention without the life of tokens") {
            return self.refresh_interval.saturating_add(self.clock_skew.saturating_mul(2));
        }
        self.token_max_ttl
            .saturating_add(self.refresh_interval)
            .saturating_add(self.clock_skew.saturating_mul(2))
    }
}

/// One reason why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PolicyProblem {
    /// The setting to change: the name of a field of [`Durations`].
    pub setting: &'static str,
    /// The conflicting values, and what to write instead.
    pub text: String,
}

/// A rotation policy that was checked to be safe. Only [`Policy::new`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    durations: Durations,
    algorithm: Algorithm,
}

impl Policy {
    /// Checks the durations and makes a policy of them.
    ///
    /// # Errors
    /// All reasons against the policy, each with the values and the setting to change.
    pub fn new(durations: Durations, algorithm: Algorithm) -> Result<Self, Vec<PolicyProblem>> {
        let problems = problems(&durations);
        if problems.is_empty() {
            Ok(Self { durations, algorithm })
        } else {
            Err(problems)
        }
    }

    /// The durations of this policy.
    #[must_use]
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    /// The terms of a key: those that it was created with, or those of this policy if the provider cannot store them.
    #[must_use]
    pub fn terms_of(&self, key: &KeyRecord) -> Terms {
        key.terms.unwrap_or_else(|| self.terms())
    }

    /// How long a key is published before it signs.
    pub(crate) fn lead_of(&self, key: &KeyRecord) -> Duration {
        if faults::has("no lead") {
            return Duration::ZERO;
        }
        if faults::has("a lead by the policy of today") {
            return self.terms().lead;
        }
        let lead = self.terms_of(key).lead;
        if faults::has("a lead one second short") {
            return lead.saturating_sub(Duration::from_secs(1));
        }
        lead
    }

    /// How long a key stays published after it stopped signing. This is the longer of the key's own terms and this
    /// policy, because publishing a key too long does no harm.
    pub(crate) fn retention_of(&self, key: &KeyRecord) -> Duration {
        let now = self.terms().retention;
        key.terms.map_or(now, |terms| terms.retention.max(now))
    }

    /// The algorithm of new keys.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The terms that a key created under this policy keeps for its whole life.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms::new(
            self.durations.publish_lead,
            self.durations.token_max_ttl,
            self.durations.retention(),
        )
    }

    /// How long after its own activation a key needs a successor: P − L.
    #[must_use]
    pub fn successor_after(&self) -> Duration {
        self.durations
            .rotation_period
            .saturating_sub(self.durations.publish_lead)
    }
}

fn problems(d: &Durations) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    let mut refuse = |setting, text| problems.push(PolicyProblem { setting, text });

    for (setting, span) in d.named() {
        if span > LONGEST {
            refuse(
                setting,
                format!(
                    "{} is longer than 10 years; write a shorter duration",
                    format_duration(span)
                ),
            );
        }
        if span.is_zero() && !matches!(setting, "verifier_cache" | "clock_skew" | "jwks_max_age") {
            refuse(setting, "must be longer than zero".to_owned());
        }
        // `exp` and `max-age` count whole seconds (RFC 7519 §2, RFC 9111 §1.2.2).
        if matches!(setting, "token_ttl" | "token_max_ttl" | "jwks_max_age") && span.subsec_nanos() != 0 {
            refuse(
                setting,
                format!("{} is not a whole number of seconds", format_duration(span)),
            );
        }
    }
    if d.token_ttl > d.token_max_ttl {
        refuse(
            "token_ttl",
            format!(
                "{} is longer than token_max_ttl, {}; lower it, or raise token_max_ttl",
                format_duration(d.token_ttl),
                format_duration(d.token_max_ttl)
            ),
        );
    }
    let least = d.least_lead();
    if d.publish_lead < least {
        refuse(
            "publish_lead",
            format!(
                "{} is too short: a key would sign before every verifier has it. At least {} is needed = \
                 refresh_interval {} + the longer of jwks_max_age {} and verifier_cache {} + 2 × clock_skew {}; \
                 write at least {}, or lower one of these",
                format_duration(d.publish_lead),
                format_duration(least),
                format_duration(d.refresh_interval),
                format_duration(d.jwks_max_age),
                format_duration(d.verifier_cache),
                format_duration(d.clock_skew),
                format_duration(least)
            ),
        );
    }
    let least = d.publish_lead.saturating_mul(2);
    if d.rotation_period < least {
        refuse(
            "rotation_period",
            format!(
                "{} is shorter than 2 × publish_lead, {}; write at least {}, or lower publish_lead",
                format_duration(d.rotation_period),
                format_duration(d.publish_lead),
                format_duration(least)
            ),
        );
    }
    // One key signs, one is pending, and each earlier key stays published for the retention.
    let published = d
        .retention()
        .as_millis()
        .div_ceil(d.rotation_period.as_millis().max(1))
        .saturating_add(2);
    if published > MOST_PUBLISHED_KEYS && !d.rotation_period.is_zero() {
        refuse(
            "rotation_period",
            format!(
                "{} would keep {published} keys in the JWKS at once, because tokens may live for token_max_ttl {}; \
                 at most {MOST_PUBLISHED_KEYS} are allowed. Write a longer period, or lower \
                 token_max_ttl",
                format_duration(d.rotation_period),
                format_duration(d.token_max_ttl)
            ),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl Fn(&mut Durations)) -> Vec<&'static str> {
        let mut durations = Durations::default();
        change(&mut durations);
        match Policy::new(durations, Algorithm::ES256) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.setting).collect(),
        }
    }

    #[test]
    fn the_defaults_are_safe() {
        assert_eq!(refusal(|_| ()), Vec::<&str>::new());
    }

    #[test]
    fn a_ring_is_bearable_until_a_cache_filled_from_it_could_miss_a_key_that_signs() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let defaults = Durations::default();
        assert_eq!(defaults.bearable_age(), minutes(60 - 20 - 2));
        let least = Durations {
            publish_lead: defaults.least_lead(),
            ..defaults
        };
        assert_eq!(least.bearable_age(), least.refresh_interval);
    }

    #[test]
    fn a_lead_one_millisecond_too_short_is_refused_with_the_numbers() {
        let least = Duration::from_secs(60 + 20 * 60 + 2 * 60);
        assert_eq!(refusal(|d| d.publish_lead = least), Vec::<&str>::new());
        assert_eq!(
            refusal(|d| d.publish_lead = least - Duration::from_millis(1)),
            ["publish_lead"]
        );
        let short = Durations {
            publish_lead: Duration::from_secs(600),
            ..Durations::default()
        };
        let text = Policy::new(short, Algorithm::ES256).expect_err("too short")[0].to_string();
        for number in [
            "10m is too short",
            "At least 23m",
            "verifier_cache 20m",
            "2 × clock_skew 1m",
        ] {
            assert!(text.contains(number), "{text}");
        }
    }

    #[test]
    fn the_longer_of_max_age_and_verifier_cache_counts() {
        let hour = Duration::from_secs(3600);
        assert_eq!(refusal(|d| d.jwks_max_age = hour), ["publish_lead"]);
        assert_eq!(refusal(|d| d.verifier_cache = hour), ["publish_lead"]);
    }

    #[test]
    fn a_period_shorter_than_two_leads_is_refused() {
        assert_eq!(
            refusal(|d| d.rotation_period = Duration::from_secs(2 * 3600 - 1)),
            ["rotation_period"]
        );
    }

    #[test]
    fn a_jwks_that_would_grow_past_what_verifiers_take_is_refused() {
        assert_eq!(
            refusal(|d| d.token_max_ttl = Duration::from_secs(60 * 24 * 3600)),
            ["rotation_period"]
        );
    }

    #[test]
    fn zero_fractions_and_absurd_spans_are_all_reported_at_once() {
        let settings = refusal(|d| {
            d.refresh_interval = Duration::ZERO;
            d.token_ttl = Duration::from_millis(1500);
            d.clock_skew = Duration::MAX;
        });
        for setting in ["refresh_interval", "token_ttl", "clock_skew", "publish_lead"] {
            assert!(settings.contains(&setting), "{settings:?}");
        }
    }
}
