//! Credentials for Google: each type, their expiry, and servers that fail.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Cloud, RING, clock, create, es256, variables};
use signet_api::{ErrorKind, KeyProvider, ProviderError, Trials, Variables};
use signet_fakes::gcp::Google;
use signet_fakes::{Fault, Response};
use signet_gcp_kms::{GcpConfig, NAME, VARIABLES, remote, sealer, store};
use signet_sealed::Sealed;
use signet_testkit::run;

const WORKLOAD: &str = "workload@p.iam.gserviceaccount.com";

fn key(name: &str) -> String {
    format!("{RING}/cryptoKeys/{name}")
}

async fn open(variables: &Variables, key: &str) -> Arc<dyn KeyProvider> {
    let config = GcpConfig::new(variables, key).expect("a configuration");
    remote(config, clock()).await.expect("opens")
}

/// Workload identity federation with the subject token in a file.
fn federated(cloud: &Cloud) -> Variables {
    cloud.google.federate(WORKLOAD, "subject");
    std::fs::write(cloud.file("subject"), "subject").expect("written");
    let file = Google::external_account(&cloud.server.url(), cloud.file("subject").to_str().expect("text"));
    std::fs::write(cloud.file("external.json"), file).expect("written");
    cloud.variables(&cloud.file("external.json"))
}

/// Calls until one succeeds, for a limited time.
async fn at_last(provider: &Arc<dyn KeyProvider>) {
    let begin = tokio::time::Instant::now();
    while let Err(error) = provider.list().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "{error}: {}", error.source);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn assert_no_secret(error: &ProviderError) {
    let text = format!("{error} {} {error:?}", error.source);
    for secret in ["ya29", "eyJ", "subject-", "PRIVATE"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[test]
fn two_configurations_live_in_one_process_each_with_its_own_credentials() {
    run(async {
        let cloud = Cloud::new();
        let federated = federated(&cloud);
        let (one, two) = (
            open(&cloud.usual(), &key("one")).await,
            open(&federated, &key("two")).await,
        );
        create(&*one, None).await;
        create(&*two, None).await;
        cloud.google.allow(WORKLOAD, Some(&[]));
        one.list().await.expect("the other's permissions do not matter");
        let error = two.list().await.expect_err("nothing is allowed");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
    });
}

#[test]
fn the_metadata_server_is_asked_where_no_file_is_named() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.run_as("node@p.iam.gserviceaccount.com");
        let url = cloud.server.url();
        let set = variables(&[
            ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", &url),
            ("GCE_METADATA_HOST", url.trim_start_matches("http://")),
            ("HOME", cloud.directory.path().to_str().expect("text")),
        ]);
        let provider = open(&set, &key("metadata")).await;
        assert!(
            !cloud.server.calls().contains_key("MetadataToken"),
            "opening makes no call"
        );
        create(&*provider, None).await;
        assert_eq!(
            cloud.server.calls().get("MetadataToken"),
            Some(&1),
            "a token serves many calls"
        );
    });
}

#[test]
fn a_login_that_was_refused_is_tried_again_and_says_what_to_look_at() {
    run(async {
        let cloud = Cloud::new();
        let set = federated(&cloud);
        std::fs::write(cloud.file("subject"), "subject-of-another-cluster").expect("written");
        let provider = open(&set, &key("refused")).await;
        let error = provider.list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", error.source);
        assert!(
            error.source.to_string().contains("GOOGLE_APPLICATION_CREDENTIALS"),
            "{}",
            error.source
        );
        assert_no_secret(&error);
        // Google's library alone would never try again.
        std::fs::write(cloud.file("subject"), "subject").expect("written");
        at_last(&provider).await;
    });
}

#[test]
fn a_subject_token_file_that_is_missing_for_a_moment_ends_nothing() {
    run(async {
        let cloud = Cloud::new();
        let set = federated(&cloud);
        std::fs::remove_file(cloud.file("subject")).expect("removed");
        let provider = open(&set, &key("missing")).await;
        let error = provider.list().await.expect_err("no token");
        assert!([ErrorKind::Unauthenticated, ErrorKind::Unavailable].contains(&error.kind));
        std::fs::write(cloud.file("subject"), "subject").expect("written");
        at_last(&provider).await;
    });
}

