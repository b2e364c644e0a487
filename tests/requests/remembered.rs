//! A cached token is refused once its key is gone or it has expired.

use serde_json::json;

use crate::harness::time::wait_for;
use crate::harness::{AUDIENCE, Home, PATIENCE, Spec, kid_in_phase, say};
use crate::sidecar;

#[test]
fn a_token_seen_before_is_refused_after_its_key_was_revoked() {
    let sidecar = sidecar();
    let signed = sidecar.sign_for("client");
    let bearer = format!("Bearer {}", signed.token);
    let path = format!("/v1/authorize?audience={AUDIENCE}");
    let mut connection = sidecar.socket();
    let mut authorize = || {
        let headers = [("authorization", bearer.as_str())];
        connection
            .request("GET", &path, &headers, None)
            .expect("an answer")
            .status
    };
    for _ in 0..3 {
        assert_eq!(sidecar.verify(&signed.token)["active"], true);
        assert_eq!(authorize(), 200);
    }
    let ran = sidecar
        .spec()
        .run(&["keys", "revoke", &signed.kid, "--reason", "a test"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    sidecar.hang_up();
    let refused = wait_for("the token to be refused", PATIENCE, || {
        let answer = sidecar.verify(&signed.token);
        (answer["active"] == false).then_some(answer)
    });
    assert_eq!(refused["error"], "unknown_key", "{refused}");
    assert_eq!(authorize(), 401);
    assert!(!sidecar.jwks_kids().contains(&signed.kid));
    // The successor signs at once, and its tokens are good.
    let next = sidecar.sign_for("client");
    assert_eq!(Some(&next.kid), kid_in_phase(&sidecar.ring(), "active").as_ref());
    assert_ne!(next.kid, signed.kid);
    assert_eq!(sidecar.verify(&next.token)["active"], true);
}

#[test]
fn a_token_seen_before_is_refused_after_its_exp_and_for_another_audience() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_CLOCK_SKEW", "0s").start();
    let request = json!({ "claims": { "sub": "s", "aud": AUDIENCE }, "ttl": 2 });
    let signed = sidecar.sign_over(&mut sidecar.socket(), &request);
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    let answer = sidecar.post(
        "/v1/verify",
        &json!({ "token": signed.token, "audience": "https://other.test" }),
    );
    assert_eq!(answer.json()["error"], "wrong_audience");
    wait_for("the token to expire", PATIENCE, || (!signed.is_alive()).then_some(()));
    assert_eq!(sidecar.verify(&signed.token)["error"], "expired");
}

#[test]
fn without_a_cache_the_answers_are_the_same() {
    let sidecar = Spec::new(&Home::new()).set("SIGNET_VERIFY_CACHE_ENTRIES", "0").start();
    let signed = sidecar.sign_for("client");
    for _ in 0..3 {
        assert_eq!(sidecar.verify(&signed.token)["claims"]["sub"], "client");
    }
    let metrics = sidecar.admin().get("/metrics").expect("an answer").text();
    assert!(metrics.contains("signet_tokens_accepted_total 3"), "{metrics}");
}

/// The resident memory of the process in bytes.
fn resident(sidecar: &crate::harness::Sidecar) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib: usize = line
        .split_ascii_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number");
    kib * 1024
}

/// Each cached token counts as much as its memory, so the cache stays below 4 KiB for each configured entry.
#[test]
fn tokens_of_thousands_of_audiences_do_not_fill_the_cache_beyond_its_bound() {
    const ENTRIES: usize = 4000;
    const MIB: usize = 1024 * 1024;
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_VERIFY_CACHE_ENTRIES", ENTRIES)
        .set("SIGNET_LOG", "info")
        .start();
    let mut connection = sidecar.socket();
    let audiences: Vec<String> = (0..2900_u32)
        .map(|number| char::from_u32(97 + number % 26).expect("a letter").to_string())
        .chain([AUDIENCE.to_owned()])
        .collect();
    let mut verify = |count: usize| {
        for number in 0..count {
            let claims = json!({ "sub": format!("s{number}"), "aud": audiences });
            let token = sidecar.sign_over(&mut connection, &json!({ "claims": claims })).token;
            let request = json!({ "token": token, "audience": AUDIENCE }).to_string();
            let answer = connection.post("/v1/verify", request.as_bytes()).expect("an answer");
            assert_eq!(answer.json()["active"], true);
        }
    };
    verify(5);
    let before = resident(&sidecar);
    verify(600);
    let grown = resident(&sidecar).saturating_sub(before);
    say(format!("600 tokens of 2,901 audiences: {} KiB more", grown / 1024));
    // The allocator, and the processing of requests, need some more.
    assert!(grown <= ENTRIES * 4096 + 10 * MIB, "{} MiB", grown / MIB);
}
