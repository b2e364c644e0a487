//! Settings that are not in a program's table.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::problem::Problem;
use crate::table::Setting;

/// Reads what is not in a program's table of settings: other variables, and tables of the settings file. The
/// implementation stores what it reads.
pub trait Extras {
    /// Checks the environment as a whole. Called before any variable is passed on.
    fn problems(&self, env: &BTreeMap<OsString, OsString>) -> Vec<Problem>;

    /// Handles a variable that does not have the program's prefix.
    fn on_other_variable(&mut self, variable: &str, value: &OsStr);

    /// Takes a variable with the program's prefix whose name is not in the table. Returns `false` if the
    /// name is unknown here, too.
    fn take_variable(&mut self, name: &str, text: &str, place: &str) -> bool;

    /// Takes a table of the settings file whose key is not in the table of settings, and returns the problems in it.
    /// `place` returns the name of a key of the file, for a message. Returns `None` if the key is unknown here, too.
    fn take_table(&mut self, key: &str, table: &toml::Table, place: &dyn Fn(&str) -> String) -> Option<Vec<Problem>>;

    /// Takes a table in place of a plain value of this setting. Returns the text that a variable would
    /// have, or the problem. Returns `None` if the setting allows only plain values.
    fn take_table_of(&mut self, setting: &Setting, table: &toml::Table) -> Option<Result<String, String>>;
}

/// For a program whose settings are all in its table.
#[derive(Clone, Copy, Debug)]
pub struct NoExtras;

impl Extras for NoExtras {
    fn problems(&self, _: &BTreeMap<OsString, OsString>) -> Vec<Problem> {
        Vec::new()
    }

    fn on_other_variable(&mut self, _: &str, _: &OsStr) {}

    fn take_variable(&mut self, _: &str, _: &str, _: &str) -> bool {
        false
    }

    fn take_table(&mut self, _: &str, _: &toml::Table, _: &dyn Fn(&str) -> String) -> Option<Vec<Problem>> {
        None
    }

    fn take_table_of(&mut self, _: &Setting, _: &toml::Table) -> Option<Result<String, String>> {
        None
    }
}