#[test]
fn tokens_are_renewed_before_they_end() {
    run(async {
        let cloud = Cloud::new();
        // Google's library renews such a token at once, and then every ten seconds.
        cloud.google.set_token_life(Duration::from_secs(12));
        let provider = open(&federated(&cloud), &key("renewed")).await;
        let begin = tokio::time::Instant::now();
        while begin.elapsed() < Duration::from_secs(14) {
            provider.list().await.expect("a token that holds");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(cloud.server.calls()["ExchangeToken"] >= 2);
    });
}

#[test]
fn credentials_outlive_the_runtime_that_used_them_first() {
    run(async {
        let cloud = Cloud::new();
        cloud.google.set_token_life(Duration::from_secs(12));
        let provider = open(&federated(&cloud), &key("outlive")).await;
        let first = Arc::clone(&provider);
        let short = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(first.list()).expect("lists");
        });
        tokio::task::spawn_blocking(|| short.join().expect("no panic"))
            .await
            .expect("joined");
        // Wait until the token that was fetched then has expired.
        tokio::time::sleep(Duration::from_secs(13)).await;
        provider.list().await.expect("renewed meanwhile");
    });
}

#[test]
fn a_token_that_google_takes_back_is_an_error_of_the_login() {
    run(async {
        let cloud = Cloud::new();
        let provider = open(&federated(&cloud), &key("taken-back")).await;
        provider.list().await.expect("lists");
        cloud.google.revoke_tokens();
        let error = provider.list().await.expect_err("taken back");
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        assert_no_secret(&error);
        at_last(&provider).await;
    });
}

#[test]
fn a_token_server_that_is_silent_or_down_holds_no_call() {
    run(async {
        let cloud = Cloud::new();
        let set = federated(&cloud);
        cloud.server.script("ExchangeToken", Fault::Hang);
        let provider = open(&set, &key("silent")).await;
        let begin = tokio::time::Instant::now();
        let error = provider.list().await.expect_err("silence");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
        assert!(
            error.source.to_string().contains("no token within 4 s"),
            "{}",
            error.source
        );

        for _ in 0..3 {
            cloud
                .server
                .script("ExchangeToken", Fault::Answer(Response::new(503, "text/html", "down")));
        }
        let other = open(&set, &key("down")).await;
        let error = other.list().await.expect_err("down");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{}", error.source);
        cloud.server.unscript();
        at_last(&other).await;
    });
}

#[test]
fn the_store_uses_the_same_credentials_and_says_what_grants_what_is_missing() {
    run(async {
        let cloud = Cloud::new();
        let set = federated(&cloud);
        let key = key("store");
        cloud.google.create_symmetric_key(&key);
        let sealed = async || {
            let sealer = sealer(GcpConfig::new(&set, &key).expect("a configuration"))
                .await
                .expect("opens");
            let store = store(&set, "gs://rings/tenant a/ring.json".replace(' ', "-").as_str())
                .await
                .expect("opens");
            Sealed::new("signet", NAME, sealer, store, clock())
        };
        let provider = sealed().await;
        let first = create(&provider, None).await;
        assert_eq!(sealed().await.list().await.expect("lists")[0].kid(), first.kid());
        let store_permissions = ["storage.objects.get", "storage.objects.list", "storage.objects.create"];
        let kms = [
            "cloudkms.cryptoKeyVersions.useToEncrypt",
            "cloudkms.cryptoKeyVersions.useToDecrypt",
        ];
        cloud
            .google
            .allow(WORKLOAD, Some(&[&store_permissions[..], &kms].concat()));
        let error = provider
            .create(&es256(Some(first.kid())))
            .await
            .expect_err("overwriting needs delete");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{}", error.source);
        assert!(
            error.source.to_string().contains("gcp-sidecar-store.yaml"),
            "{}",
            error.source
        );
        cloud.google.allow(
            WORKLOAD,
            Some(&[&store_permissions[..], &kms, &["storage.objects.delete"]].concat()),
        );
        create(&provider, Some(first.kid())).await;
        for check in Trials::of(async |trials| provider.check(trials).await).await {
            assert!(check.answer.is_yes(), "{}: {:?}", check.permission, check.answer);
        }
        cloud.google.revoke_tokens();
        let error = sealed().await.list().await;
        assert!(error.is_ok(), "each handle has a token of its own");
    });
}

#[test]
fn an_emulator_on_the_loopback_interface_is_called_without_credentials() {
    run(async {
        let cloud = Cloud::new();
        let set = variables(&[("STORAGE_EMULATOR_HOST", &cloud.server.url())]);
        let open = store(&set, "gs://open/ring.json").await.expect("opens");
        assert!(open.load().await.expect("an answer").is_none());
        let closed = store(&set, "gs://rings/ring.json").await.expect("opens");
        assert_eq!(
            closed.load().await.expect_err("no credentials").kind,
            ErrorKind::Unauthenticated
        );
        for wrong in ["gs://Rings/ring.json", "gs://rings", "s3://rings/ring.json"] {
            assert_eq!(
                store(&set, wrong).await.expect_err(wrong).kind,
                ErrorKind::InvalidConfig
            );
        }
    });
}

#[test]
fn every_variable_has_a_line_of_help() {
    for variable in VARIABLES {
        assert!(
            !variable.help.is_empty() && !variable.help.contains('\n'),
            "{}",
            variable.name
        );
    }
}
