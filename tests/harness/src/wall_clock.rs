//! A wall clock for a single process, which the test sets. A preloaded library shows it to the process.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::{Home, Spec, say};

/// The wall clock of one process.
pub struct WallClock {
    file: File,
    settings: [(&'static str, PathBuf); 2],
}

impl WallClock {
    /// Makes the clock. `None` if there is no C compiler.
    pub fn new(home: &Home) -> Option<Self> {
        let (library, offset) = (home.path("set_clock.so"), home.path("offset"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/set_clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source)
            .status();
        if !compiled.is_ok_and(|status| status.success()) {
            say("left out, as no C compiler is here: what the binary does when the wall clock is set");
            return None;
        }
        let file = File::create(&offset).expect("a file");
        let clock = Self {
            file,
            settings: [("LD_PRELOAD", library), ("SET_CLOCK", offset)],
        };
        clock.set_off_by(0);
        Some(clock)
    }

    pub fn of(&self, spec: Spec) -> Spec {
        let mut spec = spec;
        for (name, value) in &self.settings {
            spec = spec.set(name, value.display());
        }
        spec
    }

    pub fn set_off_by(&self, seconds: i64) {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).expect("written");
    }
}
