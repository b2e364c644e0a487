//! The only module that names providers: it opens what the settings ask for, behind the guards that all share.

#![cfg_attr(
    not(any(
        feature = "vault",
        feature = "aws-kms",
        feature = "azure-key-vault",
        feature = "gcp-kms"
    )),
    allow(unused_variables, reason = "without a vendor nothing reads them")
)]

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_api::{ErrorKind, KeyProvider, Operation, ProviderError, Trials, Variable, Variables};
use signet_base::{Clock, Jitter};
use signet_files::Rule;
use signet_guards::{Breaking, Breaks, Checked, Deadlines, Guard as _, Pace, Paced, Retries, Retrying, TimeLimited};
use signet_local::LocalConfig;
use signet_sealed::disk::Disk;
use signet_sealed::{FileStore, RingStore, Sealed, Sealer};

use crate::settings::{Origin, ProviderName, Settings, Store};
use crate::telemetry::metered::Metered;
use crate::telemetry::metrics::Metrics;

/// What the control path asks of a provider at most. A refresh makes a handful of calls a minute; this is what stands
/// between a fault of ours and the vendor's bill.
const CONTROL: Pace = Pace {
    per_second: NonZeroU32::new(10).expect("10 is not 0"),
    burst: NonZeroU32::new(50).expect("50 is not 0"),
    patience: Duration::from_secs(10),
    setting: "SIGNET_REFRESH_INTERVAL",
};

/// Opens the ring of this origin, without any guard. Except for the local one, nothing is called yet.
///
/// # Errors
/// [`ProviderError`], as `InvalidConfig` if a variable does not do.
pub async fn open(
    settings: &Settings,
    origin: &Origin,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    match origin.provider {
        ProviderName::Local => signet_local::open(local(settings, origin), clock).await,
        _ => of_a_vendor(settings, origin, clock).await,
    }
}

/// Opening these calls nobody and makes nothing.
async fn of_a_vendor(
    settings: &Settings,
    origin: &Origin,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let variables = variables(settings, origin)?;
    match &origin.store {
        None => remote(origin, &variables, clock).await,
        Some(store) => {
            let sealer = sealer(origin, &variables).await?;
            let store = open_store(settings, origin, store, &variables).await?;
            // The ring's name stands in all that is sealed: rings of two issuers under one wrapping key stay apart.
            let ring = settings.issuer.to_string();
            Ok(Arc::new(Sealed::new(
                ring,
                origin.provider.as_str(),
                sealer,
                store,
                clock,
            )))
        }
    }
}

/// Whether this is the local provider in a place where no ring was ever kept. Opening it would make one's key file, which
/// is for a start, and not for a command that only looks.
pub async fn is_untouched(settings: &Settings, origin: &Origin) -> bool {
    origin.provider == ProviderName::Local && signet_local::is_untouched(local(settings, origin)).await
}

/// What `signet check` can say of such a place without making anything.
pub async fn check_untouched(settings: &Settings, origin: &Origin, trials: &mut Trials) {
    signet_local::check_untouched(local(settings, origin), trials).await;
}

/// Opens the ring of this origin behind the guards: each call is paced, bounded in time, repeated if that may help,
/// counted, and its answer is not believed unseen.
///
/// # Errors
/// As [`open`].
pub async fn open_guarded(
    settings: &Settings,
    origin: &Origin,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let provider = open(settings, origin, Arc::clone(&clock)).await?;
    Ok(guarded(provider, settings, clock, metrics))
}

/// Opens the ring of this origin behind the same guards, for a command that only looks: nothing is made, neither in the
/// provider nor on this machine.
///
/// # Errors
/// As [`open`].
pub async fn look(
    settings: &Settings,
    origin: &Origin,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let provider = match origin.provider {
        ProviderName::Local => signet_local::look(local(settings, origin), Arc::clone(&clock)).await,
        _ => of_a_vendor(settings, origin, Arc::clone(&clock)).await,
    };
    Ok(guarded(provider?, settings, clock, Arc::default()))
}

/// How long a call of the control path takes at most, with all its attempts, before it is given up.
#[must_use]
pub fn longest(operation: Operation) -> Duration {
    let deadline = Deadlines::default().of(operation);
    match operation {
        Operation::Open | Operation::Check => deadline,
        _ => Retries::default().budget + deadline,
    }
}

