//! The threads that serve connections. Each has its own runtime, and a connection stays on one of them.
//!
//! A runtime that moves work between threads must wake them. For requests of a few microseconds, that costs more than
//! the request (`docs/decisions/0009-a-runtime-per-thread.md` has the figures).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};

/// The runtimes of the threads, used in turn.
#[derive(Clone, Debug)]
pub struct Workers {
    handles: Arc<[Handle]>,
    next: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts the threads. They end with the process.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(threads: usize) -> io::Result<Self> {
        let handles: io::Result<Vec<Handle>> = (0..threads.max(1)).map(start_one).collect();
        Ok(Self {
            handles: handles?.into(),
            next: Arc::default(),
        })
    }

    /// The runtime whose turn it is.
    #[must_use]
    pub fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

fn start_one(number: usize) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new()
        .name(format!("signet-worker-{number}"))
        .spawn(serve)?;
    Ok(handle)
}
