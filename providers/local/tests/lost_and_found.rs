//! Files that are missing, exchanged, damaged or writable by others: the refusals and their texts.

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Home, chmod, create, mode};
use signet_api::{ErrorKind, Trials};
use signet_base::chain;
use signet_testkit::process::{again_unprivileged, directory, left_out, passes};

async fn with_a_key(home: &Home) -> signet_core::Kid {
    let provider = home.open().await.expect("opens");
    create(&*provider, None).await.expect("a key").kid().clone()
}

/// Checks that opening fails with this kind and these words, and changes nothing.
async fn refused(home: &Home, kind: ErrorKind, words: &[&str]) {
    let before = home.contents();
    let error = home.open().await.expect_err("refused");
    let text = chain(&error);
    assert_eq!(error.kind, kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
    assert_eq!(home.contents(), before);
}

#[tokio::test]
async fn a_lost_ring_is_never_silently_replaced() {
    let home = Home::new();
    with_a_key(&home).await;
    let (fresh, read) = (home.open().await.expect("opens"), home.open().await.expect("opens"));
    read.list().await.expect("lists");
    fs::remove_file(home.path("ring.json")).expect("removed");
    for provider in [fresh, read] {
        for error in [
            provider.list().await.expect_err("refused"),
            create(&*provider, None).await.expect_err("refused"),
        ] {
            assert_eq!(error.kind, ErrorKind::BadAnswer);
            assert!(chain(&error).contains("from a backup"), "{}", chain(&error));
        }
    }
    let words = [
        "ring.json is missing",
        "Restore",
        "If you want a new ring instead",
        "remove",
        "local.key",
    ];
    refused(&home, ErrorKind::BadAnswer, &words).await;
    fs::remove_file(home.path("local.key")).expect("as the text says");
    with_a_key(&home).await;
}

#[tokio::test]
async fn a_public_ring_in_the_cache_shows_that_a_ring_existed() {
    let home = Home::new();
    fs::create_dir(&home.data).expect("made");
    fs::write(home.path("public-ring.json"), "{}").expect("written");
    refused(
        &home,
        ErrorKind::BadAnswer,
        &["public-ring.json shows that there was a ring"],
    )
    .await;
    fs::remove_file(home.path("public-ring.json")).expect("as the text says");
    with_a_key(&home).await;
    fs::remove_file(home.path("ring.json")).expect("removed");
    fs::write(home.path("public-ring.json"), "{}").expect("written");
    refused(&home, ErrorKind::BadAnswer, &["local.key and ", "public-ring.json"]).await;
}

#[tokio::test]
async fn a_public_ring_that_appears_after_the_start_stops_the_first_create() {
    let home = Home::new();
    let provider = home.open().await.expect("opens");
    fs::write(home.path("public-ring.json"), "{}").expect("written");
    let error = create(&*provider, None).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(!home.path("ring.json").exists());
}

#[tokio::test]
async fn a_mounted_key_without_a_ring_makes_a_new_ring() {
    let donor = Home::new();
    with_a_key(&donor).await;
    let home = Home::with_key_elsewhere();
    let key_file = home.key_file.clone().expect("a path");
    fs::copy(donor.path("local.key"), &key_file).expect("copied");
    let kid = with_a_key(&home).await;
    assert_eq!(
        home.files(),
        ["ring.json", "ring.json.lock", "start.lock"],
        "no other key is made"
    );
    home.open()
        .await
        .expect("opens")
        .sign(&kid, b"message")
        .await
        .expect("signs");
}

#[tokio::test]
async fn a_mounted_key_does_not_hide_the_traces_of_a_ring_under_the_default_key() {
    let mut home = Home::new();
    with_a_key(&home).await;
    let mounted = home.data.with_file_name("mounted.key");
    fs::copy(home.path("local.key"), &mounted).expect("copied");
    home.key_file = Some(mounted);
    fs::remove_file(home.path("ring.json")).expect("removed");
    refused(&home, ErrorKind::BadAnswer, &["local.key shows that there was a ring"]).await;
}

#[tokio::test]
async fn a_key_file_of_another_name_is_made_where_it_was_asked_for() {
    let home = Home::with_key_elsewhere();
    let key_file = home.key_file.clone().expect("a path");
    let kid = with_a_key(&home).await;
    assert_eq!(mode(&key_file), 0o600);
    assert_eq!(home.files(), ["ring.json", "ring.json.lock", "start.lock"]);
    home.open()
        .await
        .expect("opens")
        .sign(&kid, b"message")
        .await
        .expect("signs");

    let mut inside = Home::new();
    inside.key_file = Some(inside.path("own.key"));
    with_a_key(&inside).await;
    fs::remove_file(inside.path("ring.json")).expect("removed");
    refused(&inside, ErrorKind::BadAnswer, &["own.key shows that there was a ring"]).await;
}

#[tokio::test]
async fn a_key_file_in_a_directory_that_does_not_exist_is_refused_by_its_setting() {
    let mut home = Home::new();
    fs::create_dir(&home.data).expect("made");
    home.key_file = Some(home.data.with_file_name("nowhere").join("local.key"));
    refused(
        &home,
        ErrorKind::InvalidConfig,
        &["directory does not exist", "SIGNET_LOCAL_KEY_FILE"],
    )
    .await;
}

#[tokio::test]
async fn a_lost_key_file_is_not_replaced_by_a_new_one() {
    let home = Home::new();
    with_a_key(&home).await;
    fs::remove_file(home.path("local.key")).expect("removed");
    let words = [
        "ring.json exists, but its key file",
        "local.key",
        "Restore",
        "SIGNET_LOCAL_KEY_FILE",
    ];
    refused(&home, ErrorKind::NotFound, &words).await;
    assert!(!home.files().iter().any(|name| name.starts_with("local.key")));
}

#[tokio::test]
async fn the_key_of_another_ring_is_refused_with_both_names() {
    let (home, other) = (Home::new(), Home::new());
    with_a_key(&home).await;
    with_a_key(&other).await;
    fs::copy(other.path("local.key"), home.path("local.key")).expect("copied");
    let provider = home.open().await.expect("opens: the ring is not read yet");
    let error = provider.list().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    let text = chain(&error);
    for word in [
        &*home.path("local.key").to_string_lossy(),
        &*home.path("ring.json").to_string_lossy(),
        "backup",
    ] {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn a_ring_file_elsewhere_is_where_the_ring_is_kept() {
    let home = Home::new();
    let ring_file = home.data.with_file_name("elsewhere.json");
    let open = || {
        let config = signet_local::LocalConfig {
            data_dir: home.data.clone(),
            key_file: None,
            ring_file: Some(ring_file.clone()),
            ring: "signet".to_owned(),
        };
        signet_local::open(config, std::sync::Arc::new(signet_base::ManualClock::default()))
    };
    let kid = create(&*open().await.expect("opens"), None)
        .await
        .expect("a key")
        .kid()
        .clone();
    assert!(ring_file.exists() && !home.path("ring.json").exists());
    let listed = open().await.expect("opens again").list().await.expect("lists");
    assert_eq!(listed[0].kid(), &kid);
    fs::remove_file(&ring_file).expect("removed");
    let text = chain(&open().await.expect_err("a lost ring"));
    assert!(text.contains("elsewhere.json"), "{text}");
}

#[tokio::test]
async fn a_ring_of_another_name_is_refused() {
    let home = Home::new();
    with_a_key(&home).await;
    let config = signet_local::LocalConfig {
        data_dir: home.data.clone(),
        key_file: None,
        ring_file: None,
        ring: "other".to_owned(),
    };
    let clock = std::sync::Arc::new(signet_base::ManualClock::default());
    let provider = signet_local::open(config, clock).await.expect("opens");
    let error = provider.list().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::BadAnswer);
    assert!(
        chain(&error).contains("\"signet\", but the settings name \"other\""),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn a_key_file_that_everybody_can_read_is_refused_with_the_way_out() {
    let home = Home::new();
    let kid = with_a_key(&home).await;
    let key_file = home.path("local.key");
    for bits in [0o604, 0o644, 0o601, 0o602, 0o666] {
        chmod(&key_file, bits);
        refused(
            &home,
            ErrorKind::InvalidConfig,
            &["local.key", "defaultMode: 0400", &format!("{bits:04o}")],
        )
        .await;
    }
    for bits in [0o400, 0o600, 0o440, 0o640] {
        chmod(&key_file, bits);
        home.open()
            .await
            .expect("opens")
            .sign(&kid, b"message")
            .await
            .expect("signs");
    }
}

#[tokio::test]
async fn a_key_file_of_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return left_out(
            "a_key_file_of_somebody_else_is_refused",
            "only root can give a file away",
        );
    }
    let home = Home::new();
    with_a_key(&home).await;
    // An operator who runs a command as root may want to give the file to root. The sidecar, which runs as another
    // user, would then lose its ring.
    std::os::unix::fs::chown(home.path("local.key"), Some(12345), None).expect("given away");
    refused(
        &home,
        ErrorKind::PermissionDenied,
        &[
            "belongs to user 12345",
            "Run this as user 12345",
            "Do not give the file to root",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_key_file_behind_the_links_of_kubernetes_is_read() {
    let mut home = Home::with_key_elsewhere();
    let donor = Home::new();
    with_a_key(&donor).await;
    let mount = home.data.with_file_name("mount");
    fs::create_dir_all(mount.join("..2026_01_01")).expect("made");
    fs::copy(donor.path("local.key"), mount.join("..2026_01_01/key")).expect("copied");
    chmod(&mount.join("..2026_01_01/key"), 0o400);
    symlink("..2026_01_01", mount.join("..data")).expect("linked");
    symlink("..data/key", mount.join("key")).expect("linked");
    home.key_file = Some(mount.join("key"));
    with_a_key(&home).await;
}

#[tokio::test]
async fn a_key_file_that_is_none_is_refused_and_its_content_not_shown() {
    let home = Home::new();
    with_a_key(&home).await;
    let key_file = home.path("local.key");
    for content in ["", "# a comment\n", "c2hvcnQ=\n", "not base64 at all: hunter2\n"] {
        fs::write(&key_file, content).expect("written");
        let error = home.open().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        let text = format!("{} {error:?}", chain(&error));
        assert!(
            text.contains("is not a key file") && !text.contains("hunter2") && !text.contains("c2hv"),
            "{text}"
        );
    }
    fs::write(&key_file, vec![b'a'; 5000]).expect("written");
    refused(&home, ErrorKind::InvalidConfig, &["longer than 4096"]).await;
    fs::remove_file(&key_file).expect("removed");
    fs::create_dir(&key_file).expect("made");
    refused(
        &home,
        ErrorKind::InvalidConfig,
        &["there is a directory instead of a file"],
    )
    .await;
}

#[tokio::test]
async fn a_damaged_ring_opens_and_is_refused_when_it_is_read() {
    let home = Home::new();
    with_a_key(&home).await;
    for content in ["", "{", "garbage"] {
        fs::write(home.path("ring.json"), content).expect("written");
        let provider = home.open().await.expect("a sidecar can go on from its public ring");
        for error in [
            provider.list().await.expect_err("refused"),
            create(&*provider, None).await.expect_err("refused"),
        ] {
            assert_eq!(error.kind, ErrorKind::BadAnswer);
            assert!(chain(&error).contains("ring.json is refused"), "{}", chain(&error));
        }
        assert_eq!(fs::read_to_string(home.path("ring.json")).expect("reads"), content);
    }
}

#[tokio::test]
async fn no_secret_stands_in_the_ring_or_in_what_debug_shows() {
    let home = Home::new();
    let kid = with_a_key(&home).await;
    let provider = home.open().await.expect("opens");
    let key = fs::read_to_string(home.path("local.key")).expect("reads");
    let key = key.lines().last().expect("the key").to_owned();
    let ring = fs::read_to_string(home.path("ring.json")).expect("reads");
    assert!(!ring.contains(&key) && !format!("{provider:?}").contains(&key));
    provider.unseal(&kid).await.expect("unsealed");
}

#[tokio::test]
async fn a_check_tries_the_directory_the_key_file_the_ring_and_the_sealing_each_on_its_own() {
    let home = Home::new();
    with_a_key(&home).await;
    let provider = home.open().await.expect("opens");
    let broken = || async {
        let checks = Trials::of(async |trials| provider.check(trials).await).await;
        assert_eq!(checks.len(), 4, "{checks:?}");
        let broken = checks.iter().filter(|check| !check.answer.is_yes());
        broken.map(|check| check.permission.clone()).collect::<Vec<_>>()
    };
    assert!(broken().await.is_empty());

    chmod(&home.path("local.key"), 0o644);
    assert!(matches!(&broken().await[..], [one] if one.contains("read the key file")));
    chmod(&home.path("local.key"), 0o600);

    let ring = fs::read(home.path("ring.json")).expect("reads");
    fs::write(home.path("ring.json"), "garbage").expect("written");
    assert!(matches!(&broken().await[..], [one] if one.contains("read and authenticate the ring")));
    fs::write(home.path("ring.json"), ring).expect("written");

    let donor = Home::new();
    with_a_key(&donor).await;
    let key = fs::read(home.path("local.key")).expect("reads");
    fs::copy(donor.path("local.key"), home.path("local.key")).expect("copied");
    assert!(matches!(&broken().await[..], [one] if one.contains("read the key file")));
    fs::write(home.path("local.key"), key).expect("written");
    assert!(broken().await.is_empty());
}

#[test]
fn a_directory_that_may_only_be_read_opens_lists_and_signs() {
    const NAME: &str = "a_directory_that_may_only_be_read_opens_lists_and_signs";
    let Some(ours) = directory() else {
        let directory = tempfile::tempdir().expect("a directory");
        return passes(again_unprivileged(NAME, directory.path()));
    };
    signet_testkit::run(async {
        let home = Home::at(&ours);
        let kid = with_a_key(&home).await;
        chmod(&home.data, 0o500);
        let provider = home.open().await.expect("opens");
        assert_eq!(provider.list().await.expect("lists").len(), 1);
        provider.sign(&kid, b"message").await.expect("signs");
        let error = create(&*provider, Some(&kid)).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{}", chain(&error));
        let checks = Trials::of(async |trials| provider.check(trials).await).await;
        assert!(
            checks[0].answer.is_bad() && checks[1..].iter().all(|check| check.answer.is_yes()),
            "{checks:?}"
        );
        chmod(&home.data, 0o700);

        let nowhere = Home::at(std::path::Path::new("/proc"));
        let error = nowhere.open().await.expect_err("refused");
        assert!(chain(&error).contains("SIGNET_DATA_DIR"), "{}", chain(&error));
    });
}
