//! The file `krakend.json`, version 3. It is parsed with the line of every value, and checked
//! against the table of all keys.
//!
//! [`Document::read`] is the entry point, and [`Section`] returns the values. This module does
//! not know what a value means.

mod duration;
mod environment;
pub mod json;
pub mod keys;
pub mod report;
mod section;
mod walk;

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

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Report`], if the file cannot be parsed. Problems with keys are not errors here; they are in `report`.
    pub fn read(
        path: &Path,
        variables: &[(String, String)],
        strictness: Strictness,
        report: &mut Report,
    ) -> Option<Self> {
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        if extension != "json" {
            report.refuse(
                Place::default(),
                "only files whose name ends in .json are read by this version of signet-gateway; convert YAML and TOML to JSON",
            );
            return None;
        }
        let text = match text(path) {
            Ok(text) => text,
            Err(why) => {
                report.lacks(Place::default(), why);
                return None;
            }
        };
        Self::parse(&text, variables, strictness, report)
    }

    /// Parses the text of a file.
    pub fn parse(
        text: &str,
        variables: &[(String, String)],
        strictness: Strictness,
        report: &mut Report,
    ) -> Option<Self> {
        let mut node = match json::parse(text) {
            Ok(node) => node,
            Err(wrong) => {
                let place = Place {
                    line: wrong.line,
                    ..Place::default()
                };
                report.refuse(
                    place,
                    format!("not JSON, at column {}: {}{}", wrong.column, wrong.what, template(text)),
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
            ". It looks like a template of flexible configuration, which is never read here: have KrakenD write what it makes of \
             it (FC_OUT), and read that"
        }
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_json_is_refused_with_what_to_do() {
        let told = |path: &str| {
            let mut report = Report::default();
            assert!(Document::read(Path::new(path), &[], Strictness::Strict, &mut report).is_none());
            (report.exit_code(), report.to_text(path))
        };
        let (code, text) = told("krakend.yaml");
        assert!(code == 64 && text.contains("convert YAML and TOML to JSON"), "{text}");
        let (code, text) = told("/no/such/krakend.json");
        assert!(code == 78 && text.contains("cannot be read"), "{text}");
    }

    #[test]
    fn a_template_is_refused_with_the_way_to_what_it_makes() {
        let mut report = Report::default();
        let text = "{\"version\":3,\n{{ template \"endpoints\" . }}\n}";
        assert!(Document::parse(text, &[], Strictness::Strict, &mut report).is_none());
        let told = report.to_text("krakend.json");
        assert!(told.contains("line 2: not JSON") && told.contains("FC_OUT"), "{told}");
    }
}
