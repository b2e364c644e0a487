//! Parses TOML to the same tree as JSON, with the line of every value.
//!
//! TOML has dates, and numbers that are not finite. A `krakend.json` has neither, so they are refused.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::Malformed;
use super::json::{self, DEEPEST, Member, Node, Value};

/// The stack for parsing, in bytes. The library limits the number of dots in a key and the depth of braces to 80 each.
/// Together they make trees of 6,400 levels, which are too deep for the stack of a usual thread.
const STACK: usize = 64 * 1024 * 1024;

/// Parses a document. The library refuses duplicate keys.
///
/// # Errors
/// [`Malformed`], with the first place that is not TOML, or that JSON cannot express.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let failed = || Malformed {
        line: 1,
        column: 1,
        what: "the system refused the memory or the thread for reading it".to_owned(),
    };
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || read(text)).map_err(|_| failed())?;
        reader.join().unwrap_or_else(|_| Err(failed()))
    })
}

fn read(text: &str) -> Result<Node, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let newlines = text.match_indices('\n').map(|(at, _)| at).collect();
    let reader = Reader { text, newlines };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        reader.wrong(at, error.message())
    })?;
    reader.table(document.get_ref(), 1, 0)
}

struct Reader<'a> {
    text: &'a str,
    /// The position of each end of a line.
    newlines: Vec<usize>,
}

impl Reader<'_> {
    /// The number of the line of a position.
    fn line(&self, at: usize) -> usize {
        self.newlines.partition_point(|newline| *newline < at) + 1
    }

    fn wrong(&self, at: usize, what: impl Into<String>) -> Malformed {
        let line = self.line(at);
        let start = line.checked_sub(2).map_or(0, |before| self.newlines[before] + 1);
        Malformed {
            line,
            column: self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1,
            what: what.into(),
        }
    }

    fn node(&self, value: &DeValue<'_>, span: Range<usize>, above: usize, depth: usize) -> Result<Node, Malformed> {
        // A table that appears only in the headers of other tables has no position of its own.
        let line = self.line(span.start).max(above);
        if depth == DEEPEST {
            return Err(self.wrong(span.start, "arrays and tables are nested more than 64 deep"));
        }
        let number = |text: &str| {
            let text = text.strip_prefix('+').unwrap_or(text);
            match json::is_number(text) {
                true => Ok(Value::Number(text.to_owned())),
                false => Err(self.wrong(span.start, format!("{text} is a number that JSON does not have"))),
            }
        };
        let value = match value {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Float(float) => number(float.as_str())?,
            DeValue::Integer(integer) if integer.radix() == 10 => number(integer.as_str())?,
            DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(value) => Value::Number(value.to_string()),
                Err(_) => return Err(self.wrong(span.start, "this number is too large")),
            },
            DeValue::Datetime(_) => return Err(self.wrong(span.start, "JSON has no dates; put this one into quotes")),
            DeValue::Array(items) => Value::Array(self.array(items, line, depth)?),
            DeValue::Table(table) => return self.table(table, line, depth),
        };
        Ok(Node { line, value })
    }

    fn array(&self, items: &DeArray<'_>, line: usize, depth: usize) -> Result<Vec<Node>, Malformed> {
        items
            .iter()
            .map(|item| self.node(item.get_ref(), item.span(), line, depth + 1))
            .collect()
    }

    fn table(&self, table: &DeTable<'_>, line: usize, depth: usize) -> Result<Node, Malformed> {
        // The library sorts keys by name.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut members = Vec::new();
        for (name, value) in entries {
            let name: &Spanned<_> = name;
            let line = self.line(name.span().start);
            members.push(Member {
                name: name.get_ref().clone().into_owned(),
                line,
                node: self.node(value.get_ref(), value.span(), line, depth + 1)?,
            });
        }
        let value = Value::Object(members);
        Ok(Node { line, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).map_or_else(
            |wrong| format!("{}:{} {}", wrong.line, wrong.column, wrong.what),
            |node| node.to_string(),
        )
    }

    #[test]
    fn values_are_those_of_json_with_their_digits() {
        for (text, value) in [
            ("", "{}"),
            ("b = 1.50\na = -0.0", r#"{"b":1.50,"a":-0.0}"#),
            (
                "a = +1\nb = 1_000\nc = 0x1F\nd = 1e06",
                r#"{"a":1,"b":1000,"c":31,"d":1e06}"#,
            ),
            ("a = 'x\"'\nb = \"\\u00e9\"", r#"{"a":"x\"","b":"é"}"#),
            (
                "[a.'b/c']\nd = true\n[[e]]\nf = [1, {g = []}]\n[[e]]",
                r#"{"a":{"b/c":{"d":true}},"e":[{"f":[1,{"g":[]}]},{}]}"#,
            ),
        ] {
            assert_eq!(shown(text), value, "{text:?}");
        }
    }

    #[test]
    fn what_json_cannot_express_is_refused_with_its_place() {
        for (text, says) in [
            ("a = 1\nb =", "2:4 "),
            ("a = 1\na = 2", "2:1 duplicate key"),
            ("a = 1\nb = inf", "2:5 inf is a number that JSON does not have"),
            ("a = -nan", "1:5 "),
            ("a = 1\n'é' = 2026-11-30", "2:7 JSON has no dates"),
            ("a = 0xffffffffffffffffffffffffffffffffffff", "too large"),
        ] {
            assert!(shown(text).contains(says), "{text:?}: {}", shown(text));
        }
        let arrays = format!("a = {}{}", "[".repeat(70), "]".repeat(70));
        let keys = format!("{}a = 1", "a.".repeat(70));
        let many = format!("a = {}", "[".repeat(100_000));
        let inline = format!("a = {}", format!("{{ {}a = ", "a.".repeat(78)).repeat(78));
        for text in [arrays, keys, many, inline, "a.".repeat(1_000_000)] {
            assert!(parse(&text).is_err(), "{}", &text[..40]);
        }
    }

    #[test]
    fn every_value_and_every_key_has_its_line() {
        let node = parse("\n[a.b]\nc = [\n  1,\n  2]\n[[e]]\nf = 1\n[[e]]\n\nf = 2").expect("TOML");
        let (a, e) = (node.member("a").expect("a member"), node.member("e").expect("a member"));
        let b = a.node.member("b").expect("a member");
        let c = b.node.member("c").expect("a member");
        let (Value::Array(c_items), Value::Array(e_items)) = (&c.node.value, &e.node.value) else {
            panic!("arrays")
        };
        assert_eq!((a.line, b.line, c.line, c_items[1].line), (2, 2, 3, 5));
        let f = e_items[1].member("f").expect("a member");
        assert_eq!((e.line, e_items[0].line, e_items[1].line, f.line), (6, 6, 8, 10));
    }
}
