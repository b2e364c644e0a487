//! Where a ring comes from: a provider and its settings. One ring signs; `SIGNET_ALSO_PUBLISH` can name others that are
//! also published and whose tokens are accepted.
//!
//! The others have settings of their own with a prefix: `SIGNET_ALSO_VAULT_KEY`, or `key` in the table `[also.vault]`
//! of the settings file. Variables of their ecosystem may have the same prefix, if they differ from those of the
//! process: `SIGNET_ALSO_VAULT_VAULT_ADDR`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use signet_api::{Custody, Variables};
use signet_config::{Reader, choice};

use super::names::{self, ProviderName, Store};
use super::parse;
use super::unlisted::{Also, AlsoValue};

/// One ring, and how to reach it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The provider of the ring.
    pub provider: ProviderName,
    /// Who computes signatures.
    pub custody: Custody,
    /// The provider's name for the key.
    pub key: String,
    /// Where a sealed ring is stored. `None` for remote custody.
    pub store: Option<Store>,
    /// The key file of the local provider.
    pub local_key_file: PathBuf,
    /// Variables of the provider's ecosystem that differ from those of the process.
    pub overrides: Variables,
}

impl Origin {
    /// A name that distinguishes this ring from others of the same issuer.
    #[must_use]
    pub fn name(&self) -> String {
        let custody = match self.custody {
            Custody::Remote => "remote",
            Custody::Sealed => "sealed",
        };
        format!("{} {custody} {}", self.provider, self.key)
    }

    /// Whether both are the same ring, as far as names can show.
    fn is_same_ring(&self, other: &Self) -> bool {
        (self.provider, self.custody, &self.key, &self.store)
            == (other.provider, other.custody, &other.key, &other.store)
            && self.overrides == other.overrides
    }
}

/// The defaults of an origin.
pub(super) struct Defaults {
    /// The file of the local ring.
    pub(super) ring_file: String,
    /// The key file of the local provider.
    pub(super) key_file: String,
}

impl Defaults {
    /// The default store of a sealed ring. `None` if there is none, because a bucket has no default name.
    pub(super) fn store(&self, provider: ProviderName, key: &str) -> Option<String> {
        match provider {
            ProviderName::Local => Some(format!("file:{}", self.ring_file)),
            // It is not below the record of remote custody, which has other policies.
            ProviderName::Vault => Some(format!("vault:secret/signet-sealed/{key}")),
            ProviderName::AwsKms | ProviderName::AzureKeyVault | ProviderName::GcpKms => None,
        }
    }
}

pub(super) const NO_STORE: &str = "is missing: this provider has no default store for a sealed ring. Write a store that all replicas share, for \
     example s3://bucket/ring.json, gs://bucket/ring.json, az://account/container/ring.json or \
     vault:secret/signet/ring. With file:PATH each machine would have its own ring";

pub(super) const UNUSED_STORE: &str =
    "is not used: with remote custody the provider keeps the whole ring. Remove it, or set custody to sealed";

/// Whether a provider can use this store for a sealed ring. `docs/configuration.md` has the table.
pub(super) fn goes_with(provider: ProviderName, store: &Store) -> Result<(), String> {
    match (provider, store) {
        (ProviderName::Local, Store::With(keeper, place)) => Err(format!(
            "{place:?} does not work with the provider local, which keeps its ring in a file of this machine: each \
             replica would have its own ring. Write file:PATH, or set the provider whose key wraps the \
             ring, such as {keeper}"
        )),
        _ => Ok(()),
    }
}

pub(super) fn unused_key_file(provider: ProviderName) -> String {
    format!("is not used: only the provider local has a key file, and this ring is of {provider}. Remove it")
}

