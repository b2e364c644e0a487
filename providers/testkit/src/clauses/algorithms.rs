//! Tests which algorithms work. The table in `docs/providers/README.md` is made from the results.

use std::env;
use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;

use signet_api::{Custody, ErrorKind};
use signet_core::{Algorithm, Kid};

use crate::ring::{create, list, new_key};
use crate::subject::Subject;

/// The variable with the directory for the results.
const RECORDS: &str = "SIGNET_TEST_RECORDS";

/// For each of the ten algorithms, signatures verify or `create` refuses the algorithm by name.
/// The results are recorded.
///
/// # Panics
/// Panics if the provider breaks this, or if the results cannot be written.
pub async fn every_algorithm_signs_or_is_refused<F: Future<Output = Subject>>(fresh: impl Fn() -> F) {
    let subject = fresh().await;
    let provider = &*subject.provider;
    let capabilities = provider.capabilities();
    let custody = match capabilities.custody {
        Custody::Remote => "remote",
        Custody::Sealed => "sealed",
    };
    let (mut of, mut rows): (Option<Kid>, _) = (None, String::new());
    for algorithm in Algorithm::ALL {
        let outcome = if capabilities.algorithms.contains(&algorithm) {
            let key = create(provider, algorithm, of.as_ref()).await;
            assert_eq!(key.public.algorithm(), algorithm);
            let signature = provider.sign(key.kid(), b"message").await.expect("signed");
            assert!(key.public.verifies(b"message", signature.as_ref()), "{algorithm}");
            of = Some(key.kid().clone());
            "passed"
        } else {
            let before = list(provider).await.len();
            let refused = provider
                .create(&new_key(algorithm, of.as_ref()))
                .await
                .expect_err("refused");
            assert_eq!(refused.kind, ErrorKind::InvalidConfig, "{algorithm}");
            assert_eq!(list(provider).await.len(), before, "nothing was made");
            "refused"
        };
        let (name, against) = (capabilities.provider, subject.tested_against());
        writeln!(rows, "{name}\t{custody}\t{against}\t{algorithm}\t{outcome}").expect(
            "writing to a string cannot \
                        fail",
        );
    }
    if let Some(directory) = env::var_os(RECORDS) {
        let against = subject
            .tested_against()
            .to_ascii_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let file = format!("{}.{custody}.{against}.tsv", capabilities.provider);
        std::fs::write(PathBuf::from(directory).join(file), rows).expect("the outcomes are written");
    }
}
