//! Benchmarks of the functions in which a request or a refresh spends its time.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use signet_core::algorithm::RsaBits;
use signet_core::jwk::{Jwk, JwkSet};
use signet_core::mint::{Headers, SignRequest, Template};
use signet_core::verify::{Requirements, authenticate};
use signet_core::{
    Algorithm, Durations, ForeignKeys, Issuer, Judged, KeyRecord, KeyState, Policy, SigningKey, Timestamp,
    VerifyingKey, schedule,
};

const NOW: Timestamp = Timestamp::from_secs(1_750_000_000);
const ISSUER: &str = "https://issuer.example";
const REQUEST: &str = r#"{"claims":{"sub":"alice","aud":["api","billing"],"scope":"read write",
    "tenant":{"id":4711,"plan":"gold"},"roles":["admin","auditor"]},"ttl":300,"typ":"at+jwt"}"#;
/// One algorithm of each kind of key.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
    Algorithm::RS256,
    Algorithm::PS256,
];

fn generate(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm, RsaBits::B2048).expect("a key")
}

fn template() -> Template {
    let hour = Duration::from_secs(3600);
    Template::new(&Issuer::new(ISSUER), &[], None, hour, hour)
}

fn token(key: &SigningKey) -> String {
    let request: SignRequest<'_> = serde_json::from_str(REQUEST).expect("a request");
    let headers = Headers::new(key.verifying_key());
    let hour = Duration::from_secs(3600);
    let unsigned = template().mint(&request, &headers, hour, NOW, [7; 16]).expect("minted");
    let signature = key.sign(unsigned.signing_input()).expect("a signature");
    unsigned.finish(signature.as_ref())
}

fn sign(c: &mut Criterion) {
    let mut group = c.benchmark_group("sign");
    for algorithm in ALGORITHMS {
        let key = generate(algorithm);
        let token = token(&key);
        let (input, _) = token.rsplit_once('.').expect("three parts");
        group.bench_function(algorithm.as_str(), |b| b.iter(|| key.sign(black_box(input.as_bytes()))));
    }
}

fn authentication(c: &mut Criterion) {
    let mut group = c.benchmark_group("authenticate");
    for algorithm in ALGORITHMS {
        let key = generate(algorithm);
        let token = token(&key);
        let known: &VerifyingKey = key.verifying_key();
        group.bench_function(algorithm.as_str(), |b| {
            b.iter(|| authenticate(black_box(&token), |_| Some(known)))
        });
    }
    // An attacker who has no key must not be able to make us do cryptography.
    let key = generate(Algorithm::ES256);
    let token = token(&key);
    group.bench_function("unknown kid", |b| {
        b.iter(|| authenticate(black_box(&token), |_| None).err())
    });
}

fn verification(c: &mut Criterion) {
    let key = generate(Algorithm::ES256);
    let token = token(&key);
    let authentic = authenticate(&token, |_| Some(key.verifying_key())).expect("authentic");
    let issuer = Issuer::new(ISSUER);
    let require = Requirements {
        issuer: &issuer,
        audience: &["api"],
        scope: Some("read"),
        typ: Some("at+jwt"),
        clock_skew: Duration::from_secs(60),
    };
    assert!(authentic.verify(&require, NOW).is_ok());
    c.bench_function("verify an authentic token", |b| {
        b.iter(|| authentic.verify(black_box(&require), NOW).is_ok())
    });
}

fn minting(c: &mut Criterion) {
    let key = generate(Algorithm::ES256);
    let (template, headers) = (template(), Headers::new(key.verifying_key()));
    let hour = Duration::from_secs(3600);
    c.bench_function("mint", |b| {
        b.iter(|| {
            let request: SignRequest<'_> = serde_json::from_str(black_box(REQUEST)).expect("a request");
            template.mint(&request, &headers, hour, NOW, [7; 16])
        });
    });
}

fn scheduling(c: &mut Criterion) {
    let policy = Policy::new(Durations::default(), Algorithm::EdDSA).expect("safe");
    let day = Duration::from_secs(24 * 3600);
    let keys: Vec<KeyRecord> = (0..10)
        .map(|age| KeyRecord {
            public: generate(Algorithm::EdDSA).verifying_key().clone(),
            created_at: NOW.minus(day * age),
            sequence: 0,
            predecessor: None,
            terms: Some(policy.terms()),
            state: KeyState::Enabled,
            revoked: None,
        })
        .collect();
    c.bench_function("schedule 10 keys", |b| {
        b.iter(|| schedule(black_box(&keys), &policy, NOW))
    });
}

/// A key of an issuer when it is first seen, and when it is seen again.
fn judging(c: &mut Criterion) {
    let mut group = c.benchmark_group("read an RSA key of an issuer");
    group.sample_size(10);
    for bits in [RsaBits::B2048, RsaBits::B3072, RsaBits::B4096] {
        let key = SigningKey::generate(Algorithm::RS256, bits).expect("a key");
        let set = JwkSet {
            keys: vec![Jwk::from(key.verifying_key())],
        };
        let set = serde_json::to_vec(&set).expect("JSON");
        let mut judged = Judged::default();
        let read = |judged: &mut Judged| ForeignKeys::parse_again(&set, &[Algorithm::RS256], judged);
        group.bench_function(format!("{bits:?} new"), |b| b.iter(|| read(&mut Judged::default())));
        group.bench_function(format!("{bits:?} again"), |b| b.iter(|| read(&mut judged)));
    }
}

criterion_group!(core, sign, authentication, verification, minting, scheduling, judging);
criterion_main!(core);
