//! Reads typed values out of the texts, and gathers what is wrong with them.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::ArgMatches;

use crate::effective::Effective;
use crate::extras::Extras;
use crate::problem::{Fault, Problem, SettingsError};
use crate::sources::{self, Given, Source, Sources};
use crate::table::{Fallback, Table};

/// Asked for a value that it cannot give, it notes why and answers `None`; [`Reader::finish`] then refuses the whole.
#[derive(Debug)]
pub struct Reader {
    sources: Sources,
    warnings: Vec<String>,
}

/// What a program made of its settings, and how they came out.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The typed values.
    pub settings: T,
    /// Every setting with its value and where that came from, in the order of the table.
    pub effective: Vec<Effective>,
    /// What will do but is likely not meant, a sentence each.
    pub warnings: Vec<String>,
}

impl Reader {
    /// Collects what is given for the settings of a table. Of the environment only variables with the table's prefix count, and
    /// those that `extras` knows; `read_file` is asked for the settings file, if one is named.
    pub fn new(
        table: &'static Table,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &ArgMatches,
        read_file: impl FnOnce(&Path) -> io::Result<String>,
        extras: &mut dyn Extras,
    ) -> Self {
        let mut sources = sources::collect(table, env, flags, read_file, extras);
        for setting in table.settings {
            if let Fallback::Literal(text) = setting.fallback {
                sources.given.entry(setting.name).or_insert_with(|| by_default(text));
            }
        }
        Self {
            sources,
            warnings: Vec::new(),
        }
    }

    /// Gives a derived default.
    pub fn derive(&mut self, name: &'static str, text: &str) {
        self.sources.given.entry(name).or_insert_with(|| by_default(text));
    }

    /// The value of a setting that must have one.
    pub fn required<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.is_given(name) {
            self.refuse(name, "is missing; write a value".to_owned());
        }
        self.optional(name, parse)
    }

    /// The value of a setting that may have none.
    pub fn optional<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.sources.given.get(name)?.text) {
            Ok(value) => Some(value),
            Err(text) => {
                self.refuse(name, text);
                // A default that does not do is nobody's text: it was derived from the machine.
                if self.source(name) == Source::Default
                    && let Some(problem) = self.sources.problems.last_mut()
                {
                    problem.fault = Fault::Environment;
                }
                None
            }
        }
    }

    /// Whether it has a value, which may be a default.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.sources.given.contains_key(name)
    }

    /// Where its value came from.
    #[must_use]
    pub fn source(&self, name: &str) -> Source {
        self.sources
            .given
            .get(name)
            .map_or(Source::Default, |given| given.source)
    }

    /// Whether the relation between these settings may be judged: not when what was written for one of them is lost,
    /// with the whole file, by a mistyped name or by a text that does not do. It would be judged by its default.
    #[must_use]
    pub fn knows(&self, names: &[&str]) -> bool {
        let is_lost = |problem: &Problem| problem.setting.is_some_and(|setting| names.contains(&setting));
        !self.sources.is_file_lost && !self.sources.problems.iter().any(is_lost)
    }

    /// Notes what a text such as `auto` came to mean.
    pub fn resolve(&mut self, name: &str, text: &str) {
        if let Some(given) = self.sources.given.get_mut(name) {
            text.clone_into(&mut given.text);
        }
    }

    /// Refuses what is given for a setting.
    pub fn refuse(&mut self, name: &'static str, text: String) {
        let place = self.place(name);
        self.sources.problems.push(Problem {
            setting: Some(name),
            place,
            text,
            fault: Fault::Text,
        });
    }

    /// Refuses what is no setting of the table.
    pub fn refuse_at(&mut self, place: String, text: String) {
        self.sources.problems.push(Problem {
            setting: None,
            place,
            text,
            fault: Fault::Text,
        });
    }

    /// What to call a key of the settings file in a message.
    #[must_use]
    pub fn place_in_file(&self, key: &str) -> String {
        self.sources.place_in_file(key)
    }

    /// Notes what will do but is likely not meant.
    pub fn warn(&mut self, name: &'static str, text: &str) {
        let place = self.place(name);
        self.warnings.push(format!("{place}: {text}"));
    }

    /// What to call a setting in a message.
    #[must_use]
    pub fn place(&self, name: &str) -> String {
        let setting = self.sources.table.named(name);
        setting.map_or_else(String::new, |setting| self.sources.place(setting, self.source(name)))
    }

    /// What was made of the settings, unless there is any problem.
    ///
    /// # Errors
    /// Every problem.
    pub fn finish<T>(self, settings: Option<T>) -> Result<Loaded<T>, SettingsError> {
        let Sources {
            table, given, problems, ..
        } = self.sources;
        match settings {
            Some(settings) if problems.is_empty() => {
                let effective = table.settings.iter().map(|setting| {
                    let given = given.get(setting.name);
                    Effective {
                        setting,
                        variable: table.variable(setting),
                        value: given.map(|given| given.text.clone()),
                        source: given.map_or(Source::Default, |given| given.source),
                    }
                });
                Ok(Loaded {
                    settings,
                    effective: effective.collect(),
                    warnings: self.warnings,
                })
            }
            _ => Err(SettingsError { problems }),
        }
    }
}

fn by_default(text: &str) -> Given {
    Given {
        text: text.to_owned(),
        source: Source::Default,
    }
}
