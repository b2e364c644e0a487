//! Detects that standard output was closed when the process started (`signet keys list >&-`).
//!
//! Before `main`, Rust's runtime opens `/dev/null` in place of a closed standard stream. After that, it looks the same
//! as a `/dev/null` that the user chose, because Python and Node open it with the same flags. Therefore this crate
//! checks before the runtime starts. Its one entry point is [`was_closed`].

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::stdout;

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before `main` and before Rust's runtime, so it must not use the runtime. It makes one
/// system call and one store.
#[ctor::ctor(unsafe)]
fn look() {
    if fcntl_getfd(stdout()) == Err(Errno::BADF) {
        WAS_CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Whether the process started without standard output. Everything that is written there is lost.
#[must_use]
pub fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}
