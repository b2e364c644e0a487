//! The provider contract, with a sealed ring in an object in memory.

mod common;

use std::sync::Arc;

use common::handle;
use object_store::memory::InMemory;
use signet_api::KeyProvider;
use signet_objects::{Grants, ObjectRing};
use signet_testkit::Subject;

async fn in_an_object() -> Subject {
    let objects = Arc::new(InMemory::new());
    let open = move || {
        let ring = ObjectRing::new(
            objects.clone(),
            "eu/ring.json",
            "memory://eu/ring.json",
            Grants::default(),
        );
        let provider: Arc<dyn KeyProvider> = Arc::new(handle(ring.expect("a ring")));
        async move { provider }
    };
    Subject::new(open().await, open, ()).against("objects in memory")
}

signet_testkit::conformance!(over_an_object, in_an_object);
