//! The problems of a file. All are reported at once, each with its place.

use std::fmt::{self, Write as _};

/// Where the fault of a problem lies. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The text of the file is wrong.
    Text,
    /// The text may be right, but something that it names is missing on this machine.
    Environment,
}

/// A place in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The JSON path, such as `endpoints[0].backend[1].host`. Empty for the document.
    pub path: String,
    /// The number of the line, from 1.
    pub line: usize,
}

impl Place {
    /// The place of a member of the value here.
    #[must_use]
    pub fn member(&self, name: &str, line: usize) -> Self {
        let is_plain = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
        let path = match (self.path.is_empty(), is_plain) {
            (true, true) => name.to_owned(),
            (false, true) => format!("{}.{name}", self.path),
            (_, false) => format!("{}[{name:?}]", self.path),
        };
        Self { path, line }
    }

    /// The place of an item of the array here.
    #[must_use]
    pub fn item(&self, index: usize, line: usize) -> Self {
        Self {
            path: format!("{}[{index}]", self.path),
            line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.path.is_empty()) {
            // Only a value from a variable has no line in the file.
            (0, _) => write!(f, "environment: {}", self.path),
            (line, true) => write!(f, "line {line}"),
            (line, false) => write!(f, "line {line}: {}", self.path),
        }
    }
}

/// A problem, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The place of the problem.
    pub place: Place,
    /// What is wrong, and what to do.
    pub text: String,
    /// Where the fault lies.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place == Place::default() {
            true => f.write_str(&self.text),
            false => write!(f, "{}: {}", self.place, self.text),
        }
    }
}

/// The problems and warnings of a file. A file with a problem is refused; one with warnings is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Report {
    /// Adds a problem of the text.
    pub fn refuse(&mut self, place: Place, text: impl Into<String>) {
        self.problems.push(Finding {
            place,
            text: text.into(),
            fault: Fault::Text,
        });
    }

    /// Adds a problem of the machine.
    pub fn lacks(&mut self, place: Place, text: impl Into<String>) {
        self.problems.push(Finding {
            place,
            text: text.into(),
            fault: Fault::Environment,
        });
    }

    /// Adds a warning.
    pub fn warn(&mut self, place: Place, text: impl Into<String>) {
        self.warnings.push(Finding {
            place,
            text: text.into(),
            fault: Fault::Text,
        });
    }

    /// The problems, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> Vec<&Finding> {
        in_order(&self.problems)
    }

    /// The warnings, in the order of the file.
    #[must_use]
    pub fn warnings(&self) -> Vec<&Finding> {
        in_order(&self.warnings)
    }

    /// Whether the file can be served.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// The exit code of a start with this file: 64 (`EX_USAGE`) when the text is at fault, 78 (`EX_CONFIG`) when the
    /// environment alone is.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.problems.iter().any(|problem| problem.fault == Fault::Text) {
            _ if self.problems.is_empty() => 0,
            true => 64,
            false => 78,
        }
    }

    /// The text of all problems, one in each line, after a line with their number.
    #[must_use]
    pub fn to_text(&self, file: &str) -> String {
        let mut text = match self.problems.len() {
            1 => format!("{file} has a problem\n"),
            count => format!("{file} has {count} problems\n"),
        };
        for problem in self.problems() {
            let _ = writeln!(text, "  {problem}");
        }
        text
    }
}

fn in_order(findings: &[Finding]) -> Vec<&Finding> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.place.line);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_the_order_of_the_file_with_their_place() {
        let mut report = Report::default();
        assert_eq!((report.is_good(), report.exit_code()), (true, 0));
        let endpoints = Place::default().member("endpoints", 3);
        let namespace = endpoints
            .item(1, 9)
            .member("extra_config", 10)
            .member("auth/validator", 11);
        report.lacks(namespace, "is not there");
        assert_eq!(report.exit_code(), 78);
        report.refuse(endpoints.item(0, 4).member("methd", 5), "unknown key");
        assert_eq!((report.is_good(), report.exit_code()), (false, 64));
        assert_eq!(
            report.to_text("krakend.json"),
            "krakend.json has 2 problems\n  line 5: endpoints[0].methd: unknown key\n  \
             line 11: endpoints[1].extra_config[\"auth/validator\"]: is not there\n"
        );
    }
}
