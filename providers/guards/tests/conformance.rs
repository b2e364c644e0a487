//! The provider contract, through all guards.

mod common;

use std::sync::Arc;

use common::{line, pace, sealed, seconds};
use signet_base::ManualClock;
use signet_sealed::MemoryStore;
use signet_testkit::Subject;

async fn guarded() -> Subject {
    let store = MemoryStore::default();
    let open = move || {
        let clock = Arc::new(ManualClock::default());
        let provider = line(sealed(store.clone()), clock, 1, pace(10_000, 1000, seconds(5)));
        async move { provider }
    };
    Subject::new(open().await, open, ()).against("memory, through every guard")
}

signet_testkit::conformance!(through_every_guard, guarded);