fn guarded(
    provider: Arc<dyn KeyProvider>,
    settings: &Settings,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Arc<dyn KeyProvider> {
    metrics.expect_provider(provider.capabilities().provider);
    let deadlines = Deadlines {
        sign: settings.limits.sign_timeout,
        ..Deadlines::default()
    };
    let sign = Pace {
        per_second: settings.limits.sign_rate,
        burst: settings.limits.sign_rate,
        patience: settings.limits.sign_timeout,
        setting: "SIGNET_SIGN_RATE",
    };
    let provider = provider
        .guarded(TimeLimited::new(deadlines))
        .guarded(Breaking::new(Breaks::default(), Jitter::default()))
        .guarded(Paced::new(CONTROL, sign))
        .guarded(Retrying::new(Retries::default(), Jitter::default()))
        .guarded(Metered::new(metrics));
    let skew = settings.policy.durations().clock_skew;
    Arc::new(Checked::new(provider, clock, skew))
}

/// The variables that a provider reads, for the documentation and for finding typing errors.
#[must_use]
pub const fn variables_of(provider: ProviderName) -> &'static [Variable] {
    match provider {
        #[cfg(feature = "vault")]
        ProviderName::Vault => signet_vault::VARIABLES,
        #[cfg(feature = "aws-kms")]
        ProviderName::AwsKms => signet_aws_kms::VARIABLES,
        #[cfg(feature = "azure-key-vault")]
        ProviderName::AzureKeyVault => signet_azure_key_vault::VARIABLES,
        #[cfg(feature = "gcp-kms")]
        ProviderName::GcpKms => signet_gcp_kms::VARIABLES,
        _ => &[],
    }
}

fn local(settings: &Settings, origin: &Origin) -> LocalConfig {
    // A path that is the default one is told as such, so that errors name the setting that led to it.
    let unless_default = |path: &Path, name| (path != settings.data_dir.join(name)).then(|| path.to_owned());
    let ring_file = match &origin.store {
        Some(Store::File(file)) => unless_default(file, "ring.json"),
        _ => None,
    };
    LocalConfig {
        data_dir: settings.data_dir.clone(),
        key_file: unless_default(&origin.local_key_file, "local.key"),
        ring_file,
        ring: origin.key.clone(),
    }
}

async fn remote(
    origin: &Origin,
    variables: &Variables,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let key = &origin.key;
    match origin.provider {
        #[cfg(feature = "vault")]
        ProviderName::Vault => {
            use signet_vault::{VaultConfig, remote};
            remote(VaultConfig::new(variables, key)?, clock).await
        }
        #[cfg(feature = "aws-kms")]
        ProviderName::AwsKms => {
            use signet_aws_kms::{AwsKmsConfig, remote};
            remote(AwsKmsConfig::new(variables, key)?, clock).await
        }
        #[cfg(feature = "azure-key-vault")]
        ProviderName::AzureKeyVault => {
            use signet_azure_key_vault::{AzureConfig, remote};
            remote(AzureConfig::new(variables, key)?, clock).await
        }
        #[cfg(feature = "gcp-kms")]
        ProviderName::GcpKms => {
            use signet_gcp_kms::{GcpConfig, remote};
            remote(GcpConfig::new(variables, key)?, clock).await
        }
        other => Err(not_built_in(other)),
    }
}

async fn sealer(origin: &Origin, variables: &Variables) -> Result<Arc<dyn Sealer>, ProviderError> {
    let key = &origin.key;
    match origin.provider {
        #[cfg(feature = "vault")]
        ProviderName::Vault => {
            use signet_vault::{VaultConfig, sealer};
            sealer(VaultConfig::new(variables, key)?).await
        }
        #[cfg(feature = "aws-kms")]
        ProviderName::AwsKms => {
            use signet_aws_kms::{AwsKmsConfig, sealer};
            sealer(AwsKmsConfig::new(variables, key)?).await
        }
        #[cfg(feature = "azure-key-vault")]
        ProviderName::AzureKeyVault => {
            use signet_azure_key_vault::{AzureConfig, sealer};
            sealer(AzureConfig::new(variables, key)?).await
        }
        #[cfg(feature = "gcp-kms")]
        ProviderName::GcpKms => {
            use signet_gcp_kms::{GcpConfig, sealer};
            sealer(GcpConfig::new(variables, key)?).await
        }
        other => Err(not_built_in(other)),
    }
}

