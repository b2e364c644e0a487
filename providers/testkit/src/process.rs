//! For tests that need a process of their own. They start this test program again, with one
//! test and a working directory.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DIRECTORY: &str = "SIGNET_TEST_DIRECTORY";

/// The working directory, if a test started this process. `None` if this is the test run itself.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// A command that runs one test of this program in this directory.
///
/// # Panics
/// Panics if this program cannot be found.
#[must_use]
pub fn again(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    with_test(&mut command, test, directory);
    command
}

/// A command like that of [`again`], which runs as user 65534 if we are root, because root has every permission.
///
/// # Panics
/// Panics if the directory cannot be given to that user.
#[must_use]
pub fn again_unprivileged(test: &str, directory: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return again(test, directory);
    }
    // That user cannot read root's build directory.
    let program = directory.join("program");
    std::fs::copy(env::current_exe().expect("this program"), &program).expect("copied");
    std::os::unix::fs::chown(directory, Some(65534), Some(65534)).expect("given away");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program);
    with_test(&mut command, test, directory);
    command
}

/// A command like that of [`again`], with a file system of this many KiB mounted on the directory. It uses a mount
/// namespace of its own. `None` if this machine does not allow it.
///
/// # Panics
/// Panics if this program cannot be found.
#[must_use]
pub fn again_on_a_small_disk(test: &str, directory: &Path, kib: usize) -> Option<Command> {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--mount").args(arguments);
        command
    };
    let mount = format!("mount -t tmpfs -o size={kib}k,mode=0700 tmpfs \"$0\"");
    for user in [&[][..], &["--map-root-user"]] {
        let tried = unshare(user)
            .args(["sh", "-c", &mount])
            .arg(directory)
            .stderr(Stdio::null())
            .status();
        if tried.is_ok_and(|status| status.success()) {
            let mut command = unshare(user);
            command
                .args(["sh", "-c", &format!("{mount} && exec \"$@\"")])
                .arg(directory);
            command.arg(env::current_exe().expect("this program"));
            with_test(&mut command, test, directory);
            return Some(command);
        }
    }
    None
}

/// Reports on standard error that a test was skipped, in a way that test runners do not capture.
///
/// # Panics
/// Panics if standard error cannot be written.
pub fn left_out(test: &str, why: &str) {
    writeln!(std::io::stderr(), "LEFT OUT: {test}: {why}").expect("standard error");
}

/// Runs the command, and requires that it passes at least one test.
///
/// # Panics
/// Panics with the command's output if it fails or runs no test.
pub fn passes(mut command: Command) {
    let output = command.output().expect("the process starts");
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "the test did not run: {text}");
}

fn with_test(command: &mut Command, test: &str, directory: &Path) {
    command.args(["--exact", test, "--nocapture"]).env(DIRECTORY, directory);
}
