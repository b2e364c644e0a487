//! All reasons for which the file is not used.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::process::Command;

use serde_json::json;
use signet_files::cache::FileFault;
use signet_testkit::process::{again_unprivileged, directory, left_out, passes};

use super::*;
use crate::last_good::{FILE_NAME, LONGEST, MOST_KEYS, Refusal};

type Change = fn(&mut Value);
type Expected = fn(&Refusal) -> bool;

/// A change to the JSON of a good file, the expected refusal, and a word that the text must contain.
const FORGERIES: &[(&str, Change, Expected, &str)] = &[
    (
        "another issuer",
        |json| json["issuer"] = "https://other.test".into(),
        |refusal| matches!(refusal, Refusal::Issuer { .. }),
        "\"https://other.test\", but SIGNET_ISSUER is \"https://issuer.test\"",
    ),
    (
        "an issuer that differs in a slash",
        |json| json["issuer"] = "https://issuer.test/".into(),
        |refusal| matches!(refusal, Refusal::Issuer { .. }),
        "or Signet creates a new ring",
    ),
    (
        "the next version, with other members",
        |json| *json = json!({ "format": "signet-last-good/2", "keys": {} }),
        |refusal| matches!(refusal, Refusal::File(FileFault::Format { .. })),
        "signet-last-good/2",
    ),
    (
        "no format",
        |json| drop(json.as_object_mut().expect("an object").remove("format")),
        |refusal| matches!(refusal, Refusal::File(FileFault::Malformed(_))),
        "format",
    ),
    (
        "no issuer",
        |json| drop(json.as_object_mut().expect("an object").remove("issuer")),
        |refusal| matches!(refusal, Refusal::File(FileFault::Malformed(_))),
        "issuer",
    ),
    (
        "no instant",
        |json| drop(json.as_object_mut().expect("an object").remove("refreshed_at_ms")),
        |refusal| matches!(refusal, Refusal::File(FileFault::Malformed(_))),
        "refreshed_at_ms",
    ),
    (
        "an instant that is no number",
        |json| json["refreshed_at_ms"] = "yesterday".into(),
        |refusal| matches!(refusal, Refusal::File(FileFault::Malformed(_))),
        "yesterday",
    ),
    (
        "a member that no version has",
        |json| json["rings"][0]["keys"][0]["trusted"] = true.into(),
        |refusal| matches!(refusal, Refusal::File(FileFault::Malformed(_))),
        "trusted",
    ),
    (
        "a state that no key has",
        |json| json["rings"][0]["keys"][0]["state"] = "active".into(),
        |refusal| matches!(refusal, Refusal::File(FileFault::Malformed(_))),
        "active",
    ),
    (
        "no ring",
        |json| json["rings"] = json!([]),
        |refusal| matches!(refusal, Refusal::NoRing),
        "no ring",
    ),
    (
        "another key under a good kid",
        |json| json["rings"][0]["keys"][0]["public"] = another_key(),
        |refusal| matches!(refusal, Refusal::ForeignKid { .. }),
        "RFC 7638",
    ),
    (
        "another key under a good kid, also in the JWK",
        |json| {
            let kid = json["rings"][0]["keys"][0]["kid"].clone();
            json["rings"][0]["keys"][0]["public"] = another_key();
            json["rings"][0]["keys"][0]["public"]["kid"] = kid;
        },
        |refusal| matches!(refusal, Refusal::ForeignKid { .. }),
        "find out who did",
    ),
    (
        "a good key under another kid",
        |json| json["rings"][0]["keys"][0]["kid"] = "chosen".into(),
        |refusal| matches!(refusal, Refusal::ForeignKid { .. }),
        "\"chosen\"",
    ),
    (
        "a JWK without its kid",
        |json| {
            drop(
                json["rings"][0]["keys"][0]["public"]
                    .as_object_mut()
                    .expect("an object")
                    .remove("kid"),
            )
        },
        |refusal| matches!(refusal, Refusal::ForeignKid { .. }),
        "RFC 7638",
    ),
    (
        "a point off its curve",
        |json| {
            let key = key_of(json, "ES256");
            key["public"]["y"] = key["public"]["x"].clone();
        },
        |refusal| matches!(refusal, Refusal::Key { .. }),
        "not on the curve",
    ),
    (
        "an RSA key of 1024 bits",
        |json| key_of(json, "RS256")["public"]["n"] = format!("{}8", "_".repeat(170)).into(),
        |refusal| matches!(refusal, Refusal::Key { .. }),
        "2048 to 8192 bits",
    ),
    (
        "an RSA exponent of 1, with which everybody signs",
        |json| key_of(json, "PS256")["public"]["e"] = "AQ".into(),
        |refusal| matches!(refusal, Refusal::Key { .. }),
        "exponent",
    ),
    (
        "an algorithm of another type",
        |json| key_of(json, "RS256")["public"]["alg"] = "ES256".into(),
        |refusal| matches!(refusal, Refusal::Key { .. }),
        "not valid for ES256",
    ),
    (
        "no algorithm",
        |json| {
            drop(
                key_of(json, "RS256")["public"]
                    .as_object_mut()
                    .expect("an object")
                    .remove("alg"),
            )
        },
        |refusal| matches!(refusal, Refusal::Key { .. }),
        "alg",
    ),
    (
        "a secret for a key",
        |json| json["rings"][0]["keys"][0]["public"] = json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }),
        |refusal| matches!(refusal, Refusal::Key { .. }),
        "neither RSA",
    ),
    (
        "a key twice",
        |json| {
            let key = json["rings"][0]["keys"][0].clone();
            json["rings"][0]["keys"].as_array_mut().expect("keys").push(key);
        },
        |refusal| matches!(refusal, Refusal::KeyTwice { .. }),
        "its ring of \"vault\" has key",
    ),
    (
        "a key too many",
        |json| {
            let key = json["rings"][0]["keys"][0].clone();
            json["rings"][0]["keys"] = vec![key; MOST_KEYS + 1].into();
        },
        |refusal| matches!(refusal, Refusal::TooManyKeys { found, .. } if *found == MOST_KEYS + 1),
        "129 keys, but at most 128",
    ),
];

