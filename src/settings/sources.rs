//! Where values come from: default < settings file < environment < flag. Here they are texts still; what is checked is
//! that each belongs to a setting.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use toml::{Table, Value};
use zeroize::Zeroizing;

use super::authorities;
use super::names::{OF_ALSO, ProviderName};
use super::parse;
use super::problem::{Fault, Problem};
use super::table::{Kind, SETTINGS, Setting};
use super::unknown::{is_from_kubernetes, nearest};
use crate::proxies;

/// The tables of the file, by issuer, and where each stands.
pub(super) type Tables = BTreeMap<String, Table>;

/// Where a value comes from, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Given nowhere.
    Default,
    /// The settings file.
    File,
    /// An environment variable.
    Environment,
    /// A flag of the command line.
    Flag,
}

impl Source {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text of a setting, and where it stood.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
}

/// A setting of a provider that is also published. It may be secret, as a variable of its ecosystem is.
#[derive(Debug)]
pub(super) struct AlsoValue {
    pub(super) text: Zeroizing<String>,
    pub(super) place: String,
}

/// Those settings, by provider and by the name after the prefix.
pub(super) type Also = BTreeMap<ProviderName, BTreeMap<String, AlsoValue>>;

/// All texts that were given, for each setting the strongest.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) given: BTreeMap<&'static str, Given>,
    pub(super) file: Option<PathBuf>,
    pub(super) problems: Vec<Problem>,
    pub(super) also: Also,
    /// What the file says of the issuers that are trusted.
    pub(super) trusted_issuers: Tables,
    /// The variables of the providers' ecosystems.
    pub(super) variables: Vec<(String, String)>,
    /// The file could not be read, so that nothing may be concluded from a setting that is not given.
    pub(super) is_file_lost: bool,
}

/// Collects them.
pub(super) fn collect(
    env: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &ArgMatches,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
) -> Sources {
    let mut sources = Sources::default();
    for setting in SETTINGS {
        // A verb that does not take the flag has not given it.
        if let Ok(Some(text)) = flags.try_get_one::<String>(setting.name) {
            sources.give(setting, Source::Flag, text);
        }
    }
    sources.take_environment(env);
    if let Some(config) = sources.given.get("config") {
        match parse::path(&config.text).map(|path| (read_file(&path), path)) {
            Ok((Ok(text), path)) => {
                sources.file = Some(path);
                sources.take_file(&text);
            }
            Ok((Err(error), path)) => {
                sources.lose_file(format!("{} cannot be read: {error}", path.display()), error.kind());
            }
            Err(text) => sources.lose_file(text, io::ErrorKind::InvalidData),
        }
    }
    sources
}

impl Sources {
    /// What to call a setting's value in a message: by the name under which its author knows it.
    pub(super) fn place(&self, setting: &Setting, source: Source) -> String {
        match source {
            Source::Default => format!("{} or {} (default)", setting.variable(), setting.flag()),
            Source::File => self.place_in_file(setting.name),
            Source::Environment => format!("{} (environment)", setting.variable()),
            Source::Flag => format!("{} (flag)", setting.flag()),
        }
    }

    pub(super) fn place_in_file(&self, key: &str) -> String {
        let file = self.file.as_deref().unwrap_or(Path::new("settings file"));
        format!("{key} (file {})", file.display())
    }

