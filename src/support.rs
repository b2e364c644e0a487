//! Checks at start that the provider supports the settings. Without this check, a mismatch would become visible only at
//! a rotation.

use signet_api::{Capabilities, ErrorKind, Operation, ProviderError, ReadQuota};

use crate::settings::Settings;

/// Checks the settings against what the provider supports.
///
/// # Errors
/// `InvalidConfig`, with the numbers and the variable to change.
pub fn check_support(settings: &Settings, provider: &Capabilities) -> Result<(), ProviderError> {
    let algorithm = settings.policy.algorithm();
    if !provider.algorithms.contains(&algorithm) {
        let has = provider.algorithms.iter().map(|has| has.as_str()).collect::<Vec<_>>();
        let text = format!(
            "SIGNET_ALGORITHM={algorithm}: {} does not support it in remote custody; write one of {}, or set \
             SIGNET_CUSTODY=sealed, which supports all algorithms",
            provider.provider,
            has.join(", ")
        );
        return Err(refused(provider, text));
    }
    check_read_quota(settings, provider)
}

/// Checks that the provider's quota allows the readings of all replicas. The provider may sign or be also published.
///
/// # Errors
/// `InvalidConfig`, with the numbers and the variable to change.
pub fn check_read_quota(settings: &Settings, provider: &Capabilities) -> Result<(), ProviderError> {
    let interval = settings.policy.durations().refresh_interval;
    if let Some(quota) = &provider.reads {
        let asked = calls_asked(settings.replicas, quota) * per_interval(quota, interval);
        if asked > f64::from(quota.calls) {
            let least = quota
                .per
                .mul_f64(READINGS * calls_asked(settings.replicas, quota) / f64::from(quota.calls));
            let text = format!(
                "{} replicas (SIGNET_REPLICAS) that read the ring every {} (SIGNET_REFRESH_INTERVAL) with {} calls \
                 each make {asked:.0} calls in {}, but the vendor allows {} ({}). Set \
                 SIGNET_REFRESH_INTERVAL to at least {} (SIGNET_PUBLISH_LEAD must grow with it), or \
                 run fewer replicas. If the vendor raised the quota, lower SIGNET_REPLICAS in \
                 proportion",
                settings.replicas,
                humantime::format_duration(interval),
                quota.calls_per_list,
                humantime::format_duration(quota.per),
                quota.calls,
                quota.page,
                humantime::format_duration(std::time::Duration::from_secs(least.as_secs() + 1)),
            );
            return Err(refused(provider, text));
        }
    }
    Ok(())
}

fn refused(provider: &Capabilities, text: String) -> ProviderError {
    ProviderError::new(provider.provider, Operation::Open, ErrorKind::InvalidConfig, text)
}

/// The number of readings in one refresh interval. The keeper reads a little early, by a twentieth to a seventh of the
/// interval, and tokens with unknown keys cause one extra reading in five intervals.
const READINGS: f64 = 1.0 / 0.9 + 0.2;

/// The number of calls when all replicas read once.
fn calls_asked(replicas: u32, quota: &ReadQuota) -> f64 {
    f64::from(replicas) * f64::from(quota.calls_per_list)
}

/// How often all replicas read within the time of the quota.
fn per_interval(quota: &ReadQuota, interval: std::time::Duration) -> f64 {
    quota.per.as_secs_f64() / interval.as_secs_f64() * READINGS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Command;
    use signet_api::{Claim, Custody};
    use signet_base::chain;
    use signet_core::Algorithm;

    use super::*;
    use crate::settings::{Machine, flags};

    fn settings(given: &[&str]) -> Settings {
        let command = Command::new("signet").no_binary_name(true).args(flags());
        let matches = command.try_get_matches_from(given).expect("flags");
        let none = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        Settings::load([], &matches, none, &Machine::of_this_process()).expect("settings")
    }

    fn provider(reads: Option<ReadQuota>) -> Capabilities {
        Capabilities {
            provider: "cloud",
            custody: Custody::Remote,
            algorithms: &[Algorithm::ES256],
            claim: Claim::Tolerated,
            longest_message: |_| None,
            reads,
        }
    }

    fn quota() -> ReadQuota {
        ReadQuota {
            calls: 300,
            per: Duration::from_secs(60),
            calls_per_list: 2,
            page: "https://cloud.example/quotas",
        }
    }

    #[test]
    fn more_replicas_than_the_quota_bears_are_refused_with_the_numbers() {
        let cloud = provider(Some(quota()));
        // 2 calls each, every 54 s, and two more in five minutes: 114 replicas make 299 calls per minute.
        check_support(&settings(&["--replicas=114"]), &cloud).expect("just fits");
        let refused = check_support(&settings(&["--replicas=115"]), &cloud).expect_err("one too many");
        assert_eq!(refused.kind, ErrorKind::InvalidConfig);
        let text = chain(&refused);
        for part in [
            "115 replicas (SIGNET_REPLICAS)",
            "every 1m",
            "2 calls each",
            "302 calls in 1m",
            "allows 300",
            "quotas",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        check_support(&settings(&["--replicas=10000"]), &provider(None)).expect("no quota, no bound");
        let slower = [
            "--replicas=10000",
            "--refresh-interval=88m",
            "--publish-lead=2h",
            "--rotation-period=24h",
        ];
        check_support(&settings(&slower), &cloud).expect("a long interval fits any fleet");
    }

    #[test]
    fn an_algorithm_that_the_provider_lacks_is_refused_with_those_that_it_has() {
        let refused = check_support(&settings(&["--algorithm=EdDSA"]), &provider(None)).expect_err("lacks it");
        let text = chain(&refused);
        assert!(
            text.contains("SIGNET_ALGORITHM=EdDSA") && text.contains("write one of ES256"),
            "{text}"
        );
    }
}
