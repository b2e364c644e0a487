//! The binary with its own wall clock, which a preloaded library shows it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::time::wait_for;
use crate::harness::wall_clock::WallClock;
use crate::harness::{AUDIENCE, Home, PATIENCE, Sidecar, Spec};

const HOUR: i64 = 3600;

fn condition(sidecar: &Sidecar, name: &str) -> Option<Value> {
    let (status, readiness) = sidecar.readiness();
    assert_eq!(status, 200, "{readiness}");
    let conditions = readiness["conditions"].as_array().expect("a list").clone();
    conditions.into_iter().find(|condition| condition["name"] == name)
}

fn keys(sidecar: &Sidecar) -> Vec<Value> {
    sidecar.ring()["keys"].as_array().expect("keys").clone()
}

#[test]
fn a_clock_that_is_set_leaves_the_ring_alone_and_is_told_wherever_operators_look() {
    let home = Home::new();
    let Some(clock) = WallClock::new(&home) else { return };
    let sidecar = clock.of(Spec::new(&home)).start();
    let first = sidecar.sign_for("alice").kid;
    for (off, word) in [(25 * HOUR, "1d 1h ahead of"), (-25 * HOUR, "1d 1h behind")] {
        clock.set_off_by(off);
        let told = wait_for("the condition", PATIENCE, || condition(&sidecar, "clock"));
        let detail = told["detail"].as_str().expect("a text");
        assert!(detail.contains(word) && detail.contains("date -u"), "{detail}");
        let page = sidecar.admin().get("/").expect("the page");
        assert!(page.text().contains("The clock is in doubt"), "{}", page.text());
        // Make the sidecar read its ring once more. If it were wrong about the clock, it would now do what is due.
        let hang_up = "received SIGHUP";
        let before = sidecar.logged(hang_up).len();
        sidecar.hang_up();
        wait_for("the signal", PATIENCE, || {
            (sidecar.logged(hang_up).len() > before).then_some(())
        });
        for _ in 0..10 {
            assert_eq!(sidecar.sign_for("alice").kid, first);
        }
        assert_eq!(keys(&sidecar).len(), 1, "no key was created");
        clock.set_off_by(0);
        wait_for("the end of the condition", PATIENCE, || {
            condition(&sidecar, "clock").is_none().then_some(())
        });
    }
    let warned = sidecar
        .log_text()
        .lines()
        .filter(|line| line.contains("the wall clock was set"))
        .count();
    assert_eq!(warned, 2, "once for each time");
    assert_eq!(sidecar.sign_for("alice").kid, first);
    assert_eq!(sidecar.jwks_kids(), [first]);
}

#[test]
fn no_key_is_made_by_hand_while_the_sidecar_beside_doubts_the_clock_and_one_can_be_revoked_all_the_same() {
    let home = Home::new();
    let Some(clock) = WallClock::new(&home) else { return };
    let spec = clock.of(Spec::new(&home));
    let sidecar = spec.start();
    let first = sidecar.sign_for("alice").kid;
    // The command itself cannot tell that the clock is wrong.
    clock.set_off_by(25 * HOUR);
    let told = wait_for("the condition", PATIENCE, || condition(&sidecar, "clock"));
    let answer = sidecar.socket().get("/v1/clock").expect("an answer").json();
    let detail = answer["doubt"]["detail"].as_str().expect("a text");
    assert!(detail.contains("1d 1h ahead of"), "{detail}");
    assert!(
        told["detail"].as_str().is_some_and(|text| text.contains("date -u")),
        "{told}"
    );
    for arguments in [&["keys", "rotate"][..], &["keys", "rotate", "--json"]] {
        let ran = spec.run(arguments);
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        assert!(!ran.stdout.contains("kid"), "{}", ran.stdout);
        for word in ["no key was created", "1d 1h ahead of", "date -u", "s.sock reports"] {
            let socket = spec.socket_path().display().to_string();
            let word = word.replace("s.sock", &socket);
            assert!(ran.stderr.contains(&word), "{word}: {}", ran.stderr);
        }
    }
    assert_eq!(keys(&sidecar).len(), 1);
    let ran = spec.run(&["keys", "revoke", &first]);
    assert_eq!(ran.code, 0, "what is compromised does not wait: {}", ran.stderr);

    clock.set_off_by(0);
    wait_for("the end of the doubt", PATIENCE, || {
        let answer = sidecar.socket().get("/v1/clock").expect("an answer").json();
        answer["doubt"].is_null().then_some(())
    });
}

#[test]
fn the_tokens_of_a_trusted_issuer_are_judged_when_the_clock_is_set_and_its_keys_fetched_at_once() {
    let home = Home::new();
    let Some(clock) = WallClock::new(&home) else { return };
    let issuer = Spec::new(&Home::new());
    let name = format!("http://{}", issuer.listen());
    let issuer = issuer
        .set("SIGNET_ISSUER", &name)
        .set("SIGNET_TOKEN_MAX_TTL", "12h")
        .start();
    let request = json!({ "claims": { "sub": "alice", "aud": AUDIENCE }, "ttl": 12 * HOUR });
    let token = issuer.sign_over(&mut issuer.socket(), &request).token;
    let sidecar = clock
        .of(Spec::new(&home)
            .set("SIGNET_TRUSTED_ISSUERS", &name)
            .set("SIGNET_AUDIENCE", AUDIENCE))
        .start();
    sidecar.remember(&token);
    let active = || sidecar.verify(&token)["active"] == true;
    assert!(active());
    let fetches = || {
        let metrics = sidecar.admin().get("/metrics").expect("metrics").text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("signet_issuer_fetches_total") && line.contains("\"ok\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0)
    };
    // This is longer than the keys' lifetime plus max_stale.
    for off in [8 * HOUR, 0] {
        let before = fetches();
        clock.set_off_by(off);
        assert!(active(), "no request finds keys that are too old");
        wait_for("a fetch", Duration::from_secs(10), || {
            (fetches() > before).then_some(())
        });
        assert!(active());
    }
}
