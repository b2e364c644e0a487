//! The connections to Vault: one pool for each runtime that makes requests.
//!
//! The runtime that opened a connection also runs its I/O. A request from another runtime would have to wake that
//! thread to send, and be woken by it for the answer, which costs more than the request itself. Therefore runtimes
//! do not share connections.

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};

type Build = dyn Fn() -> reqwest::Result<reqwest::Client> + Send + Sync;

/// HTTP clients that differ only in their connections.
pub(super) struct Pools {
    build: Box<Build>,
    made: ArcSwap<Vec<(Id, reqwest::Client)>>,
    /// A client that was made to test the configuration and that no runtime uses yet. Locked while another is made.
    unclaimed: Mutex<Option<reqwest::Client>>,
}

impl Pools {
    pub(super) fn new(
        build: impl Fn() -> reqwest::Result<reqwest::Client> + Send + Sync + 'static,
    ) -> reqwest::Result<Self> {
        let first = build()?;
        Ok(Self {
            build: Box::new(build),
            made: ArcSwap::default(),
            unclaimed: Mutex::new(Some(first)),
        })
    }

    /// The client of the current runtime. It is made when the runtime first needs it.
    pub(super) fn own(&self) -> reqwest::Result<reqwest::Client> {
        let runtime = Handle::current().id();
        if let Some(client) = self.of(runtime) {
            return Ok(client);
        }
        let mut unclaimed = self.unclaimed.lock();
        if let Some(client) = self.of(runtime) {
            return Ok(client);
        }
        let client = match unclaimed.take() {
            Some(client) => client,
            None => (self.build)()?,
        };
        let mut made = Vec::clone(&self.made.load());
        made.push((runtime, client.clone()));
        self.made.store(made.into());
        Ok(client)
    }

    fn of(&self, runtime: Id) -> Option<reqwest::Client> {
        let made = self.made.load();
        let mine = made.iter().find(|(of, _)| *of == runtime);
        mine.map(|(_, client)| client.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
    }

    #[test]
    fn each_runtime_has_one_client_of_its_own() {
        let pools = Pools::new(|| reqwest::Client::builder().build()).expect("a client");
        let (one, two) = (runtime(), runtime());
        for runtime in [&one, &two, &one, &two] {
            runtime.block_on(async { pools.own().expect("a client") });
        }
        let made = pools.made.load();
        let of: Vec<Id> = made.iter().map(|(of, _)| *of).collect();
        assert_eq!(of, [one.handle().id(), two.handle().id()]);
        assert!(pools.unclaimed.lock().is_none());
    }
}
