//! What is wrong with the settings, all of it at once.

use std::fmt;

/// Whose fault a problem is; it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The text of a setting is wrong.
    Text,
    /// The text may be right, but the machine does not have what it names.
    Environment,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's name; for a name that is no setting, the nearest one if any is near.
    pub setting: Option<&'static str>,
    /// Where the value stands, in the words of that place: `SIGNET_PUBLISH_LEAD (environment)`.
    pub place: String,
    /// What is wrong, and what to write.
    pub text: String,
    /// Whose fault it is.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Settings with which a program does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// Every problem; at least one.
    pub problems: Vec<Problem>,
}

impl SettingsError {
    /// The exit code of the process: 64 (`EX_USAGE`) when a text is at fault, 78 (`EX_CONFIG`) when the environment
    /// alone is. Texts go first: they must be put right before it can be known whether the environment does.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.problems.iter().any(|problem| problem.fault == Fault::Text) {
            64
        } else {
            78
        }
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "{problem}"),
            problems => {
                write!(f, "{} problems with the settings", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for SettingsError {}
