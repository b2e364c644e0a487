//! Lost output: a full disk or a closed output is an error, but a reader that has left is not.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use crate::harness::{AUDIENCE, Home, Spec};

/// All commands that print something.
fn commands(token: &str) -> [Vec<&str>; 12] {
    [
        &["--help"][..],
        &["--version"],
        &["token", "sign", r#"{"sub":"a","aud":"x"}"#],
        &["token", "verify", token],
        &["token", "decode", token],
        &["keys", "list"],
        &["keys", "rotate"],
        &["keys", "prune"],
        &["schedule"],
        &["schedule", "--live"],
        &["check"],
        &["check", "--json"],
    ]
    .map(<[&str]>::to_vec)
}

#[test]
fn a_full_disk_makes_every_command_fail_and_say_so() {
    let sidecar = Spec::new(&Home::new()).start();
    let spec = sidecar.spec().clone().set("SIGNET_AUDIENCE", AUDIENCE);
    let token = sidecar.sign_for("client").token;
    for arguments in commands(&token) {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("opened");
        let output = spec.command(&arguments).stdout(full).output().expect("ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{arguments:?}: {text}");
        assert!(text.contains("its output was lost"), "{arguments:?}: {text}");
    }
}

/// Runs a command in a shell with redirections such as `>&-`, so that it starts with these files.
fn through_a_shell(command: &Command, redirections: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(format!("exec \"$0\" \"$@\" {redirections}"))
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.expect("a setting"));
    }
    shell
}

#[test]
fn a_closed_output_makes_every_command_fail_and_say_so() {
    let sidecar = Spec::new(&Home::new()).start();
    let spec = sidecar.spec().clone().set("SIGNET_AUDIENCE", AUDIENCE);
    let token = sidecar.sign_for("client").token;
    for arguments in commands(&token) {
        // A second rotation is refused while the first key is pending.
        let cases: &[&str] = match arguments[..] {
            ["keys", "rotate"] => &[">&-"],
            _ => &[">&-", "<&- >&-"],
        };
        for redirections in cases {
            let output = through_a_shell(&spec.command(&arguments), redirections).output();
            let output = output.expect("ran");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(74), "{arguments:?} {redirections}: {text}");
            assert!(
                text.contains("its output was lost"),
                "{arguments:?} {redirections}: {text}"
            );
        }
    }
    // If there is nowhere to print it, only the exit code is left.
    let output = through_a_shell(&spec.command(&["keys", "list"]), ">&- 2>&-").output();
    assert_eq!(output.expect("ran").status.code(), Some(74));
}

#[test]
fn an_output_that_somebody_throws_away_is_not_lost() {
    let spec = Spec::new(&Home::new());
    // A shell, a supervisor and another runtime open it in different ways.
    for redirections in [">/dev/null", "1<>/dev/null", "<&- >/dev/null"] {
        let output = through_a_shell(&spec.command(&["schedule"]), redirections)
            .output()
            .expect("ran");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*text), (Some(0), ""), "{redirections}");
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
