//! The provider contract, with real files.

use std::sync::Arc;

use signet_api::KeyProvider;
use signet_base::ManualClock;
use signet_local::{LocalConfig, open};
use signet_testkit::Subject;

async fn fresh() -> Subject {
    let directory = tempfile::tempdir().expect("a directory");
    let config = LocalConfig {
        data_dir: directory.path().join("state"),
        key_file: None,
        ring_file: None,
        ring: "signet".to_owned(),
    };
    let clock = Arc::new(ManualClock::default());
    let handle = move || {
        let (config, clock) = (config.clone(), Arc::clone(&clock));
        async move { open(config, clock).await.expect("opens") as Arc<dyn KeyProvider> }
    };
    Subject::new(handle().await, handle, directory)
}

signet_testkit::conformance!(local, fresh);
