//! Collects the texts of settings from their sources: default < settings file < environment < flag. Here a value is
//! still a text; only its name is checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::extras::Extras;
use crate::parse;
use crate::problem::{Fault, Problem};
use crate::table::{Kind, Setting, Table};
use crate::unknown::{is_from_kubernetes, nearest};
use crate::values::{EMPTY, text_of};

/// The source of a value, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The value is the default.
    Default,
    /// The value is from the settings file.
    File,
    /// The value is from an environment variable.
    Environment,
    /// The value is from a command line flag.
    Flag,
}

impl Source {
    /// The name of the source in output.
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

/// The text of a setting and its source.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// All settings that have a text, each from its strongest source.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) table: &'static Table,
    pub(crate) given: BTreeMap<&'static str, Given>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) problems: Vec<Problem>,
    /// The settings file could not be read. A setting without a text may be in the file.
    pub(crate) is_file_lost: bool,
}

/// Collects the texts from all sources.
pub(crate) fn collect(
    table: &'static Table,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &ArgMatches,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
    extras: &mut dyn Extras,
) -> Sources {
    let mut sources = Sources {
        table,
        given: BTreeMap::new(),
        file: None,
        problems: Vec::new(),
        is_file_lost: false,
    };
    for setting in table.settings {
        // A subcommand that does not have the flag returns an error here.
        if let Ok(Some(text)) = flags.try_get_one::<String>(setting.name) {
            sources.give(setting, Source::Flag, text);
        }
    }
    sources.take_environment(env, extras);
    if let Some(file) = table.file.and_then(|name| sources.given.get(name)) {
        match parse::path(&file.text).map(|path| (read_file(&path), path)) {
            Ok((Ok(text), path)) => {
                sources.file = Some(path);
                sources.take_file(&text, extras);
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
    /// The name of a setting's value for a message, as its author wrote it.
    pub(crate) fn place(&self, setting: &Setting, source: Source) -> String {
        match source {
            Source::Default => format!("{} or {} (default)", self.table.variable(setting), setting.flag()),
            Source::File => self.place_in_file(setting.name),
            Source::Environment => format!("{} (environment)", self.table.variable(setting)),
            Source::Flag => format!("{} (flag)", setting.flag()),
        }
    }

    pub(crate) fn place_in_file(&self, key: &str) -> String {
        let file = self.file.as_deref().unwrap_or(Path::new("settings file"));
        format!("{key} (file {})", file.display())
    }

    fn take_environment(&mut self, env: impl IntoIterator<Item = (OsString, OsString)>, extras: &mut dyn Extras) {
        // Sorted, because the same environment must give the same report.
        let env: BTreeMap<_, _> = env.into_iter().collect();
        self.problems.extend(extras.problems(&env));
        let table = self.table;
        for (variable, value) in env {
            let variable = variable.to_string_lossy();
            let Some(name) = variable.strip_prefix(table.prefix) else {
                extras.on_other_variable(&variable, &value);
                continue;
            };
            let text = value.to_string_lossy();
            if text.trim().is_empty() {
                continue;
            }
            let known = table
                .settings
                .iter()
                .find(|setting| table.variable(setting) == *variable);
            match known {
                Some(setting) if value.to_str().is_none() => {
                    let place = self.place(setting, Source::Environment);
                    self.refuse(Some(setting), place, "is not UTF-8 text".to_owned());
                }
                Some(setting) if is_quoted(&text) => {
                    self.refuse(
                        Some(setting),
                        self.place(setting, Source::Environment),
                        QUOTED.to_owned(),
                    );
                }
                Some(setting) => self.give(setting, Source::Environment, &text),
                None if is_from_kubernetes(table, &variable, &text) => {}
                None if extras.take_variable(name, &text, &format!("{variable} (environment)")) => {
                    if is_quoted(&text) {
                        self.refuse(None, format!("{variable} (environment)"), QUOTED.to_owned());
                    }
                }
                None => {
                    let meant = nearest(table, name);
                    let hint = meant.map(|setting| table.variable(setting));
                    self.refuse(meant, format!("{variable} (environment)"), self.not_a_setting(hint));
                }
            }
        }
    }

    fn take_file(&mut self, text: &str, extras: &mut dyn Extras) {
        let values: toml::Table = match text.parse() {
            Ok(values) => values,
            Err(error) => return self.lose_file(not_toml(&error, text), io::ErrorKind::InvalidData),
        };
        for (key, value) in values {
            match self.table.named(&key) {
                Some(setting) if self.table.file == Some(setting.name) => {
                    let text = "cannot be set in the settings file itself; remove it".to_owned();
                    self.refuse(Some(setting), self.place_in_file(setting.name), text);
                }
                Some(setting) => {
                    let taken = value.as_table().and_then(|table| extras.take_table_of(setting, table));
                    match taken.unwrap_or_else(|| text_of(setting.kind, value)) {
                        Ok(text) => self.give(setting, Source::File, &text),
                        Err(text) => self.refuse(Some(setting), self.place_in_file(setting.name), text),
                    }
                }
                None => {
                    let place = |key: &str| self.place_in_file(key);
                    let taken = value
                        .as_table()
                        .and_then(|table| extras.take_table(&key, table, &place));
                    if let Some(problems) = taken {
                        self.problems.extend(problems);
                        continue;
                    }
                    let meant = nearest(self.table, &key);
                    let hint = meant.map(|setting| setting.name.to_owned());
                    // The key may be any text, so it is quoted as in TOML.
                    self.refuse(meant, self.place_in_file(&format!("{key:?}")), self.not_a_setting(hint));
                }
            }
        }
    }

    fn lose_file(&mut self, text: String, kind: io::ErrorKind) {
        self.is_file_lost = true;
        let file = self.table.file.and_then(|name| self.table.named(name));
        let given = file.and_then(|setting| self.given.get(setting.name));
        let source = given.map_or(Source::Default, |given| given.source);
        self.problems.push(Problem {
            setting: file.map(|setting| setting.name),
            place: file.map_or_else(String::new, |setting| self.place(setting, source)),
            text,
            fault: match kind {
                io::ErrorKind::InvalidData => Fault::Text,
                _ => Fault::Environment,
            },
        });
    }

    /// Stores a text, unless there is one. Sources are read from the strongest to the weakest.
    fn give(&mut self, setting: &'static Setting, source: Source, text: &str) {
        let text = text.trim();
        let wrong = if text.is_empty() && setting.kind != Kind::List {
            EMPTY
        } else if text.chars().any(char::is_control) {
            "contains a control character; remove it, and write the value on one line"
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

    fn not_a_setting(&self, meant: Option<String>) -> String {
        match meant {
            Some(meant) => format!("is not a setting; did you mean {meant}?"),
            None => format!("is not a setting; remove it (`{}` lists all)", self.table.list),
        }
    }
}

/// The error for a file that is not TOML. The parser's own message is not used, because it quotes a
/// line, which may hold a secret.
fn not_toml(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("is not TOML at line {line}: {}", error.message())
}

/// The problem with a value whose quotes were meant for a shell.
const QUOTED: &str = "begins and ends with a quote, which is part of the value: a shell and systemd remove quotes, but docker \
     --env-file keeps them. Write the value without quotes";

fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    let is_between = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    is_between('"') || is_between('\'')
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use crate::table::Fallback;
    use crate::{NoExtras, Reader, flags};

    const fn setting(name: &'static str, kind: Kind) -> Setting {
        Setting {
            name,
            group: "General",
            kind,
            fallback: Fallback::Absent,
            help: "",
        }
    }

    static TABLE: Table = Table {
        settings: &[setting("file", Kind::Path), setting("workers", Kind::Number)],
        prefix: "GATE_",
        list: "gate run --help",
        file: Some("file"),
    };

    fn problems(table: &'static Table, env: &[(&str, &str)], file: &str) -> Vec<String> {
        let matches = Command::new("gate").args(flags(table)).get_matches_from(["gate"]);
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        let reader = Reader::new(table, env, &matches, |_| Ok(file.to_owned()), &mut NoExtras);
        let refused = reader.finish(Some(()));
        let problems = refused.err().map(|error| error.problems).unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_message_has_the_names_of_the_program_whose_table_it_is() {
        let env = [
            ("GATE_FILE", "gate.toml"),
            ("GATE_SERVICE_PORT", "80"),
            ("GATE_WROKERS", "4"),
            ("SIGNET_WORKERS", "4"),
        ];
        assert_eq!(
            problems(&TABLE, &env, "file = 'a'\nworkers = 1.5\n[also.vault]\nkey = 'a'"),
            [
                "GATE_WROKERS (environment): is not a setting; did you mean GATE_WORKERS?",
                "\"also\" (file gate.toml): is not a setting; remove it (`gate run --help` lists all)",
                "file (file gate.toml): cannot be set in the settings file itself; remove it",
                "workers (file gate.toml): must be a whole number",
            ]
        );
    }

    #[test]
    fn a_program_without_a_settings_file_asks_for_none() {
        static WITHOUT: Table = Table { file: None, ..TABLE };
        let env = [("GATE_FILE", "gate.toml"), ("GATE_WORKERS", "4")];
        assert_eq!(problems(&WITHOUT, &env, "not TOML"), [""; 0]);
    }
}
