//! What a program takes beside the settings of its table.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::problem::Problem;
use crate::table::Setting;

/// What a program takes beside the settings of its table: other variables, and tables of the settings file. It keeps what it takes.
pub trait Extras {
    /// What is wrong with the environment as a whole. Asked before any variable is taken.
    fn problems(&self, env: &BTreeMap<OsString, OsString>) -> Vec<Problem>;

    /// A variable without the prefix of the program.
    fn on_other_variable(&mut self, variable: &str, value: &OsStr);

    /// Takes a variable that has the prefix, and then this name, which is no setting. `false`: it is not known here either.
    fn take_variable(&mut self, name: &str, text: &str, place: &str) -> bool;

    /// Takes a table of the settings file under a key that is no setting, and answers with what is wrong in it; `place` is what
    /// to call a key of the file in a message. `None`: it is not known here either.
    fn take_table(&mut self, key: &str, table: &toml::Table, place: &dyn Fn(&str) -> String) -> Option<Vec<Problem>>;

    /// Takes a table where the settings file could have a plain value of this setting, and answers with the text that a variable
    /// would have, or with what is wrong. `None`: the setting has plain values alone.
    fn take_table_of(&mut self, setting: &Setting, table: &toml::Table) -> Option<Result<String, String>>;
}

/// A program that has all its settings in its table.
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
