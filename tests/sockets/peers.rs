//! Who may use the socket. The kernel reports who connects.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Home, STRANGER, Sidecar, Spec};

#[test]
fn a_peer_that_is_not_on_the_list_is_cut_off_also_if_it_owns_the_socket() {
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_SOCKET_ALLOW_UIDS", STRANGER)
        .start();
    for _ in 0..3 {
        let mut connection = sidecar.socket();
        // The connection is closed before or after this write.
        let _ = connection.send(b"GET /v1/ring HTTP/1.1\r\nhost: signet\r\n\r\n");
        assert!(connection.head().is_err(), "it was answered");
    }
    let turned_away = sidecar.logged("this user may not use the socket");
    // The other lines are suppressed and counted.
    assert_eq!(turned_away.len(), 1);
    assert_eq!(turned_away[0]["uid"], rustix::process::geteuid().as_raw());
    let metrics = sidecar.admin().get("/metrics").expect("an answer").text();
    assert!(metrics.contains("signet_peers_refused_total 3"), "{metrics}");
}

#[test]
fn a_peer_is_let_in_by_its_group() {
    let gid = rustix::process::getegid().as_raw();
    let sidecar = Spec::new(&Home::new())
        .set("SIGNET_SOCKET_ALLOW_UIDS", STRANGER)
        .set("SIGNET_SOCKET_ALLOW_GIDS", gid)
        .start();
    assert_eq!(sidecar.ring()["keys"].as_array().map(Vec::len), Some(1));
}

/// Signs with the command line as another user, whom the mode of the socket's file allows.
fn sign_as_stranger(binary: &Path, sidecar: &Sidecar) -> (i32, String) {
    let socket = sidecar.spec().socket_path();
    chown(&socket, None, Some(STRANGER)).expect("given to the group");
    sign_as_it_is(binary, sidecar)
}

/// Signs as another user, with the mode that the sidecar set.
fn sign_as_it_is(binary: &Path, sidecar: &Sidecar) -> (i32, String) {
    let socket = sidecar.spec().socket_path();
    let output = Command::new(binary)
        .args(["token", "sign", r#"{"sub":"stranger","aud":"a"}"#])
        .env_clear()
        .env("SIGNET_SOCKET", &socket)
        .uid(STRANGER)
        .gid(STRANGER)
        .current_dir("/")
        .output()
        .expect("ran");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn another_user_gets_in_only_if_it_is_on_the_list() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    let sign_as_stranger = |sidecar: &Sidecar| sign_as_stranger(&binary, sidecar);

    let sidecar = Spec::new(&home).set("SIGNET_MAX_CONNECTIONS", 1).start();
    let mut resting = sidecar.socket();
    resting.get("/v1/ring").expect("an answer");
    let (code, text) = sign_as_stranger(&sidecar);
    assert_eq!(code, 69, "{text}");
    resting
        .get("/v1/ring")
        .expect("nobody is closed for a peer that is turned away");
    assert!(text.contains("SIGNET_SOCKET_ALLOW_UIDS"), "{text}");
    assert_eq!(sidecar.logged("this user may not use the socket")[0]["uid"], STRANGER);

    let sidecar = Spec::new(&home)
        .set("SIGNET_SOCKET_ALLOW_UIDS", format!("0,{STRANGER}"))
        .start();
    let (code, text) = sign_as_stranger(&sidecar);
    assert_eq!(code, 0, "{text}");

    let sidecar = Spec::new(&home).set("SIGNET_SOCKET_ALLOW_GIDS", STRANGER).start();
    let (code, text) = sign_as_stranger(&sidecar);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn the_group_of_the_socket_may_connect_with_the_default_mode() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    let sidecar = Spec::new(&home).start();
    let (code, text) = sign_as_it_is(&binary, &sidecar);
    assert_eq!(code, 69, "without a group the file keeps it out: {text}");

    // This also works in a directory that has to be created.
    let socket = home.path("run/signet/signet.sock");
    let spec = Spec::new(&home)
        .set("SIGNET_SOCKET", socket.display())
        .set("SIGNET_SOCKET_GROUP", STRANGER);
    let sidecar = spec.start();
    let found = socket.metadata().expect("a socket");
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o660, STRANGER));
    let (code, text) = sign_as_it_is(&binary, &sidecar);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_group_that_this_user_may_not_give_is_refused_at_the_start() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    let place = home.path("theirs");
    std::fs::create_dir(&place).expect("made");
    chown(&place, Some(STRANGER), Some(STRANGER)).expect("given");
    let output = Command::new(binary)
        .arg("serve")
        .env_clear()
        .env("SIGNET_SOCKET", place.join("s.sock"))
        .env("SIGNET_DATA_DIR", place.join("data"))
        .env("SIGNET_SOCKET_GROUP", "root")
        .uid(STRANGER)
        .gid(STRANGER)
        .current_dir("/")
        .output()
        .expect("ran");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(
        text.contains("cannot be given to group root (SIGNET_SOCKET_GROUP)")
            && text.contains("supplementalGroups: [0]"),
        "{text}"
    );
    assert!(!place.join("data").exists(), "it got as far as the ring");
}
