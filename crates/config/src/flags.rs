//! Command line flags for the settings of a table.

use clap::Arg;

use crate::table::{Kind, Table};

/// Makes one flag for each setting of the table. The id in clap is the name of the setting.
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
                    setting.fallback.as_str(),
                    table.variable(setting)
                ));
            match setting.kind {
                // `--require-locked-memory` alone means true. Requiring `=` keeps the flag from
                // consuming the next argument.
                Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
                _ => arg,
            }
        })
        .collect()
}
