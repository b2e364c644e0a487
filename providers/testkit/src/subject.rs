//! What a test needs from a provider: a handle, a way to open more handles, and a guard that keeps the storage alive.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use signet_api::KeyProvider;

type Reopen = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn KeyProvider>> + Send>> + Send + Sync>;

/// A provider under test, with an empty ring.
pub struct Subject {
    /// The first handle.
    pub provider: Arc<dyn KeyProvider>,
    reopen: Reopen,
    against: &'static str,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Subject {
    /// Makes a subject. `reopen` opens another handle to the same storage, as another process would. `guard` (a
    /// temporary directory, a server) is dropped at the end of the test.
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

    /// Sets the name of what the provider is tested against, such as a server with its version, for the documentation.
    /// The default is the files of this machine.
    #[must_use]
    pub fn against(mut self, server: &'static str) -> Self {
        self.against = server;
        self
    }

    pub(crate) fn tested_against(&self) -> &'static str {
        self.against
    }

    /// Opens another handle to the same storage.
    pub async fn reopen(&self) -> Arc<dyn KeyProvider> {
        (self.reopen)().await
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({:?})", self.provider)
    }
}

/// Runs a test on a runtime with several threads, which makes races real.
///
/// # Panics
/// Panics if the runtime cannot be started.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test);
}
