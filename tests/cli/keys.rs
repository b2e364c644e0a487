//! `signet keys` on the provider itself, with and without a sidecar.

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::harness::time::{instant, wait_for};
use crate::harness::{FAST, Home, ISSUER, PATIENCE, Ran, STRANGER, Spec, kid_in_phase, kids};

/// The audit events in a command's log.
fn audited(ran: &Ran) -> Vec<Value> {
    let lines = ran
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "audit").collect()
}

/// The actions in the audit log, with their results.
fn acts(ran: &Ran) -> Vec<String> {
    let word = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
    let ended = |event: &Value| word(event, "outcome").or_else(|| word(event, "step"));
    let events = audited(ran);
    events
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                word(event, "action").unwrap_or_default(),
                ended(event).unwrap_or_default()
            )
        })
        .collect()
}

fn word(json: &Value, name: &str) -> String {
    json[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {json}"))
        .to_owned()
}

#[test]
fn without_a_sidecar_a_ring_is_made_rotated_and_revoked() {
    let spec = Spec::new(&Home::new());
    let ran = spec.run(&["keys", "list", "--json"]);
    assert_eq!((ran.code, kids(&ran.json())), (0, Vec::new()), "{}", ran.stderr);

    let first = spec.run(&["keys", "rotate", "--reason", "a first key", "--json"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(acts(&first), ["rotate attempt", "rotate done"], "{}", first.stderr);
    assert_eq!(audited(&first)[1]["kid"], first.json()["kid"]);
    let first = word(&first.json(), "kid");

    let ran = spec.run(&["keys", "rotate"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("it is published now and signs from"),
        "{}",
        ran.stdout
    );
    let ran = spec.run(&["keys", "rotate"]);
    assert_eq!(ran.code, 64, "never two keys that wait: {}", ran.stderr);
    assert!(ran.stderr.contains("already exists and signs from"), "{}", ran.stderr);

    let ran = spec.run(&["keys", "list"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.stdout);
    assert!(
        lines[0].starts_with("PHASE") && lines[1].starts_with("active") && lines[2].starts_with("pending"),
        "{lines:?}"
    );
    let ring = spec.run(&["keys", "list", "--json"]).json();
    let second = kid_in_phase(&ring, "pending").expect("the second key");
    assert_eq!(kid_in_phase(&ring, "active"), Some(first.clone()));

    // A key is pending. It takes over at once, and no other is created.
    let ran = spec.run(&["keys", "revoke", &first, "--reason", "lost laptop", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        (word(&ran.json(), "revoked"), &ran.json()["successor"]),
        (first.clone(), &Value::Null)
    );
    let ring = spec.run(&["keys", "list", "--json"]).json();
    assert_eq!(kid_in_phase(&ring, "active"), Some(second.clone()), "{ring}");
    assert_eq!(ring["keys"][0]["revoked"]["reason"], "lost laptop", "{ring}");

    // No key is pending, so the successor is created.
    let ran = spec.run(&["keys", "revoke", &second]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("all sidecars that reach the provider refuse it within 2m"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("it signs at once"), "{}", ran.stdout);
    let expected = ["revoke attempt", "revoke done", "create attempt", "create done"];
    assert_eq!(acts(&ran), expected, "{}", ran.stderr);
    let ring = spec.run(&["keys", "list", "--json"]).json();
    assert_eq!(kids(&ring).len(), 3);
    assert!(kid_in_phase(&ring, "active").is_some(), "{ring}");

    // Revoking again is not an error and changes nothing.
    let ran = spec.run(&["keys", "revoke", &first, "--reason", "another"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(spec.run(&["keys", "list", "--json"]).json(), ring);

    // One kid in 64 begins with a hyphen.
    for kid in [
        "no-such-key",
        "-no-such-key",
        "--no-such-key",
        "-",
        "-hV3dWXIKVEr4G9NR",
        "-Vh",
        "--hV3dWXIKVEr4G9NR",
    ] {
        for arguments in [
            &["keys", "revoke", kid, "--reason", "r", "--json"][..],
            &["keys", "revoke", "--json", "--reason", "r", kid],
        ] {
            let ran = spec.run(arguments);
            assert_eq!(ran.code, 66, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(kid), "{}", ran.stderr);
        }
    }
    let ran = spec.run(&["keys", "prune"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "nothing to delete\n"));
    assert_eq!(
        spec.run(&["keys", "prune", "--json"]).json()["pruned"],
        serde_json::json!([])
    );
}

/// Checks that every audit event of a command has all fields.
fn tells_all(ran: &Ran, action: &str, reason: &str) {
    let events = audited(ran);
    assert_eq!(events.len(), 2, "{}", ran.stderr);
    for event in &events {
        assert_eq!(event["action"], action, "{event}");
        assert_eq!(event["reason"], reason, "{event}");
        assert_eq!(event["uid"], rustix::process::getuid().as_raw(), "{event}");
        assert_eq!(
            event["host"],
            rustix::system::uname().nodename().to_string_lossy().as_ref(),
            "{event}"
        );
        assert_eq!(
            (&event["issuer"], &event["provider"]),
            (&ISSUER.into(), &"local".into()),
            "{event}"
        );
        assert_eq!(event["sudo_user"], "operator", "{event}");
        assert!(
            event["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')),
            "{event}"
        );
    }
    assert_eq!(events[0]["step"], "attempt");
    assert_eq!(events[1]["step"], "outcome");
}

#[test]
fn who_when_and_why_is_on_record_before_and_after_a_rotation_and_a_revocation() {
    // The audit log is written whatever else is logged.
    let spec = Spec::new(&Home::new())
        .set("SIGNET_LOG", "off")
        .set("SUDO_USER", "operator");
    let reason = "lost: \"Schlüssel\"\n{\"target\":\"audit\"} 🔑";
    let ran = spec.run(&["keys", "rotate", "--reason", reason, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    tells_all(&ran, "rotate", reason);
    let first = word(&ran.json(), "kid");
    assert_eq!(audited(&ran)[0]["kid"], Value::Null, "it has no key yet");
    assert_eq!(audited(&ran)[1]["kid"], *first);
    assert_eq!(spec.run(&["keys", "rotate"]).code, 0);

    let ran = spec.run(&["keys", "rotate", "--reason", reason]);
    assert_eq!(ran.code, 64, "one already exists");
    tells_all(&ran, "rotate", reason);
    assert_eq!(audited(&ran)[1]["outcome"], "failed");
    assert!(
        word(&audited(&ran)[1], "error").contains("already exists"),
        "{}",
        ran.stderr
    );

    let ran = spec.run(&["keys", "revoke", &first, "--reason", reason]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    tells_all(&ran, "revoke", reason);
    for event in audited(&ran) {
        assert_eq!(event["kid"], *first, "{event}");
    }
    let ran = spec.run(&["keys", "revoke", "no-such-key", "--reason", reason]);
    assert_eq!(ran.code, 66, "{}", ran.stderr);
    tells_all(&ran, "revoke", reason);
    assert_eq!(acts(&ran), ["revoke attempt", "revoke failed"]);
    assert_eq!(audited(&ran)[1]["kid"], "no-such-key");

    // Commands that only read are not in the audit log.
    assert!(audited(&spec.run(&["keys", "list"])).is_empty());
}

#[test]
fn an_attempt_is_on_record_also_if_the_provider_cannot_be_opened() {
    let home = Home::new();
    let spec = Spec::new(&home);
    assert_eq!(spec.run(&["keys", "rotate"]).code, 0);
    std::fs::write(home.data().join("local.key"), "no key").expect("damaged");
    for arguments in [
        &["keys", "rotate"][..],
        &["keys", "revoke", "some-key"],
        &["keys", "prune"],
    ] {
        let ran = spec.run(arguments);
        assert_ne!(ran.code, 0);
        let action = arguments[1];
        assert_eq!(
            acts(&ran),
            [format!("{action} attempt"), format!("{action} failed")],
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_reason_forges_no_line_of_a_log_in_text() {
    let spec = Spec::new(&Home::new()).set("SIGNET_LOG_FORMAT", "text");
    let reason = "why\n2026-01-01T00:00:00Z  INFO audit: audit action=\"forged\"";
    for arguments in [
        &["keys", "rotate", "--reason", reason][..],
        &["keys", "revoke", "a\nkid", "--reason", reason],
    ] {
        let ran = spec.run(arguments);
        let lines = ran.stderr.lines().filter(|line| line.contains(" audit: "));
        assert_eq!(lines.clone().count(), 2, "{}", ran.stderr);
        assert!(
            lines.into_iter().all(|line| !line.starts_with("2026-01-01T00:00:00Z")),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_rotation_is_seen_by_a_running_sidecar_and_keeps_the_lead() {
    let spec = Spec::new(&Home::new());
    let sidecar = spec.start();
    let first = sidecar.sign_for("client").kid;
    let ran = spec.run(&["keys", "rotate", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let second = word(&ran.json(), "kid");
    sidecar.hang_up();
    wait_for("the key in the JWKS", PATIENCE, || {
        sidecar.jwks_kids().contains(&second).then_some(())
    });
    assert_eq!(sidecar.sign_for("client").kid, first, "it signs an hour from now");
    let list = spec.run(&["keys", "list", "--json"]).json();
    assert_eq!(
        list["keys"],
        sidecar.ring()["keys"],
        "the command and the sidecar show one ring"
    );
}

#[test]
fn a_revoked_key_is_refused_by_a_running_sidecar_within_the_refresh_interval() {
    let interval = Duration::from_millis(500);
    let spec = Spec::new(&Home::new())
        .set_all(FAST)
        .set("SIGNET_ROTATION_PERIOD", "1h")
        .set("SIGNET_PUBLISH_LEAD", "10s")
        .set("SIGNET_REFRESH_INTERVAL", "500ms")
        .set("SIGNET_TOKEN_MAX_TTL", "10m")
        .set("SIGNET_TOKEN_TTL", "10m");
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    let other = sidecar.sign_for("another client");
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    let ran = spec.run(&["keys", "revoke", &signed.kid, "--json"]);
    let revoked = instant();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let successor = word(&ran.json(), "successor");
    wait_for("the token to be refused", PATIENCE, || {
        (sidecar.verify(&signed.token)["active"] == false).then_some(())
    });
    let bound = revoked.elapsed();
    // On a busy machine this may be late, but by less than another interval.
    assert!(bound < interval * 2, "{bound:?}");
    assert_eq!(
        sidecar.verify(&other.token)["error"],
        "unknown_key",
        "also one that was never seen"
    );
    let next = sidecar.sign_for("client");
    assert_eq!(next.kid, successor, "it signs at once");
    assert_eq!(sidecar.verify(&next.token)["active"], true);
    assert_eq!(sidecar.jwks_kids(), [successor]);
    assert_eq!(sidecar.logged("a key was revoked").len(), 1);
    crate::harness::say(format!(
        "a revoked key was refused {bound:?} after the command had ended (R is {interval:?})"
    ));
}

#[test]
fn the_pending_key_can_be_revoked_and_another_takes_its_place() {
    let spec = Spec::new(&Home::new());
    let sidecar = spec.start();
    let first = sidecar.sign_for("client").kid;
    let pending = word(&spec.run(&["keys", "rotate", "--json"]).json(), "kid");
    assert_eq!(spec.run(&["keys", "revoke", &pending]).code, 0);
    sidecar.hang_up();
    wait_for("the revocation", PATIENCE, || {
        (kid_in_phase(&sidecar.ring(), "revoked")? == pending).then_some(())
    });
    assert_eq!(sidecar.jwks_kids(), [first.as_str()]);
    assert_eq!(sidecar.sign_for("client").kid, first);
    let ran = spec.run(&["keys", "rotate"]);
    assert_eq!(ran.code, 0, "none waits any more: {}", ran.stderr);
}

#[test]
fn the_sidecar_beside_follows_before_the_command_ends_and_the_answer_says_who_signs() {
    let spec = Spec::new(&Home::new());
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    let ran = spec.run(&["keys", "revoke", &signed.kid, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let answer = ran.json();
    let next = word(&answer, "signs_now");
    assert_eq!(
        (&answer["successor"], &answer["sidecar"]["state"]),
        (&next.as_str().into(), &"follows".into())
    );
    assert_eq!(answer["sidecar"]["signs_now"], next.as_str());
    // This does not wait for the refresh interval of one minute.
    assert_eq!(sidecar.verify(&signed.token)["active"], false);
    assert_eq!(sidecar.sign_for("client").kid, next);

    let ran = spec.run(&["keys", "rotate", "--json"]);
    let pending = word(&ran.json(), "kid");
    assert_eq!(ran.json()["sidecar"]["signs_now"], next.as_str());
    assert_eq!(kid_in_phase(&sidecar.ring(), "pending"), Some(pending.clone()));

    let ran = spec.run(&["keys", "revoke", &pending]);
    for text in [
        format!("{next} signs now"),
        format!("has read the change and signs with {next}; all others that reach the provider read it within 1m"),
    ] {
        assert!(ran.stdout.contains(&text), "{text}: {}", ran.stdout);
    }
    sidecar.stop();
    let ran = spec.run(&["keys", "rotate"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("no sidecar listens on"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains(&format!("until then {next} signs")),
        "{}",
        ran.stdout
    );
}

/// If the key file belongs to root, as a mounted Kubernetes secret does, root can read the whole ring
/// but must not take it over.
#[test]
fn root_beside_a_sidecar_of_another_user_is_told_to_run_as_that_user() {
    use std::os::unix::fs::chown;
    let home = Home::new();
    if home.open_to_strangers().is_none() {
        return;
    }
    let spec = Spec::new(&home);
    let sidecar = spec.start();
    let kid = sidecar.sign_for("client").kid;
    let theirs = [home.data(), home.ring_file()];
    for path in &theirs {
        chown(path, Some(STRANGER), Some(STRANGER)).expect("given");
    }
    std::fs::remove_file(home.data().join("ring.json.lock")).expect("removed");
    for arguments in [
        &["keys", "revoke", &kid][..],
        &["keys", "list"],
        &["keys", "rotate"],
        &["check"],
    ] {
        let ran = spec.run(arguments);
        assert_eq!(ran.code, 77, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains(&format!("sudo -u '#{STRANGER}'")), "{told}");
        assert!(!told.contains("give it to"), "{told}");
    }
    let lock = home.data().join("ring.json.lock");
    assert!(!lock.exists(), "the sidecar could not open it");
    drop(sidecar);
}

#[test]
fn only_root_and_the_sidecar_s_user_may_have_the_ring_read_early() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    let spec = Spec::new(&home)
        .set("SIGNET_SOCKET_GROUP", STRANGER)
        .set("SIGNET_SOCKET_ALLOW_UIDS", format!("0,{STRANGER}"));
    let sidecar = spec.start();
    let answer = sidecar.post("/v1/ring/refresh", &serde_json::json!({}));
    assert_eq!(answer.status, 202, "{}", answer.text());
    let output = std::process::Command::new("curl")
        .args(["-s", "--unix-socket"])
        .arg(spec.socket_path())
        .args(["-X", "POST", "http://signet/v1/ring/refresh"])
        .uid(STRANGER)
        .gid(STRANGER)
        .output();
    let Ok(output) = output else {
        crate::harness::say("LEFT OUT: no curl here to ask as another user");
        return;
    };
    drop(binary);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("urn:signet:problem:not_allowed"), "{text}");
}
