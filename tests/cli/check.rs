//! `signet check` when nothing can be determined: a missing answer is not a "no", and the command does not take long.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::time::instant;
use crate::harness::{Home, Ran, Spec};

/// More than the command waits for a silent provider, and the most that a person should have to wait.
const BOUND: Duration = Duration::from_secs(5);

/// A token without claims and without a real signature.
const NO_TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA";

fn rows(ran: &Ran) -> Vec<Value> {
    ran.json()["checks"].as_array().expect("rows").clone()
}

#[test]
fn an_empty_directory_is_looked_at_and_nothing_is_made_there() {
    let spec = Spec::new(&Home::new());
    for arguments in [
        &["check"][..],
        &["check", "--json"],
        &["keys", "list"],
        &["keys", "prune"],
        &["schedule"],
        &["schedule", "--live"],
        &["schedule", "--live", "--json"],
        &["token", "decode", NO_TOKEN],
    ] {
        let ran = spec.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("created the key"), "{}", ran.stderr);
        assert!(!spec.home().data().exists(), "{arguments:?} made something");
    }
    let ran = spec.run(&["keys", "revoke", "none"]);
    assert_eq!(ran.code, 66, "{}", ran.stderr);
    assert!(!spec.home().data().exists(), "there is nothing to revoke");
    let rows = rows(&spec.run(&["check", "--json"]));
    let answers: Vec<&str> = rows.iter().filter_map(|row| row["answer"].as_str()).collect();
    assert_eq!(answers, ["yes", "unknown", "unknown"]);
    assert!(rows[1]["granted"].is_null() && rows[1]["problem"].is_null());
    let why = rows[1]["not_tried"].as_str().expect("a reason");
    assert!(why.contains("the first `signet serve` creates"), "{why}");
}

/// The files in a directory, with the times of their last changes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let entries = std::fs::read_dir(directory).expect("reads");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let changed = path.symlink_metadata().and_then(|found| found.modified());
            (path, changed.expect("when"))
        })
        .collect()
}

/// A complete ring, one without the files that are made on demand, and a first start that was killed before its ring.
#[test]
fn a_verb_that_reads_changes_nothing_beside_a_ring_either() {
    let home = Home::new();
    let spec = Spec::new(&home);
    spec.start().stop();
    let whole = contents(&home.data());
    let kept = |names: &[&str]| {
        for name in whole.keys() {
            let is_kept = names.iter().any(|kept| name.ends_with(kept));
            if !is_kept && name.is_file() {
                std::fs::remove_file(name).expect("removed");
            }
        }
    };
    for step in 0..3 {
        match step {
            0 => {}
            1 => kept(&["ring.json", "local.key"]),
            // The name of the key before the ring is on disk.
            _ => {
                let key = home.data().join("local.key");
                std::fs::rename(&key, home.data().join("local.key.new")).expect("renamed");
                kept(&[]);
            }
        }
        let before = contents(&home.data());
        for arguments in [
            &["check"][..],
            &["keys", "list"],
            &["schedule", "--live"],
            &["token", "decode", NO_TOKEN],
        ] {
            let ran = spec.run(arguments);
            assert_eq!(ran.code, 0, "{step} {arguments:?}: {}{}", ran.stdout, ran.stderr);
            assert_eq!(contents(&home.data()), before, "{step} {arguments:?}");
        }
    }
}

#[cfg(feature = "vault")]
#[test]
fn a_wrong_setting_is_told_as_such_and_not_as_a_permission_that_is_missing() {
    let home = Home::new();
    let vault = Spec::new(&home)
        .set("SIGNET_PROVIDER", "vault")
        .set("VAULT_ADDR", "http://vault.example:8200")
        .set("VAULT_TOKEN", "hvs.of-tests");
    let ran = vault.run(&["check", "--json"]);
    assert_eq!(ran.code, 64, "{}", ran.stderr);
    let problem = assert_nothing_learned("vault", &ran);
    assert!(problem.contains("VAULT_ADDR"), "{problem}");
    let text = vault.run(&["check"]).stdout;
    assert!(!text.contains("NO "), "{text}");
}

