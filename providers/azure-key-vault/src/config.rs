//! The configuration: the URL of the key, and the source of credentials.

use std::fmt;

use azure_core::http::Url;
use signet_api::{ErrorKind, Operation, ProviderError, Variables};
use signet_base::Nearness;

use crate::NAME;
use crate::credential_source::CredentialSource;
use crate::http::Trust;

/// The maximum length of a key's name:
/// <https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates>.
const LONGEST_NAME: usize = 127;

/// The configuration of the provider, checked as far as possible without the network.
pub struct AzureConfig {
    /// The URL of the vault, such as `https://acme.vault.azure.net/`.
    pub(crate) vault: Url,
    /// The name of the key in the vault.
    pub(crate) name: String,
    /// Whether new keys are created in hardware.
    pub(crate) hsm: bool,
    pub(crate) source: CredentialSource,
    pub(crate) trust: Trust,
}

impl AzureConfig {
    /// Reads the configuration. `key` is `SIGNET_KEY`: the URL of the key without a version, such as
    /// `https://acme.vault.azure.net/keys/signet`.
    ///
    /// # Errors
    /// `InvalidConfig` with all problems, each with its setting and what to write.
    pub fn new(variables: &Variables, key: &str) -> Result<Self, ProviderError> {
        let mut problems = Problems::default();
        let key = problems.or_note(place(key));
        let protection = match variables.get("AZURE_KEY_VAULT_PROTECTION") {
            None | Some("software") => Ok(false),
            Some("hsm") => Ok(true),
            Some(other) => Err(format!(
                "AZURE_KEY_VAULT_PROTECTION is {other:?}; write hsm or software"
            )),
        };
        let hsm = problems.or_note(protection);
        let source = problems.or_note(CredentialSource::choose(variables));
        let trust = problems.or_note(Trust::new(variables));
        match (key, hsm, source, trust) {
            (Some((vault, name)), Some(hsm), Some(source), Some(trust)) => Ok(Self {
                // All keys in a Managed HSM are in its hardware.
                hsm: hsm || vault.host_str().is_some_and(|host| host.contains(".managedhsm.")),
                vault,
                name,
                source,
                trust,
            }),
            _ => Err(problems.into_error()),
        }
    }

    /// The URL of the key.
    pub(crate) fn key_url(&self) -> String {
        format!("{}keys/{}", self.vault, self.name)
    }
}

impl fmt::Debug for AzureConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureConfig({} as {:?})", self.key_url(), self.source)
    }
}

/// The problems with the settings.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(crate) fn or_note<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.0.push(problem)).ok()
    }

    pub(crate) fn into_error(self) -> ProviderError {
        ProviderError::new(NAME, Operation::Open, ErrorKind::InvalidConfig, self.0.join("; "))
    }
}

/// Whether the URL is on this machine, as in tests. Such requests do not leave the machine, so nobody else can answer.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host().is_some_and(|host| Nearness::of(&host).is_here())
}

/// Splits the key's URL into the vault and the name of the key.
fn place(key: &str) -> Result<(Url, String), String> {
    const WRITE: &str = "write the key's URL, such as https://acme.vault.azure.net/keys/signet";
    // The value is not repeated, because somebody may have written a secret there.
    let Ok(mut vault) = Url::parse(key) else {
        return Err(format!("SIGNET_KEY is not a URL; {WRITE}"));
    };
    if vault.scheme() != "https" || vault.host_str().is_none() {
        return Err(format!("SIGNET_KEY does not begin with https:// and a host; {WRITE}"));
    }
    if !vault.username().is_empty() || vault.password().is_some() {
        return Err(format!(
            "SIGNET_KEY has credentials, which are not allowed there; {WRITE}"
        ));
    }
    if vault.query().is_some() || vault.fragment().is_some() {
        return Err(format!("SIGNET_KEY has a ? or #; {WRITE}"));
    }
    let path = vault.path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let name = match parts.as_slice() {
        ["keys", name] if !name.is_empty() => (*name).to_owned(),
        ["keys", name, _] => {
            return Err(format!(
                "SIGNET_KEY has a version of the key {name:?}; leave the version out, because Signet creates and \
                 chooses versions itself"
            ));
        }
        _ => return Err(format!("SIGNET_KEY has no key name; {WRITE}")),
    };
    if name.len() > LONGEST_NAME || !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return Err(format!(
            "SIGNET_KEY has the key name {name:?}, but a name may have only letters, digits and hyphens, and at most \
             {LONGEST_NAME} characters"
        ));
    }
    vault.set_path("/");
    Ok((vault, name))
}
