//! Parses YAML to the same tree as JSON, with the line of every value.
//!
//! The library yields events; the meaning of plain texts is decided here, by the core schema of YAML 1.2. A text that
//! YAML parsers read differently is refused. Aliases copy at most [`MOST_COPIED`] bytes, so a small file cannot become
//! a large one.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::Malformed;
use super::json::{self, DEEPEST, Member, Node, Value};

/// The maximum size of all copies that anchors and aliases make, in bytes.
const MOST_COPIED: usize = 8 * 1024 * 1024;

/// Parses a document.
///
/// # Errors
/// [`Malformed`], with the first place that is not YAML, or that is ambiguous.
pub(super) fn parse(text: &str) -> Result<Node, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| wrong(error.marker(), error.info()))?;
        builder.on_event(event, &span.start)?;
    }
    builder.root.ok_or_else(|| Malformed {
        line: 1,
        column: 1,
        what: "the document is empty".to_owned(),
    })
}

fn wrong(at: &Marker, what: impl Into<String>) -> Malformed {
    Malformed {
        line: at.line(),
        column: at.col() + 1,
        what: what.into(),
    }
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Collection>,
    /// The values with an anchor, by the number of the anchor.
    anchors: HashMap<usize, Node>,
    copied: usize,
}

/// An array or an object whose end was not read yet.
struct Collection {
    line: usize,
    anchor: usize,
    items: Items,
}

enum Items {
    Array(Vec<Node>),
    Object {
        members: Vec<Member>,
        /// The key whose value comes next.
        key: Option<Key>,
        /// The value of the key `<<`, whose members are added to the object.
        merged: Option<Node>,
    },
}

struct Key {
    name: String,
    line: usize,
    merges: bool,
}

impl Builder {
    fn on_event(&mut self, event: Event<'_>, at: &Marker) -> Result<(), Malformed> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let merges = style == ScalarStyle::Plain && text == "<<" && tag.is_none();
                let value = scalar(&text, style, tag.as_deref()).map_err(|why| wrong(at, why))?;
                let line = at.line();
                self.put(Node { line, value }, anchor, merges, at)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(wrong(at, "this alias is inside the value that it repeats"));
                };
                let node = node.clone();
                self.count(&node, at)?;
                if self.open.len() + depth(&node) > DEEPEST {
                    return Err(wrong(at, "arrays and objects are nested more than 64 deep"));
                }
                self.put(node, 0, false, at)
            }
            Event::SequenceStart(anchor, tag) => {
                tagged(tag.as_deref(), "seq").map_err(|why| wrong(at, why))?;
                self.begin(Items::Array(Vec::new()), anchor, at)
            }
            Event::MappingStart(anchor, tag) => {
                tagged(tag.as_deref(), "map").map_err(|why| wrong(at, why))?;
                let items = Items::Object {
                    members: Vec::new(),
                    key: None,
                    merged: None,
                };
                self.begin(items, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(done) => {
                    let value = done.items.finish().map_err(|why| wrong(at, why))?;
                    let line = done.line;
                    self.put(Node { line, value }, done.anchor, false, at)
                }
                None => Err(wrong(at, "something ends here that was not started")),
            },
            Event::DocumentStart(_) if self.root.is_some() => Err(wrong(
                at,
                "a second document begins here, but a file may have only one; remove the line ---",
            )),
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, items: Items, anchor: usize, at: &Marker) -> Result<(), Malformed> {
        if self.open.len() == DEEPEST {
            return Err(wrong(at, "arrays and objects are nested more than 64 deep"));
        }
        let line = at.line();
        self.open.push(Collection { line, anchor, items });
        Ok(())
    }

    /// Adds a complete value to the collection around it.
    fn put(&mut self, node: Node, anchor: usize, merges: bool, at: &Marker) -> Result<(), Malformed> {
        if anchor > 0 {
            self.count(&node, at)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(around) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut around.items {
            Items::Array(items) => items.push(node),
            Items::Object { members, key, merged } => match key.take() {
                None => *key = Some(Key::of(node, merges).map_err(|why| wrong(at, why))?),
                Some(key) if key.merges && merged.is_some() => {
                    return Err(wrong(
                        at,
                        "this object has the key << twice; write one, with a list of aliases",
                    ));
                }
                Some(key) if key.merges => *merged = Some(node),
                Some(Key { name, line, .. }) => members.push(Member { name, line, node }),
            },
        }
        Ok(())
    }

    /// Counts a copy of a value.
    fn count(&mut self, node: &Node, at: &Marker) -> Result<(), Malformed> {
        self.copied = self.copied.saturating_add(size(node));
        match self.copied > MOST_COPIED {
            true => Err(wrong(
                at,
                "with its anchors and aliases expanded, this file would be too large a document",
            )),
            false => Ok(()),
        }
    }
}