async fn open_store(
    settings: &Settings,
    origin: &Origin,
    store: &Store,
    variables: &Variables,
) -> Result<Arc<dyn RingStore>, ProviderError> {
    let (with, location) = match store {
        Store::File(path) => {
            let disk = Disk {
                provider: origin.provider.as_str(),
                setting: "SIGNET_STORE",
            };
            return Ok(Arc::new(FileStore::new(path, disk)));
        }
        Store::With(with, location) => (*with, location),
    };
    // A store of another ecosystem than the sealer's has the process's own variables.
    let variables = match with == origin.provider {
        true => variables,
        false => &settings.variables,
    };
    match with {
        #[cfg(feature = "vault")]
        ProviderName::Vault => signet_vault::store(variables, location).await,
        #[cfg(feature = "aws-kms")]
        ProviderName::AwsKms => signet_aws_kms::store(variables, location).await,
        #[cfg(feature = "azure-key-vault")]
        ProviderName::AzureKeyVault => signet_azure_key_vault::store(variables, location).await,
        #[cfg(feature = "gcp-kms")]
        ProviderName::GcpKms => signet_gcp_kms::store(variables, location).await,
        other => Err(not_built_in(other)),
    }
}

/// The process's variables with the origin's own over them, each of which must be one that the provider reads.
fn variables(settings: &Settings, origin: &Origin) -> Result<Variables, ProviderError> {
    let known = variables_of(origin.provider);
    let strange = origin
        .overrides
        .names()
        .find(|name| !known.iter().any(|variable| variable.name == *name));
    match strange {
        None => trusted(origin.provider, settings.variables.overlaid(&origin.overrides)),
        Some(name) => {
            let prefix = format!("SIGNET_ALSO_{}_", origin.provider.in_variables());
            let meant = known
                .iter()
                .map(|variable| (strsim::osa_distance(name, variable.name), variable.name))
                .filter(|(distance, meant)| *distance <= meant.len() / 3)
                .min();
            let meant = meant.map_or_else(String::new, |(_, meant)| format!("did you mean {prefix}{meant}? "));
            let text = format!(
                "{prefix}{name} is given, but {} reads no {name}; {meant}docs/providers/{}.md lists what it reads",
                origin.provider, origin.provider
            );
            Err(refused(origin.provider, text))
        }
    }
}

/// The variables, if what they name by file could not have been written by others: whoever writes a token or a certificate
/// authority decides with whom Signet speaks, and as whom. Some of the files are read by the SDKs, which would wait for a
/// pipe for ever.
fn trusted(provider: ProviderName, variables: Variables) -> Result<Variables, ProviderError> {
    const AUTHORITIES: [&str; 3] = ["VAULT_CACERT", "AWS_CA_BUNDLE", "SSL_CERT_FILE"];
    const SECRETS: [&str; 2] = ["AZURE_CLIENT_CERTIFICATE_PATH", "GOOGLE_APPLICATION_CREDENTIALS"];
    for variable in variables_of(provider) {
        let name = variable.name;
        let rule = match name {
            _ if AUTHORITIES.contains(&name) => Rule::Trusted,
            _ if SECRETS.contains(&name) || name.ends_with("_FILE") => Rule::Secret,
            _ => continue,
        };
        if let Some(path) = variables.get(name) {
            rule.look(Path::new(path))
                .map_err(|error| refused(provider, format!("{name} is refused: {error}")))?;
        }
    }
    Ok(variables)
}

/// The settings refuse such a provider; this is for a match that must have an end.
fn not_built_in(provider: ProviderName) -> ProviderError {
    refused(provider, format!("{provider} is not built into this binary"))
}

fn refused(provider: ProviderName, text: String) -> ProviderError {
    ProviderError::new(provider.as_str(), Operation::Open, ErrorKind::InvalidConfig, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_a_provider_is_taken_from_the_environment() {
        let flags = clap::Command::new("signet")
            .no_binary_name(true)
            .args(crate::settings::flags());
        let none = flags.try_get_matches_from([""; 0]).expect("no flags");
        let machine = crate::settings::Machine::of_this_process();
        for variable in ProviderName::ALL.iter().flat_map(|provider| variables_of(*provider)) {
            let env = [(variable.name.into(), "value".into())];
            let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
            let settings = Settings::load(env, &none, no_file, &machine).expect("settings");
            assert_eq!(
                settings.variables.get(variable.name),
                Some("value"),
                "src/settings/names.rs lacks {}",
                variable.name
            );
        }
    }

    #[test]
    fn every_variable_of_a_provider_stands_on_its_page() {
        for provider in ProviderName::ALL.iter().filter(|provider| provider.is_built_in()) {
            let page = format!("{}/docs/providers/{provider}.md", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(&page).expect("the page");
            for variable in variables_of(*provider) {
                let name = format!("`{}`", variable.name);
                assert!(text.contains(&name), "{page} lacks {name}: {}", variable.help);
            }
        }
    }
}
