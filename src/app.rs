//! Opens the configured providers with their guards. Only this module names providers.

#![cfg_attr(
    not(any(
        feature = "vault",
        feature = "aws-kms",
        feature = "azure-key-vault",
        feature = "gcp-kms"
    )),
    allow(unused_variables, reason = "without a vendor's provider nothing reads them")
)]

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use signet_api::{ErrorKind, KeyProvider, Operation, ProviderError, Trials, Variable, Variables};
use signet_base::{Clock, Jitter};
use signet_files::Rule;
use signet_guards::{Breaking, Breaks, Checked, Deadlines, GuardExt as _, Pace, Paced, Retries, Retrying, TimeLimited};
use signet_local::LocalConfig;
use signet_sealed::disk::Disk;
use signet_sealed::{FileStore, RingStore, Sealed, Sealer};

use crate::settings::{Origin, ProviderName, Settings, Store};
use crate::telemetry::metered::Metered;
use crate::telemetry::metrics::Metrics;

/// The maximum rate of calls that the control path makes to a provider. A refresh makes a few calls per minute; this
/// limits the vendor's bill if our code is faulty.
const CONTROL: Pace = Pace {
    per_second: NonZeroU32::new(10).expect("10 is not 0"),
    burst: NonZeroU32::new(50).expect("50 is not 0"),
    patience: Duration::from_secs(10),
    setting: "SIGNET_REFRESH_INTERVAL",
};

/// Opens the ring of this origin without guards. Only the local provider reads or writes anything yet.
///
/// # Errors
/// [`ProviderError`]; `InvalidConfig` if a variable is wrong.
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

/// Opens a vendor's provider. This makes no network calls and creates nothing.
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
            // All sealed secrets are bound to the name of the ring, which keeps the rings of two issuers
            // under one wrapping key apart.
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

/// Whether this is the local provider in a directory without any trace of a ring. Opening it would create a key file,
/// which only `signet serve` may do, and not a command that only reads.
pub async fn is_untouched(settings: &Settings, origin: &Origin) -> bool {
    origin.provider == ProviderName::Local && signet_local::is_untouched(local(settings, origin)).await
}

/// The checks of `signet check` for such a directory, which create nothing.
pub async fn check_untouched(settings: &Settings, origin: &Origin, trials: &mut Trials) {
    signet_local::check_untouched(local(settings, origin), trials).await;
}

/// Opens the ring of this origin with all guards: each call is paced, has a deadline, is repeated if that can help, and
/// is counted, and its answer is checked.
///
/// # Errors
/// The errors of [`open`].
pub async fn open_guarded(
    settings: &Settings,
    origin: &Origin,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Arc<dyn KeyProvider>, ProviderError> {
    let provider = open(settings, origin, Arc::clone(&clock)).await?;
    Ok(guarded(provider, settings, clock, metrics))
}

/// Opens the ring of this origin with the same guards, for a command that only reads. Creates nothing in the provider
/// or on this machine.
///
/// # Errors
/// The errors of [`open`].
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

/// The maximum time of a call of the control path, including all attempts.
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

/// The variables that a provider reads, for the documentation and for detecting misspelled names.
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
    // A default path is passed as absent, because errors then name the setting from which it follows.
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
    // A store of another vendor than the sealer uses the process's own variables.
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

/// The process's variables, overridden by the origin's own. Each of those must be a variable that the provider reads.
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
                "{prefix}{name} is set, but {} does not read {name}; {meant}docs/providers/{}.md lists the variables \
                 that it reads",
                origin.provider, origin.provider
            );
            Err(refused(origin.provider, text))
        }
    }
}

/// Checks that others could not have written the files that variables name.
///
/// Somebody who can write a token or a certificate authority decides with which server Signet talks, and with which
/// identity. SDKs read some of the files themselves, and would wait for ever if one were a pipe.
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

/// The settings already refuse such a provider; a `match` needs this arm.
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
