//! The trace of a run, line by line. Two runs with the same seed write the same bytes. Keys are named by the order of
//! their creation, because sealed custody generates random key pairs.

use std::fmt::{Arguments, Write as _};

use aws_lc_rs::digest::{Context, SHA256};

use crate::sky::{DAY, HOUR, MINUTE, Ms, SECOND};

pub(crate) struct Trace {
    hash: Context,
    lines: u64,
    text: Option<String>,
}

impl Trace {
    /// Makes a trace. It always has a hash, and keeps the text if requested.
    pub(crate) fn new(keeps_text: bool) -> Self {
        Self {
            hash: Context::new(&SHA256),
            lines: 0,
            text: keeps_text.then(String::new),
        }
    }

    pub(crate) fn line(&mut self, at: Ms, what: Arguments<'_>) {
        let line = format!("{} {what}\n", instant(at));
        self.hash.update(line.as_bytes());
        self.lines += 1;
        if let Some(text) = &mut self.text {
            text.push_str(&line);
        }
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub(crate) fn hash(&self) -> String {
        let digest = self.hash.clone().finish();
        let mut hex = String::new();
        for octet in &digest.as_ref()[..8] {
            let _ = write!(hex, "{octet:02x}");
        }
        hex
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({} lines)", self.lines)
    }
}

/// Formats true time as days, hours, minutes, seconds and milliseconds.
pub(crate) fn instant(at: Ms) -> String {
    format!(
        "{}d{:02}:{:02}:{:02}.{:03}",
        at / DAY,
        at % DAY / HOUR,
        at % HOUR / MINUTE,
        at % MINUTE / SECOND,
        at % SECOND
    )
}
