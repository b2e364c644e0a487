//! Starts that are refused: each has its exit code and says what to do, and nothing is overwritten.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::time::wait_for;
use crate::harness::{Home, PATIENCE, STRANGER, Spec, kids};

/// All files in the data directory with their content.
fn files(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let directory = fs::read_dir(home.data()).expect("the data directory");
    directory
        .map(|file| {
            let file = file.expect("a file");
            (
                file.file_name().into_string().expect("UTF-8"),
                fs::read(file.path()).expect("its content"),
            )
        })
        .collect()
}

fn rewrite(path: &Path, change: impl Fn(String) -> String) {
    let text = fs::read_to_string(path).expect("read");
    let changed = change(text.clone());
    assert_ne!(text, changed);
    fs::write(path, changed).expect("written");
}

fn last_good(home: &Home) -> PathBuf {
    home.data().join("last-good.json")
}

/// Removes the files that a start could use while its ring is bad.
fn forget(home: &Home) {
    // The file may not exist, if a sidecar was stopped at once.
    let _ = fs::remove_file(last_good(home));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

type Fault = fn(&Home);

const FAULTS: &[(&str, Fault, u8, &[&str])] = &[
    (
        "a truncated ring",
        |home| rewrite(&home.ring_file(), |text| text[..text.len() - 20].to_owned()),
        76,
        &["is refused", "no new ring is created", "Restore it from a backup"],
    ),
    (
        "an empty ring",
        |home| fs::write(home.ring_file(), "").expect("written"),
        76,
        &["Restore it from a backup"],
    ),
    (
        "one octet of the ring changed",
        |home| {
            rewrite(&home.ring_file(), |text| {
                text.replace("\"generation\": 1", "\"generation\": 2")
                    .replace("\"generation\":1", "\"generation\":2")
            })
        },
        76,
        &["is refused", "treat it as an attack"],
    ),
    (
        "a key given a longer life",
        |home| {
            rewrite(&home.ring_file(), |text| {
                text.replace("\"token_max_ttl_ms\"", "\"token_max_ttl_ms \"")
            })
        },
        76,
        &["treat it as an attack"],
    ),
    (
        "the ring missing beside its key",
        |home| fs::remove_file(home.ring_file()).expect("removed"),
        76,
        &[
            "is missing, but",
            "Restore",
            "from a backup",
            "If you want a new ring instead",
        ],
    ),
    (
        "the key missing beside its ring",
        |home| fs::remove_file(home.data().join("local.key")).expect("removed"),
        66,
        &["Restore the key file from a backup", "SIGNET_LOCAL_KEY_FILE"],
    ),
    (
        "another key",
        |home| {
            let line = "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n";
            fs::write(home.data().join("local.key"), line).expect("written");
        },
        76,
        &["they do not belong together", "Restore both from the same backup"],
    ),
    (
        "a key file that is none",
        |home| fs::write(home.data().join("local.key"), "secret\n").expect("written"),
        64,
        &["is not a key file", "openssl rand -base64 32"],
    ),
    (
        "a key file that everybody may read",
        |home| set_mode(&home.data().join("local.key"), 0o604),
        64,
        &["mode 0604", "chmod 600"],
    ),
    (
        "a ring that everybody may write",
        |home| set_mode(&home.ring_file(), 0o666),
        76,
        &["mode 0666", "Another user could have written it"],
    ),
];

#[test]
fn a_ring_that_cannot_be_believed_is_refused_at_start_and_left_as_it_is() {
    for (name, fault, code, texts) in FAULTS {
        let home = Home::new();
        let spec = Spec::new(&home);
        let sidecar = spec.start();
        wait_for("the ring to be remembered", PATIENCE, || {
            last_good(&home).exists().then_some(())
        });
        sidecar.stop();
        fault(&home);
        if *code == 64 {
            // Wrong settings are reported at once, whatever is stored.
            assert_eq!(spec.run(&["serve"]).code, 64, "{name}");
        }
        forget(&home);
        let before = files(&home);
        for arguments in [&["serve"][..], &["keys", "list"], &["keys", "rotate"]] {
            let ran = spec.run(arguments);
            assert_eq!(ran.code, i32::from(*code), "{name}, {arguments:?}: {}", ran.stderr);
            for text in *texts {
                assert!(
                    ran.stderr.contains(text),
                    "{name}, {arguments:?}: no {text:?} in {}",
                    ran.stderr
                );
            }
        }
        let mut after = files(&home);
        after.retain(|file, _| before.contains_key(file) || !file.ends_with(".lock"));
        assert_eq!(after, before, "{name}: something was written");
        assert!(!spec.socket_path().exists(), "{name}");
    }
}

/// The table is in `docs/operations.md`: if the ring is there and bad, the last good one is used. If traces show that
/// the ring was lost, the start fails.
#[test]
fn beside_a_last_good_ring_a_bad_ring_is_no_reason_to_end_and_a_lost_one_is() {
    for (name, fault, code, _) in FAULTS {
        let home = Home::new();
        let spec = Spec::new(&home);
        let sidecar = spec.start();
        let signed = sidecar.sign_for("client");
        // Even if it is stopped at once, it leaves its ring.
        sidecar.stop();
        fault(&home);
        if *code == 76 && home.ring_file().exists() {
            let sidecar = spec.spawn();
            assert_eq!(crate::published(&spec), [signed.kid.as_str()], "{name}");
            assert_eq!(sidecar.verify(&signed.token)["active"], true, "{name}");
            assert_eq!(sidecar.readiness().0, 503, "{name}");
        } else {
            assert_eq!(spec.run(&["serve"]).code, i32::from(*code), "{name}");
        }
    }
}

#[test]
fn a_ring_restored_with_its_key_is_taken_up_where_it_was() {
    let home = Home::new();
    let spec = Spec::new(&home);
    let sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    sidecar.stop();
    let backup = files(&home);
    fs::remove_file(home.ring_file()).expect("removed");
    forget(&home);
    assert_eq!(spec.run(&["serve"]).code, 76);
    fs::write(home.ring_file(), &backup["ring.json"]).expect("restored");
    set_mode(&home.ring_file(), 0o600);
    let sidecar = spec.start();
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    assert_eq!(kids(&sidecar.ring()), [signed.kid]);
}

#[test]
fn a_data_directory_that_may_not_be_written_is_named() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    // Root's directory, which a stranger may enter but not change.
    fs::create_dir(home.data()).expect("made");
    set_mode(&home.data(), 0o755);
    let socket = home.path("sockets");
    fs::create_dir(&socket).expect("made");
    set_mode(&socket, 0o777);
    let spec = Spec::new(&home).set("SIGNET_SOCKET", socket.join("s").display());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .uid(STRANGER)
            .gid(STRANGER);
        command.envs(
            spec.command(&[])
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let output = command.output().expect("ran");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, text) = run(&["serve"]);
    assert_eq!(code, Some(77), "{text}");
    assert!(
        text.contains(&format!("permission denied for user {STRANGER}")),
        "{text}"
    );
    // In another directory, a new ring would be created.
    assert!(
        text.contains("belongs to user 0") && text.contains("Keep SIGNET_DATA_DIR"),
        "{text}"
    );

    // A ring that root created and a stranger may not read.
    Spec::new(&home).start().stop();
    let (code, text) = run(&["keys", "list"]);
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("permission denied"), "{text}");
}

