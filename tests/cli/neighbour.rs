//! Commands that read a different place from the sidecar on the socket, because a volume is not mounted, the directory
//! belongs to another service, or the ring was deleted. No command reports that all is well or starts a second ring.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::harness::time::{instant, wait_for};
use crate::harness::{Home, PATIENCE, Ran, Sidecar, Spec, kids};

/// Commands that change a ring, with a key that the sidecar has.
fn writers(kid: &str) -> [Vec<&str>; 3] {
    [
        vec!["keys", "rotate"],
        vec!["keys", "revoke", kid],
        vec!["keys", "prune"],
    ]
}

/// Checks that the error says what was found and what to look at.
fn tells(ran: &Ran, sidecar: &Sidecar, words: &[&str]) {
    let socket = sidecar.spec().socket_path().display().to_string();
    for word in words
        .iter()
        .chain(&[socket.as_str(), "SIGNET_DATA_DIR", "nothing was changed"])
    {
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// Runs all commands in a place without the sidecar's ring.
fn all_refuse(here: &Spec, sidecar: &Sidecar, found: &str) {
    let [kid] = &sidecar.jwks_kids()[..] else {
        panic!("one key")
    };
    for arguments in writers(kid) {
        let ran = here.run(&arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (78, ""),
            "{arguments:?}: {}",
            ran.stderr
        );
        tells(&ran, sidecar, &[kid, found]);
        assert!(ran.stderr.contains("\"failed\""), "on record: {}", ran.stderr);
    }
    for arguments in [&["keys", "list"][..], &["schedule", "--live"], &["check"]] {
        let ran = here.run(arguments);
        assert_eq!(ran.code, 78, "{arguments:?}: {}", ran.stderr);
        assert_ne!(ran.stdout, "", "what was found is shown all the same");
        tells(&ran, sidecar, &[kid, found]);
    }
    let rows = here.run(&["check", "--json"]).json();
    let rows = rows["checks"].as_array().expect("rows");
    let row = rows.iter().find(|row| {
        let permission = row["permission"].as_str().unwrap_or_default();
        permission.starts_with("the same ring as the sidecar on")
    });
    assert_eq!(row.expect("a row")["answer"], "no", "{rows:?}");
}

#[test]
fn where_the_volume_is_not_mounted_no_command_is_content_and_no_second_ring_begins() {
    let home = Home::new();
    let spec = Spec::new(&home);
    let sidecar = spec.start();
    let before = sidecar.ring();
    wait_for("the ring to be remembered", PATIENCE, || {
        home.data().join("last-good.json").exists().then_some(())
    });
    let elsewhere = home.path("unmounted");
    fs::rename(home.data(), &elsewhere).expect("unmounted");
    all_refuse(&spec, &sidecar, "has no keys");
    assert!(!home.data().exists(), "something was made there");
    assert_eq!(sidecar.ring()["keys"], before["keys"]);

    fs::rename(&elsewhere, home.data()).expect("mounted again");
    for arguments in [
        &["check"][..],
        &["keys", "list"],
        &["keys", "prune"],
        &["keys", "rotate"],
    ] {
        let ran = spec.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    }
    assert_eq!(kids(&spec.run(&["keys", "list", "--json"]).json()).len(), 2);
}

#[test]
fn in_the_directory_of_another_ring_no_command_is_content_and_that_ring_stays_as_it_is() {
    let home = Home::new();
    let other = Spec::new(&home).set("SIGNET_DATA_DIR", home.path("other").display());
    assert_eq!(other.run(&["keys", "rotate"]).code, 0);
    let ring = home.path("other").join("ring.json");
    let before = fs::read(&ring).expect("the ring");
    let sidecar = Spec::new(&home).start();
    let by_mistake = other.set("SIGNET_SOCKET", sidecar.spec().socket_path().display());
    all_refuse(&by_mistake, &sidecar, "1 key, and it is not one of these");
    assert_eq!(fs::read(&ring).expect("the ring"), before);

    // The user must say which of the two is meant: by the key, or by a socket on which nobody listens.
    let kid = kids(&by_mistake.run(&["keys", "list", "--json"]).json()).remove(0);
    let ran = by_mistake.run(&["keys", "revoke", &kid]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let nobody = home.path("nobody").display().to_string();
    let ran = by_mistake.run(&["keys", "rotate", "--socket", &nobody]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn the_sidecar_of_another_issuer_has_no_say() {
    let home = Home::new();
    let sidecar = Spec::new(&home).set("SIGNET_ISSUER", "https://other.test").start();
    let spec = Spec::new(&home)
        .set("SIGNET_DATA_DIR", home.path("ours").display())
        .set("SIGNET_SOCKET", sidecar.spec().socket_path().display());
    for arguments in [&["check"][..], &["keys", "list"], &["keys", "rotate"]] {
        let ran = spec.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_sidecar_that_is_there_and_does_not_answer_is_told_of_and_holds_up_nobody() {
    let spec = Spec::new(&Home::new());
    let silent = UnixListener::bind(spec.socket_path()).expect("a socket");
    let ran = spec.run(&["keys", "list"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("did not say which ring it serves"),
        "{}",
        ran.stderr
    );
    let ran = spec.run(&["check", "--json"]);
    assert_eq!(ran.code, 75, "{}{}", ran.stdout, ran.stderr);
    let report = ran.json();
    let rows = report["checks"].as_array().expect("rows");
    let is_of_it = |row: &&serde_json::Value| {
        row["permission"]
            .as_str()
            .is_some_and(|what| what.contains("as the sidecar on"))
    };
    let row = rows.iter().find(is_of_it).expect("a row");
    assert_eq!(row["answer"], "unknown", "{row}");
    assert!(row["granted"].is_null(), "{row}");
    let problem = row["problem"].as_str().expect("a reason");
    assert!(problem.contains("it did not answer within 2s"), "{problem}");
    drop(silent);
    // Nobody listens any more, although the file exists.
    let ran = spec.run(&["keys", "list"]);
    assert!(
        !ran.stderr.contains("did not say which ring it serves"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_sidecar_that_hangs_holds_up_a_change_for_five_seconds_at_most_and_is_told_of() {
    let spec = Spec::new(&Home::new());
    let _silent = UnixListener::bind(spec.socket_path()).expect("a socket");
    let began = instant();
    let ran = spec.run(&["keys", "rotate"]);
    let took = began.elapsed();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("it did not answer within 1s; its process may be stopped or hang"),
        "{}",
        ran.stdout
    );
    // The work itself takes some milliseconds.
    assert!(took < Duration::from_secs(6), "{took:?}");
}
