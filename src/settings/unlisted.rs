//! Settings that are not in the table: the variables of the providers' ecosystems, the settings of rings that are also
//! published, and the tables of trusted issuers. Problems with proxies and certificate authorities, which all clients
//! of this process use, are reported here too.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use signet_config::{EMPTY, Extras, Fault, Problem, Setting};
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::authorities;
use super::names::{OF_ALSO, ProviderName};
use crate::proxies;

/// The tables of the settings file, by issuer.
pub(super) type Tables = BTreeMap<String, Table>;

/// A setting of a ring that is also published. It may be secret, like a variable of the provider.
pub(super) struct AlsoValue {
    pub(super) text: Zeroizing<String>,
    pub(super) place: String,
}

/// Leaves out the value, because the `Debug` of `Zeroizing` prints it.
impl fmt::Debug for AlsoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, place } = self;
        f.debug_struct("AlsoValue")
            .field("place", place)
            .finish_non_exhaustive()
    }
}

/// These settings by provider, and by the name after the prefix.
pub(super) type Also = BTreeMap<ProviderName, BTreeMap<String, AlsoValue>>;

/// The unlisted settings that were given.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    pub(super) also: Also,
    /// The tables of trusted issuers in the settings file.
    pub(super) trusted_issuers: Tables,
    /// The variables of the providers' ecosystems.
    pub(super) variables: Vec<(String, String)>,
}

impl Extras for Unlisted {
    fn problems(&self, env: &BTreeMap<OsString, OsString>) -> Vec<Problem> {
        let problem = |variable: &str, text, fault| Problem {
            setting: None,
            place: format!("{variable} (environment)"),
            text,
            fault,
        };
        let proxies = proxies::problems(|name| env.get(OsStr::new(name)).cloned());
        let proxies = proxies
            .into_iter()
            .map(|wrong| problem(wrong.variable, wrong.text, Fault::Text));
        let authorities = authorities::problems(env)
            .into_iter()
            .map(|(variable, text)| problem(variable, text, Fault::Environment));
        proxies.chain(authorities).collect()
    }

    fn on_other_variable(&mut self, variable: &str, value: &OsStr) {
        if is_of_an_ecosystem(variable, ProviderName::ALL)
            && let Some(text) = value.to_str()
        {
            self.variables.push((variable.to_owned(), text.to_owned()));
        }
    }

    fn take_variable(&mut self, name: &str, text: &str, place: &str) -> bool {
        // The gateway reads and checks its own settings. In one image, both programs have the same environment.
        name.starts_with("GATEWAY_") || self.take_also(name.strip_prefix("ALSO_"), text, place)
    }

    /// Takes the tables below `[also]`, such as `[also.vault]` with `key = "…"` and `VAULT_ADDR = "…"`.
    fn take_table(&mut self, key: &str, table: &Table, place: &dyn Fn(&str) -> String) -> Option<Vec<Problem>> {
        (key == "also").then(|| self.take_also_tables(table, place))
    }

    /// Takes the tables below `[trusted_issuers]`. Their names are the issuers, unless the
    /// environment lists the issuers.
    fn take_table_of(&mut self, setting: &Setting, table: &Table) -> Option<Result<String, String>> {
        if setting.name != "trusted_issuers" {
            return None;
        }
        let Some(tables) = tables(table) else {
            let text = "must be a list of URLs, or a table for each: [trusted_issuers.\"https://login.example.com/\"]";
            return Some(Err(text.to_owned()));
        };
        let names: Vec<&str> = tables.keys().map(String::as_str).collect();
        let names = names.join(",");
        self.trusted_issuers = tables;
        Some(Ok(names))
    }
}

impl Unlisted {
    /// Stores a setting of a ring that is also published. The environment comes before the file. Returns `false` if
    /// it is not such a setting.
    fn take_also(&mut self, name: Option<&str>, text: &str, place: &str) -> bool {
        let Some((provider, name)) = name.and_then(of_a_provider) else {
            return false;
        };
        let value = AlsoValue {
            text: Zeroizing::new(text.trim().to_owned()),
            place: place.to_owned(),
        };
        let settings = self.also.entry(provider).or_default();
        settings.entry(name.to_owned()).or_insert(value);
        true
    }

    fn take_also_tables(&mut self, tables: &Table, place: &dyn Fn(&str) -> String) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |place, text: &str| {
            problems.push(Problem {
                setting: None,
                place,
                text: text.to_owned(),
                fault: Fault::Text,
            });
        };
        for (provider, table) in tables {
            let Some(table) = table.as_table() else {
                let text = "must be a table: write [also.PROVIDER] with custody, key, store, local_key_file or a variable of \
                            the provider's own ecosystem, each a text in quotes";
                refuse(place(&format!("also.{provider}")), text);
                continue;
            };
            for (key, value) in table {
                let place = place(&format!("also.{provider}.{key}"));
                if value.as_str().is_some_and(|text| text.trim().is_empty()) {
                    refuse(place, EMPTY);
                    continue;
                }
                let name = format!(
                    "{}_{}",
                    provider.to_ascii_uppercase().replace('-', "_"),
                    key.to_ascii_uppercase()
                );
                let taken = value
                    .as_str()
                    .is_some_and(|text| self.take_also(Some(&name), text, &place));
                if !taken {
                    let text = "is not a setting of a provider in SIGNET_ALSO_PUBLISH: in [also.PROVIDER] write custody, \
                         key, store, local_key_file or one of the provider's own variables, \
                         each a text in quotes";
                    refuse(place, text);
                }
            }
        }
        problems
    }
}

/// Whether a variable belongs to one of these providers.
fn is_of_an_ecosystem(variable: &str, providers: &[ProviderName]) -> bool {
    let mut known = providers.iter().flat_map(|provider| provider.ecosystem());
    known.any(|name| variable == *name || (name.ends_with('_') && variable.starts_with(name)))
}

/// Splits `AWS_KMS_KEY` into the provider `aws-kms` and its setting `KEY`.
fn of_a_provider(name: &str) -> Option<(ProviderName, &str)> {
    ProviderName::ALL.iter().find_map(|provider| {
        let rest = name.strip_prefix(&provider.in_variables())?.strip_prefix('_')?;
        (OF_ALSO.contains(&rest) || is_of_an_ecosystem(rest, &[*provider])).then_some((*provider, rest))
    })
}

/// The tables in a table. `None` if a value is not a table.
fn tables(table: &Table) -> Option<Tables> {
    let table_of = |(name, value): (&String, &Value)| Some((name.clone(), value.as_table()?.clone()));
    table.iter().map(table_of).collect()
}