#[test]
fn all_problems_with_the_settings_are_told_at_once_and_nothing_is_begun() {
    let home = Home::new();
    let spec = Spec::new(&home)
        .set("SIGNET_TOKEN_TTL", "5 minuts")
        .set("SIGNET_PUBLISH_LEED", "1h")
        .set("SIGNET_SOCKET_MODE", "0666")
        .set("SIGNET_ALGORITHM", "HS256")
        .set("SIGNET_PROVIDER", "vualt")
        .set("SIGNET_ISSUER", "tokens.example.com")
        .set("SIGNET_LISTEN", "8080");
    for arguments in [&["serve"][..], &["check"], &["keys", "list"], &["schedule"]] {
        let ran = spec.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{arguments:?}");
        assert!(
            ran.stderr.starts_with("signet: 7 problems with the settings\n"),
            "{}",
            ran.stderr
        );
        for name in [
            "TOKEN_TTL",
            "PUBLISH_LEED",
            "SOCKET_MODE",
            "ALGORITHM",
            "PROVIDER",
            "ISSUER",
            "LISTEN",
        ] {
            assert!(
                ran.stderr.contains(&format!("\n  SIGNET_{name} (environment): ")),
                "{name}: {}",
                ran.stderr
            );
        }
    }
    assert!(!home.data().exists() && !spec.socket_path().exists());

    let unsafe_policy = Spec::new(&home).set("SIGNET_PUBLISH_LEAD", "10m").run(&["serve"]);
    assert_eq!(unsafe_policy.code, 64);
    for text in [
        "SIGNET_PUBLISH_LEAD",
        "10m is too short",
        "At least 23m",
        "SIGNET_VERIFIER_CACHE 20m",
    ] {
        assert!(unsafe_policy.stderr.contains(text), "{}", unsafe_policy.stderr);
    }
    assert!(!home.data().exists());

    let absent = Spec::new(&home)
        .set("SIGNET_CONFIG", home.path("absent.toml").display())
        .run(&["serve"]);
    assert_eq!(absent.code, 78, "{}", absent.stderr);
}
