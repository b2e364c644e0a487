//! The socket's file: one sidecar per socket, whatever a crash left.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

use crate::harness::time::wait_for;
use crate::harness::{Home, PATIENCE, STRANGER, Spec};

/// Checks that a start fails because of its environment, and returns its message.
fn refused(spec: &Spec) -> String {
    let ran = spec.run(&["serve"]);
    assert_eq!(ran.code, 78, "{}", ran.stderr);
    ran.stderr.lines().last().expect("a text").to_owned()
}

#[test]
fn a_second_start_on_a_live_socket_is_refused_and_the_first_goes_on() {
    let sidecar = Spec::new(&Home::new()).start();
    let before = sidecar.sign_for("client");
    let second = Spec::new(&Home::new()).set("SIGNET_SOCKET", sidecar.spec().socket_path().display());
    let text = refused(&second);
    assert!(
        text.contains("is in use: another signet listens on it. Keep that one running if it serves a gateway"),
        "{text}"
    );
    assert!(!second.home().data().exists(), "it got as far as the ring");
    assert_eq!(sidecar.verify(&before.token)["active"], true);
    assert_eq!(sidecar.sign_for("client").kid, before.kid);
}

#[test]
fn a_socket_that_another_program_serves_is_not_taken_from_it() {
    let spec = Spec::new(&Home::new());
    let listener = std::os::unix::net::UnixListener::bind(spec.socket_path()).expect("bound");
    let text = refused(&spec);
    assert!(text.contains("is in use"), "{text}");
    listener.accept().expect("the look at it");
    crate::harness::http::Connection::unix(&spec.socket_path()).expect("it is still there");
}

#[test]
fn of_many_starts_at_once_on_one_socket_exactly_one_serves() {
    let home = Home::new();
    let socket = home.path("one.sock").display().to_string();
    // The file was left by a crash, so each of them has a reason to replace it.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a stale socket"));
    let specs: Vec<Spec> = (0..4).map(|_| Spec::new(&home).set("SIGNET_SOCKET", &socket)).collect();
    let start = |spec: &Spec| spec.command(&["serve"]).stderr(Stdio::null()).spawn().expect("started");
    let mut children: Vec<_> = specs.iter().map(start).collect();
    let ended = wait_for("three of four to end", PATIENCE, || {
        let codes: Vec<Option<i32>> = children
            .iter_mut()
            .filter_map(|child| child.try_wait().expect("a child"))
            .map(|status| status.code())
            .collect();
        (codes.len() >= 3).then_some(codes)
    });
    assert_eq!(ended, [Some(78); 3]);
    let winner = children
        .iter_mut()
        .position(|child| child.try_wait().expect("a child").is_none())
        .expect("one serves");
    wait_for("it to serve", PATIENCE, || {
        let mut connection = crate::harness::http::Connection::unix(&home.path("one.sock")).ok()?;
        (connection.get("/v1/ring").ok()?.status == 200).then_some(())
    });
    children[winner].kill().expect("killed");
    children[winner].wait().expect("ended");
}

#[test]
fn a_socket_that_a_crash_left_is_replaced_and_a_clean_stop_leaves_none() {
    let spec = Spec::new(&Home::new());
    let mut sidecar = spec.start();
    let signed = sidecar.sign_for("client");
    sidecar.kill();
    assert!(spec.socket_path().exists(), "the crash left it");
    let sidecar = spec.start();
    assert_eq!(sidecar.verify(&signed.token)["active"], true);
    sidecar.stop();
    assert!(!spec.socket_path().exists());
}

#[test]
fn what_is_not_a_socket_is_left_alone() {
    let home = Home::new();
    let spec = Spec::new(&home);
    std::fs::write(spec.socket_path(), "precious").expect("written");
    let text = refused(&spec);
    assert!(
        text.contains("is a regular file, not a socket") && text.contains("set SIGNET_SOCKET to another path"),
        "{text}"
    );
    assert!(!text.contains("emove"), "{text}");
    let lock = PathBuf::from(format!("{}.lock", spec.socket_path().display()));
    assert!(!lock.exists(), "nobody wants a lock beside it");
    assert_eq!(
        std::fs::read_to_string(spec.socket_path()).expect("still there"),
        "precious"
    );

    std::fs::remove_file(spec.socket_path()).expect("removed");
    std::fs::write(home.path("elsewhere"), "precious").expect("written");
    symlink(home.path("elsewhere"), spec.socket_path()).expect("linked");
    let text = refused(&spec);
    assert!(text.contains("is a symbolic link, which is not followed"), "{text}");
    assert_eq!(
        std::fs::read_to_string(home.path("elsewhere")).expect("still there"),
        "precious"
    );

    std::fs::remove_file(spec.socket_path()).expect("removed");
    std::fs::create_dir(spec.socket_path()).expect("made");
    let text = refused(&spec);
    let within = spec.socket_path().join("signet.sock");
    assert!(
        text.contains("is a directory") && text.contains(&format!("such as {}", within.display())),
        "{text}"
    );
}