fn another_key() -> Value {
    let key = make(Algorithm::ES256);
    serde_json::to_value(signet_core::jwk::Jwk::from(&key)).expect("JSON")
}

fn key_of<'a>(json: &'a mut Value, algorithm: &str) -> &'a mut Value {
    let keys = json["rings"][0]["keys"].as_array_mut().expect("keys");
    keys.iter_mut()
        .find(|key| key["public"]["alg"] == algorithm)
        .expect("a key of that algorithm")
}

#[test]
fn every_forged_file_is_refused_with_its_own_error() {
    let directory = temporary();
    let file = in_directory(directory.path());
    forged(&file, |_| ());
    file.read().expect("the sample itself is good").expect("there");
    for (name, change, expected, word) in FORGERIES {
        forged(&file, change);
        let error = file.read().expect_err(name);
        let text = told(&file, &error);
        assert!(expected(&error.refusal), "{name}: {text}");
        assert!(text.contains(word), "{name}: {word:?} is not in {text:?}");
    }
}

#[test]
fn every_text_that_is_no_strict_json_is_refused() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let good = fs::read_to_string(file.path()).expect("the file");
    let twice = |name: &str| good.replacen(name, &format!("{name} null, {name}"), 1);
    for text in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "\u{feff}{}".to_owned(),
        "{".repeat(100_000),
        "[".repeat(100_000),
        format!("{{\"a\":{}", "[".repeat(100_000)),
        format!("{good}{good}"),
        format!("{good} x"),
        twice("\"issuer\":"),
        twice("\"kid\":"),
        twice("\"y\":"),
        good.replacen(
            "\"issuer\":",
            "\"iss\\u0075er\": \"https://other.test\", \"issuer\":",
            1,
        ),
    ] {
        fs::write(file.path(), &text).expect("forged");
        let error = file.read().expect_err("no strict JSON");
        let told = told(&file, &error);
        assert!(matches!(error.refusal, Refusal::File(FileFault::NotJson(_))), "{told}");
    }
    fs::write(file.path(), b"{\"format\":\"\xff\"}").expect("forged");
    let error = file.read().expect_err("no text");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::NotText(_))),
        "{}",
        told(&file, &error)
    );
}

#[test]
fn a_file_that_is_too_long_is_refused_and_one_of_just_that_length_is_not() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let mut text = fs::read(file.path()).expect("the file");
    text.resize(LONGEST, b' ');
    fs::write(file.path(), &text).expect("written");
    assert!(file.read().expect("white space is no harm").is_some());
    text.push(b' ');
    fs::write(file.path(), &text).expect("written");
    let error = file.read().expect_err("too long");
    let text = told(&file, &error);
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::TooLong { .. })) && text.contains("1048576"),
        "{text}"
    );
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    for bits in [0o620, 0o602, 0o660, 0o666] {
        fs::set_permissions(file.path(), Permissions::from_mode(bits)).expect("chmod");
        let error = file.read().expect_err("writable");
        let text = told(&file, &error);
        assert!(
            matches!(error.refusal, Refusal::File(FileFault::Writable { mode }) if mode == bits)
                && text.contains(&format!("{bits:04o}")),
            "{text}"
        );
    }
    for bits in [0o600, 0o644, 0o640] {
        fs::set_permissions(file.path(), Permissions::from_mode(bits)).expect("chmod");
        assert!(file.read().expect("others may read what is public").is_some());
    }
}

