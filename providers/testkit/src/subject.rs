//! What a test needs of a provider: a handle, another handle onto the same keys, and whatever keeps them alive.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use signet_api::KeyProvider;

type Reopen = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn KeyProvider>> + Send>> + Send + Sync>;

/// A provider under test, with an empty ring.
pub struct Subject {
    /// The handle.
    pub provider: Arc<dyn KeyProvider>,
    reopen: Reopen,
    against: &'static str,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// `reopen` gives another handle onto the same storage, as another process would have it. `guard` (a temporary
    /// directory, a server) is dropped when the test is over.
    pub fn new<F, Fut>(provider: Arc<dyn KeyProvider>, reopen: F, guard: impl Any + Send + Sync) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Arc<dyn KeyProvider>> + Send + 'static,
    {
        Self {
            provider,
            reopen: Box::new(move || Box::pin(reopen())),
            against: "files",
            _guard: Box::new(guard),
        }
    }

    /// Names what the provider is tested against, for the documentation: a server with its version, or our own. Without
    /// it, that is the files of this machine.
    #[must_use]
    pub fn against(mut self, server: &'static str) -> Self {
        self.against = server;
        self
    }

    pub(crate) fn tested_against(&self) -> &'static str {
        self.against
    }

    /// Another handle onto the same storage.
    pub async fn reopen(&self) -> Arc<dyn KeyProvider> {
        (self.reopen)().await
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({:?})", self.provider)
    }
}

/// Runs one test on a runtime with threads of its own, so that races are real.
///
/// # Panics
/// If the runtime cannot be made.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}
