//! The file store on the real file system.

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use common::{disk, ed25519, grow, handle, newest};
use signet_api::{ErrorKind, KeyProvider, ProviderError, Trials};
use signet_base::chain;
use signet_core::Kid;
use signet_sealed::{FileStore, RingStore as _, Swap, Version};
use signet_testkit::process::{again, directory, left_out, passes};
use tempfile::TempDir;

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn store(directory: &Path) -> FileStore {
    FileStore::new(directory.join("ring.json"), disk())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

async fn refused(store: &FileStore, kind: ErrorKind) -> String {
    let error: ProviderError = store.load().await.expect_err("refused");
    assert_eq!(error.kind, kind, "{}", chain(&error));
    let swapped = store.compare_and_swap(Some(&Version::new("any")), b"new").await;
    assert!(!matches!(swapped, Ok(Swap::Stored(_))), "nor is it replaced");
    let text = chain(&error);
    assert!(text.contains("ring.json"), "the path is named: {text}");
    text
}

#[tokio::test]
async fn what_was_swapped_in_loads_and_only_the_version_that_was_seen_is_replaced() {
    let directory = temporary();
    let store = store(directory.path());
    assert_eq!(store.load().await.expect("loads"), None);
    let Swap::Stored(first) = store.compare_and_swap(None, b"one").await.expect("swaps") else {
        panic!("an empty place is free");
    };
    assert_eq!(store.compare_and_swap(None, b"two").await.expect("answers"), Swap::Lost);
    let loaded = store.load().await.expect("loads").expect("a document");
    assert_eq!((loaded.bytes.as_slice(), &loaded.version), (b"one".as_slice(), &first));
    let swapped = store.compare_and_swap(Some(&first), b"two").await.expect("swaps");
    assert!(matches!(swapped, Swap::Stored(_)));
    let stale = store.compare_and_swap(Some(&first), b"three").await.expect("answers");
    assert_eq!(stale, Swap::Lost);
    assert_eq!(fs::read(store.path()).expect("reads"), b"two");
    fs::remove_file(store.path()).expect("removed");
    let gone = store.compare_and_swap(Some(&first), b"three").await.expect("answers");
    assert_eq!(gone, Swap::Lost, "a document that disappeared is not brought back");
}

#[tokio::test]
async fn files_are_for_the_owner_alone_whatever_the_umask() {
    let directory = temporary();
    let below = directory.path().join("a/b");
    let store = store(&below);
    store.compare_and_swap(None, b"one").await.expect("swaps");
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(&below.join("ring.json.lock")), 0o600);
    assert_eq!(mode(&below), 0o700);
    let left: Vec<_> = fs::read_dir(&below).expect("reads").collect();
    assert_eq!(left.len(), 2, "the ring and its lock: {left:?}");
}

#[tokio::test]
async fn a_file_that_others_may_write_is_refused() {
    let directory = temporary();
    let store = store(directory.path());
    store.compare_and_swap(None, b"one").await.expect("swaps");
    for bits in [0o620, 0o602, 0o666] {
        fs::set_permissions(store.path(), Permissions::from_mode(bits)).expect("chmod");
        let text = refused(&store, ErrorKind::BadAnswer).await;
        assert!(text.contains(&format!("{bits:04o}")), "{text}");
    }
    for bits in [0o600, 0o400, 0o644, 0o640] {
        fs::set_permissions(store.path(), Permissions::from_mode(bits)).expect("chmod");
        if rustix::process::geteuid().is_root() || bits & 0o400 != 0 {
            store.load().await.expect("others may read what is sealed");
        }
    }
}

#[tokio::test]
async fn a_file_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return left_out("a_file_of_somebody_else_is_refused", "only root can give a file away");
    }
    let directory = temporary();
    let store = store(directory.path());
    store.compare_and_swap(None, b"one").await.expect("swaps");
    std::os::unix::fs::chown(store.path(), Some(12345), None).expect("given away");
    let text = refused(&store, ErrorKind::PermissionDenied).await;
    for words in [
        "belongs to user 12345",
        "Run this as user 12345",
        "Do not give the file to root",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[tokio::test]
async fn a_link_a_directory_or_a_pipe_in_its_place_is_refused() {
    let directory = temporary();
    let store = store(directory.path());
    fs::write(directory.path().join("elsewhere"), "one").expect("written");
    symlink(directory.path().join("elsewhere"), store.path()).expect("linked");
    assert!(refused(&store, ErrorKind::BadAnswer).await.contains("symbolic link"));
    fs::remove_file(store.path()).expect("removed");

    fs::create_dir(store.path()).expect("made");
    assert!(
        refused(&store, ErrorKind::InvalidConfig)
            .await
            .contains("there is a directory instead of a file")
    );
    fs::remove_dir(store.path()).expect("removed");

    let made = std::process::Command::new("mkfifo")
        .arg(store.path())
        .status()
        .expect("mkfifo");
    assert!(made.success());
    assert!(
        refused(&store, ErrorKind::BadAnswer)
            .await
            .contains("not a regular file")
    );
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_refused() {
    let directory = temporary();
    let file = directory.path().join("file");
    fs::write(&file, "").expect("written");
    let store = store(&file);
    let error = store.compare_and_swap(None, b"one").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidConfig);
    let text = chain(&error);
    assert!(
        text.contains("there is a file instead of a directory") && text.contains("SIGNET_DATA_DIR"),
        "{text}"
    );
}

#[tokio::test]
async fn what_a_crash_left_or_somebody_planted_is_not_written_through() {
    let directory = temporary();
    let store = store(directory.path());
    let (temporary, victim) = (directory.path().join("ring.json.tmp"), directory.path().join("victim"));
    fs::write(&victim, "precious").expect("written");
    symlink(&victim, &temporary).expect("linked");
    store.compare_and_swap(None, b"one").await.expect("swaps");
    assert_eq!(fs::read(&victim).expect("reads"), b"precious");
    assert!(!store.path().is_symlink());

    fs::write(&temporary, "half a ri").expect("written");
    let version = store.load().await.expect("loads").expect("a document").version;
    store.compare_and_swap(Some(&version), b"two").await.expect("swaps");
    assert!(!temporary.exists());
    assert_eq!(fs::read(store.path()).expect("reads"), b"two");
}

#[tokio::test]
async fn a_lock_in_place_of_which_a_link_stands_is_refused() {
    let directory = temporary();
    let store = store(directory.path());
    symlink("/dev/null", directory.path().join("ring.json.lock")).expect("linked");
    let error = store.compare_and_swap(None, b"one").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer, "{}", chain(&error));
}