#[test]
fn a_link_a_directory_or_a_pipe_in_its_place_is_refused() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(file.path(), &elsewhere).expect("moved");
    symlink(&elsewhere, file.path()).expect("linked");
    let error = file.read().expect_err("a link, though to a good file of ours");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::Link)),
        "{}",
        told(&file, &error)
    );
    fs::remove_file(file.path()).expect("removed");
    symlink("nowhere", file.path()).expect("linked");
    let error = file.read().expect_err("a dangling link");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::Link)),
        "{}",
        told(&file, &error)
    );
    fs::remove_file(file.path()).expect("removed");

    fs::create_dir(file.path()).expect("made");
    let error = file.read().expect_err("a directory");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::NotAFile)),
        "{}",
        told(&file, &error)
    );
    fs::remove_dir(file.path()).expect("removed");

    let made = Command::new("mkfifo").arg(file.path()).status().expect("mkfifo");
    assert!(made.success());
    let error = file.read().expect_err("a pipe, in which nobody writes");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::NotAFile)),
        "{}",
        told(&file, &error)
    );
}

#[test]
fn a_directory_in_which_others_may_move_files_is_refused_when_reading_and_when_writing() {
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    for bits in [0o777, 0o775, 0o2770, 0o702] {
        fs::set_permissions(directory.path(), Permissions::from_mode(bits)).expect("chmod");
        for error in [
            file.read().expect_err("reading"),
            file.write(&sample()).expect_err("writing"),
        ] {
            let text = told(&file, &error);
            assert!(
                matches!(error.refusal, Refusal::File(FileFault::DirectoryWritable { mode }) if mode == bits),
                "{text}"
            );
            assert!(
                text.contains(&format!("{bits:04o}")) && text.contains("emptyDir"),
                "{text}"
            );
        }
    }
    // With the sticky bit, nobody else can move our files.
    for bits in [0o1777, 0o700, 0o755, 0o2750] {
        fs::set_permissions(directory.path(), Permissions::from_mode(bits)).expect("chmod");
        file.write(&sample()).expect("written");
        assert!(file.read().expect("reads").is_some(), "{bits:o}");
    }
    // This is the solution that the text proposes.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).expect("chmod");
    let below = in_directory(&directory.path().join("signet"));
    below.write(&sample()).expect("written");
    assert!(below.read().expect("reads").is_some());
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let directory = temporary();
    let file = in_directory(&directory.path().join("file"));
    fs::write(directory.path().join("file"), "").expect("written");
    let error = file.read().expect_err("no directory");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::DirectoryUnreadable(_))),
        "{}",
        told(&file, &error)
    );
    let text = told(&file, &file.write(&sample()).expect_err("no directory"));
    assert!(text.contains("SIGNET_DATA_DIR"), "{text}");
}

#[test]
fn a_file_or_a_directory_of_somebody_else_is_refused() {
    const STRANGER: u32 = 12345;
    if !rustix::process::geteuid().is_root() {
        return left_out(
            "a_file_or_a_directory_of_somebody_else_is_refused",
            "only root can give a file away",
        );
    }
    let directory = temporary();
    let file = in_directory(directory.path());
    file.write(&sample()).expect("written");
    chown(file.path(), Some(STRANGER), None).expect("given away");
    let error = file.read().expect_err("somebody else's");
    let text = told(&file, &error);
    assert!(
        matches!(
            error.refusal,
            Refusal::File(FileFault::Owner { owner: STRANGER, us: 0 })
        ) && text.contains("user 12345"),
        "{text}"
    );
    // The file is a cache: a bad one does not prevent writing.
    file.write(&sample()).expect("written");
    assert!(file.read().expect("reads").is_some());

    chown(directory.path(), Some(STRANGER), None).expect("given away");
    for error in [
        file.read().expect_err("reading"),
        file.write(&sample()).expect_err("writing"),
    ] {
        let text = told(&file, &error);
        assert!(
            matches!(
                error.refusal,
                Refusal::File(FileFault::DirectoryOwner { owner: STRANGER, us: 0 })
            ) && text.contains("user 12345"),
            "{text}"
        );
    }
}

#[test]
fn a_file_of_root_is_refused_by_another_user() {
    const NAME: &str = "last_good::tests::refusals::a_file_of_root_is_refused_by_another_user";
    let Some(ours) = directory() else {
        if !rustix::process::geteuid().is_root() {
            return left_out(NAME, "only root can leave a file of root's");
        }
        let directory = temporary();
        in_directory(directory.path()).write(&sample()).expect("written");
        let path = directory.path().join(FILE_NAME);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
        return passes(again_unprivileged(NAME, directory.path()));
    };
    let file = in_directory(&ours);
    let error = file.read().expect_err("root's");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::Owner { owner: 0, .. })),
        "{}",
        told(&file, &error)
    );
    fs::remove_file(ours.join(format!("{FILE_NAME}.lock"))).expect("the directory is ours");
    file.write(&sample()).expect("written");
    assert!(file.read().expect("reads").is_some());
    fs::set_permissions(file.path(), Permissions::from_mode(0o000)).expect("chmod");
    let error = file.read().expect_err("unreadable");
    assert!(
        matches!(error.refusal, Refusal::File(FileFault::Unreadable(_))),
        "{}",
        told(&file, &error)
    );
}
