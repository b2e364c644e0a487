//! A ring whose newest key was created by a clock that was ahead: how it is shown, and how to recover.

use std::sync::Arc;
use std::time::Duration;

use signet_api::{ExpiredKeys, NewKey};
use signet_base::ManualClock;
use signet_core::algorithm::RsaBits;
use signet_core::{Algorithm, Durations, Policy, Timestamp};
use signet_local::LocalConfig;

use crate::harness::time::unix_millis;
use crate::harness::{Home, Spec, kid_in_phase};

const HOUR: i64 = 3600 * 1000;

/// A ring as it is after a sidecar's clock was 25 h ahead for some hours: the successor has a future date, and the
/// private key of the previous key is erased. Returns both kids.
fn ring_of_a_clock_ahead(home: &Home, erases: bool) -> [String; 2] {
    let policy = Policy::new(Durations::default(), Algorithm::ES256).expect("the defaults are safe");
    let config = LocalConfig {
        data_dir: home.data(),
        key_file: None,
        ring_file: None,
        ring: "signet".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(unix_millis() - 6 * HOUR)));
        let ring = signet_local::open(config, Arc::clone(&clock) as _)
            .await
            .expect("a ring");
        let new = |of| NewKey::under(&policy, RsaBits::B2048, of);
        let first = ring.create(&new(None)).await.expect("a key");
        clock.advance(Duration::from_secs(26 * 3600));
        let second = ring.create(&new(Some(first.kid().clone()))).await.expect("a key");
        if erases {
            ring.retire(first.kid(), ExpiredKeys::Disable).await.expect("erased");
        }
        [&first, &second].map(|key| key.kid().to_string())
    })
}

#[test]
fn a_ring_that_only_has_a_key_of_the_future_signs_and_says_so() {
    let home = Home::new();
    let [_, future] = ring_of_a_clock_ahead(&home, true);
    let sidecar = Spec::new(&home).start();
    assert_eq!(sidecar.sign_for("alice").kid, future);
    let (status, readiness) = sidecar.readiness();
    assert_eq!(status, 200, "{readiness}");
    let conditions = readiness["conditions"].as_array().expect("a list");
    let clock = conditions.iter().find(|condition| condition["name"] == "clock");
    let clock = clock.unwrap_or_else(|| panic!("no word of the clock: {readiness}"));
    assert!(clock["failing_since"].is_string(), "{clock}");
    let detail = clock["detail"].as_str().expect("a text");
    for word in [future.as_str(), "in the future", "19h", "signet keys revoke"] {
        assert!(detail.contains(word), "{word}: {detail}");
    }
}

#[test]
fn the_way_back_from_a_key_of_the_future_needs_no_surgery() {
    for erased in [true, false] {
        let home = Home::new();
        let [first, future] = ring_of_a_clock_ahead(&home, erased);
        let spec = Spec::new(&home);
        let ran = spec.run(&["keys", "rotate"]);
        assert_eq!(ran.code, 64, "{}", ran.stderr);
        for word in ["in the future", "date -u", &format!("signet keys revoke {future}")] {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
        let ran = spec.run(&["keys", "revoke", &future, "--reason", "its clock was ahead"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let ring = spec.run(&["keys", "list", "--json"]).json();
        let active = kid_in_phase(&ring, "active").expect("one signs");
        if erased {
            assert!(
                ran.stdout.contains(&format!("created {active}; it signs at once")),
                "{}",
                ran.stdout
            );
        } else {
            assert_eq!(active, first, "what can sign goes on");
            let ran = spec.run(&["keys", "rotate"]);
            assert_eq!(ran.code, 0, "{}", ran.stderr);
        }
        let ring = spec.run(&["keys", "list", "--json"]).json();
        let keys = ring["keys"].as_array().expect("keys");
        let newest = keys.last().expect("a key");
        let created = newest["created_at"].as_str().expect("an instant");
        let created = humantime::parse_rfc3339(created).expect("an instant");
        let created = created.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        assert!(
            created.as_millis() <= u128::try_from(unix_millis()).expect("after 1970"),
            "{ring}"
        );
        let sidecar = spec.start();
        assert_eq!(sidecar.sign_for("alice").kid, active);
        let (status, readiness) = sidecar.readiness();
        assert_eq!(status, 200, "{readiness}");
        assert!(!readiness.to_string().contains("in the future"), "{readiness}");
    }
}
