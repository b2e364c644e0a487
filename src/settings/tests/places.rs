//! Two settings that name the same file.

use std::fs::{create_dir, hard_link, write};
use std::os::unix::fs::symlink;

use super::*;

/// A start with its own data directory, and the usual other files next to it.
fn start(directory: &Path) -> Start {
    let at = |name: &str| directory.join(name).display().to_string();
    Start::default()
        .env("SIGNET_DATA_DIR", &at("data"))
        .env("SIGNET_SOCKET", &at("s.sock"))
        .env("SIGNET_TLS_CERT_FILE", &at("tls.pem"))
        .env("SIGNET_TLS_KEY_FILE", &at("tls.key"))
        .env("VAULT_TOKEN_FILE", &at("token"))
}

/// A data directory after a first start.
fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    create_dir(at("data")).expect("made");
    for name in ["data/ring.json", "data/last-good.json", "tls.pem", "tls.key", "token"] {
        write(at(name), name).expect("written");
    }
    symlink("data", at("link")).expect("linked");
    symlink("nothing", at("dangling")).expect("linked");
    hard_link(at("data/ring.json"), at("hard")).expect("linked");
    directory
}

fn told(error: &SettingsError) -> Vec<String> {
    assert_eq!(error.exit_code(), 64, "{error}");
    problems(error)
}

#[test]
fn a_file_that_two_settings_name_is_refused_with_both_names() {
    let directory = used();
    for (setting, file, other) in [
        ("SIGNET_LOCAL_KEY_FILE", "data/ring.json", "SIGNET_STORE"),
        ("SIGNET_LOCAL_KEY_FILE", "data/ring.json.lock", "SIGNET_STORE"),
        ("SIGNET_LOCAL_KEY_FILE", "data/ring.json.tmp", "SIGNET_STORE"),
        ("SIGNET_LOCAL_KEY_FILE", "link/ring.json", "SIGNET_STORE"),
        ("SIGNET_LOCAL_KEY_FILE", "data/../link/./ring.json", "SIGNET_STORE"),
        ("SIGNET_LOCAL_KEY_FILE", "hard", "SIGNET_STORE"),
        ("SIGNET_LOCAL_KEY_FILE", "data/last-good.json", "SIGNET_DATA_DIR"),
        ("SIGNET_LOCAL_KEY_FILE", "data/start.lock", "SIGNET_DATA_DIR"),
        ("SIGNET_LOCAL_KEY_FILE", "data/issuers", "SIGNET_DATA_DIR"),
        ("SIGNET_LOCAL_KEY_FILE", "data/issuers/a.json", "SIGNET_DATA_DIR"),
        ("SIGNET_LOCAL_KEY_FILE", "data", "SIGNET_DATA_DIR"),
        ("SIGNET_LOCAL_KEY_FILE", "s.sock", "SIGNET_SOCKET"),
        ("SIGNET_LOCAL_KEY_FILE", "s.sock.lock", "SIGNET_SOCKET"),
        ("SIGNET_LOCAL_KEY_FILE", "tls.key", "SIGNET_TLS_KEY_FILE"),
        ("SIGNET_LOCAL_KEY_FILE", "token", "VAULT_TOKEN_FILE"),
        ("SIGNET_STORE", "data/local.key", "SIGNET_LOCAL_KEY_FILE"),
        ("SIGNET_STORE", "data/local.key.new", "SIGNET_LOCAL_KEY_FILE"),
        ("SIGNET_STORE", "tls.pem", "SIGNET_TLS_CERT_FILE"),
        ("SIGNET_SOCKET", "data/ring.json", "SIGNET_STORE"),
        ("SIGNET_SOCKET", "link/local.key", "SIGNET_LOCAL_KEY_FILE"),
        ("SIGNET_SOCKET", "token", "VAULT_TOKEN_FILE"),
        ("SIGNET_TLS_CERT_FILE", "link/last-good.json", "SIGNET_DATA_DIR"),
    ] {
        let path = directory.path().join(file);
        let value = match setting {
            "SIGNET_STORE" => format!("file:{}", path.display()),
            _ => path.display().to_string(),
        };
        let told = told(&start(directory.path()).env(setting, &value).refused());
        assert!(
            told.iter()
                .any(|text| text.contains(setting) && text.contains(other) && text.contains("overwrite")),
            "{setting}={file}: {told:?}"
        );
        assert!(told.len() <= 2, "{setting}={file}: {told:?}");
    }
}

#[test]
fn what_is_not_there_yet_is_one_file_too() {
    let directory = used();
    let at = |name: &str| directory.path().join(name).display().to_string();
    for (key_file, ring) in [
        ("nothing", "dangling"),
        ("dangling", "nothing"),
        ("link/none/../a", "data/a"),
        ("link/new/a", "data/new/a"),
    ] {
        let start = start(directory.path())
            .env("SIGNET_LOCAL_KEY_FILE", &at(key_file))
            .env("SIGNET_STORE", &format!("file:{}", at(ring)));
        let told = told(&start.refused());
        assert!(told[0].contains("SIGNET_STORE"), "{key_file} {ring}: {told:?}");
    }
}

#[test]
fn the_settings_file_and_the_authorities_of_an_issuer_are_files_of_their_own() {
    let directory = used();
    let key = directory.path().join("data/local.key");
    let config = format!("local_key_file = '{}'", key.display());
    let start = start(directory.path()).file(&config).env(
        "SIGNET_CONFIG",
        &directory.path().join("link/local.key").display().to_string(),
    );
    let told_of = told(&start.refused());
    assert!(told_of[0].contains("SIGNET_CONFIG (environment)"), "{told_of:?}");
    let table = format!(
        "[trusted_issuers.'https://a.example']\naudiences = ['a']\nca_file = '{}'",
        key.display()
    );
    let told = told(&self::start(directory.path()).file(&table).refused());
    assert!(
        told[0].contains("trusted_issuers.\"https://a.example\".ca_file") && told[0].contains("LOCAL_KEY_FILE"),
        "{told:?}"
    );
}

#[cfg(feature = "vault")]
#[test]
fn two_rings_may_share_a_key_file_and_no_file_of_the_ring() {
    let directory = used();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let start = || {
        start(directory.path())
            .env("SIGNET_PROVIDER", "vault")
            .env("SIGNET_CUSTODY", "sealed")
            .env("SIGNET_ALSO_PUBLISH", "local")
            .env("SIGNET_STORE", &format!("file:{}", at("sealed.json")))
    };
    start().loaded();
    let also = format!("file:{}", at("sealed.json"));
    let told = told(&start().env("SIGNET_ALSO_LOCAL_STORE", &also).refused());
    assert!(
        told[0].contains("SIGNET_ALSO_LOCAL_STORE") && told[0].contains("SIGNET_STORE (environment)"),
        "{told:?}"
    );
}

/// HAProxy uses such files.
#[test]
fn a_certificate_and_its_key_may_stand_in_one_file() {
    let directory = used();
    let pem = directory.path().join("tls.pem").display().to_string();
    start(directory.path()).env("SIGNET_TLS_KEY_FILE", &pem).loaded();
}
