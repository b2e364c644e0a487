//! Errors that invalidate a measurement. Figures are printed only if there was none.

use std::path::PathBuf;

/// Why a run is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{0}")]
    Usage(String),
    #[error("cannot connect to {target}")]
    Connect { target: String, source: std::io::Error },
    #[error("the HTTP handshake with {target} failed")]
    Handshake { target: String, source: hyper::Error },
    #[error("a request failed on its way, after {answered} good answers")]
    Request { answered: u64, source: hyper::Error },
    #[error("the server closed a connection in the middle of the run")]
    Closed,
    #[error("an answer has status {status}, expected {expected}; it begins: {excerpt}")]
    Status {
        status: u16,
        expected: u16,
        excerpt: String,
    },
    #[error("an answer holds {expected:?} {found} times, expected {times}; it begins: {excerpt}")]
    Body {
        expected: String,
        times: usize,
        found: usize,
        excerpt: String,
    },
    #[error(
        "the supply of {lines} distinct bodies was used up {seconds:.1} s after the start: \
         make more of them, a second round would not be unseen"
    )]
    SupplyExhausted { lines: usize, seconds: f64 },
    #[error("requests were still unanswered {seconds} s after the end of the window")]
    Stuck { seconds: u64 },
    #[error("no answer arrived within the measured window")]
    NothingMeasured,
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path} does not look as expected: {what}", path = path.display())]
    Format { path: PathBuf, what: &'static str },
    #[error(
        "the two accounts of CPU time disagree: {by_thread:.3} s summed over the threads, {by_process:.3} s for the \
         processes"
    )]
    CpuAccounts { by_thread: f64, by_process: f64 },
    #[error("the sidecar's answer is not what its interface says: {0}")]
    Answer(String),
    #[error("the cryptography library refused: {0}")]
    Crypto(&'static str),
    #[error("{command} could not be started")]
    Spawn { command: String, source: std::io::Error },
    #[error("{command} was not ready within {seconds} s")]
    NotReady { command: String, seconds: u64 },
    #[error("{command} ended by itself before it was ready ({status})")]
    Ended {
        command: String,
        status: std::process::ExitStatus,
    },
    #[error("{url} already answers before the process is started")]
    Occupied { url: String },
    #[error("an operation of the system failed: {0}")]
    System(#[source] std::io::Error),
}

/// The error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