#[tokio::test]
async fn a_check_makes_neither_a_file_nor_a_directory() {
    let directory = temporary();
    let left = || {
        let left = fs::read_dir(directory.path()).expect("reads");
        left.map(|file| file.expect("a file").file_name()).collect::<Vec<_>>()
    };
    let answer = async |store: &FileStore| {
        let rows = Trials::of(async |trials| store.check(trials).await).await;
        rows.iter().all(|check| check.answer.is_yes())
    };
    assert!(answer(&store(directory.path())).await);
    assert!(answer(&store(&directory.path().join("a/b"))).await, "it could be made");
    assert!(left().is_empty(), "{:?}", left());
    fs::write(directory.path().join("file"), "").expect("written");
    assert!(!answer(&store(&directory.path().join("file"))).await);
    // A lock that cannot be taken would block every writer.
    symlink("nowhere", directory.path().join("ring.json.lock")).expect("linked");
    assert!(!answer(&store(directory.path())).await);
    assert_eq!(left().len(), 2, "{:?}", left());
}

#[test]
fn two_processes_that_race_for_fifty_keys_make_each_once() {
    const NAME: &str = "two_processes_that_race_for_fifty_keys_make_each_once";
    const ROUNDS: usize = 50;
    signet_testkit::run(async {
        if let Some(directory) = directory() {
            // This process competes: it creates the successor of the newest key until the ring is full.
            let provider = handle(store(&directory));
            loop {
                let keys = provider.list().await.expect("lists");
                if keys.len() >= ROUNDS {
                    return;
                }
                let of = keys
                    .iter()
                    .max_by_key(|key| key.created_at)
                    .map(|key| key.kid().clone());
                let key = provider.create(&ed25519(of.as_ref())).await.expect("a key");
                let before = of.as_ref().map_or("none", Kid::as_str);
                writeln!(std::io::stdout(), "\nmade {before} {}", key.kid()).expect("printed");
            }
        }
        let directory = temporary();
        let racers: Vec<_> = (0..2)
            .map(|_| {
                again(NAME, directory.path())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("starts")
            })
            .collect();
        let mut successors = std::collections::HashMap::new();
        for racer in racers {
            let output = racer.wait_with_output().expect("ends");
            assert!(output.status.success());
            for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
                if let ["made", before, kid] = line.split(' ').collect::<Vec<_>>()[..] {
                    successors
                        .entry(before.to_owned())
                        .or_insert_with(Vec::new)
                        .push(kid.to_owned());
                }
            }
        }
        let keys = handle(store(directory.path())).list().await.expect("lists");
        assert_eq!(keys.len(), ROUNDS);
        assert_eq!(
            successors.len(),
            ROUNDS,
            "each key was made as the successor of another one"
        );
    });
}

#[test]
fn a_writer_killed_at_any_moment_loses_no_key_that_it_had_announced() {
    const NAME: &str = "a_writer_killed_at_any_moment_loses_no_key_that_it_had_announced";
    signet_testkit::run(async {
        if let Some(directory) = directory() {
            let provider = handle(store(&directory));
            loop {
                for key in grow(&provider, 1).await {
                    writeln!(std::io::stdout(), "\nmade {}", key.kid()).expect("printed");
                }
            }
        }
        let directory = temporary();
        let mut announced = Vec::new();
        for run in 0..20 {
            let mut writer = again(NAME, directory.path())
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            let output = BufReader::new(writer.stdout.take().expect("its output"));
            for line in output.lines().map_while(Result::ok) {
                if let Some(kid) = line.strip_prefix("made ") {
                    announced.push(kid.to_owned());
                    if announced.len() > run * 2 {
                        // This is SIGKILL. By now the writer is creating the next key.
                        writer.kill().expect("killed");
                    }
                }
            }
            writer.wait().expect("ends");
            let provider = handle(store(directory.path()));
            let listed = provider.list().await.expect("the ring lists");
            for kid in &announced {
                assert!(
                    listed.iter().any(|key| key.kid().as_str() == kid),
                    "run {run} lost {kid}"
                );
            }
            assert!(
                listed.len() <= announced.len() + run + 1,
                "at most one key more than announced for each run"
            );
        }
        assert!(newest(&handle(store(directory.path()))).await.is_some());
    });
}

#[test]
fn the_process_that_runs_a_test_again_runs_it() {
    const NAME: &str = "the_process_that_runs_a_test_again_runs_it";
    if directory().is_none() {
        passes(again(NAME, temporary().path()));
    }
}
