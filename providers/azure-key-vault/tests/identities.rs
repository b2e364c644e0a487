//! The credentials for Azure, and the errors if there are none.

mod support;

use std::sync::Arc;

use signet_api::{ErrorKind, KeyProvider, ProviderError, Variables};
use signet_azure_key_vault::{AzureConfig, NAME, VARIABLES, remote, store};
use signet_base::ManualClock;
use signet_fakes::azure::{ASSERTION, CLIENT, IDENTITY_HEADER, SECRET, Settings, TENANT, throttled};
use signet_fakes::{Fault, Response, Server};
use signet_testkit::process;
use support::{Fake, create};

async fn opened(fake: &Fake, variables: &Variables) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let config = AzureConfig::new(variables, &fake.key("ring"))?;
    remote(config, Arc::new(ManualClock::default())).await
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[tokio::test]
async fn workload_identity_goes_before_a_secret_and_takes_the_token_from_its_file() {
    let fake = Fake::start();
    let file = fake.file("token", ASSERTION);
    let file = file.to_str().expect("a path");
    let good = fake.variables_but(&[("AZURE_FEDERATED_TOKEN_FILE", file), ("AZURE_CLIENT_SECRET", "wrong")]);
    let provider = opened(&fake, &good).await.expect("opens");
    provider.list().await.expect("listed");
    assert!(format!("{provider:?}").contains("/keys/ring"));

    let secret = fake.variables_but(&[
        ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere"),
        ("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential"),
    ]);
    opened(&fake, &secret)
        .await
        .expect("opens")
        .list()
        .await
        .expect("listed");

    let missing = fake.variables_but(&[("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token")]);
    let error = opened(&fake, &missing).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidConfig);
    assert!(error.source.to_string().contains("/nowhere/token"), "{}", error.source);
}

#[tokio::test]
async fn what_entra_refuses_names_the_variable_that_is_wrong_and_no_secret() {
    let fake = Fake::start();
    let stale = fake.file("stale", "header.another.signature");
    for (change, says) in [
        (
            ("AZURE_CLIENT_SECRET", "hush-hush"),
            "AADSTS7000215: the secret is wrong. Set AZURE_CLIENT_SECRET",
        ),
        (
            ("AZURE_CLIENT_ID", "12345678-0000-0000-0000-000000000000"),
            "AZURE_CLIENT_ID or AZURE_TENANT_ID",
        ),
        (
            ("AZURE_TENANT_ID", "12345678-0000-0000-0000-000000000000"),
            "Correct AZURE_TENANT_ID",
        ),
        (
            ("AZURE_FEDERATED_TOKEN_FILE", stale.to_str().expect("a path")),
            "AADSTS700213",
        ),
    ] {
        let provider = opened(&fake, &fake.variables_but(&[change])).await.expect("opens");
        let error = provider.list().await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unauthenticated);
        let text = error.source.to_string();
        assert!(text.contains(says), "{text}");
        assert!(text.contains("no token by"), "it says which identity was tried: {text}");
        let all = format!("{error:?} {error} {text} {provider:?}");
        assert!(
            !all.contains("hush-hush") && !all.contains(SECRET) && !all.contains("another.signature"),
            "{all}"
        );
    }
    fake.server.script("Token", Fault::Answer(throttled(9)));
    let provider = opened(&fake, &fake.variables()).await.expect("opens");
    let error = provider.list().await.expect_err("throttled");
    assert_eq!(error.kind, ErrorKind::Throttled, "{}", error.source);
    assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(9)));
    fake.server.script("Token", Fault::Refused);
    let error = provider.list().await.expect_err("down");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.source.to_string().contains("AZURE_AUTHORITY_HOST"),
        "{}",
        error.source
    );
    provider.list().await.expect("up again");
}

