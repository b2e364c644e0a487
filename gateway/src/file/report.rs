//! What is wrong with a file: all of it at once, each problem with its place.

use std::fmt::{self, Write as _};

/// Whose fault a problem is; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The text of the file.
    Text,
    /// The text may be right, but the machine does not have what it names.
    Environment,
}

/// A place in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The JSON path, such as `endpoints[0].backend[1].host`. Empty for the document.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
}

impl Place {
    /// The place of a member of this one.
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

    /// The place of an item of this one.
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
            // Only a variable puts something where the file has no line.
            (0, _) => write!(f, "environment: {}", self.path),
            (line, true) => write!(f, "line {line}"),
            (line, false) => write!(f, "line {line}: {}", self.path),
        }
    }
}

/// A problem, or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What is wrong, and what to do.
    pub text: String,
    /// Whose fault it is.
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

/// All that was found. With a problem the file is not served; with warnings it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Report {
    /// The file is not served because of this.
    pub fn refuse(&mut self, place: Place, text: impl Into<String>) {
        self.problems.push(Finding {
            place,
            text: text.into(),
            fault: Fault::Text,
        });
    }

    /// The file is not served, as the machine lacks something.
    pub fn lacks(&mut self, place: Place, text: impl Into<String>) {
        self.problems.push(Finding {
            place,
            text: text.into(),
            fault: Fault::Environment,
        });
    }

    /// An operator should know this.
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

    /// The problems, one in a line, under a line that counts them.
    #[must_use]
    pub fn told(&self, file: &str) -> String {
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
            report.told("krakend.json"),
            "krakend.json has 2 problems\n  line 5: endpoints[0].methd: unknown key\n  \
             line 11: endpoints[1].extra_config[\"auth/validator\"]: is not there\n"
        );
    }
}
