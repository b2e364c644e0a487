//! Scripted faults between a client and a cloud.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::server::Response;

/// A fault that happens once.
#[derive(Clone)]
pub enum Fault {
    /// The call does not happen, and this is the answer.
    Answer(Response),
    /// The call does not happen, and the connection is closed without an answer.
    Refused,
    /// The call does not happen, and no answer ever arrives.
    Hang,
    /// The call happens after this time.
    Slow(Duration),
    /// The call happens, but its answer is lost with the connection.
    LostAnswer,
    /// The call happens, and its answer is changed on the way.
    Changed(Arc<dyn Fn(Response) -> Response + Send + Sync>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "Answer",
            Self::Refused => "Refused",
            Self::Hang => "Hang",
            Self::Slow(_) => "Slow",
            Self::LostAnswer => "LostAnswer",
            Self::Changed(_) => "Changed",
        })
    }
}

/// Faults in the order in which they happen, each for calls of one operation.
#[derive(Debug, Default)]
pub(crate) struct Script(Mutex<VecDeque<(String, Fault)>>);

impl Script {
    pub(crate) fn add(&self, operation: &str, fault: Fault) {
        self.lines().push_back((operation.to_owned(), fault));
    }

    pub(crate) fn clear(&self) {
        self.lines().clear();
    }

    /// The next fault for this operation, or for all (`*`).
    pub(crate) fn next(&self, operation: &str) -> Option<Fault> {
        let mut lines = self.lines();
        let index = lines.iter().position(|(of, _)| of == operation || of == "*")?;
        lines.remove(index).map(|(_, fault)| fault)
    }

    fn lines(&self) -> parking_lot::MutexGuard<'_, VecDeque<(String, Fault)>> {
        self.0.lock()
    }
}
