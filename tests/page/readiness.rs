//! `/readyz` reports each condition with the time since when it holds or not, and the page says the same to people.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::time::{unix_millis, wait_for};
use crate::harness::{AUDIENCE, Home, PATIENCE, Sidecar, Spec, kid_in_phase};
use crate::{condition, three_phases};

/// The seconds of an instant as `/readyz` writes it.
fn seconds(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no instant: {value}"));
    let at = humantime::parse_rfc3339(text).expect("an instant");
    i64::try_from(at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs()).expect("fits")
}

fn now() -> i64 {
    unix_millis() / 1000
}

#[test]
fn every_condition_says_since_when_it_holds() {
    let before = now();
    let sidecar = Spec::new(&Home::new()).start();
    let (status, readiness) = sidecar.readiness();
    assert_eq!((status, &readiness["ready"]), (200, &true.into()));
    for name in ["ring", "signing", "jwks", "socket"] {
        let condition = condition(&readiness, name);
        assert_eq!(condition["ok"], true, "{readiness}");
        assert!((before..=now()).contains(&seconds(&condition["since"])), "{readiness}");
        assert!(condition["failing_since"].is_null(), "{readiness}");
    }
    assert!((before..=now()).contains(&seconds(&readiness["since"])), "{readiness}");
    // A new replica must not raise an alert, although its first key has no successor for a day.
    let metrics = metrics(&sidecar);
    for line in [
        "signet_ready 1",
        "signet_successor_due 0",
        "signet_signing_available 1",
        "signet_condition{state=\"ring_too_old\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
}

fn metrics(sidecar: &Sidecar) -> String {
    sidecar.admin().get("/metrics").expect("an answer").text()
}

/// Liveness never depends on the provider, and a start may have to wait long for it.
#[test]
fn a_sidecar_whose_provider_is_silent_is_alive_and_says_that_it_starts() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let before = now();
    let mut sidecar = Spec::new(&Home::new())
        .set("SIGNET_PROVIDER", "vault")
        .set("SIGNET_CUSTODY", "remote")
        .set(
            "VAULT_ADDR",
            format!("http://{}", silent.local_addr().expect("an address")),
        )
        .set("VAULT_TOKEN", "s.of-no-server-at-all")
        .spawn();
    // The sidecar calls the provider, and gets no answer.
    let asked = silent.accept().expect("a connection");
    let mut admin = sidecar.admin();
    for _ in 0..3 {
        let live = admin.get("/livez").expect("an answer");
        assert_eq!((live.status, live.text().as_str()), (200, "ok\n"));
        let ready = admin.get("/readyz").expect("an answer");
        assert_eq!((ready.status, &ready.json()["ready"]), (503, &false.into()));
        let ring = condition(&ready.json(), "ring");
        assert_eq!((&ring["state"], &ring["ok"]), (&"starting".into(), &false.into()));
        assert!((before..=now()).contains(&seconds(&ring["since"])), "{ring}");
        let text = ring["detail"].as_str().expect("a text");
        assert!(text.contains("vault"), "{text}");
        let metrics = admin.get("/metrics").expect("an answer");
        assert_eq!((metrics.status, metrics.problem()), (503, "starting".to_owned()));
        let page = admin.get("/").expect("an answer");
        assert_eq!(page.status, 200);
        assert!(page.text().contains("The sidecar is starting"), "{}", page.text());
        assert_eq!(admin.get("/nowhere").expect("an answer").status, 404);
    }
    sidecar.signal(rustix::process::Signal::TERM);
    assert!(sidecar.wait(Duration::from_secs(2)).success());
    drop(asked);
}

