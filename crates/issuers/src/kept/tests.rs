//! The file when it is written, read back, damaged, forged or old.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use signet_core::{Algorithm, Issuer};
use signet_files::cache::FileFault;
use tempfile::TempDir;

use super::*;
use crate::KeysAt;
use crate::example::trusted;
use crate::{Location, NoKeys, Trusted};

/// Keys of RFC 8037 appendix A.2 and RFC 7515 appendix A.3, with kids that are not thumbprints.
const JWKS: &str = r#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","kid":"a \"b\"","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"EC","crv":"P-256","kid":"2","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
     "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const AHEAD: Duration = Duration::from_secs(120);

fn terms() -> TrustedIssuer {
    TrustedIssuer {
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
        max_stale: Duration::from_secs(4 * 3600),
        ..trusted("https://login.example.com/jwks")
    }
}

fn sample() -> Remembered {
    Remembered {
        keys: ForeignKeys::parse(JWKS.as_bytes(), &terms().algorithms).expect("keys"),
        fetched_at: NOW,
        good_for: Duration::from_secs(900),
    }
}

fn facts(remembered: &Remembered) -> String {
    let jwks = serde_json::to_string(&remembered.keys.to_jwks()).expect("JSON");
    format!("{jwks} {:?} {:?}", remembered.fetched_at, remembered.good_for)
}

/// A data directory with a stored file.
fn written() -> (TempDir, Kept) {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = Kept::new(directory.path(), &terms());
    kept.write(&sample()).expect("written");
    (directory, kept)
}

fn refusal(kept: &Kept) -> Refusal {
    let error = kept.read(NOW, AHEAD).expect_err("refused");
    let text = signet_base::chain(&error);
    assert!(text.contains("https://login.example.com/"), "whose: {text}");
    assert!(text.contains(error.refusal.advice()), "what to do: {text}");
    error.refusal
}

#[test]
fn keys_are_read_as_they_were_written_and_the_file_is_ours_alone() {
    let (directory, kept) = written();
    let again = kept.read(NOW, AHEAD).expect("read").expect("a file");
    assert_eq!(facts(&again), facts(&sample()));
    for (path, mode) in [
        (kept.path(), 0o600),
        (directory.path().join("issuers").as_path(), 0o700),
    ] {
        let metadata = fs::metadata(path).expect("metadata");
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{}", path.display());
    }
    let other = Kept::new(
        directory.path(),
        &TrustedIssuer {
            issuer: Issuer::new("https://login.example.com"),
            ..terms()
        },
    );
    assert!(
        other.read(NOW, AHEAD).expect("nothing is wrong").is_none(),
        "another issuer has another file"
    );
}

#[test]
fn a_file_with_any_octet_changed_or_missing_is_refused_or_says_the_same() {
    let whole = document::compose(&sample(), &terms()).expect("a text");
    for at in 0..whole.len() {
        let cut = document::parse(&whole[..at], &terms());
        assert!(cut.is_err(), "cut at {at}");
        for flip in [0x01, 0x02, 0x20, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            if let Ok(read) = document::parse(&changed, &terms()) {
                assert_eq!(facts(&read), facts(&sample()), "octet {at} changed by {flip:#x}");
            }
        }
    }
}

