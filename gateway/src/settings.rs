//! The settings that the file of KrakenD has no key for. They are read from the environment and from flags.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use clap::ArgMatches;
use signet_config::{Extras, Fallback, Kind, Problem, Reader, Setting, SettingsError, Source, Table, parse};

use crate::sidecar_settings::SIDECAR_UIDS;

/// The settings of the gateway.
pub static TABLE: Table = Table {
    settings: SETTINGS,
    prefix: "SIGNET_GATEWAY_",
    list: "signet-gateway run --help",
    file: None,
};

const LISTENERS: &str = "Listeners";
const ADMIN_LISTEN: &str = "admin_listen";

/// All settings, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[Setting {
    name: ADMIN_LISTEN,
    group: LISTENERS,
    kind: Kind::Address,
    fallback: Fallback::Literal("127.0.0.1:9465"),
    help: "address of the admin listener, which serves health and metrics; off for none",
}];

/// Variables with our prefix that another part of the gateway reads: those of the sidecar.
#[derive(Debug)]
struct OfOthers;

impl Extras for OfOthers {
    fn problems(&self, _: &BTreeMap<OsString, OsString>) -> Vec<Problem> {
        Vec::new()
    }

    fn on_other_variable(&mut self, _: &str, _: &OsStr) {}

    fn take_variable(&mut self, name: &str, _: &str, _: &str) -> bool {
        SIDECAR_UIDS.strip_prefix(TABLE.prefix) == Some(name)
    }

    fn take_table(&mut self, _: &str, _: &toml::Table, _: &dyn Fn(&str) -> String) -> Option<Vec<Problem>> {
        None
    }

    fn take_table_of(&mut self, _: &Setting, _: &toml::Table) -> Option<Result<String, String>> {
        None
    }
}

/// The typed settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address of the admin listener. `None` if it is off.
    pub admin_listen: Option<SocketAddr>,
    /// Whether somebody wrote that address. The default may be taken by another gateway on this machine.
    pub is_admin_listen_given: bool,
}

impl Settings {
    /// Reads the settings from the environment and the flags of a command.
    ///
    /// # Errors
    /// All problems.
    pub fn load(variables: &[(String, String)], flags: &ArgMatches) -> Result<Self, SettingsError> {
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let mut reader = Reader::new(&TABLE, variables, flags, no_file, &mut OfOthers);
        let admin_listen = reader.required(ADMIN_LISTEN, address_or_off);
        let is_admin_listen_given = reader.source(ADMIN_LISTEN) != Source::Default;
        let settings = admin_listen.map(|admin_listen| Self {
            admin_listen,
            is_admin_listen_given,
        });
        Ok(reader.finish(settings)?.settings)
    }
}

fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    match parse::address(text) {
        Ok(address) => Ok(Some(address)),
        Err(why) => Err(format!("{why}, or off for no admin listener")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(value: &str) -> Result<Settings, SettingsError> {
        load("SIGNET_GATEWAY_ADMIN_LISTEN", value)
    }

    fn load(name: &str, value: &str) -> Result<Settings, SettingsError> {
        let flags = clap::Command::new("run")
            .args(signet_config::flags(&TABLE))
            .get_matches_from(["run"]);
        Settings::load(&[(name.to_owned(), value.to_owned())], &flags)
    }

    #[test]
    fn the_admin_listener_has_an_address_or_is_off() {
        let by_default = loaded("").expect("settings");
        assert_eq!(by_default.admin_listen, "127.0.0.1:9465".parse().ok());
        assert!(!by_default.is_admin_listen_given);
        assert_eq!(loaded("off").expect("settings").admin_listen, None);
        assert_eq!(loaded("[::]:9").expect("settings").admin_listen, "[::]:9".parse().ok());
        assert!(load(SIDECAR_UIDS, "1000").is_ok());
        assert!(load("SIGNET_GATEWAY_SIDECAR_UID", "1000").is_err());
        let refused = loaded("9465").expect_err("no address").to_string();
        assert!(
            refused.contains("SIGNET_GATEWAY_ADMIN_LISTEN (environment)"),
            "{refused}"
        );
    }
    #[test]
    fn the_documentation_has_every_setting_with_its_default() {
        let documentation = include_str!("../../docs/configuration.md");
        for setting in SETTINGS {
            let default = match setting.fallback {
                Fallback::Literal(text) => format!("`{text}`"),
                other => other.as_str().to_owned(),
            };
            let (variable, flag) = (TABLE.variable(setting), setting.flag());
            let row = format!("| `{variable}` | `{flag}` | {default} | {} |", setting.help);
            assert!(documentation.contains(&row), "docs/configuration.md lacks:\n{row}");
        }
    }
}
