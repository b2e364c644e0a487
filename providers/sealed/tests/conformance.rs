//! The provider contract, with the ring in memory and in a file.

mod common;

use std::sync::Arc;

use common::{disk, handle};
use signet_api::KeyProvider;
use signet_sealed::{FileStore, MemoryStore};
use signet_testkit::Subject;

async fn in_memory() -> Subject {
    let store = MemoryStore::default();
    let open = move || {
        let provider: Arc<dyn KeyProvider> = Arc::new(handle(store.clone()));
        async move { provider }
    };
    Subject::new(open().await, open, ())
}

async fn in_a_file() -> Subject {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made/here/ring.json");
    let open = move || {
        let provider: Arc<dyn KeyProvider> = Arc::new(handle(FileStore::new(&path, disk())));
        async move { provider }
    };
    Subject::new(open().await, open, directory)
}

signet_testkit::conformance!(over_memory, in_memory);
signet_testkit::conformance!(over_a_file, in_a_file);