#[tokio::test]
async fn a_token_that_the_vault_refuses_before_its_end_is_replaced_at_once() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    let tokens = fake.called("Token");
    fake.azure.forget_tokens();
    provider
        .sign(key.kid(), b"message")
        .await
        .expect("signed under a new token");
    assert_eq!(fake.called("Token"), tokens + 1);
    // A vault that refuses the new token too is not given a third one.
    let challenge = "Bearer authorization=\"https://localhost/t\", resource=\"https://vault.azure.net\"";
    for _ in 0..3 {
        let refusal = Response::json(401, &serde_json::json!({})).with("www-authenticate", challenge);
        fake.server.script("Sign", Fault::Answer(refusal));
    }
    let error = provider.sign(key.kid(), b"message").await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", error.source);
    assert!(error.source.to_string().contains("AZURE_TENANT_ID"), "{}", error.source);
    assert_eq!(fake.called("Token"), tokens + 2);
    provider
        .sign(key.kid(), b"message")
        .await
        .expect("the third refusal is met with the same token");
    assert_eq!(fake.called("Token"), tokens + 2);
}

#[tokio::test]
async fn a_token_that_expired_by_the_vaults_clock_is_replaced() {
    let fake = Fake::start();
    let provider = fake.remote("ring").await;
    let key = create(&*provider, None).await;
    fake.azure.shift_clock(3_700);
    provider
        .sign(key.kid(), b"message")
        .await
        .expect("signed under a new token");
}

#[tokio::test]
async fn a_token_that_is_about_to_expire_is_replaced_before_it_does() {
    let fake = Fake::with(Settings {
        token_life: 200,
        ..Settings::default()
    });
    let provider = fake.remote("ring").await;
    for _ in 0..3 {
        provider.list().await.expect("listed");
    }
    assert_eq!(fake.called("Challenge"), 1, "none was ever refused");
    assert!(fake.called("Token") >= 3);
}

/// The SDK reads these two variables from the environment itself, so the test needs a process that has them.
#[test]
fn a_managed_identity_is_asked_at_its_endpoint() {
    if process::directory().is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let fake = Fake::start();
        // The endpoint of App Service uses plain http.
        let plain = Server::start(Arc::clone(&fake.azure) as Arc<_>, None).expect("a server");
        let mut command = process::again("a_managed_identity_is_asked_at_its_endpoint", directory.path());
        command
            .env("IDENTITY_ENDPOINT", format!("{}/msi/token", plain.url()))
            .env("IDENTITY_HEADER", IDENTITY_HEADER)
            .env("SIGNET_TEST_KEY", fake.key("ring"))
            .env("SIGNET_TEST_CA", &fake.ca);
        process::passes(command);
        assert_eq!(
            (plain.calls().get("ManagedIdentity"), fake.called("Token")),
            (Some(&1), 0)
        );
        return;
    }
    signet_testkit::run(async {
        let env = |name: &str| std::env::vars().find(|(key, _)| key == name).expect("set above").1;
        let set = variables(&[
            ("IDENTITY_ENDPOINT", &env("IDENTITY_ENDPOINT")),
            ("IDENTITY_HEADER", &env("IDENTITY_HEADER")),
            (
                "AZURE_CLIENT_SECRET",
                "not taken, as the managed identity goes before it",
            ),
            ("AZURE_CLIENT_ID", CLIENT),
            ("SSL_CERT_FILE", &env("SIGNET_TEST_CA")),
        ]);
        let config = AzureConfig::new(&set, &env("SIGNET_TEST_KEY")).expect("a configuration");
        let provider = remote(config, Arc::new(ManualClock::default())).await.expect("opens");
        create(&*provider, None).await;
    });
}

