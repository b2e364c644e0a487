//! RSA must not delay other requests: while 16 clients sign with RS256, requests for the ring
//! do not wait in their queue.
//!
//! The limit is wide, because this is a debug build on a machine that also runs the clients. `benches/run.sh` limits
//! the release build to 5 ms.

use signet_harness as harness;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use harness::time::instant;
use harness::{AUDIENCE, Home, Spec, say};
use serde_json::json;

const CLIENTS: usize = 16;
const SAMPLES: usize = 1000;
const BOUND: Duration = Duration::from_millis(25);
/// The maximum time of a ring request, as a fraction of a signature's time under this load. If signatures were computed
/// on the sockets' threads, ring requests would wait in the same queue.
const SHARE: u32 = 8;

#[test]
fn the_ring_is_answered_in_time_while_16_clients_sign_rs256() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_ALGORITHM", "RS256")
        .set("SIGNET_LOG", "info")
        .start();
    let (done, signed) = (AtomicBool::new(false), AtomicU64::new(0));
    let request = json!({ "claims": { "sub": "client", "aud": AUDIENCE } }).to_string();
    let mut samples = Vec::with_capacity(SAMPLES);
    let beginning = instant();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = sidecar.socket();
                while !done.load(Ordering::Relaxed) {
                    let answer = connection.post("/v1/sign", request.as_bytes()).expect("an answer");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    signed.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut connection = sidecar.socket();
        // Wait until all clients are signing, and then until each has signed many times.
        harness::time::wait_for("the clients to sign", harness::PATIENCE, || {
            (signed.load(Ordering::Relaxed) > 100).then_some(())
        });
        for _ in 0..SAMPLES {
            let start = instant();
            let answer = connection.get("/v1/ring").expect("an answer");
            samples.push(start.elapsed());
            assert_eq!(answer.status, 200);
            std::thread::sleep(Duration::from_millis(1));
        }
        done.store(true, Ordering::Relaxed);
    });
    let took = beginning.elapsed();
    samples.sort_unstable();
    let at = |percent: usize| samples[SAMPLES * percent / 100];
    let signed = u32::try_from(signed.load(Ordering::Relaxed)).expect("fits");
    // Each client waits for its signature before it requests the next.
    let one = took * u32::try_from(CLIENTS).expect("fits") / signed;
    say(format!(
        "GET /v1/ring while {CLIENTS} clients signed {signed} times RS256, each within {one:?}: p50 {:?}, p99 {:?}, most {:?}",
        at(50),
        at(99),
        samples[SAMPLES - 1]
    ));
    assert!(signed > 300, "only {signed} signatures: the signing itself was starved");
    assert!(at(99) < BOUND, "p99 {:?}", at(99));
    assert!(
        at(50) < one / SHARE,
        "a request that needs no signature waits {:?}, nearly as long as those that do, {one:?}",
        at(50)
    );
}
