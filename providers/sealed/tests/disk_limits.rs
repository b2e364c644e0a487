//! Full disks, read-only disks and missing permissions. Each test has a process and a real file system of its own.

mod common;

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{disk, ed25519, grow, handle};
use signet_api::{ErrorKind, KeyProvider, Trials};
use signet_base::chain;
use signet_sealed::FileStore;
use signet_testkit::process::{again_on_a_small_disk, again_unprivileged, directory, left_out, passes};

/// Checks the result of a write that the system refused: the error names the file and what to do, the ring is
/// unchanged, no partial file is left, and everything that needs no write still works.
async fn a_write_fails(directory: &Path, kind: ErrorKind, words: &[&str]) {
    let path = directory.join("ring.json");
    let provider = handle(FileStore::new(&path, disk()));
    let before = fs::read(&path).expect("the ring");
    let newest = provider.list().await.expect("lists").pop().expect("a key");
    for _ in 0..2 {
        let error = provider
            .create(&ed25519(Some(newest.kid())))
            .await
            .expect_err("refused");
        let text = chain(&error);
        assert_eq!(error.kind, kind, "{text}");
        for word in words.iter().chain(&["ring.json"]) {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }
    assert_eq!(fs::read(&path).expect("the ring"), before);
    assert!(!directory.join("ring.json.tmp").exists());
    provider.sign(newest.kid(), b"message").await.expect("signs");
    let checks = Trials::of(async |trials| provider.check(trials).await).await;
    match &checks[..] {
        // Without permission to write, the ring can still be read and its keys used. Each row is tested separately.
        [writing, reading, wrapping] if kind == ErrorKind::PermissionDenied => {
            assert!(writing.answer.is_bad(), "{checks:?}");
            assert!(reading.answer.is_yes() && wrapping.answer.is_yes(), "{checks:?}");
        }
        // If the store does not work, the table ends here, because nothing more can be tested.
        [writing] => assert!(kind == ErrorKind::Unavailable && writing.answer.is_bad(), "{checks:?}"),
        _ => panic!("{checks:?}"),
    }
}

async fn start(directory: &Path, keys: usize) {
    grow(&handle(FileStore::new(directory.join("ring.json"), disk())), keys).await;
}

#[test]
fn a_full_disk_refuses_the_next_ring_and_keeps_the_last() {
    const NAME: &str = "a_full_disk_refuses_the_next_ring_and_keeps_the_last";
    let Some(small) = directory() else {
        let directory = tempfile::tempdir().expect("a directory");
        return match again_on_a_small_disk(NAME, directory.path(), 64) {
            Some(command) => passes(command),
            None => left_out(NAME, "this machine lets us mount no file system"),
        };
    };
    signet_testkit::run(async {
        start(&small, 2).await;
        let filler = small.join("filler");
        let mut file = File::create(&filler).expect("made");
        while file.write_all(&[0; 512]).is_ok() {}
        a_write_fails(&small, ErrorKind::Unavailable, &["Free some space", "unchanged"]).await;
        drop(file);
        fs::remove_file(&filler).expect("removed");
        start(&small, 1).await;
        // Repeat this with every amount of free space, from none to enough.
        let mut refused = 0;
        for pages in (0..16).rev() {
            let mut file = File::create(&filler).expect("made");
            for _ in 0..pages {
                if file.write_all(&[0; 4096]).is_err() {
                    break;
                }
            }
            let provider = handle(FileStore::new(small.join("ring.json"), disk()));
            let newest = provider.list().await.expect("lists").pop().expect("a key");
            refused += usize::from(provider.create(&ed25519(Some(newest.kid()))).await.is_err());
            provider.list().await.expect("lists");
        }
        assert!(refused > 0 && refused < 16, "{refused} of 16 were refused");
    });
}

#[test]
fn a_read_only_disk_refuses_writing_and_lets_the_ring_be_used() {
    const NAME: &str = "a_read_only_disk_refuses_writing_and_lets_the_ring_be_used";
    let Some(small) = directory() else {
        let directory = tempfile::tempdir().expect("a directory");
        return match again_on_a_small_disk(NAME, directory.path(), 64) {
            Some(command) => passes(command),
            None => left_out(NAME, "this machine lets us mount no file system"),
        };
    };
    signet_testkit::run(async {
        start(&small, 2).await;
        let remounted = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&small)
            .status()
            .expect("mount");
        assert!(remounted.success());
        a_write_fails(&small, ErrorKind::PermissionDenied, &["read-only", "SIGNET_DATA_DIR"]).await;
    });
}

#[test]
fn missing_permissions_are_named_with_the_user() {
    const NAME: &str = "missing_permissions_are_named_with_the_user";
    let Some(ours) = directory() else {
        let directory = tempfile::tempdir().expect("a directory");
        return passes(again_unprivileged(NAME, directory.path()));
    };
    signet_testkit::run(async {
        start(&ours, 2).await;
        let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
        chmod(&ours, 0o500);
        let us = format!("user {}", rustix::process::geteuid().as_raw());
        a_write_fails(
            &ours,
            ErrorKind::PermissionDenied,
            &["permission denied", &us, "SIGNET_DATA_DIR"],
        )
        .await;
        chmod(&ours, 0o700);
        let ring = ours.join("ring.json");
        chmod(&ring, 0);
        let error = handle(FileStore::new(&ring, disk())).list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{}", chain(&error));
        chmod(&ring, 0o600);
        start(&ours, 1).await;
    });
}
