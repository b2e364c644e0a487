//! The provider contract in both custodies, on our own server.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signet_api::KeyProvider;
use signet_azure_key_vault::{NAME, sealer};
use signet_base::ManualClock;
use signet_sealed::{MemoryStore, Sealed};
use signet_testkit::Subject;
use support::Fake;

const AGAINST: &str = "our own server";

fn fake() -> &'static Fake {
    static FAKE: OnceLock<Fake> = OnceLock::new();
    FAKE.get_or_init(Fake::start)
}

fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("ring-{}", NEXT.fetch_add(1, Ordering::SeqCst))
}

async fn fresh_remote() -> Subject {
    let name = fresh_name();
    let handle = move || {
        let name = name.clone();
        async move { fake().remote(&name).await }
    };
    Subject::new(handle().await, handle, ()).against(AGAINST)
}

async fn fresh_sealed() -> Subject {
    let name = fresh_name();
    fake().azure.create_elsewhere(&name, "RSA", "2048");
    let store = MemoryStore::default();
    let clock = Arc::new(ManualClock::default());
    let handle = move || {
        let (name, store, clock) = (name.clone(), store.clone(), Arc::clone(&clock));
        async move {
            let sealer = sealer(fake().config(&name)).await.expect("opens");
            Arc::new(Sealed::new(name, NAME, sealer, store, clock)) as Arc<dyn KeyProvider>
        }
    };
    Subject::new(handle().await, handle, ()).against(AGAINST)
}

signet_testkit::conformance!(remote, fresh_remote);
signet_testkit::conformance!(sealed, fresh_sealed);