#[test]
fn a_key_that_is_due_and_cannot_be_made_is_told_apart_from_a_provider_that_cannot_be_read() {
    let spec = Spec::new(&Home::new()).set("SIGNET_REFRESH_INTERVAL", "200ms");
    spec.start().stop();
    // From now on writes fail, and a new algorithm makes a successor due at once.
    let in_the_way = spec.home().data().join("ring.json.tmp");
    fs::create_dir(&in_the_way).expect("made");
    let spec = spec.set("SIGNET_ALGORITHM", "EdDSA");
    let sidecar = spec.start();
    let has = |line: &str| metrics(&sidecar).lines().any(|found| found == line);
    wait_for("the failure", PATIENCE, || {
        has("signet_condition{state=\"ring_work_undone\"} 1").then_some(())
    });
    assert!(has("signet_successor_due 1"), "{}", metrics(&sidecar));
    assert_eq!(condition(&sidecar.readiness().1, "ring")["state"], "ring_work_undone");
    let html = sidecar.admin().get("/").expect("an answer").text();
    for text in [
        "The provider can be read, but not changed",
        "Next: <b>due, next key is created",
    ] {
        assert!(html.contains(text), "no {text:?} in {html}");
    }
    fs::remove_dir(&in_the_way).expect("removed");
    wait_for("the key to be made", PATIENCE, || {
        has("signet_successor_due 0").then_some(())
    });
}

#[test]
fn a_socket_that_somebody_removed_or_replaced_takes_readiness_away_since_it_happened() {
    let spec = Spec::new(&Home::new());
    let sidecar = spec.start();
    let mut open = sidecar.socket();
    let moved = spec.home().path("moved.sock");
    fs::rename(spec.socket_path(), &moved).expect("moved");
    let happened = now();
    // Nobody requests `/readyz` for a while, and its answer is still correct.
    wait_for("two seconds to go by", PATIENCE, || {
        (now() > happened + 2).then_some(())
    });
    let (status, readiness) = sidecar.readiness();
    let socket = condition(&readiness, "socket");
    assert_eq!(
        (status, &readiness["ready"], &socket["ok"]),
        (503, &false.into(), &false.into())
    );
    assert!(
        (happened..=happened + 1).contains(&seconds(&socket["since"])),
        "{happened}: {socket}"
    );
    assert_eq!(readiness["since"], socket["since"]);
    assert!(
        socket["detail"]
            .as_str()
            .is_some_and(|text| text.contains("somebody removed")),
        "{socket}"
    );
    for name in ["ring", "signing", "jwks"] {
        assert_eq!(condition(&readiness, name)["ok"], true, "{readiness}");
    }
    assert_eq!(
        open.get("/v1/ring").expect("an answer").status,
        200,
        "open connections go on"
    );

    let theirs = std::os::unix::net::UnixListener::bind(spec.socket_path()).expect("bound");
    let socket = condition(&sidecar.readiness().1, "socket");
    assert_eq!(socket["ok"], false);
    assert!(
        socket["detail"]
            .as_str()
            .is_some_and(|text| text.contains("another file")),
        "{socket}"
    );
    drop(theirs);
    fs::rename(&moved, spec.socket_path()).expect("moved back");
    let (status, readiness) = sidecar.readiness();
    assert_eq!(status, 200, "{readiness}");
    assert!(
        seconds(&condition(&readiness, "socket")["since"]) >= happened + 2,
        "{readiness}"
    );
}

#[test]
fn a_ring_is_too_old_since_the_instant_that_follows_from_the_policy() {
    let sidecar = three_phases("a drill");
    let ring_file = sidecar.spec().home().ring_file();
    let before = now();
    fs::write(&ring_file, "").expect("written");
    let after = now();
    let (_, failing) = wait_for("the failure to be told", PATIENCE, || {
        let told = sidecar.readiness();
        condition(&told.1, "ring")["failing_since"].is_string().then_some(told)
    });
    let ring = condition(&failing, "ring");
    assert_eq!(
        (&ring["ok"], &failing["ready"]),
        (&true.into(), &true.into()),
        "nothing is lost yet: {failing}"
    );
    assert!(
        (before..=after + 1).contains(&seconds(&ring["failing_since"])),
        "{ring}"
    );
    let (_, lost) = wait_for("the ring to be too old", PATIENCE, || {
        let told = sidecar.readiness();
        (told.0 == 503).then_some(told)
    });
    let ring = condition(&lost, "ring");
    // L − max(M, V) − 2S = 8.6 s after a reading, which was at most 200 ms before the file became bad; rounded down.
    let since = seconds(&ring["since"]);
    assert!(
        (before + 8..=after + 10).contains(&since),
        "{before} to {after}: {ring}"
    );
    assert_eq!(ring["ok"], false);
    assert_eq!(lost["since"], ring["since"]);
    wait_for("a later answer", PATIENCE, || (now() > since + 1).then_some(()));
    let later = sidecar.readiness().1;
    assert_eq!(condition(&later, "ring")["since"], ring["since"], "it stays true");
}

