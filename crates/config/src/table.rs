//! What a setting is, and what a program says of all of its settings.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name, and its key in the settings file: `publish_lead`.
    pub name: &'static str,
    /// The heading under which `--help` and the documentation show it.
    pub group: &'static str,
    /// What its values look like.
    pub kind: Kind,
    /// Its value when none is given.
    pub fallback: Fallback,
    /// What it is, in one line.
    pub help: &'static str,
}

/// What the values of a setting look like: the placeholder in `--help`, and the TOML types that it may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word or a name.
    Text,
    /// A span of time with units.
    Duration,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Permission bits in octal.
    Mode,
    /// A path.
    Path,
    /// An absolute URL.
    Url,
    /// An IP address and a port.
    Address,
    /// Words separated by commas.
    List,
}

/// The value of a setting that is not given anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read like any other.
    Literal(&'static str),
    /// It depends on the machine or on other settings; this text tells how.
    Derived(&'static str),
    /// There is none: the setting is optional.
    Absent,
}

/// The settings of a program, and how its operators know them.
#[derive(Debug)]
pub struct Table {
    /// Every setting, in the order of the documentation.
    pub settings: &'static [Setting],
    /// What the environment variables begin with: `SIGNET_`.
    pub prefix: &'static str,
    /// The command that lists all settings: `signet serve --help`.
    pub list: &'static str,
    /// The setting that names the settings file; `None` for a program that reads no such file.
    pub file: Option<&'static str>,
}

impl Table {
    /// The setting of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// A setting's environment variable: `SIGNET_PUBLISH_LEAD`.
    #[must_use]
    pub fn variable(&self, setting: &Setting) -> String {
        format!("{}{}", self.prefix, setting.name.to_ascii_uppercase())
    }
}

impl Setting {
    /// The flag: `--publish-lead`.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

impl Kind {
    /// The placeholder in `--help`.
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
    /// How the documentation and `--help` tell it.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::Literal(text) | Self::Derived(text) => text,
            Self::Absent => "none",
        }
    }
}
