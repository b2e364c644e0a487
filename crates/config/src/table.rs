//! Descriptions of settings, and the table of all settings of a program.

/// A setting of a program.
#[derive(Debug)]
pub struct Setting {
    /// Its name, which is also its key in the settings file: `publish_lead`.
    pub name: &'static str,
    /// The heading for it in `--help` and the documentation.
    pub group: &'static str,
    /// The form of its values.
    pub kind: Kind,
    /// Its value if none is given.
    pub fallback: Fallback,
    /// A description in one line.
    pub help: &'static str,
}

/// The form of a setting's values. It decides the placeholder in `--help` and the accepted TOML types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word or a name.
    Text,
    /// A duration with units.
    Duration,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Permission bits in octal.
    Mode,
    /// The path of a file or directory.
    Path,
    /// An absolute URL.
    Url,
    /// An IP address and a port.
    Address,
    /// A list of words separated by commas.
    List,
}

/// The value of a setting that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text, parsed like any other.
    Literal(&'static str),
    /// The value depends on the machine or on other settings. This text describes how.
    Derived(&'static str),
    /// The setting is optional and has no value.
    Absent,
}

/// The settings of a program.
#[derive(Debug)]
pub struct Table {
    /// All settings, in the order of the documentation.
    pub settings: &'static [Setting],
    /// The prefix of the environment variables: `SIGNET_`.
    pub prefix: &'static str,
    /// The command that lists all settings: `signet serve --help`.
    pub list: &'static str,
    /// The setting that names the settings file. `None` if the program reads no such file.
    pub file: Option<&'static str>,
}

impl Table {
    /// Finds a setting by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// The name of a setting's environment variable: `SIGNET_PUBLISH_LEAD`.
    #[must_use]
    pub fn variable(&self, setting: &Setting) -> String {
        format!("{}{}", self.prefix, setting.name.to_ascii_uppercase())
    }
}

impl Setting {
    /// The command line flag: `--publish-lead`.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

impl Kind {
    /// The placeholder for a value in `--help`.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Text => "NAME",
            Self::Duration => "DURATION",
            Self::Number => "NUMBER",
            Self::Switch => "BOOL",
            Self::Mode => "MODE",
            Self::Path => "PATH",
            Self::Url => "URL",
            Self::Address => "IP:PORT",
            Self::List => "LIST",
        }
    }
}

impl Fallback {
    /// The default as `--help` and the documentation show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Literal(text) | Self::Derived(text) => text,
            Self::Absent => "none",
        }
    }
}