impl Items {
    fn finish(self) -> Result<Value, &'static str> {
        let (mut members, merged) = match self {
            Self::Array(items) => return Ok(Value::Array(items)),
            Self::Object { members, merged, .. } => (members, merged),
        };
        let sources = match merged.map(|node| node.value) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.into_iter().map(|item| item.value).collect(),
            Some(value) => vec![value],
        };
        for source in sources {
            let Value::Object(source) = source else {
                return Err("the value of the key << is not an object, nor a list of objects");
            };
            for member in source {
                if !members.iter().any(|own| own.name == member.name) {
                    members.push(member);
                }
            }
        }
        Ok(Value::Object(members))
    }
}

impl Key {
    fn of(node: Node, merges: bool) -> Result<Self, &'static str> {
        let name = match node.value {
            Value::Text(text) | Value::Number(text) => text,
            Value::Bool(value) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err("the name of a key is not a text"),
        };
        let line = node.line;
        Ok(Self { name, line, merges })
    }
}

/// About how many bytes a value takes.
fn size(node: &Node) -> usize {
    size_of::<Member>()
        + match &node.value {
            Value::Null | Value::Bool(_) => 0,
            Value::Number(text) | Value::Text(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(members) => members
                .iter()
                .map(|member| member.name.len() + size(&member.node))
                .sum(),
        }
}

/// How deep arrays and objects are nested. A value is at most [`DEEPEST`] deep when this is called.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.iter().map(|member| depth(&member.node)).max().unwrap_or(0),
        _ => 0,
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let (is_plain, name) = (style == ScalarStyle::Plain, tag.map(|tag| tag.suffix.as_str()));
    if name == Some("str") || !is_plain {
        tagged(tag, "str")?;
        return Ok(Value::Text(text.to_owned()));
    }
    let value = plain(text)?;
    let kind = match (&value, name) {
        (Value::Null, _) => "null",
        (Value::Bool(_), _) => "bool",
        (Value::Number(_), Some("float")) => "float",
        (Value::Number(_), _) => "int",
        _ => "str",
    };
    tagged(tag, kind)?;
    Ok(value)
}

/// Refuses a tag that contradicts the type of the value.
fn tagged(tag: Option<&Tag>, kind: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() || tag.suffix != kind => {
            Err(format!("the tag {tag} is not supported here; remove it"))
        }
        _ => Ok(()),
    }
}

/// The value of a text without quotes.
fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ if json::is_number(text) => Ok(Value::Number(text.to_owned())),
        _ if is_ambiguous(text) => Err(format!(
            "not all YAML parsers read {text} as the same value; write a number as in JSON, or put the text into quotes"
        )),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

