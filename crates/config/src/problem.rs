//! Problems with the settings, reported all at once.

use std::fmt;

/// Where the fault of a problem lies. It decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The text of a setting is wrong.
    Text,
    /// The text may be right, but the machine lacks what it names.
    Environment,
}

/// One problem with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the setting. For an unknown name, the most similar setting, if there is one.
    pub setting: Option<&'static str>,
    /// Where the value was given, for example `SIGNET_PUBLISH_LEAD (environment)`.
    pub place: String,
    /// What is wrong, and what to write.
    pub text: String,
    /// Whether the text or the environment is at fault.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The error for settings with which the program does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// All problems; at least one.
    pub problems: Vec<Problem>,
}

impl SettingsError {
    /// The exit code of the process: 64 (`EX_USAGE`) if any text is wrong, 78 (`EX_CONFIG`) if only the environment is.
    /// Texts come first, because they must be corrected before the environment can be judged.
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
