//! The providers: the one that signs, and those that are also published.

use super::*;
use crate::settings::unlisted::AlsoValue;

fn with_vault() -> Start {
    Start::default()
        .env("SIGNET_ALSO_PUBLISH", "vault")
        .env("VAULT_ADDR", "https://vault.example:8200")
}

#[test]
fn a_ring_that_is_also_published_has_settings_of_its_own() {
    let settings = with_vault()
        .env("SIGNET_ALSO_VAULT_KEY", "gateway")
        .env("SIGNET_ALSO_VAULT_CUSTODY", "sealed")
        .env("SIGNET_ALSO_VAULT_VAULT_TOKEN", "hvs.secret")
        .loaded();
    let [also] = &settings.also[..] else {
        panic!("one ring");
    };
    assert_eq!(also.provider, ProviderName::Vault);
    assert_eq!(also.custody, Custody::Sealed);
    assert_eq!(also.key, "gateway");
    let store = Store::With(ProviderName::Vault, "vault:secret/signet-sealed/gateway".to_owned());
    assert_eq!(also.store, Some(store));
    assert_eq!(also.overrides.get("VAULT_TOKEN"), Some("hvs.secret"));
    assert_eq!(settings.variables.get("VAULT_ADDR"), Some("https://vault.example:8200"));
    assert!(!format!("{settings:?}").contains("hvs.secret"));
    assert!(!settings.effective_table().contains("hvs.secret"));
}

#[test]
fn the_settings_file_has_tables_for_them_and_the_environment_is_stronger() {
    let settings = with_vault()
        .file("[also.vault]\nkey = 'file'\ncustody = 'remote'\nVAULT_NAMESPACE = 'team'")
        .env("SIGNET_ALSO_VAULT_KEY", "environment")
        .loaded();
    assert_eq!(settings.also[0].key, "environment");
    assert_eq!(settings.also[0].overrides.get("VAULT_NAMESPACE"), Some("team"));
}

#[test]
fn what_does_not_fit_together_is_refused_with_what_to_write() {
    for (start, place, text) in [
        (
            Start::default().env("SIGNET_ALSO_VAULT_KEY", "gateway"),
            "SIGNET_ALSO_VAULT_KEY (environment)",
            "SIGNET_ALSO_PUBLISH does not name vault",
        ),
        (
            Start::default().env("SIGNET_ALSO_PUBLISH", "vault,vault"),
            "SIGNET_ALSO_PUBLISH (environment)",
            "names vault twice",
        ),
        (
            Start::default().env("SIGNET_ALSO_PUBLISH", "wault"),
            "SIGNET_ALSO_PUBLISH (environment)",
            "\"wault\" is not a provider",
        ),
        (
            Start::default().env("SIGNET_ALSO_PUBLISH", "local"),
            "SIGNET_ALSO_PUBLISH (environment)",
            "names the ring of local that already signs",
        ),
        (
            with_vault().env("SIGNET_ALSO_VAULT_CUSTODY", "shared"),
            "SIGNET_ALSO_VAULT_CUSTODY (environment)",
            "\"shared\" is unknown; write one of: remote, sealed",
        ),
        (
            with_vault().env("SIGNET_ALSO_VAULT_STORE", "floppy:a"),
            "SIGNET_ALSO_VAULT_STORE (environment)",
            "is not a store",
        ),
        (
            with_vault().env("SIGNET_ALSO_VAULT_KYE", "gateway"),
            "SIGNET_ALSO_VAULT_KYE (environment)",
            "is not a setting",
        ),
        (
            with_vault().file("[also.vault]\nkye = 'a'"),
            "also.vault.kye (file /etc/signet.toml)",
            "is not a setting of a provider in SIGNET_ALSO_PUBLISH",
        ),
        (
            with_vault().file("[also]\nvault = 1"),
            "also.vault (file /etc/signet.toml)",
            "must be a table: write [also.PROVIDER]",
        ),
        (
            Start::default()
                .env("SIGNET_PROVIDER", "aws-kms")
                .env("SIGNET_CUSTODY", "sealed"),
            "SIGNET_STORE or --store (default)",
            "is missing: this provider has no default store",
        ),
    ] {
        let start = match text {
            // Only a store is missing. A sealed ring in Vault is used where that matters.
            "is not a store" => start.env("SIGNET_ALSO_VAULT_CUSTODY", "sealed"),
            _ => start,
        };
        let error = start.refused();
        let told = problems(&error);
        assert!(
            told.iter()
                .any(|problem| problem.starts_with(place) && problem.contains(text)),
            "{place}: {text}: {told:?}"
        );
    }
}

#[test]
fn remote_custody_needs_no_store() {
    let remote = Start::default().env("SIGNET_PROVIDER", "vault").loaded();
    assert_eq!(remote.origin.custody, Custody::Remote);
    assert_eq!(remote.origin.store, None);
}

#[test]
fn only_variables_of_the_ecosystems_are_taken() {
    let settings = Start::default()
        .env("AWS_REGION", "eu-central-1")
        .env("AZURE_TENANT_ID", "t")
        .env("GOOGLE_APPLICATION_CREDENTIALS", "/c")
        .env("PATH", "/bin")
        .loaded();
    assert_eq!(
        settings.variables.names().collect::<Vec<_>>(),
        ["AWS_REGION", "AZURE_TENANT_ID", "GOOGLE_APPLICATION_CREDENTIALS"]
    );
}

#[test]
fn a_setting_of_such_a_ring_shows_its_place_and_not_its_text() {
    let value = AlsoValue {
        text: "hvs.secret".to_owned().into(),
        place: "SIGNET_ALSO_VAULT_VAULT_TOKEN (environment)".to_owned(),
    };
    let shown = format!("{value:?}");
    assert!(
        shown.contains("SIGNET_ALSO_VAULT_VAULT_TOKEN") && !shown.contains("hvs"),
        "{shown}"
    );
}