#[test]
fn damage_that_is_still_json_is_noticed() {
    let (_directory, kept) = written();
    let text = fs::read_to_string(kept.path()).expect("the file");
    for (from, to) in [
        ("f83OJ3", "f83OJ4"),
        ("1800000000000", "1900000000000"),
        ("900000", "990000"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(kept.path(), text.replace(from, to)).expect("forged");
        assert!(matches!(refusal(&kept), Refusal::Damaged), "{from}");
    }
    for text in ["", "{}", "null", "\u{0}", r#"{"format":"signet-issuer-keys/2"}"#] {
        fs::write(kept.path(), text).expect("forged");
        assert!(matches!(refusal(&kept), Refusal::File(_)), "{text:?}");
    }
}

#[test]
fn the_file_of_another_issuer_is_refused_with_both_names() {
    let (directory, kept) = written();
    let other = Kept::new(
        directory.path(),
        &TrustedIssuer {
            issuer: Issuer::new("https://evil.example.com"),
            ..terms()
        },
    );
    other.write(&sample()).expect("written");
    fs::rename(other.path(), kept.path()).expect("put in its place");
    let refusal = refusal(&kept);
    let text = refusal.to_string();
    assert!(matches!(refusal, Refusal::Issuer { .. }), "{text}");
    assert!(
        text.contains("https://evil.example.com") && text.contains("https://login.example.com/"),
        "{text}"
    );
}

#[test]
fn keys_that_were_fetched_under_other_settings_are_not_used() {
    let (directory, _) = written();
    let at = |url: &str| Location::parse(url).expect("a location");
    let changed = [
        (
            "jwks_url",
            TrustedIssuer {
                keys_at: KeysAt::Jwks(at("https://login.example.com/jwks2")),
                ..terms()
            },
        ),
        (
            "jwks_url",
            TrustedIssuer {
                keys_at: KeysAt::Discovery(at("https://login.example.com/jwks")),
                ..terms()
            },
        ),
        (
            "algorithms",
            TrustedIssuer {
                algorithms: vec![Algorithm::ES256],
                ..terms()
            },
        ),
        (
            "ca_file",
            TrustedIssuer {
                ca_file: Some("/etc/ca.pem".into()),
                ..terms()
            },
        ),
    ];
    for (name, terms) in changed {
        let refusal = refusal(&Kept::new(directory.path(), &terms));
        assert!(
            matches!(refusal, Refusal::OtherTerms { setting } if setting == name),
            "{name}: {refusal}"
        );
    }
    let shorter = TrustedIssuer {
        max_stale: Duration::ZERO,
        ..terms()
    };
    let read = Kept::new(directory.path(), &shorter).read(NOW, AHEAD);
    assert!(read.expect("read").is_some(), "how long keys serve is judged anew");
}

#[test]
fn what_somebody_else_could_have_put_there_is_refused() {
    let (directory, kept) = written();
    let aside = directory.path().join("aside");
    fs::copy(kept.path(), &aside).expect("copied");

    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o620)).expect("set");
    assert!(matches!(
        refusal(&kept),
        Refusal::File(FileFault::Writable { mode: 0o620 })
    ));
    fs::remove_file(kept.path()).expect("removed");
    symlink(&aside, kept.path()).expect("a link");
    assert!(matches!(refusal(&kept), Refusal::File(FileFault::Link)));
    fs::remove_file(kept.path()).expect("removed");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        kept.path(),
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .expect("a pipe");
    assert!(matches!(refusal(&kept), Refusal::File(FileFault::NotAFile)));
    kept.write(&sample()).expect("put in its place");
    assert!(kept.read(NOW, AHEAD).expect("read").is_some());
    fs::write(kept.path(), vec![b' '; document::LONGEST + 1]).expect("written");
    assert!(matches!(refusal(&kept), Refusal::File(FileFault::TooLong { .. })));
    let place = kept.path().parent().expect("a directory");
    fs::set_permissions(place, fs::Permissions::from_mode(0o777)).expect("set");
    assert!(matches!(
        refusal(&kept),
        Refusal::File(FileFault::DirectoryWritable { mode: 0o777 })
    ));
}

#[test]
fn neither_a_link_in_place_of_the_directory_nor_a_data_directory_of_others_is_believed() {
    let (directory, kept) = written();
    let place = kept.path().parent().expect("a directory").to_owned();
    let aside = tempfile::tempdir().expect("a directory");
    let moved = aside.path().join("issuers");
    let both = |expected: fn(&FileFault) -> bool| {
        let writing = kept.write(&sample()).expect_err("refused").refusal;
        for refusal in [refusal(&kept), writing] {
            assert!(matches!(&refusal, Refusal::File(fault) if expected(fault)), "{refusal}");
        }
    };
    // The content is good, and the file belongs to us.
    fs::rename(&place, &moved).expect("moved");
    symlink(&moved, &place).expect("a link");
    both(|fault| matches!(fault, FileFault::DirectoryLink));
    fs::remove_file(&place).expect("removed");
    symlink("nowhere", &place).expect("a link");
    both(|fault| matches!(fault, FileFault::DirectoryLink));
    fs::remove_file(&place).expect("removed");
    fs::rename(&moved, &place).expect("back");
    assert!(kept.read(NOW, AHEAD).expect("read").is_some());

    let above = |fault: &FileFault| matches!(fault, FileFault::Above(above) if matches!(**above, FileFault::DirectoryWritable { mode: 0o770 }));
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).expect("set");
    both(above);
    let error = kept.read(NOW, AHEAD).expect_err("refused");
    assert_eq!(error.path, directory.path(), "the directory that is at fault is named");
    fs::remove_dir_all(&place).expect("removed");
    kept.write(&sample()).expect_err("refused");
    assert!(!place.exists(), "nothing is made in it");
}