/// The origins in `SIGNET_ALSO_PUBLISH`, in its order. `signs` is the origin of the signing ring.
pub(super) fn also(r: &mut Reader, mut given: Also, defaults: &Defaults, signs: Option<&Origin>) -> Vec<Origin> {
    let listed = r.optional("also_publish", parse::names).unwrap_or_default();
    let mut origins: Vec<Origin> = Vec::new();
    let mut named = Vec::new();
    for name in listed {
        match names::provider(&name) {
            Err(text) => r.refuse("also_publish", text),
            Ok(provider) if named.contains(&provider) => {
                r.refuse("also_publish", format!("names {provider} twice; write it once"));
            }
            Ok(provider) => {
                named.push(provider);
                let values = given.remove(&provider).unwrap_or_default();
                origins.extend(origin(r, provider, values, defaults));
            }
        }
    }
    for (provider, values) in given {
        for value in values.into_values() {
            let text = format!(
                "is set, but SIGNET_ALSO_PUBLISH does not name {provider}; add it there, or remove this \
                         setting"
            );
            r.refuse_at(value.place, text);
        }
    }
    if let Some(signs) = signs.filter(|signs| origins.iter().any(|origin| origin.is_same_ring(signs))) {
        let text = format!(
            "names the ring of {} that already signs; that ring is always published, so remove it",
            signs.provider
        );
        r.refuse("also_publish", text);
    }
    origins
}

fn origin(
    r: &mut Reader,
    provider: ProviderName,
    mut values: BTreeMap<String, AlsoValue>,
    defaults: &Defaults,
) -> Option<Origin> {
    let prefix = format!("SIGNET_ALSO_{}_", provider.in_variables());
    let mut take = |name: &str| {
        let value = values.remove(name);
        let place = value
            .as_ref()
            .map_or_else(|| format!("{prefix}{name} (default)"), |value| value.place.clone());
        (value.map(|value| value.text.to_string()), place)
    };
    let (custody, custody_at) = take("CUSTODY");
    let (key, _) = take("KEY");
    let (store, store_at) = take("STORE");
    let (local_key_file, key_file_at) = take("LOCAL_KEY_FILE");
    if local_key_file.is_some() && provider != ProviderName::Local {
        r.refuse_at(key_file_at, unused_key_file(provider));
        return None;
    }
    let key_file = local_key_file.unwrap_or_else(|| defaults.key_file.clone());
    let key_file = match parse::lasting_path(&key_file) {
        Ok(path) => path,
        Err(text) => {
            r.refuse_at(key_file_at, text);
            return None;
        }
    };
    let key = key.unwrap_or_else(|| "signet".to_owned());
    let custody = custody.unwrap_or_else(|| provider.default_custody().to_owned());
    let custody = match custody_of(provider, &custody) {
        Ok(custody) => custody,
        Err(text) => {
            r.refuse_at(custody_at, text);
            return None;
        }
    };
    if custody == Custody::Remote && store.is_some() {
        r.refuse_at(store_at, UNUSED_STORE.to_owned());
        return None;
    }
    let store = match (custody, store.or_else(|| defaults.store(provider, &key))) {
        (Custody::Remote, _) => None,
        (Custody::Sealed, None) => {
            r.refuse_at(store_at, NO_STORE.to_owned());
            return None;
        }
        (Custody::Sealed, Some(text)) => {
            match names::store(&text).and_then(|store| goes_with(provider, &store).map(|()| store)) {
                Ok(store) => Some(store),
                Err(text) => {
                    r.refuse_at(store_at, text);
                    return None;
                }
            }
        }
    };
    let overrides = values.into_iter().map(|(name, value)| (name, value.text.to_string()));
    Some(Origin {
        provider,
        custody,
        key,
        store,
        local_key_file: key_file,
        overrides: overrides.collect(),
    })
}

/// The custody with this name, if the provider supports it.
pub(super) fn custody_of(provider: ProviderName, text: &str) -> Result<Custody, String> {
    let custody = choice(text, &[("remote", Custody::Remote), ("sealed", Custody::Sealed)])?;
    match (provider, custody) {
        (ProviderName::Local, Custody::Remote) => Err(
            "\"remote\" is not possible with the provider local, because it cannot compute signatures; write sealed"
                .to_owned(),
        ),
        _ => Ok(custody),
    }
}