#[test]
fn a_failed_opening_still_shows_the_settings() {
    let home = Home::new();
    std::fs::write(home.data(), "a file").expect("written");
    let ran = Spec::new(&home).run(&["check"]);
    assert_eq!(ran.code, 64, "{}", ran.stderr);
    assert!(ran.stdout.contains("SIGNET_DATA_DIR"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("there is a file instead of a directory"),
        "{}",
        ran.stdout
    );
}

/// The settings of each provider for this address.
#[cfg(all(
    feature = "vault",
    feature = "aws-kms",
    feature = "azure-key-vault",
    feature = "gcp-kms"
))]
fn providers(home: &Home, address: &str) -> Vec<(&'static str, Spec)> {
    let spec = |provider: &str, custody: &str, settings: &[(&str, String)]| {
        let spec = Spec::new(home)
            .set("SIGNET_PROVIDER", provider)
            .set("SIGNET_CUSTODY", custody);
        settings.iter().fold(spec, |spec, (name, value)| spec.set(name, value))
    };
    let aws = [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        (
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY".to_owned(),
        ),
    ];
    let store = [
        ("SIGNET_STORE", "s3://bucket/ring.json".to_owned()),
        ("SIGNET_KEY", "alias/signet".to_owned()),
    ];
    let vault = [
        ("VAULT_ADDR", format!("http://{address}")),
        ("VAULT_TOKEN", "hvs.wrong".to_owned()),
    ];
    vec![
        ("vault", spec("vault", "remote", &vault)),
        ("vault sealed", spec("vault", "sealed", &vault)),
        ("aws-kms", spec("aws-kms", "remote", &aws)),
        (
            "aws-kms sealed",
            spec("aws-kms", "sealed", &[&aws[..], &store].concat()),
        ),
    ]
}

/// Checks that nothing was determined: no row says yes or no, no row advises a policy, and at least one row was not
/// tried.
fn assert_nothing_learned(name: &str, ran: &Ran) -> String {
    let rows = rows(ran);
    let [row] = rows.as_slice() else {
        panic!("{name}: the first failure ends the table: {rows:?}");
    };
    assert_eq!(row["answer"], "unknown", "{name}: {row}");
    assert!(row["granted"].is_null() && row["grant"].is_null(), "{name}: {row}");
    row["problem"].as_str().expect("a reason").to_owned()
}

#[cfg(all(
    feature = "vault",
    feature = "aws-kms",
    feature = "azure-key-vault",
    feature = "gcp-kms"
))]
#[test]
fn where_nothing_listens_nothing_is_learned_and_it_is_said_soon() {
    let home = Home::new();
    // Bound but not listening: nobody else gets the port, and connections are refused.
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its number");
    for (name, spec) in providers(&home, &free.to_string()) {
        let start = instant();
        let ran = spec.run(&["check", "--json"]);
        assert!(start.elapsed() < BOUND, "{name}: {:?}", start.elapsed());
        assert_eq!(ran.code, 75, "{name}: {}{}", ran.stdout, ran.stderr);
        assert_nothing_learned(name, &ran);
        let ran = spec.run(&["check"]);
        assert!(
            ran.stdout.starts_with("SIGNET_CONFIG"),
            "{name}: the settings come first"
        );
        assert!(!ran.stdout.contains("To grant it"), "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(": checking"), "{name}: {}", ran.stderr);
    }
}

#[cfg(all(
    feature = "vault",
    feature = "aws-kms",
    feature = "azure-key-vault",
    feature = "gcp-kms"
))]
#[test]
fn a_server_that_accepts_and_is_silent_is_given_up() {
    let home = Home::new();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its number").to_string();
    let specs = providers(&home, &address);
    std::thread::scope(|scope| {
        for (name, spec) in &specs {
            scope.spawn(move || {
                let start = instant();
                let ran = spec.run(&["check", "--json"]);
                assert!(start.elapsed() < BOUND, "{name}: {:?}", start.elapsed());
                assert_eq!(ran.code, 75, "{name}: {}{}", ran.stdout, ran.stderr);
                assert_nothing_learned(name, &ran);
            });
        }
    });
}

/// The limit is for the whole command, however many servers are silent.
#[cfg(feature = "vault")]
#[test]
fn a_silent_provider_and_six_silent_issuers_take_no_longer_than_one() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its number");
    let issuers: Vec<String> = (0..6).map(|number| format!("http://{address}/{number}")).collect();
    let spec = Spec::new(&Home::new())
        .set("SIGNET_PROVIDER", "vault")
        .set("VAULT_ADDR", format!("http://{address}"))
        .set("VAULT_TOKEN", "hvs.of-tests")
        .set("SIGNET_AUDIENCE", "https://api.test")
        .set("SIGNET_TRUSTED_ISSUERS", issuers.join(","));
    let start = instant();
    let ran = spec.run(&["check", "--json"]);
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert_eq!(ran.code, 75, "{}{}", ran.stdout, ran.stderr);
    let rows = rows(&ran);
    assert_eq!(rows.len(), 7, "{rows:?}");
    assert!(rows.iter().all(|row| row["answer"] == "unknown"), "{rows:?}");
}
