//! Whether standard output was open when the process began (`signet keys list >&-`).
//!
//! The runtime of Rust opens `/dev/null` in the place of a standard stream that is closed, before `main`. After that it cannot
//! be told from a `/dev/null` that somebody chose: Python and Node open it with the same flags. So this looks before the
//! runtime does. It refuses to know what is written, and by whom. Its one entry point is [`was_closed`].

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::stdout;

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before `main` and before the runtime of Rust, of which it uses nothing: one system call, one store.
#[ctor::ctor(unsafe)]
fn look() {
    if fcntl_getfd(stdout()) == Err(Errno::BADF) {
        WAS_CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Whether the process was started without standard output, so that whatever it writes there is lost.
#[must_use]
pub fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}