    fn take_environment(&mut self, env: impl IntoIterator<Item = (OsString, OsString)>) {
        // Sorted, so that the same environment gives the same report.
        let env: BTreeMap<_, _> = env.into_iter().collect();
        for wrong in proxies::problems(|name| env.get(OsStr::new(name)).cloned()) {
            self.problems.push(Problem {
                setting: None,
                place: format!("{} (environment)", wrong.variable),
                text: wrong.text,
                fault: Fault::Text,
            });
        }
        for (variable, text) in authorities::problems(&env) {
            self.problems.push(Problem {
                setting: None,
                place: format!("{variable} (environment)"),
                text,
                fault: Fault::Environment,
            });
        }
        for (variable, value) in env {
            let variable = variable.to_string_lossy();
            let Some(name) = variable.strip_prefix("SIGNET_") else {
                if is_of_an_ecosystem(&variable, ProviderName::ALL)
                    && let Some(text) = value.to_str()
                {
                    self.variables.push((variable.into_owned(), text.to_owned()));
                }
                continue;
            };
            let text = value.to_string_lossy();
            if text.trim().is_empty() {
                continue;
            }
            let known = SETTINGS.iter().find(|setting| setting.variable() == *variable);
            match known {
                Some(setting) if value.to_str().is_none() => {
                    let place = self.place(setting, Source::Environment);
                    self.refuse(Some(setting), place, "is not UTF-8 text".to_owned());
                }
                Some(setting) => self.give(setting, Source::Environment, &text),
                None if is_from_kubernetes(&variable, &text) => {}
                None if self.take_also(name.strip_prefix("ALSO_"), &text, &format!("{variable} (environment)")) => {}
                None => {
                    let meant = nearest(name);
                    let hint = meant.map(Setting::variable);
                    self.refuse(meant, format!("{variable} (environment)"), not_a_setting(hint));
                }
            }
        }
    }

    fn take_file(&mut self, text: &str) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.lose_file(not_toml(&error, text), io::ErrorKind::InvalidData),
        };
        for (key, value) in table {
            match Setting::named(&key) {
                Some(setting) if setting.name == "config" => {
                    let text = "cannot be set in the settings file itself; remove it".to_owned();
                    self.refuse(Some(setting), self.place_in_file("config"), text);
                }
                Some(setting) if setting.name == "trusted_issuers" && value.is_table() => {
                    self.take_trusted_issuers(setting, value);
                }
                Some(setting) => match text_of(setting.kind, value) {
                    Ok(text) => self.give(setting, Source::File, &text),
                    Err(text) => self.refuse(Some(setting), self.place_in_file(setting.name), text),
                },
                None if key == "also" && value.is_table() => self.take_also_tables(value),
                None => {
                    let meant = nearest(&key);
                    let hint = meant.map(|setting| setting.name.to_owned());
                    // The key is quoted as TOML would, as it may be any text.
                    self.refuse(meant, self.place_in_file(&format!("{key:?}")), not_a_setting(hint));
                }
            }
        }
    }

    /// Keeps a setting of a provider that is also published, the environment's before the file's. `false`: it is none.
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

    /// `[also.vault]` with `key = "…"`, `VAULT_ADDR = "…"` and the like.
    fn take_also_tables(&mut self, tables: Value) {
        for (provider, table) in tables.as_table().into_iter().flatten() {
            for (key, value) in table.as_table().into_iter().flatten() {
                let place = self.place_in_file(&format!("also.{provider}.{key}"));
                if value.as_str().is_some_and(|text| text.trim().is_empty()) {
                    self.refuse(None, place, EMPTY.to_owned());
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
                    let text = "is not a setting of a provider that is also published: write [also.PROVIDER] with \
                                custody, key, store, local_key_file or a variable of the provider's own ecosystem, each \
                                a text in quotes";
                    self.refuse(None, place, text.to_owned());
                }
            }
        }
    }

    /// `[trusted_issuers."https://login.example.com/"]`: the tables name the issuers, unless the environment does.
    fn take_trusted_issuers(&mut self, setting: &'static Setting, value: Value) {
        match tables(value) {
            Some(tables) => {
                let names: Vec<&str> = tables.keys().map(String::as_str).collect();
                self.give(setting, Source::File, &names.join(","));
                self.trusted_issuers = tables;
            }
            None => {
                let text =
                    "must be a list of URLs, or a table for each: [trusted_issuers.\"https://login.example.com/\"]";
                self.refuse(Some(setting), self.place_in_file(setting.name), text.to_owned());
            }
        }
    }

    fn lose_file(&mut self, text: String, kind: io::ErrorKind) {
        self.is_file_lost = true;
        let config = Setting::named("config");
        let source = self.given.get("config").map_or(Source::Default, |given| given.source);
        self.problems.push(Problem {
            setting: config.map(|setting| setting.name),
            place: config.map_or_else(String::new, |setting| self.place(setting, source)),
            text,
            fault: match kind {
                io::ErrorKind::InvalidData => Fault::Text,
                _ => Fault::Environment,
            },
        });
    }

    /// Keeps a text. The strongest source is asked first, so what is there already stays.
    fn give(&mut self, setting: &'static Setting, source: Source, text: &str) {
        let text = text.trim();
        let wrong = if text.is_empty() && setting.kind != Kind::List {
            EMPTY
        } else if text.chars().any(char::is_control) {
            "contains a control character; write it on one line"
        } else {
            self.given.entry(setting.name).or_insert_with(|| Given {
                text: text.to_owned(),
                source,
            });
            return;
        };
        self.refuse(Some(setting), self.place(setting, source), wrong.to_owned());
    }

    fn refuse(&mut self, setting: Option<&'static Setting>, place: String, text: String) {
        self.problems.push(Problem {
            setting: setting.map(|setting| setting.name),
            place,
            text,
            fault: Fault::Text,
        });
    }
}