/// Different users cannot remove or open each other's files, but root can.
#[test]
fn a_socket_or_a_lock_of_another_user_is_told_with_its_owner_and_what_to_do() {
    let home = Home::new();
    let Some(binary) = home.open_to_strangers() else { return };
    let directory = home.path("shared");
    std::fs::create_dir(&directory).expect("made");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
    mode(&directory, 0o1777);
    let socket = directory.join("s.sock");
    let lock = directory.join("s.sock.lock");
    let refused = |socket: &Path| {
        let output = Command::new(&binary)
            .arg("serve")
            .env_clear()
            .env("SIGNET_SOCKET", socket)
            .env("SIGNET_DATA_DIR", "/nonexistent/data")
            .uid(STRANGER)
            .gid(STRANGER)
            .current_dir("/")
            .output()
            .expect("ran");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert!(
            text.contains("belongs to user 0 (root)") && text.contains(&format!("runs as user {STRANGER}")),
            "{text}"
        );
        text
    };
    std::fs::write(&lock, "").expect("written");
    mode(&lock, 0o600);
    let text = refused(&socket);
    for part in [
        &format!("{} belongs to user", lock.display()),
        "To replace that sidecar, stop it",
        "set another SIGNET_SOCKET",
        "If no sidecar of that user runs, remove",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::remove_file(&lock).expect("removed");

    // First root serves on the path, and the other user may not connect. Then only the file is left.
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    mode(&socket, 0o600);
    refused(&socket);
    mode(&socket, 0o666);
    drop(listener);
    refused(&socket);

    let closed = home.path("closed");
    std::fs::create_dir(&closed).expect("made");
    mode(&closed, 0o755);
    let text = refused(&closed.join("s.sock"));
    assert!(
        text.contains(&format!("{} belongs to user 0 (root) (mode 0755)", closed.display())),
        "{text}"
    );
}

#[test]
fn what_somebody_planted_in_place_of_the_lock_is_neither_followed_nor_waited_for() {
    let home = Home::new();
    let spec = Spec::new(&home);
    let lock = PathBuf::from(format!("{}.lock", spec.socket_path().display()));
    symlink(home.path("victim"), &lock).expect("linked");
    let text = refused(&spec);
    assert!(text.contains("it is a symbolic link. Remove it"), "{text}");
    assert!(!home.path("victim").exists(), "it was made through the link");

    std::fs::remove_file(&lock).expect("removed");
    rustix::fs::mknodat(CWD, &lock, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a pipe");
    let text = refused(&spec);
    assert!(text.contains("it is not a regular file"), "{text}");

    if rustix::process::geteuid().is_root() {
        std::fs::remove_file(&lock).expect("removed");
        std::fs::write(&lock, "").expect("written");
        chown(&lock, Some(STRANGER), None).expect("given");
        let text = refused(&spec);
        assert!(text.contains(&format!("belongs to user {STRANGER}")), "{text}");
    }
    assert!(!spec.socket_path().exists() && !home.data().exists());
}

#[test]
fn the_files_mode_is_as_configured() {
    for (mode, bits) in [(None, 0o660), (Some("0600"), 0o600), (Some("0770"), 0o770)] {
        let mut spec = Spec::new(&Home::new());
        if let Some(mode) = mode {
            spec = spec.set("SIGNET_SOCKET_MODE", mode);
        }
        let sidecar = spec.start();
        let mode = sidecar
            .spec()
            .socket_path()
            .metadata()
            .expect("a socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, bits);
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let home = Home::new();
    for (setting, taken) in [
        ("SIGNET_LISTEN", Spec::new(&home).listen()),
        ("SIGNET_ADMIN_LISTEN", Spec::new(&home).admin_listen()),
    ] {
        let _listener = std::net::TcpListener::bind(taken).expect("bound");
        let spec = Spec::new(&home).set(setting, taken);
        let text = refused(&spec);
        assert!(
            text.contains(&format!("cannot listen on {taken}; free the port, or change {setting}")),
            "{text}"
        );
        wait_for("the socket to be gone", Duration::from_secs(1), || {
            (!spec.socket_path().exists()).then_some(())
        });
    }
}
