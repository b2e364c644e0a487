//! The flags of the command line, made from the table.

use clap::Arg;

use crate::table::{Kind, Table};

/// One flag for each setting of a table. Each is known to clap by the setting's name.
#[must_use]
pub fn flags(table: &Table) -> Vec<Arg> {
    table
        .settings
        .iter()
        .map(|setting| {
            let arg = Arg::new(setting.name)
                .long(setting.name.replace('_', "-"))
                .value_name(setting.kind.placeholder())
                .help_heading(setting.group)
                .help(format!(
                    "{} [default: {}] [env: {}]",
                    setting.help,
                    setting.fallback.told(),
                    table.variable(setting)
                ));
            match setting.kind {
                // `--require-locked-memory` alone means true; `=` keeps it from eating the next argument.
                Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg,
            }
        })
        .collect()
}