#[test]
fn all_problems_of_a_configuration_are_told_at_once_with_what_to_write() {
    let bad = variables(&[
        ("AZURE_CLIENT_SECRET", "hush-hush"),
        ("AZURE_KEY_VAULT_PROTECTION", "titanium"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
    ]);
    let error = AzureConfig::new(&bad, "signet").expect_err("refused");
    assert_eq!((error.kind, error.provider), (ErrorKind::InvalidConfig, NAME));
    let text = error.source.to_string();
    for says in [
        "https://acme.vault.azure.net/keys/signet",
        "AZURE_TENANT_ID is missing",
        "hsm or software",
        "/nowhere/ca.pem",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(!text.contains("hush-hush"));

    let none = Variables::default();
    for (key, says) in [
        ("http://acme.vault.azure.net/keys/signet", "https://"),
        ("https://acme.vault.azure.net/", "has no key name"),
        ("https://acme.vault.azure.net/secrets/signet", "has no key name"),
        ("https://acme.vault.azure.net/keys/signet/0123", "leave the version out"),
        (
            "https://acme.vault.azure.net/keys/sig_net",
            "letters, digits and hyphens",
        ),
        ("https://me:hush@acme.vault.azure.net/keys/signet", "credentials"),
        ("https://acme.vault.azure.net/keys/signet?sig=hush", "has a ?"),
    ] {
        let text = AzureConfig::new(&none, key).expect_err(key).source.to_string();
        assert!(text.contains(says) && !text.contains("hush"), "{key}: {text}");
    }
    let mut good = vec!["https://acme.vault.azure.net/keys/signet"];
    good.extend([
        "https://acme.managedhsm.azure.net/keys/signet",
        "https://acme.vault.usgovcloudapi.net/keys/signet/",
    ]);
    for key in good {
        let config = AzureConfig::new(&none, key).expect("without variables it is the machine's identity");
        assert!(format!("{config:?}").contains("managed identity"), "{config:?}");
    }

    for (set, says) in [
        (vec![("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem")], "OpenSSL"),
        (vec![("AZURE_FEDERATED_TOKEN_FILE", "/t")], "AZURE_TENANT_ID"),
        (
            vec![("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")],
            "WorkloadIdentityCredential",
        ),
        (
            vec![("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_SECRET", SECRET)],
            "AZURE_CLIENT_ID is missing",
        ),
        (
            vec![
                ("AZURE_AUTHORITY_HOST", "login.microsoftonline.us"),
                ("AZURE_CLIENT_ID", CLIENT),
            ],
            "https://login.microsoftonline.us",
        ),
    ] {
        let error = AzureConfig::new(&variables(&set), "https://acme.vault.azure.net/keys/signet");
        let text = error.expect_err(says).source.to_string();
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[tokio::test]
async fn a_store_is_refused_with_what_to_write_before_any_call() {
    for (set, location, says) in [
        (vec![], "az://account/container", "az://account/container/path"),
        (
            vec![("AZURE_STORAGE_ENDPOINT", "http://example.com")],
            "az://a/b/c",
            "neither an https URL",
        ),
        (
            vec![("AZURE_CLIENT_SECRET", "s")],
            "az://a/b/c",
            "AZURE_TENANT_ID is missing",
        ),
        (
            vec![("AZURE_STORAGE_ACCOUNT_KEY", "hush-hush")],
            "az://a/b/c",
            "AZURE_STORAGE_ACCOUNT_KEY",
        ),
    ] {
        let error = store(&variables(&set), location).await.expect_err(says);
        assert_eq!(error.kind, ErrorKind::InvalidConfig);
        let text = error.source.to_string();
        assert!(text.contains(says) && !text.contains("hush-hush"), "{says}: {text}");
    }
}

#[tokio::test]
async fn a_store_whose_identity_is_refused_says_so_as_the_vault_does() {
    let fake = Fake::start();
    let endpoint = ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9/a");
    let wrong = fake.variables_but(&[endpoint, ("AZURE_CLIENT_SECRET", "hush-hush")]);
    let opened = store(&wrong, "az://a/b/c").await.expect("opens");
    let error = opened.load().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", error.source);
    let text = error.source.to_string();
    assert!(text.contains("AADSTS7000215") && !text.contains("hush-hush"), "{text}");
    fake.server.script("Token", Fault::Answer(throttled(9)));
    let error = opened.load().await.expect_err("throttled");
    assert_eq!(error.kind, ErrorKind::Throttled, "{}", error.source);
    assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(9)));
}

#[test]
fn each_variable_is_named_once_with_a_line_of_help() {
    let names: std::collections::BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), VARIABLES.len());
    assert!(
        VARIABLES
            .iter()
            .all(|variable| variable.help.len() > 20 && !variable.help.contains('\n'))
    );
    let sources = ["config", "http", "identity", "store"].map(|file| {
        std::fs::read_to_string(format!("{}/src/{file}.rs", env!("CARGO_MANIFEST_DIR"))).expect("a source")
    });
    let read: std::collections::BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.split('"'))
        .filter(|word| {
            let shouted = word.bytes().all(|octet| octet.is_ascii_uppercase() || octet == b'_');
            shouted && word.contains('_') && !word.starts_with("SIGNET")
        })
        .collect();
    let missing: Vec<_> = read.difference(&names).collect();
    assert!(missing.is_empty(), "read and not listed: {missing:?}");
}
