//! The cost of the bare cryptography: CPU time of one thread per operation, with parsed keys, for a message as long as
//! a real token's signing input. The costs of requests are divided by it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, VerificationAlgorithm,
};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::error::LoadError;

/// The length of a compact ES256 token of signet before its second dot, with a short subject and audience.
const MESSAGE_BYTES: usize = 330;
/// The operations, by the names that `--only` takes.
pub(crate) const OPERATIONS: [&str; 6] = [
    "sign_es256",
    "sign_rs256",
    "sign_eddsa",
    "verify_es256",
    "verify_rs256",
    "verify_eddsa",
];
/// The number of rounds. Their median is the cost.
const ROUNDS: usize = 5;

/// The measured costs.
#[derive(Serialize)]
pub(crate) struct Costs {
    message_bytes: usize,
    seconds_per_operation: f64,
    /// CPU time in microseconds, by operation.
    cpu_us: BTreeMap<&'static str, f64>,
}

/// Measures the operations in `only`, or all, for about `seconds` each.
pub(crate) fn measure(only: &[String], seconds: f64) -> Result<Costs, LoadError> {
    // Not all bytes are the same, because a hash implementation could some day be faster for that.
    let message: Vec<u8> = (0..MESSAGE_BYTES).map(|index| b'A' + (index % 26) as u8).collect();
    let round = Duration::from_secs_f64(seconds / ROUNDS as f64);
    let mut cpu_us = BTreeMap::new();
    for name in OPERATIONS {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            cpu_us.insert(name, cost(name, &message, round)?);
        }
    }
    Ok(Costs {
        message_bytes: MESSAGE_BYTES,
        seconds_per_operation: seconds,
        cpu_us,
    })
}

fn cost(name: &str, message: &[u8], round: Duration) -> Result<f64, LoadError> {
    let random = SystemRandom::new();
    match name {
        "sign_es256" | "verify_es256" => {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| refused("P-256 key"))?;
            let sign = || key.sign(&random, message).map_err(|_| refused("ES256 signature"));
            if name == "sign_es256" {
                return timed(round, sign);
            }
            verify(
                &ECDSA_P256_SHA256_FIXED,
                key.public_key().as_ref(),
                message,
                sign()?.as_ref(),
                round,
            )
        }
        "sign_rs256" | "verify_rs256" => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| refused("RSA key"))?;
            let mut signature = vec![0; key.public_modulus_len()];
            let mut sign = || {
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| refused("RS256 signature"))
            };
            if name == "sign_rs256" {
                return timed(round, sign);
            }
            sign()?;
            verify(
                &RSA_PKCS1_2048_8192_SHA256,
                key.public_key().as_ref(),
                message,
                &signature,
                round,
            )
        }
        _ => {
            let key = Ed25519KeyPair::generate().map_err(|_| refused("Ed25519 key"))?;
            if name == "sign_eddsa" {
                return timed(round, || Ok(key.sign(message)));
            }
            verify(
                &ED25519,
                key.public_key().as_ref(),
                message,
                key.sign(message).as_ref(),
                round,
            )
        }
    }
}

fn verify(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
    round: Duration,
) -> Result<f64, LoadError> {
    let key = ParsedPublicKey::new(algorithm, key).map_err(|_| refused("public key"))?;
    timed(round, || {
        key.verify_sig(message, signature).map_err(|_| refused("verification"))
    })
}

/// CPU time of this thread per call in microseconds: the median of the rounds, after one that does not count.
fn timed<T>(round: Duration, mut operation: impl FnMut() -> Result<T, LoadError>) -> Result<f64, LoadError> {
    let mut costs = Vec::with_capacity(ROUNDS);
    for counted in 0..=ROUNDS {
        let start = thread_cpu();
        let mut calls = 0u32;
        let spent = loop {
            // Reading the clock is a system call, so it is not done after every call.
            for _ in 0..16 {
                black_box(operation()?);
            }
            calls += 16;
            let spent = thread_cpu().saturating_sub(start);
            if spent >= round {
                break spent;
            }
        };
        if counted > 0 {
            costs.push(spent.as_secs_f64() * 1e6 / f64::from(calls));
        }
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs[ROUNDS / 2])
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

fn refused(what: &'static str) -> LoadError {
    LoadError::Crypto(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_cost() {
        let costs = measure(&[], 0.005).expect("all operations run");
        let names: Vec<_> = costs.cpu_us.keys().copied().collect();
        let mut expected = OPERATIONS.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected);
        for (name, cost) in &costs.cpu_us {
            assert!((1.0..1e6).contains(cost), "{name}: {cost} µs");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_measured() {
        let costs = measure(&["verify_eddsa".to_owned()], 0.005).expect("one operation runs");
        assert_eq!(costs.cpu_us.len(), 1);
    }
}
