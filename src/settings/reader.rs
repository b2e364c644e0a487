//! Reads typed values out of the texts, and gathers what is wrong with them.

use signet_api::Variables;

use super::problem::{Fault, Problem, SettingsError};
use super::sources::{Also, Given, Source, Sources, Tables};
use super::table::{Fallback, SETTINGS, Setting};
use super::{Effective, Settings};

/// Asked for a value that it cannot give, it notes why and answers `None`; [`Reader::finish`] then refuses the whole.
#[derive(Debug)]
pub(super) struct Reader {
    sources: Sources,
    warnings: Vec<String>,
}

impl Reader {
    pub(super) fn new(mut sources: Sources) -> Self {
        for setting in SETTINGS {
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
    pub(super) fn derive(&mut self, name: &'static str, text: &str) {
        self.sources.given.entry(name).or_insert_with(|| by_default(text));
    }

    /// The value of a setting that must have one.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.is_given(name) {
            self.refuse(name, "is missing; write a value".to_owned());
        }
        self.optional(name, parse)
    }

    /// The value of a setting that may have none.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
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

    pub(super) fn is_given(&self, name: &str) -> bool {
        self.sources.given.contains_key(name)
    }

    pub(super) fn source(&self, name: &str) -> Source {
        self.sources
            .given
            .get(name)
            .map_or(Source::Default, |given| given.source)
    }

    /// Whether the relation between these settings may be judged: not when what was written for one of them is lost, be
    /// it with the whole file, by a mistyped name or by a text that does not do. It would be judged by its default.
    pub(super) fn knows(&self, names: &[&str]) -> bool {
        let is_lost = |problem: &Problem| problem.setting.is_some_and(|setting| names.contains(&setting));
        !self.sources.is_file_lost && !self.sources.problems.iter().any(is_lost)
    }

    /// Notes what a text such as `auto` came to mean.
    pub(super) fn resolve(&mut self, name: &str, text: &str) {
        if let Some(given) = self.sources.given.get_mut(name) {
            text.clone_into(&mut given.text);
        }
    }

    pub(super) fn refuse(&mut self, name: &'static str, text: String) {
        let place = self.place(name);
        self.sources.problems.push(Problem {
            setting: Some(name),
            place,
            text,
            fault: Fault::Text,
        });
    }

    /// Refuses what is no setting of the table.
    pub(super) fn refuse_at(&mut self, place: String, text: String) {
        self.sources.problems.push(Problem {
            setting: None,
            place,
            text,
            fault: Fault::Text,
        });
    }

    /// The settings of the providers that are also published, and the variables of all ecosystems.
    pub(super) fn take_ecosystems(&mut self) -> (Also, Variables) {
        let variables = std::mem::take(&mut self.sources.variables);
        (std::mem::take(&mut self.sources.also), variables.into_iter().collect())
    }

    /// What the settings file says of the issuers that are trusted.
    pub(super) fn take_trusted_issuers(&mut self) -> Tables {
        std::mem::take(&mut self.sources.trusted_issuers)
    }

    /// What to call the table of a trusted issuer, or a key in it.
    pub(super) fn place_of_trusted_issuer(&self, issuer: &str, key: Option<&str>) -> String {
        let key = key.map_or_else(String::new, |key| format!(".{key}"));
        self.sources.place_in_file(&format!("trusted_issuers.{issuer:?}{key}"))
    }

    pub(super) fn warn(&mut self, name: &'static str, text: &str) {
        let place = self.place(name);
        self.warnings.push(format!("{place}: {text}"));
    }

    /// What to call a setting in a message.
    pub(super) fn place(&self, name: &str) -> String {
        Setting::named(name).map_or_else(String::new, |setting| self.sources.place(setting, self.source(name)))
    }

    /// The settings, unless there is any problem.
    pub(super) fn finish(self, settings: Option<Settings>) -> Result<Settings, SettingsError> {
        let problems = self.sources.problems;
        match settings {
            Some(mut settings) if problems.is_empty() => {
                let given = self.sources.given;
                settings.effective = SETTINGS
                    .iter()
                    .map(|setting| {
                        let given = given.get(setting.name);
                        Effective {
                            setting,
                            value: given.map(|given| given.text.clone()),
                            source: given.map_or(Source::Default, |given| given.source),
                        }
                    })
                    .collect();
                settings.warnings = self.warnings;
                Ok(settings)
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