#[test]
fn a_file_from_the_future_is_not_used_but_for_clocks_that_differ_a_little() {
    let (_directory, kept) = written();
    let read_at = |seconds: u64| {
        kept.read(
            Timestamp::from_secs(1_800_000_000 - i64::try_from(seconds).expect("small")),
            AHEAD,
        )
    };
    assert!(matches!(
        read_at(121).expect_err("refused").refusal,
        Refusal::FromTheFuture { .. }
    ));
    let read = read_at(120).expect("read").expect("a file");
    assert_eq!(
        read.fetched_at.as_secs(),
        1_800_000_000 - 120,
        "it does not live the longer for it"
    );
}

#[test]
fn a_restart_changes_nothing_of_how_long_keys_live() {
    let (fresh, stale) = (900, 900 + 4 * 3600);
    let worth = |after: u64| sample().worth(&terms(), NOW.plus(Duration::from_secs(after)));
    for after in [0, 1, fresh - 1] {
        assert!(matches!(worth(after), Worth::Fresh(_)), "{after}");
    }
    for after in [fresh, stale - 1] {
        let Worth::Stale(current) = worth(after) else {
            panic!("{after}")
        };
        let trusted = Trusted::new(terms());
        trusted.current.store(Some(current.into()));
        let until = NOW.plus(Duration::from_secs(stale));
        assert_eq!(trusted.kept(), Some((NOW, until)));
        assert_eq!(trusted.keys_at(until).err(), Some(NoKeys::TooOld));
    }
    assert!(matches!(worth(stale), Worth::Nothing));
    // The current limits count: here keys live for at most 10 min, and are not used after that.
    let shorter = TrustedIssuer {
        max_refresh: Duration::from_secs(600),
        max_stale: Duration::ZERO,
        ..terms()
    };
    let after = |seconds| sample().worth(&shorter, NOW.plus(Duration::from_secs(seconds)));
    assert!(matches!(after(599), Worth::Fresh(_)));
    assert!(matches!(after(600), Worth::Nothing));
}

#[test]
fn of_two_writers_at_once_readers_see_one_file_or_the_other() {
    let (directory, kept) = written();
    let write = |good_for: u64| {
        let kept = Kept::new(directory.path(), &terms());
        move || {
            for _ in 0..50 {
                let remembered = Remembered {
                    good_for: Duration::from_secs(good_for),
                    ..sample()
                };
                kept.write(&remembered).expect("written");
            }
        }
    };
    std::thread::scope(|scope| {
        let writers = [scope.spawn(write(100)), scope.spawn(write(200))];
        while writers.iter().any(|writer| !writer.is_finished()) {
            let read = kept.read(NOW, AHEAD).expect("whole").expect("a file");
            assert!([100, 200, 900].contains(&read.good_for.as_secs()));
        }
    });
}

/// A start must not spend milliseconds on each key of a file that this version wrote. The keys of an older version's
/// file are judged again.
#[test]
fn the_moduli_of_a_file_are_judged_unless_it_was_written_by_the_rules_of_today() {
    // 2^2203 - 1 is a prime: 276 octets, of which the first is 7 and the others are 255.
    let prime = format!("B{}", "_".repeat(367));
    let set = format!(r#"{{"keys":[{{"kty":"RSA","kid":"prime","alg":"RS256","n":"{prime}","e":"AQAB"}}]}}"#);
    let terms = TrustedIssuer {
        algorithms: vec![Algorithm::RS256],
        ..terms()
    };
    let today = Remembered {
        keys: ForeignKeys::parse_judged(set.as_bytes(), &terms.algorithms).expect("a key"),
        ..sample()
    };
    let text = document::compose(&today, &terms).expect("a text");
    assert!(document::parse(&text, &terms).is_ok());
    let text = String::from_utf8(text).expect("text");
    for other in ["\"rules\": 0", "\"rules\": 4000000000"] {
        let changed = text.replace("\"rules\": 1", other);
        assert_ne!(changed, text);
        let refusal = document::parse(&signed(&changed), &terms).expect_err("refused");
        assert!(matches!(refusal, Refusal::NoKeys(_)), "{refusal}");
    }
    let older = text.replace("  \"rules\": 1,\n", "");
    assert_ne!(older, text);
    assert!(matches!(
        document::parse(&signed(&older), &terms),
        Err(Refusal::NoKeys(_))
    ));
}

/// The text with the digest of its content.
fn signed(text: &str) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Written {
        sha256: String,
        content: Box<serde_json::value::RawValue>,
    }
    let written: Written = serde_json::from_str(text).expect("JSON");
    text.replace(&written.sha256, &document::sha256(written.content.get()))
        .into_bytes()
}
