//! The provider contract on our own server: all ten algorithms, both custodies, verified request signatures.

mod common;

use common::{Cloud, clock, unique};
use signet_testkit::Subject;

const AGAINST: &str = "our own server";

async fn fresh_remote() -> Subject {
    let ring = unique("ring");
    let provider = Cloud::shared().remote(&ring).await;
    let reopen = move || {
        let ring = ring.clone();
        async move { Cloud::shared().remote(&ring).await }
    };
    Subject::new(provider, reopen, ()).against(AGAINST)
}

async fn fresh_sealed() -> Subject {
    let cloud = Cloud::shared();
    let (key, object, clock) = (cloud.aws.create_symmetric_key(), unique("eu/ring.json"), clock());
    let provider = cloud.sealed(&key, &object, clock.clone()).await;
    let reopen = move || {
        let (key, object, clock) = (key.clone(), object.clone(), clock.clone());
        async move { Cloud::shared().sealed(&key, &object, clock).await }
    };
    Subject::new(provider, reopen, ()).against(AGAINST)
}

signet_testkit::conformance!(remote, fresh_remote);
signet_testkit::conformance!(sealed, fresh_sealed);
