//! Rings for tests: keys by number, instants in plain milliseconds.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use signet_core::schedule::Due;
use signet_core::{
    Algorithm, Durations, KeyRecord, KeyState, Kid, Phase, Policy, PublicKey, Revocation, Schedule, SigningKey, Terms,
    Timestamp, VerifyingKey,
};

pub(crate) const SEC: i64 = 1000;
pub(crate) const MIN: i64 = 60 * SEC;
pub(crate) const HOUR: i64 = 60 * MIN;
/// P of the default policy.
pub(crate) const PERIOD: i64 = 24 * HOUR;
/// L of the default policy.
pub(crate) const LEAD: i64 = HOUR;
/// T + R + 2S of the default policy.
pub(crate) const RETENTION: i64 = HOUR + MIN + 2 * MIN;

/// EdDSA keys from fixed seeds, sorted by kid. They are the same in every run, which makes failures repeatable.
static EDDSA: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| {
    let mut keys: Vec<VerifyingKey> = (0..96u8)
        .map(|seed| {
            let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
            pkcs8.extend([seed; 32]);
            let key = SigningKey::from_pkcs8(Algorithm::EdDSA, &pkcs8).expect("RFC 8410 §7 PKCS#8");
            key.verifying_key().clone()
        })
        .collect();
    keys.sort_by(|a, b| a.kid().cmp(b.kid()));
    keys
});

/// Keys for another algorithm. Nothing signs with them, so nobody needs to know the factors of their moduli.
static RS256: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| {
    let fit = (0..=u16::MAX).filter_map(|number| {
        let mut n = vec![0xc3; 256];
        n[100..102].copy_from_slice(&number.to_be_bytes());
        let e = vec![1, 0, 1];
        // A modulus with a small factor is refused as a key.
        PublicKey::Rsa { n, e }.for_algorithm(Algorithm::RS256).ok()
    });
    let keys: Vec<VerifyingKey> = fit.take(96).collect();
    assert_eq!(keys.len(), 96);
    keys
});

/// A key of the pool. Below 96, a larger number has a larger kid.
pub(crate) fn public(number: usize, algorithm: Algorithm) -> VerifyingKey {
    match algorithm {
        Algorithm::RS256 => RS256[number].clone(),
        _ => EDDSA[number].clone(),
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).expect("not negative"))
}

/// The default policy with EdDSA, the algorithm of the pool.
pub(crate) fn policy() -> Policy {
    Policy::new(Durations::default(), Algorithm::EdDSA).expect("the defaults are safe")
}

/// An enabled key with the terms of the default policy.
pub(crate) fn key(number: usize, created_at: i64) -> KeyRecord {
    KeyRecord {
        public: public(number, Algorithm::EdDSA),
        created_at: at(created_at),
        sequence: 0,
        predecessor: None,
        terms: Some(policy().terms()),
        state: KeyState::Enabled,
        revoked: None,
    }
}

pub(crate) fn revoked(mut key: KeyRecord, when: i64) -> KeyRecord {
    key.revoked = Some(Revocation {
        at: at(when),
        reason: "a test".to_owned(),
    });
    key
}

pub(crate) fn disabled(mut key: KeyRecord) -> KeyRecord {
    key.state = KeyState::Disabled;
    key
}

pub(crate) fn with_lead(mut key: KeyRecord, lead: i64) -> KeyRecord {
    key.terms = Some(Terms::new(
        millis(lead),
        policy().terms().token_max_ttl,
        policy().terms().retention,
    ));
    key
}

/// The schedule under the default policy.
pub(crate) fn look(keys: &[KeyRecord], now: i64) -> Schedule {
    signet_core::schedule(keys, &policy(), at(now))
}

pub(crate) fn phase_of(schedule: &Schedule, kid: &Kid) -> Phase {
    let key = schedule.keys.iter().find(|key| key.kid == *kid);
    key.expect("every key of the list is in its schedule").phase
}

/// The phases in order of creation.
pub(crate) fn phases(schedule: &Schedule) -> Vec<Phase> {
    schedule.keys.iter().map(|key| key.phase).collect()
}

pub(crate) fn published(schedule: &Schedule) -> Vec<&Kid> {
    let keys = schedule.keys.iter().filter(|key| key.phase.is_published());
    keys.map(|key| &key.kid).collect()
}

pub(crate) fn successor_due(schedule: &Schedule) -> Option<&Due> {
    schedule.due.iter().find(|due| matches!(due, Due::Successor { .. }))
}

/// The random cases come from a fixed seed, and the result depends only on the code. Set `PROPTEST_RNG_SEED` to try
/// other cases, and `PROPTEST_CASES` to try more than 256. A failure prints its smallest case and stores its seed
/// in `proptest-regressions`.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: cases.saturating_mul(default.cases).div_ceil(256),
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(7515),
            fixed => fixed,
        },
        ..default
    }
}

/// A safe policy of short, uneven durations.
pub(crate) fn any_policy() -> impl Strategy<Value = Policy> {
    let spans = (1..60_000i64, 0..90_000i64, 0..90_000i64, 0..30_000i64);
    let slack = (0..3i64, 0..100_000i64, 0..200_000i64, 1..600i64);
    (spans, slack).prop_filter_map("more keys than a JWKS may hold", |((r, m, v, s), (tight, l, p, t))| {
        let tight = tight == 0;
        let jwks_max_age = m / SEC * SEC;
        let lead = r + jwks_max_age.max(v) + 2 * s + if tight { 0 } else { l };
        let period = 2 * lead + if tight { 0 } else { p };
        let durations = Durations {
            rotation_period: millis(period),
            publish_lead: millis(lead),
            token_ttl: millis(SEC),
            token_max_ttl: millis(t * SEC),
            refresh_interval: millis(r),
            jwks_max_age: millis(jwks_max_age),
            verifier_cache: millis(v),
            clock_skew: millis(s),
        };
        Policy::new(durations, Algorithm::EdDSA).ok()
    })
}
