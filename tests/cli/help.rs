//! Help, versions and wrong usage, and the commands that only read: `check` and `schedule`.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use crate::harness::time::wait_for;
use crate::harness::{Home, PATIENCE, STRANGER, Spec};

const VERBS: [&[&str]; 13] = [
    &[],
    &["serve"],
    &["check"],
    &["keys"],
    &["keys", "list"],
    &["keys", "rotate"],
    &["keys", "revoke"],
    &["keys", "prune"],
    &["token"],
    &["token", "sign"],
    &["token", "verify"],
    &["token", "decode"],
    &["schedule"],
];

#[test]
fn every_verb_has_help_with_its_settings() {
    let spec = Spec::new(&Home::new());
    for verb in VERBS {
        let ran = spec.run(&[verb, &["--help"]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{verb:?}");
        let usage = format!("Usage: signet {}", verb.join(" "));
        assert!(ran.stdout.contains(usage.trim_end()), "{verb:?}: {}", ran.stdout);
        let groups = verb.is_empty() || matches!(verb, ["keys"] | ["token"]);
        let of_a_ring = matches!(
            verb,
            ["serve" | "check" | "schedule"] | ["keys", "list" | "rotate" | "revoke"]
        );
        assert_eq!(ran.stdout.contains("--publish-lead <DURATION>"), of_a_ring, "{verb:?}");
        let listens = matches!(verb, ["serve" | "check"]);
        assert_eq!(ran.stdout.contains("--listen <IP:PORT>"), listens, "{verb:?}");
        let json = !groups && verb != ["serve"];
        assert_eq!(
            ran.stdout.contains("--json"),
            json,
            "{verb:?}: a machine may want to read this"
        );
    }
    let ran = spec.run(&["--version"]);
    assert_eq!(
        (ran.code, ran.stdout.trim()),
        (0, concat!("signet ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn wrong_usage_exits_with_64_and_says_what_is_right() {
    let spec = Spec::new(&Home::new());
    for (arguments, text) in [
        (&[][..], "Usage: signet"),
        (&["keys"], "list"),
        (&["token"], "verify"),
        (&["srve"], "serve"),
        (&["keys", "revoke"], "<KID>"),
        (&["serve", "--publish-leed", "1h"], "--publish-lead"),
        (&["serve", "--publish-lead"], "a value is required"),
        (
            &["token", "sign", "{}", "--ttl", "5 minuts"],
            "--ttl: \"5 minuts\" is not a duration; write whole seconds, such as 300, or numbers with the units",
        ),
        (&["token", "sign", "{}", "--ttl", "5M"], "units s, m, h, d or w"),
        (
            &["serve", "--token-ttl", "5M"],
            "write m for minutes, or month for months",
        ),
        (
            &["token", "verify", "x", "--scope", "read", "--listen", "127.0.0.1:1"],
            "--listen: `signet token verify` does not use this setting.",
        ),
        (
            &["token", "sign", "{}", "--listen", "127.0.0.1:1"],
            "--listen: `signet token sign` does not use this setting. Remove the flag",
        ),
        (
            &["keys", "list", "--listen", "127.0.0.1:1"],
            "--listen: `signet keys list` does not use this setting. Remove the flag",
        ),
        (
            &["keys", "list", "--data-dir", "d", "--listen=127.0.0.1:1"],
            "--listen: `signet keys list` does not use this setting. Remove the flag",
        ),
        (
            &["keys", "revoke", "--listen=127.0.0.1:1"],
            "--listen: `signet keys revoke` does not use this setting. Remove the flag",
        ),
        (&["token", "verify", "x", "--scope", ""], "--scope is empty"),
        (&["token", "verify", "x", "--scope", " "], "--scope is empty"),
        (&["token", "verify", "x", "--issuer", ""], "--issuer is empty"),
        (&["token", "verify", "x", "--audience", ""], "--audience is empty"),
        (&["token", "verify", "x", "--typ", ""], "--typ is empty"),
        (&["schedule", "--provider", "vault"], "--live"),
        (&["token", "sign", "not JSON"], "the claims are not JSON"),
        (&["keys", "list", "extra"], "unexpected argument"),
    ] {
        let ran = spec.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{arguments:?}");
        assert!(ran.stderr.contains(text), "{arguments:?}: {}", ran.stderr);
    }
}

/// The example in the documentation, with only its addresses replaced by those of this test.
#[test]
fn the_settings_file_of_the_documentation_starts_on_a_stock_machine() {
    let documentation = include_str!("../../docs/configuration.md");
    let (_, rest) = documentation.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let home = Home::new();
    std::fs::write(home.path("signet.toml"), example).expect("written");
    let sidecar = Spec::new(&home)
        .set("SIGNET_CONFIG", home.path("signet.toml").display())
        .start();
    assert_eq!(sidecar.jwks_kids().len(), 1);
}

#[test]
fn a_settings_file_that_others_may_write_is_refused() {
    let home = Home::new();
    let file = home.path("signet.toml");
    std::fs::write(&file, "key = 'other'\n").expect("written");
    let spec = Spec::new(&home).set("SIGNET_CONFIG", file.display());
    assert_eq!(spec.run(&["schedule"]).code, 0);
    for mode in [0o666, 0o664, 0o646] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
        let ran = spec.run(&["schedule"]);
        assert_eq!(ran.code, 78, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("can be written by users other than its owner"),
            "{}",
            ran.stderr
        );
    }
}

/// As after `su`, in a container, or over `ssh` without a systemd session.
#[test]
fn without_a_runtime_directory_the_socket_is_in_a_directory_of_the_user_s_own() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    let theirs = home.path("home");
    std::fs::create_dir(&theirs).expect("made");
    std::os::unix::fs::chown(&theirs, Some(STRANGER), Some(STRANGER)).expect("given");
    let spec = Spec::new(&home);
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &theirs)
            .env("SIGNET_LISTEN", spec.listen().to_string())
            .env("SIGNET_ADMIN_LISTEN", spec.admin_listen().to_string())
            .uid(STRANGER)
            .gid(STRANGER)
            .current_dir("/");
        command
    };
    let mut sidecar = command(&["serve"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("started");
    let sign = ["token", "sign", r#"{"sub":"a","aud":"b"}"#];
    let token = wait_for("a token", PATIENCE, || {
        let output = command(&sign).output().expect("ran");
        output.status.success().then_some(output.stdout)
    });
    sidecar.kill().expect("killed");
    sidecar.wait().expect("ended");
    assert_eq!(token.iter().filter(|octet| **octet == b'.').count(), 2);
    assert!(theirs.join(".local/state/signet/signet.sock").exists());
}

#[test]
fn a_flag_goes_before_the_environment() {
    let spec = Spec::new(&Home::new()).set("SIGNET_ROTATION_PERIOD", "48h");
    let ran = spec.run(&["schedule", "--json", "--rotation-period", "12h"]);
    assert_eq!(ran.json()[0]["superseded_at_ms"], 12 * 3600 * 1000);
    let ran = spec.run(&["schedule", "--json"]);
    assert_eq!(ran.json()[0]["superseded_at_ms"], 48 * 3600 * 1000);
}

#[test]
fn schedule_prints_the_timeline_and_why_a_policy_is_refused() {
    let spec = Spec::new(&Home::new());
    let ran = spec.run(&["schedule"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for text in [
        "SIGNS FROM",
        "+23h",
        "+1day",
        "23m is needed = refresh interval 1m",
        "verifier cache 20m",
        "1h 3m after its last",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?} in {}", ran.stdout);
    }
    let lives = spec.run(&["schedule", "--json"]).json();
    assert_eq!(lives.as_array().map(Vec::len), Some(4));
    for pair in lives.as_array().expect("lives").windows(2) {
        assert_eq!(pair[0]["superseded_at_ms"], pair[1]["signs_from_ms"]);
        let ms = |name: &str| pair[1][name].as_u64().expect(name);
        assert_eq!(ms("signs_from_ms") - ms("published_at_ms"), 3600 * 1000);
    }
    let ran = spec.run(&["schedule", "--clock-skew", "1h"]);
    assert_eq!(ran.code, 64);
    assert!(ran.stderr.contains("At least 2h 21m is needed"), "{}", ran.stderr);
    assert!(!spec.home().data().exists(), "it looks at nothing but the settings");
}

#[test]
fn check_tries_every_permission_and_fails_with_the_one_that_is_missing() {
    let spec = Spec::new(&Home::new());
    spec.start().stop();
    let ran = spec.run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for text in [
        "PERMISSION",
        "read and authenticate the ring",
        "encrypt a secret and decrypt it again",
        "SIGNET_",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?} in {}", ran.stdout);
    }
    let report = spec.run(&["check", "--json"]).json();
    assert_eq!(report["ok"], true);
    let checks = report["checks"].as_array().expect("checks");
    assert!(
        checks.len() >= 3
            && checks
                .iter()
                .all(|check| check["granted"] == true && check["answer"] == "yes"),
        "{report}"
    );

    std::fs::set_permissions(spec.home().ring_file(), std::fs::Permissions::from_mode(0o666)).expect("set");
    for arguments in [&["check"][..], &["check", "--json"]] {
        let ran = spec.run(arguments);
        assert_eq!(ran.code, 76, "{}", ran.stderr);
        assert!(ran.stderr.contains("at least one check failed"), "{}", ran.stderr);
        assert!(
            ran.stdout.contains("Another user could have written it"),
            "{}",
            ran.stdout
        );
        if arguments.contains(&"--json") {
            let report = ran.json();
            let refused = report["checks"]
                .as_array()
                .expect("checks")
                .iter()
                .filter(|check| check["granted"] == false);
            assert_eq!((&report["ok"], refused.count()), (&false.into(), 1), "{report}");
        }
    }
}
