//! The file `krakend.json`, version 3, which may also be YAML or TOML. It is parsed with the line of every value, and
//! checked against the table of all keys.
//!
//! [`Document::read`] is the entry point, and [`Section`] returns the values. This module does
//! not know what a value means.

mod duration;
mod environment;
pub mod json;
pub mod keys;
pub mod reference;
pub mod report;
mod section;
mod toml;
mod walk;
mod yaml;

use std::cell::RefCell;
use std::path::Path;

pub use report::{Fault, Finding, Place, Report};
pub use section::{At, Section};
pub use walk::Strictness;

/// The maximum size of the file in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// A file whose keys were checked.
#[derive(Debug)]
pub struct Document {
    node: json::Node,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 8259, the format of every file whose name has no other ending.
    Json,
    /// YAML 1.2, if the name ends in `.yaml` or `.yml`.
    Yaml,
    /// TOML 1.1, if the name ends in `.toml`.
    Toml,
}

/// The error if a text is not in its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The number of the line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl Format {
    /// The format of a file with this name.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Self::Yaml,
            "toml" => Self::Toml,
            _ => Self::Json,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
        }
    }

    /// Parses a text to a tree, without looking at its keys.
    ///
    /// # Errors
    /// [`Malformed`], with the first place that is not of this format.
    pub fn parse(self, text: &str) -> Result<json::Node, Malformed> {
        match self {
            Self::Json => json::parse(text).map_err(|wrong| Malformed {
                line: wrong.line,
                column: wrong.column,
                what: wrong.what.to_owned(),
            }),
            Self::Yaml => yaml::parse(text),
            Self::Toml => toml::parse(text),
        }
    }
}

impl Document {
    /// Reads a file. `None` if it cannot be parsed. All problems, including those with keys, are in `report`.
    pub fn read(
        path: &Path,
        variables: &[(String, String)],
        strictness: Strictness,
        report: &mut Report,
    ) -> Option<Self> {
        let text = match text(path) {
            Ok(text) => text,
            Err(why) => {
                report.lacks(Place::default(), why);
                return None;
            }
        };
        Self::parse_as(Format::of(path), &text, variables, strictness, report)
    }

    /// Parses the JSON text of a file.
    pub fn parse(
        text: &str,
        variables: &[(String, String)],
        strictness: Strictness,
        report: &mut Report,
    ) -> Option<Self> {
        Self::parse_as(Format::Json, text, variables, strictness, report)
    }

    /// Parses the text of a file in this format.
    pub fn parse_as(
        format: Format,
        text: &str,
        variables: &[(String, String)],
        strictness: Strictness,
        report: &mut Report,
    ) -> Option<Self> {
        let mut node = match format.parse(text) {
            Ok(node) => node,
            Err(wrong) => {
                let place = Place {
                    line: wrong.line,
                    ..Place::default()
                };
                report.refuse(
                    place,
                    format!(
                        "not {}, at column {}: {}{}",
                        format.as_str(),
                        wrong.column,
                        wrong.what,
                        template(text)
                    ),
                );
                return None;
            }
        };
        // This is done before the check, so that a value from a variable is checked like one from the file.
        environment::apply(&mut node, variables, report);
        walk::check(&node, strictness, report);
        Some(Self { node })
    }

    /// The root section of the document.
    #[must_use]
    pub fn root<'a>(&'a self, report: &'a RefCell<Report>) -> Section<'a> {
        Section::root(&self.node, report)
    }
}

fn text(path: &Path) -> Result<String, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| format!("the file cannot be read: {error}"))?
        .len();
    if length > LONGEST {
        return Err(format!("the file has {length} octets, and at most {LONGEST} are read"));
    }
    let octets = std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    String::from_utf8(octets).map_err(|_| "the file is not UTF-8".to_owned())
}

/// The advice for a template, if the text is one.
fn template(text: &str) -> &'static str {
    match text.contains("{{") {
        true => {
            ". It looks like a template of flexible configuration, which signet-gateway does not read: have KrakenD \
             write the expanded file (FC_OUT), and use that"
        }
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_the_fault_of_the_machine() {
        let mut report = Report::default();
        let path = "/no/such/krakend.json";
        assert!(Document::read(Path::new(path), &[], Strictness::Strict, &mut report).is_none());
        let text = report.to_text(path);
        assert!(report.exit_code() == 78 && text.contains("cannot be read"), "{text}");
    }

    #[test]
    fn the_format_is_that_of_the_name() {
        for (name, format) in [
            ("krakend.json", Format::Json),
            ("krakend.yml", Format::Yaml),
            ("krakend.YAML", Format::Yaml),
            ("krakend.toml", Format::Toml),
            ("krakend.tmpl", Format::Json),
            ("yaml", Format::Json),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn a_problem_has_its_path_and_line_in_every_format() {
        for (format, text) in [
            (
                Format::Json,
                "{\"version\":3,\n\"endpoints\":[{\n\"ouput_encoding\":\"json\"}]}",
            ),
            (Format::Yaml, "version: 3\nendpoints:\n- ouput_encoding: json\n"),
            (Format::Toml, "version = 3\n[[endpoints]]\nouput_encoding = 'json'\n"),
        ] {
            let mut report = Report::default();
            assert!(Document::parse_as(format, text, &[], Strictness::Strict, &mut report).is_some());
            let told = report.to_text("krakend");
            assert!(told.contains("line 3: endpoints[0].ouput_encoding: no key"), "{told}");
        }
    }

    #[test]
    fn a_template_is_refused_with_the_way_to_what_it_makes() {
        for (format, text, says) in [
            (
                Format::Json,
                "{\"version\":3,\n{{ template \"endpoints\" . }}\n}",
                "line 2: not JSON",
            ),
            (Format::Yaml, "version: 3\nhost: {{ .host }}\n", "line 2: not YAML"),
            (Format::Toml, "version = 3\nhost = {{ .host }}\n", "line 2: not TOML"),
        ] {
            let mut report = Report::default();
            assert!(Document::parse_as(format, text, &[], Strictness::Strict, &mut report).is_none());
            let told = report.to_text("krakend.json");
            assert!(told.contains(says) && told.contains("FC_OUT"), "{told}");
        }
    }
}
