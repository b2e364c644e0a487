//! The provider contract, in both custodies.

mod common;

use std::sync::Arc;

use common::{AGAINST, Cloud, clock, fresh_key};
use signet_api::KeyProvider;
use signet_gcp_kms::{NAME, sealer, store};
use signet_sealed::Sealed;
use signet_testkit::Subject;

async fn fresh_remote() -> Subject {
    let key = fresh_key();
    let handle = move || {
        let key = key.clone();
        async move { Cloud::shared().remote(&key).await }
    };
    Subject::new(handle().await, handle, ()).against(AGAINST)
}

/// Sealed with a key of Cloud KMS and stored in Cloud Storage, both with the credentials of a service account.
async fn fresh_sealed() -> Subject {
    let cloud = Cloud::shared();
    let key = fresh_key();
    cloud.google.create_symmetric_key(&key);
    let handle = move || {
        let key = key.clone();
        async move {
            let sealer = sealer(cloud.config(&key)).await.expect("opens");
            let place = format!("gs://rings/{}/ring.json", key.rsplit('/').next().expect("a name"));
            let store = store(&cloud.usual(), &place).await.expect("opens");
            Arc::new(Sealed::new("signet", NAME, sealer, store, clock())) as Arc<dyn KeyProvider>
        }
    };
    Subject::new(handle().await, handle, ()).against(AGAINST)
}

signet_testkit::conformance!(remote, fresh_remote);
signet_testkit::conformance!(sealed, fresh_sealed);