#[test]
fn a_revocation_is_shown_until_no_cache_has_the_key_and_warned_of_once() {
    let spec = Spec::new(&Home::new()).set("SIGNET_REFRESH_INTERVAL", "200ms");
    let sidecar = spec.start();
    let kid = kid_in_phase(&sidecar.ring(), "active").expect("a key");
    let ran = spec.run(&["keys", "revoke", &kid, "--reason", "a drill"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    wait_for("the revocation", PATIENCE, || kid_in_phase(&sidecar.ring(), "revoked"));
    let warning = "a key was revoked, so its tokens are refused from now on";
    let shown = |sidecar: &Sidecar| {
        let (status, readiness) = sidecar.readiness();
        let revocation = condition(&readiness, "revocation");
        assert_eq!((status, &revocation["state"]), (200, &"revocation_spreads".into()));
        let html = sidecar.admin().get("/").expect("an answer").text();
        for text in [
            "! Ready, with a warning",
            "A revoked key may still be accepted elsewhere",
        ] {
            assert!(html.contains(text), "no {text:?} in {html}");
        }
    };
    shown(&sidecar);
    assert_eq!(sidecar.logged(warning).len(), 1);
    sidecar.stop();
    // The ring is old by now, but caches do not know that Signet was restarted.
    let sidecar = spec.start();
    shown(&sidecar);
    assert!(sidecar.logged(warning).is_empty(), "{:?}", sidecar.logged(warning));
}

#[test]
fn the_page_shows_every_phase_without_a_script_and_a_hostile_reason_as_text() {
    let sidecar = three_phases("</bdi><script>alert(1)</script>");
    let answer = sidecar.admin().get("/").expect("an answer");
    let html = answer.text();
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"),
        "{policy}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(
        !html.contains("<script") && !html.contains("http://") && !html.contains("src="),
        "{html}"
    );
    assert!(
        html.contains("&lt;/bdi&gt;&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{html}"
    );
    for phase in ["pending", "active", "retiring", "revoked"] {
        assert!(html.contains(&format!("<div class='row {phase}'>")), "{phase}: {html}");
        assert!(html.contains(&format!("<tr class={phase}>")), "{phase}: {html}");
    }
    assert!(html.contains("✔ Ready"), "{html}");
    assert!(html.contains("Next: <b>"), "{html}");
}

#[test]
fn both_schedules_draw_the_picture_above_their_table() {
    let sidecar = three_phases("a drill");
    for arguments in [&["schedule"][..], &["schedule", "--live"]] {
        let ran = sidecar.spec().run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let (picture, table) = ran.stdout.split_once("What comes next:").expect("a picture");
        for character in ['·', '█', '▒', '▼', '▲'] {
            assert!(picture.contains(character), "no {character} in {picture}");
        }
        assert!(picture.lines().all(|line| line.chars().count() <= 80), "{picture}");
        assert!(table.contains("SIGNS FROM"), "{table}");
    }
    // A token of this ring is good, so the sidecar was not disturbed.
    let signed = sidecar.sign_for("client");
    assert_eq!(sidecar.verify(&signed.token)["active"], true, "{AUDIENCE}");
}
