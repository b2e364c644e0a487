//! The first start: in a race, killed at each step, and on a full disk.

mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::sync::Arc;
use std::thread;

use common::{Home, create, mode};
use signet_api::ErrorKind;
use signet_base::chain;
use signet_testkit::process::{again, again_on_a_small_disk, directory, left_out, passes};
use tokio::task::JoinSet;

const COMPLETE: [&str; 4] = ["local.key", "ring.json", "ring.json.lock", "start.lock"];

/// Checks the result of a complete start, whatever happened before: one key file, one ring, one key.
async fn a_start_completes(home: &Home) {
    let provider = home.open().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let key = create(&*provider, None).await.expect("a key");
    provider.sign(key.kid(), b"message").await.expect("signs");
    assert_eq!(provider.list().await.expect("lists").len(), 1);
    assert_eq!(home.files(), COMPLETE);
    let again = home.open().await.expect("opens again");
    again.sign(key.kid(), b"message").await.expect("signs after a restart");
}

#[tokio::test]
async fn a_first_start_makes_the_key_file_and_the_first_create_the_ring() {
    let home = Home::new();
    let provider = home.open().await.expect("opens");
    assert!(provider.list().await.expect("lists").is_empty());
    assert_eq!(
        home.files(),
        ["local.key.new", "start.lock"],
        "named when it has sealed a ring"
    );
    assert_eq!(mode(&home.path("local.key.new")), 0o600);
    create(&*provider, None).await.expect("a key");
    assert_eq!(home.files(), COMPLETE);
    assert_eq!(mode(&home.path("local.key")), 0o600);
    assert_eq!(mode(&home.path("ring.json")), 0o600);
    assert_eq!(mode(&home.data), 0o700);
    let text = fs::read_to_string(home.path("local.key")).expect("reads");
    assert!(text.starts_with("# Signet: the key that seals"), "it says what it is");
}

#[tokio::test]
async fn a_start_goes_on_from_whatever_a_dead_one_left() {
    let donor = Home::new();
    a_start_completes(&donor).await;
    let (key, ring) = (
        fs::read(donor.path("local.key")).expect("reads"),
        fs::read(donor.path("ring.json")).expect("reads"),
    );
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let remains: [&[(&str, Vec<u8>)]; 9] = [
        &[],
        &[("start.lock", vec![])],
        &[("local.key.new.tmp", vec![])],
        &[("local.key.new.tmp", half(&key))],
        &[("local.key.new", key.clone())],
        &[("local.key.new", key.clone()), ("ring.json.lock", vec![])],
        &[("local.key.new", key.clone()), ("ring.json.tmp", half(&ring))],
        &[("local.key.new", key.clone()), ("ring.json", ring.clone())],
        &[("local.key", key.clone()), ("ring.json", ring.clone())],
    ];
    for files in remains {
        let home = Home::new();
        fs::create_dir(&home.data).expect("made");
        for (name, content) in files {
            fs::write(home.path(name), content).expect("written");
            common::chmod(&home.path(name), 0o600);
        }
        let provider = home.open().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        create(&*provider, None).await.expect("a key");
        let left: Vec<String> = home.contents().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["local.key", "ring.json"], "locks aside");
        if files
            .iter()
            .any(|(name, _)| *name == "local.key.new" || *name == "local.key")
        {
            assert_eq!(
                fs::read(home.path("local.key")).expect("reads"),
                key,
                "the key that was there is used"
            );
        }
        if files.iter().any(|(name, _)| *name == "ring.json") {
            assert_eq!(
                fs::read(home.path("ring.json")).expect("reads"),
                ring,
                "the ring that was there is kept"
            );
        }
    }
}

#[test]
fn a_first_start_killed_at_any_step_is_completed_by_the_next() {
    const NAME: &str = "a_first_start_killed_at_any_step_is_completed_by_the_next";
    signet_testkit::run(async {
        if let Some(directory) = directory() {
            return a_start_completes(&Home::at(&directory)).await;
        }
        for step in [
            "start.lock",
            "local.key.new.tmp",
            "local.key.new",
            "ring.json.lock",
            "ring.json.tmp",
            "ring.json",
            "local.key",
        ] {
            for _ in 0..4 {
                let directory = tempfile::tempdir().expect("a directory");
                let home = Home::at(directory.path());
                let mut starter = again(NAME, directory.path());
                let mut starter = starter.stdout(std::process::Stdio::null()).spawn().expect("starts");
                while !home.path(step).exists() && starter.try_wait().expect("answers").is_none() {
                    thread::yield_now();
                }
                starter.kill().expect("killed, unless it is at its end");
                starter.wait().expect("ends");
                a_start_completes(&home).await;
            }
        }
    });
}

