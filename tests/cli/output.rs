//! Output that is lost: a full disk is an error, a reader that left is none.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::harness::{AUDIENCE, Home, Spec};

#[test]
fn a_full_disk_makes_every_command_fail_and_say_so() {
    let sidecar = Spec::new(&Home::new()).start();
    let spec = sidecar.spec().clone().set("SIGNET_AUDIENCE", AUDIENCE);
    let token = sidecar.sign_for("client").token;
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["token", "sign", r#"{"sub":"a","aud":"x"}"#],
        &["token", "verify", &token],
        &["token", "decode", &token],
        &["keys", "list"],
        &["keys", "rotate"],
        &["keys", "prune"],
        &["schedule"],
        &["schedule", "--live"],
        &["check"],
        &["check", "--json"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("opened");
        let output = spec.command(arguments).stdout(full).output().expect("ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{arguments:?}: {text}");
        assert!(text.contains("its output was lost"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_reader_that_left_is_no_error() {
    let spec = Spec::new(&Home::new());
    let mut child = spec
        .command(&["schedule"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
