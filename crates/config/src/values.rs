//! Converts values of the settings file to texts.

use toml::Value;

use crate::table::Kind;

/// The problem with an empty value.
pub const EMPTY: &str = "is empty; write a value, or leave it out";

/// Converts a TOML value to the text that an environment variable would have.
pub fn text_of(kind: Kind, value: Value) -> Result<String, String> {
    match (kind, value) {
        (_, Value::String(text)) => Ok(text),
        (Kind::Switch, Value::Boolean(value)) => Ok(value.to_string()),
        (Kind::Number | Kind::List | Kind::Duration, Value::Integer(number)) => Ok(number.to_string()),
        (Kind::List, Value::Array(items)) => {
            let items: Result<Vec<_>, _> = items.into_iter().map(item).collect();
            Ok(items?.join(","))
        }
        // TOML rejects 0660 and reads 0o660 as 432. Only the quoted form is unambiguous.
        (Kind::Mode, Value::Integer(_)) => Err("must be in quotes; write for example \"0660\"".to_owned()),
        (Kind::List, _) => Err("must be a list; write for example [\"one\", \"two\"]".to_owned()),
        (Kind::Number, _) => Err("must be a whole number".to_owned()),
        (Kind::Switch, _) => Err("must be true or false".to_owned()),
        (_, _) => Err("must be a text; write it in quotes".to_owned()),
    }
}

fn item(value: Value) -> Result<String, String> {
    match value {
        // An empty item would disappear between the commas, and an empty list would become the default without notice.
        Value::String(text) if text.trim().is_empty() => {
            Err("has an empty item (\"\"); write a value there, or remove the item".to_owned())
        }
        Value::String(text) if text.contains(',') => {
            Err(format!("{text:?} contains a comma; write it as several items"))
        }
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        _ => Err("must be a list of texts or numbers".to_owned()),
    }
}