#[test]
fn a_first_start_raced_by_eight_threads_ends_with_one_key_file_and_one_ring() {
    signet_testkit::run(async {
        for _ in 0..10 {
            let home = Arc::new(Home::new());
            let mut racers = JoinSet::new();
            for _ in 0..8 {
                let home = Arc::clone(&home);
                racers.spawn(async move {
                    let provider = home.open().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
                    provider.list().await.expect("lists");
                    let key = create(&*provider, None).await.expect("a key");
                    provider.sign(key.kid(), b"message").await.expect("signs");
                    key.kid().clone()
                });
            }
            let kids = racers.join_all().await;
            assert!(kids.iter().all(|kid| *kid == kids[0]), "{kids:?}");
            a_start_completes(&home).await;
        }
    });
}

#[test]
fn a_first_start_raced_by_four_processes_ends_with_one_key_file_and_one_ring() {
    const NAME: &str = "a_first_start_raced_by_four_processes_ends_with_one_key_file_and_one_ring";
    signet_testkit::run(async {
        if let Some(directory) = directory() {
            return a_start_completes(&Home::at(&directory)).await;
        }
        for _ in 0..5 {
            let directory = tempfile::tempdir().expect("a directory");
            let racers: Vec<_> = (0..4)
                .map(|_| {
                    again(NAME, directory.path())
                        .stdout(std::process::Stdio::piped())
                        .spawn()
                        .expect("starts")
                })
                .collect();
            for racer in racers {
                let output = racer.wait_with_output().expect("ends");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            a_start_completes(&Home::at(directory.path())).await;
        }
    });
}

#[tokio::test]
async fn whoever_made_no_ring_also_gives_the_key_its_name() {
    let home = Home::new();
    let waiting = home.open().await.expect("opens");
    let quick = home.open().await.expect("opens");
    create(&*quick, None).await.expect("a key");
    // This is the state after the fast process died between creating the ring and renaming the key file.
    fs::rename(home.path("local.key"), home.path("local.key.new")).expect("renamed");
    waiting.list().await.expect("lists");
    assert_eq!(home.files(), COMPLETE);
}

#[tokio::test]
async fn a_key_that_was_replaced_before_the_first_ring_seals_nothing() {
    let home = Home::new();
    let provider = home.open().await.expect("opens");
    fs::remove_file(home.path("local.key.new")).expect("removed");
    let other = home.open().await.expect("opens, with a new key");
    let error = create(&*provider, None).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(chain(&error).contains("Restart Signet"), "{}", chain(&error));
    create(&*other, None).await.expect("a key");
    a_start_completes(&home).await;
}

#[test]
fn a_first_start_on_a_full_disk_fails_clearly_and_succeeds_when_there_is_room() {
    const NAME: &str = "a_first_start_on_a_full_disk_fails_clearly_and_succeeds_when_there_is_room";
    let Some(small) = directory() else {
        let directory = tempfile::tempdir().expect("a directory");
        return match again_on_a_small_disk(NAME, directory.path(), 32) {
            Some(command) => passes(command),
            None => left_out(NAME, "this machine lets us mount no file system"),
        };
    };
    signet_testkit::run(async {
        let home = Home::at(&small);
        let filler = small.join("filler");
        let mut failures = Vec::new();
        for pages in (0..8).rev() {
            let mut file = File::create(&filler).expect("made");
            for _ in 0..pages {
                if file.write_all(&[0; 4096]).is_err() {
                    break;
                }
            }
            let started = match home.open().await {
                Ok(provider) => create(&*provider, None).await.map(|_| ()),
                Err(error) => Err(error),
            };
            failures.extend(started.err());
        }
        assert!(!failures.is_empty() && failures.len() < 8, "{failures:?}");
        for error in failures {
            assert_eq!(error.kind, ErrorKind::Unavailable);
            assert!(chain(&error).contains("Free some space"), "{}", chain(&error));
        }
        a_start_completes(&home).await;
    });
}
