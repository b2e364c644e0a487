//! The reader turns texts into typed values and collects the problems.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::ArgMatches;

use crate::effective::Effective;
use crate::extras::Extras;
use crate::problem::{Fault, Problem, SettingsError};
use crate::sources::{self, Given, Source, Sources};
use crate::table::{Fallback, Table};

/// Reads typed values. If a value is missing or wrong, the reader notes the problem and returns `None`;
/// [`Reader::finish`] then fails with all problems.
#[derive(Debug)]
pub struct Reader {
    sources: Sources,
    warnings: Vec<String>,
}

/// The settings of a program, and where each came from.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The typed settings.
    pub settings: T,
    /// All settings with their values and sources, in the order of the table.
    pub effective: Vec<Effective>,
    /// One sentence for each setting that is valid but probably not what was meant.
    pub warnings: Vec<String>,
}

impl Reader {
    /// Collects the given values for the settings of a table. From the environment, it reads only variables with the
    /// table's prefix and those known to `extras`. `read_file` reads the settings file, if one is named.
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

    /// Sets the default of a setting whose default is derived.
    pub fn derive(&mut self, name: &'static str, text: &str) {
        self.sources.given.entry(name).or_insert_with(|| by_default(text));
    }

    /// Reads a setting that must have a value.
    pub fn required<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.is_given(name) {
            self.refuse(name, "is missing; write a value".to_owned());
        }
        self.optional(name, parse)
    }

    /// Reads a setting that may have no value.
    pub fn optional<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(&self.sources.given.get(name)?.text) {
            Ok(value) => Some(value),
            Err(text) => {
                self.refuse(name, text);
                // A default that fails was derived from the machine, so no text of the user is at fault.
                if self.source(name) == Source::Default
                    && let Some(problem) = self.sources.problems.last_mut()
                {
                    problem.fault = Fault::Environment;
                }
                None
            }
        }
    }

    /// Whether the setting has a value, including a default.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.sources.given.contains_key(name)
    }

    /// The source of the setting's value.
    #[must_use]
    pub fn source(&self, name: &str) -> Source {
        self.sources
            .given
            .get(name)
            .map_or(Source::Default, |given| given.source)
    }

    /// Whether the values of these settings are all known, and may be compared with each other.
    ///
    /// If the value of one was lost, because the file could not be read, its name was misspelled or its text was wrong,
    /// the comparison would use its default.
    #[must_use]
    pub fn knows(&self, names: &[&str]) -> bool {
        let is_lost = |problem: &Problem| problem.setting.is_some_and(|setting| names.contains(&setting));
        !self.sources.is_file_lost && !self.sources.problems.iter().any(is_lost)
    }

    /// Records the value that a text such as `auto` stands for.
    pub fn resolve(&mut self, name: &str, text: &str) {
        if let Some(given) = self.sources.given.get_mut(name) {
            text.clone_into(&mut given.text);
        }
    }

    /// Reports a problem with the value of a setting.
    pub fn refuse(&mut self, name: &'static str, text: String) {
        let place = self.place(name);
        self.sources.problems.push(Problem {
            setting: Some(name),
            place,
            text,
            fault: Fault::Text,
        });
    }

    /// Reports something that is not a setting of the table.
    pub fn refuse_at(&mut self, place: String, text: String) {
        self.sources.problems.push(Problem {
            setting: None,
            place,
            text,
            fault: Fault::Text,
        });
    }

    /// The name of a key of the settings file for a message.
    #[must_use]
    pub fn place_in_file(&self, key: &str) -> String {
        self.sources.place_in_file(key)
    }

    /// Warns about a valid value that is probably not what was meant.
    pub fn warn(&mut self, name: &'static str, text: &str) {
        let place = self.place(name);
        self.warnings.push(format!("{place}: {text}"));
    }

    /// The name of a setting for a message.
    #[must_use]
    pub fn place(&self, name: &str) -> String {
        let setting = self.sources.table.named(name);
        setting.map_or_else(String::new, |setting| self.sources.place(setting, self.source(name)))
    }

    /// Returns the settings if there was no problem.
    ///
    /// # Errors
    /// All problems.
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
