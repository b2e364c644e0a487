//! The settings in effect, as a table or as JSON.

use serde_json::{Value, json};

use crate::sources::Source;
use crate::table::Setting;

/// A setting with its value and the source of the value.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The setting in the table.
    pub setting: &'static Setting,
    /// The name of its environment variable.
    pub variable: String,
    /// The value, as it was written or derived. `None` if the setting has none.
    pub value: Option<String>,
    /// Where the value came from.
    pub source: Source,
}

impl Effective {
    /// A text table with variable, value and source.
    #[must_use]
    pub fn table(all: &[Self]) -> String {
        let rows: Vec<_> = all
            .iter()
            .map(|row| {
                let value = row.value.as_deref().filter(|value| !value.is_empty()).unwrap_or("-");
                (row.variable.as_str(), value, row.source)
            })
            .collect();
        let width = |cell: fn(&(&str, &str, Source)) -> usize| rows.iter().map(cell).max().unwrap_or_default();
        let (variables, values) = (width(|row| row.0.len()), width(|row| row.1.chars().count()));
        rows.iter()
            .map(|(variable, value, source)| format!("{variable:variables$}  {value:values$}  {source}\n"))
            .collect()
    }

    /// A JSON object by the name of the setting: `{"issuer": {"value": …, "source": "environment"}, …}`.
    #[must_use]
    pub fn json(all: &[Self]) -> Value {
        all.iter()
            .map(|row| {
                let entry = json!({ "value": row.value, "source": row.source.as_str() });
                (row.setting.name.to_owned(), entry)
            })
            .collect()
    }
}