/// The problem of a value that says nothing.
pub(super) const EMPTY: &str = "is empty; write a value, or leave it out";

/// Whether a variable is one of these providers' own.
fn is_of_an_ecosystem(variable: &str, providers: &[ProviderName]) -> bool {
    let mut known = providers.iter().flat_map(|provider| provider.ecosystem());
    known.any(|name| variable == *name || (name.ends_with('_') && variable.starts_with(name)))
}

/// `AWS_KMS_KEY` is the setting `KEY` of `aws-kms`.
fn of_a_provider(name: &str) -> Option<(ProviderName, &str)> {
    ProviderName::ALL.iter().find_map(|provider| {
        let rest = name.strip_prefix(&provider.in_variables())?.strip_prefix('_')?;
        (OF_ALSO.contains(&rest) || is_of_an_ecosystem(rest, &[*provider])).then_some((*provider, rest))
    })
}

fn not_a_setting(meant: Option<String>) -> String {
    match meant {
        Some(meant) => format!("is not a setting; did you mean {meant}?"),
        None => "is not a setting; remove it (`signet serve --help` lists all)".to_owned(),
    }
}

/// The parser's own message would show the line of the file, which is nobody else's to see.
fn not_toml(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("is not TOML at line {line}: {}", error.message())
}

/// A TOML value as the text that an environment variable would have.
pub(super) fn text_of(kind: Kind, value: Value) -> Result<String, String> {
    match (kind, value) {
        (_, Value::String(text)) => Ok(text),
        (Kind::Switch, Value::Boolean(value)) => Ok(value.to_string()),
        (Kind::Number | Kind::List | Kind::Duration, Value::Integer(number)) => Ok(number.to_string()),
        (Kind::List, Value::Array(items)) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(item).collect();
            Ok(items?.join(","))
        }
        // TOML reads 0660 as an error and 0o660 as 432: only in quotes does it mean what it says.
        (Kind::Mode, Value::Integer(_)) => Err("must stand in quotes; write for example \"0660\"".to_owned()),
        (Kind::List, _) => Err("must be a list; write for example [\"one\", \"two\"]".to_owned()),
        (Kind::Number, _) => Err("must be a whole number".to_owned()),
        (Kind::Switch, _) => Err("must be true or false".to_owned()),
        (_, _) => Err("must be a text; write it in quotes".to_owned()),
    }
}

fn item(value: Value) -> Result<String, String> {
    match value {
        // It would vanish between the commas, and what the list falls back to is not what somebody wrote.
        Value::String(text) if text.trim().is_empty() => {
            Err("has an empty item (\"\"); write a value in its place, or remove it".to_owned())
        }
        Value::String(text) if text.contains(',') => {
            Err(format!("{text:?} contains a comma; write it as several items"))
        }
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        _ => Err("must be a list of texts or numbers".to_owned()),
    }
}

/// The tables, if it is tables; `None` is a mistake.
fn tables(value: Value) -> Option<Tables> {
    let Value::Table(tables) = value else { return None };
    tables
        .into_iter()
        .map(|(name, value)| match value {
            Value::Table(table) => Some((name, table)),
            _ => None,
        })
        .collect()
}
