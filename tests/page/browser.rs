//! A real headless Chromium that connects only to the page that it is told to open.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::say;
use crate::harness::time::wait_for;

/// A browser can be slow on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser in `SIGNET_TEST_CHROMIUM`. `None` if it is not set, which is reported; in CI, `tests/run.sh` fails then.
pub(crate) struct Browser {
    program: PathBuf,
}

/// Whether the browser may run scripts.
#[derive(Clone, Copy)]
pub(crate) enum JavaScript {
    On,
    /// Scripts are forbidden by the user's setting. The command line switches would also stop the browser's own pages,
    /// and then it could not take a screenshot.
    Off,
}

/// What the browser does with the page.
pub(crate) enum Look<'a> {
    /// Saves a screenshot.
    Screenshot(&'a Path),
    /// Prints the document as the browser parsed it.
    Dom,
}

impl Browser {
    #[expect(clippy::disallowed_methods, reason = "where a test finds its browser")]
    pub(crate) fn find() -> Option<Self> {
        let Ok(program) = std::env::var("SIGNET_TEST_CHROMIUM") else {
            say("LEFT OUT: the status page in a browser; set SIGNET_TEST_CHROMIUM to the path of a chromium");
            return None;
        };
        Some(Self {
            program: program.into(),
        })
    }

    /// Opens a page with a new, empty profile, and without any other network access.
    pub(crate) fn open(
        &self,
        url: &str,
        size: (u32, u32),
        scripts: JavaScript,
        extra: &[&str],
        look: &Look<'_>,
    ) -> String {
        let profile = tempfile::tempdir().expect("a directory");
        let settings = profile.path().join("profile").join("Default");
        std::fs::create_dir_all(&settings).expect("a directory");
        if let JavaScript::Off = scripts {
            let text = r#"{"profile":{"default_content_setting_values":{"javascript":2}}}"#;
            std::fs::write(settings.join("Preferences"), text).expect("written");
        }
        let output = profile.path().join("output");
        let mut command = Command::new(&self.program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
            .arg(format!("--window-size={},{}", size.0, size.1))
            .args(extra);
        match look {
            Look::Screenshot(file) => command.arg(format!("--screenshot={}", file.display())),
            Look::Dom => command.arg("--dump-dom"),
        };
        let file = std::fs::File::create(&output).expect("a file");
        let mut child = Running(
            command
                .arg(url)
                // Without this, the browser would write to the user's home directory.
                .env("HOME", profile.path())
                .stdin(Stdio::null())
                .stdout(file)
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{} does not start: {error}", self.program.display())),
        );
        let status = wait_for("the browser to end", PATIENCE, || child.0.try_wait().expect("a child"));
        assert!(status.success(), "the browser ended with {status}");
        std::fs::read_to_string(output).expect("UTF-8")
    }
}

/// A browser process that is killed when dropped, so a failing test leaves none behind.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
