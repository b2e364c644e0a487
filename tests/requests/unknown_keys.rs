//! Tokens with unknown keys: all of them together cause at most one reading of the ring per
//! cool-down, and delay no good token.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::harness::http::Connection;
use crate::harness::seed::Random;
use crate::harness::time::{instant, next_beat, wait_for};
use crate::harness::{AUDIENCE, PATIENCE, Sidecar, say};
use crate::{sidecar, works};

/// 100,000 per minute.
const RATE: u32 = 1667;
const SECONDS: u32 = 12;
const SAMPLES: usize = 1000;
/// This is a debug build next to its clients, on a machine with other work.
const BOUND: Duration = Duration::from_millis(25);

#[test]
fn a_hundred_thousand_random_kids_a_minute_cause_one_reading_and_delay_no_good_token() {
    let sidecar = sidecar();
    let mut connection = sidecar.socket();
    let good = works(&sidecar, &mut connection).token;
    let good = json!({ "token": good, "audience": AUDIENCE }).to_string();
    let before = (lists(&sidecar), percentiles(&mut connection, &good));

    let over = AtomicBool::new(false);
    let during = std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            let mut connection = sidecar.socket();
            let mut seed = Random::seeded("random kids");
            let mut beat = instant();
            for _ in 0..RATE * SECONDS {
                next_beat(&mut beat, Duration::from_secs(1) / RATE);
                let token = under_random_kid(&mut seed);
                let body = json!({ "token": token, "audience": AUDIENCE }).to_string();
                let answer = connection
                    .post("/v1/verify", body.as_bytes())
                    .expect("an answer")
                    .json();
                assert_eq!(answer["error"], "unknown_key", "{answer}");
            }
            over.store(true, Ordering::Relaxed);
        });
        // The first of them causes the only reading.
        wait_for("an early reading", PATIENCE, || {
            (lists(&sidecar) == before.0 + 1).then_some(())
        });
        let during = percentiles(&mut connection, &good);
        attacker.join().expect("the attacker ran to its end");
        during
    });
    assert!(over.load(Ordering::Relaxed));

    let readings = lists(&sidecar) - before.0;
    say(format!(
        "{} tokens of random kids in {SECONDS} s: {readings} early reading; a good token took p50 {:?} and p99 {:?}, before \
         that {:?} and {:?}",
        RATE * SECONDS,
        during.0,
        during.1,
        before.1.0,
        before.1.1
    ));
    assert_eq!(readings, 1, "the regular reading is due after 51 s at the soonest");
    assert!(during.1 < BOUND, "p99 {:?}", during.1);
    assert!(
        during.0 < before.1.0 * 4 + Duration::from_millis(1),
        "p50 {:?}",
        during.0
    );
}

fn under_random_kid(seed: &mut Random) -> String {
    let octets: Vec<u8> = (0..32)
        .map(|_| u8::try_from(seed.below(256)).expect("an octet"))
        .collect();
    let kid = URL_SAFE_NO_PAD.encode(octets);
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "ES256", "typ": "JWT", "kid": kid }).to_string());
    let claims = URL_SAFE_NO_PAD.encode(json!({ "sub": "client", "aud": AUDIENCE }).to_string());
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
}

/// The median and the 99th percentile of the time for a good token.
fn percentiles(connection: &mut Connection, body: &str) -> (Duration, Duration) {
    let mut samples: Vec<Duration> = (0..SAMPLES)
        .map(|_| {
            let start = instant();
            let answer = connection.post("/v1/verify", body.as_bytes()).expect("an answer");
            let took = start.elapsed();
            assert_eq!(answer.json()["active"], true, "{}", answer.text());
            took
        })
        .collect();
    samples.sort_unstable();
    (samples[SAMPLES / 2], samples[SAMPLES * 99 / 100])
}

/// How often the ring was listed.
fn lists(sidecar: &Sidecar) -> u64 {
    let text = sidecar.admin().get("/metrics").expect("metrics").text();
    text.lines()
        .filter(|line| line.starts_with("signet_provider_calls_total") && line.contains(r#"operation="list""#))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