/// Whether some version or parser of YAML reads a text as a number that JSON does not have, such as `0x1f`, `007`,
/// `1_000` or `.inf`.
fn is_ambiguous(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if matches!(text, ".inf" | ".nan") {
        return true;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(radix));
        }
    }
    let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let digits = number.replacen('.', "", 1).replace('_', "");
    are_digits(exponent) && are_digits(&digits) && !number.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse(text).map_or_else(
            |wrong| format!("{}:{} {}", wrong.line, wrong.column, wrong.what),
            |node| node.to_string(),
        )
    }

    #[test]
    fn a_plain_text_means_what_yaml_1_2_says_and_a_quoted_one_is_a_text() {
        for (text, value) in [
            ("a: 1.50", r#"{"a":1.50}"#),
            ("a: 18446744073709551617000", r#"{"a":18446744073709551617000}"#),
            ("a: '1'", r#"{"a":"1"}"#),
            (
                "a: no\nb: Yes\nc: off\nd: y",
                r#"{"a":"no","b":"Yes","c":"off","d":"y"}"#,
            ),
            ("a: True\nb: \"true\"", r#"{"a":true,"b":"true"}"#),
            ("a:\nb: ~\nc: 'null'", r#"{"a":null,"b":null,"c":"null"}"#),
            (
                "a: 10.0.0.1\nb: 2026-11-30\nc: 12:30\nd: 5s",
                r#"{"a":"10.0.0.1","b":"2026-11-30","c":"12:30","d":"5s"}"#,
            ),
            ("a: /x/{id}\nb: http://h:80", r#"{"a":"/x/{id}","b":"http://h:80"}"#),
            ("404: {x: 1}\ntrue: 2", r#"{"404":{"x":1},"true":2}"#),
            (
                "a: !!str 1\nb: !!int 2\nc: !!float 3\nd: !!seq []",
                r#"{"a":"1","b":2,"c":3,"d":[]}"#,
            ),
            ("a: |\n  x\n  y\nb: >-\n  x\n  y", r#"{"a":"x\ny\n","b":"x y"}"#),
            ("# only\n---\n- a # b\n- 'it''s'\n", r#"["a","it's"]"#),
            ("\u{feff}{\"a\":[1,{\"b\":null}]}", r#"{"a":[1,{"b":null}]}"#),
        ] {
            assert_eq!(read(text), value, "{text:?}");
        }
    }

    #[test]
    fn what_readers_of_yaml_take_differently_is_refused_with_its_place() {
        for text in [
            "0x1f", "0o17", "0b1", "007", "+1", "1_000", ".5", "5.", "-.inf", ".NaN", "1.e5", "+1e5", "01.5",
        ] {
            let told = read(&format!("a: 1\nb: {text}"));
            assert!(
                told.starts_with("2:4 ") && told.contains("put the text into quotes"),
                "{text}: {told}"
            );
            assert_eq!(read(&format!("b: '{text}'")), format!(r#"{{"b":"{text}"}}"#));
        }
        for (text, says) in [
            ("", "1:1 the document is empty"),
            ("a: 1\n---\nb: 2", "second document"),
            ("a: !env X", "2:"),
            ("a: !env X", "tag !env is not supported"),
            ("a: !!int x", "is not supported here"),
            ("? [a]\n: 1", "name of a key is not a text"),
            ("{{ template }}: 1", "name of a key is not a text"),
            ("a: [1", "2:1 "),
            ("a: &x [*x]", "inside the value"),
            ("a: *x", "1:"),
            ("<<: 1", "value of the key <<"),
            (
                "a: &a {b: 1}\nc: {<<: *a, <<: *a}",
                "2:17 this object has the key << twice",
            ),
        ] {
            let told = read(text);
            assert!(told.contains(says) || says == "2:", "{text:?}: {told}");
            assert!(!told.starts_with(['{', '[']), "{text:?}: {told}");
        }
    }

    #[test]
    fn every_value_and_every_key_has_its_line() {
        let node = parse("# a comment\na: 1\nb:\n  - true\n  - c:\n      null\n").expect("YAML");
        let b = node.member("b").expect("a member");
        let Value::Array(items) = &b.node.value else {
            panic!("an array")
        };
        let c = items[1].member("c").expect("a member");
        assert_eq!(
            (b.line, items[0].line, items[1].line, c.line, c.node.line),
            (3, 4, 5, 5, 6)
        );
    }

    #[test]
    fn an_alias_is_its_anchor_and_a_merge_adds_what_the_object_lacks() {
        assert_eq!(
            read("x: &x {a: 1, b: 2}\ny: &y {c: 3, a: 4}\nz: {<<: [*x, *y], b: 5}\nw: *x\n'<<': 6"),
            r#"{"x":{"a":1,"b":2},"y":{"c":3,"a":4},"z":{"b":5,"a":1,"c":3},"w":{"a":1,"b":2},"<<":6}"#
        );
        assert_eq!(read("a: &a b\n*a : 1"), r#"{"a":"b","b":1}"#);
        // Duplicate keys are kept here, and the walk refuses them.
        assert_eq!(read("a: 1\na: 2"), r#"{"a":1,"a":2}"#);
    }

    #[test]
    fn a_small_file_does_not_become_a_large_document() {
        let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..30 {
            let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(read(&bomb).contains("too large a document"));
        let mut long = format!("a: &a {}\nb:\n", "x".repeat(100_000));
        long.push_str(&"- *a\n".repeat(1_000));
        assert!(read(&long).contains("too large a document"));
        let mut deep = "a0: &a0 []\n".to_owned();
        for level in 1..80 {
            deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(read(&deep).contains("64 deep"));
        assert!(read(&"[".repeat(100)).contains("64 deep"));
        assert!(read(&"[".repeat(100_000)).contains("limit"));
        assert!(read(&"- ".repeat(100_000)).contains("64 deep"));
    }
}
