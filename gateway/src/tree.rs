//! JSON objects of backends, parsed only as far as needed.
//!
//! Other parts stay the bytes that the backend sent, so no number changes its digits, and no leaf is allocated. If two
//! members have the same name, the last one counts. Members are stored and written in the order of their names.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize as _;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, by name.
pub type Members = BTreeMap<String, Tree>;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// Unparsed, valid JSON.
    Raw(Bytes),
    /// A parsed object.
    Object(Members),
}

/// Why an answer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The answer does not begin with a JSON value.
    #[error("it is not JSON")]
    NotJson,
    /// The answer is not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// The answer is not an array.
    #[error("it is not a JSON array, although is_collection is set")]
    NotAnArray,
}

/// The first JSON value in a text. The rest is ignored.
///
/// # Errors
/// [`Unfit::NotJson`], if there is none.
pub fn first(text: &Bytes) -> Result<Bytes, Unfit> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let raw = <&RawValue>::deserialize(&mut deserializer).map_err(|_| Unfit::NotJson)?;
    Ok(text.slice_ref(raw.get().as_bytes()))
}

/// The members of an object, which must be valid JSON.
///
/// # Errors
/// [`Unfit`], if it is not an object.
pub fn open(text: &Bytes) -> Result<Members, Unfit> {
    match text.first() {
        Some(b'{') => {
            let mut deserializer = serde_json::Deserializer::from_slice(text);
            deserializer.deserialize_map(Opening(text)).map_err(|_| Unfit::NotJson)
        }
        _ => Err(Unfit::NotAnObject),
    }
}

struct Opening<'a>(&'a Bytes);

impl<'de> Visitor<'de> for Opening<'_> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            members.insert(name, Tree::Raw(self.0.slice_ref(value.get().as_bytes())));
        }
        Ok(members)
    }
}

/// The items of an array, which must be valid JSON.
#[must_use]
pub fn items(text: &Bytes) -> Vec<Bytes> {
    let raw: Vec<&RawValue> = serde_json::from_slice(text).unwrap_or_default();
    raw.iter().map(|item| text.slice_ref(item.get().as_bytes())).collect()
}

/// Encodes a text as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> Tree {
    // Every text can be encoded as JSON.
    Tree::Raw(serde_json::to_vec(text).unwrap_or_default().into())
}

/// Decodes a string, which must be valid JSON.
#[must_use]
pub fn unquoted(text: &Bytes) -> Option<String> {
    serde_json::from_slice(text).ok()
}

impl Tree {
    /// Parses this value as an object.
    #[must_use]
    pub fn into_object(self) -> Option<Members> {
        match self {
            Self::Raw(text) => open(&text).ok(),
            Self::Object(members) => Some(members),
        }
    }
}

/// Finds the value at a path of names. Only objects are searched.
#[must_use]
pub fn find<T: AsRef<str>>(members: &Members, path: &[T]) -> Option<Tree> {
    let (first, rest) = path.split_first()?;
    let found = members.get(first.as_ref())?;
    match (rest.is_empty(), found) {
        (true, found) => Some(found.clone()),
        (false, Tree::Object(members)) => find(members, rest),
        (false, Tree::Raw(text)) => find(&open(text).ok()?, rest),
    }
}

/// Writes an object. `<`, `>` and `&` are escaped, so no browser can take a part of it for HTML.
#[must_use]
pub fn write(members: &Members) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_object(members, &mut out);
    out
}

fn write_object(members: &Members, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let name = serde_json::to_vec(name).unwrap_or_default();
        write_raw(&name, out);
        out.push(b':');
        write_tree(value, out);
    }
    out.push(b'}');
}

fn write_tree(tree: &Tree, out: &mut Vec<u8>) {
    match tree {
        Tree::Raw(text) => write_raw(text, out),
        Tree::Object(members) => write_object(members, out),
    }
}

/// Copies JSON. The characters to escape occur only in its strings.
pub fn write_raw(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|octet| matches!(octet, b'<' | b'>' | b'&' | 0xe2)) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        let (escape, length) = match after {
            [b'<', ..] => (&b"\\u003c"[..], 1),
            [b'>', ..] => (&b"\\u003e"[..], 1),
            [b'&', ..] => (&b"\\u0026"[..], 1),
            // JavaScript treats these as line ends.
            [0xe2, 0x80, 0xa8, ..] => (&b"\\u2028"[..], 3),
            [0xe2, 0x80, 0xa9, ..] => (&b"\\u2029"[..], 3),
            _ => (&after[..1], 1),
        };
        out.extend_from_slice(escape);
        rest = &after[length..];
    }
    out.extend_from_slice(rest);
}

/// Whether this object has no members.
#[must_use]
pub fn is_empty_object(text: &[u8]) -> bool {
    let inner = text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Members {
        open(&first(&Bytes::copy_from_slice(text.as_bytes())).expect("JSON")).expect("an object")
    }

    fn written(members: &Members) -> String {
        String::from_utf8(write(members)).expect("text")
    }

    #[test]
    fn what_nobody_opens_stays_as_it_was_written() {
        let text = r#" {"b": 1.50, "a": {"z":[1e400, 123456789012345678901]}, "b": -0.0} trailing"#;
        assert_eq!(
            written(&members(text)),
            r#"{"a":{"z":[1e400, 123456789012345678901]},"b":-0.0}"#
        );
    }

    #[test]
    fn what_browsers_could_take_for_a_page_is_escaped() {
        let text = "{\"a<\":\"</b>&\u{2028}\u{2029}\u{20ac}\"}";
        let written = written(&members(text));
        assert_eq!(
            written,
            "{\"a\\u003c\":\"\\u003c/b\\u003e\\u0026\\u2028\\u2029\u{20ac}\"}"
        );
        let same: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(same, serde_json::from_str::<serde_json::Value>(text).expect("JSON"));
    }

    #[test]
    fn a_path_leads_through_objects_only() {
        let members = members(r#"{"a":{"b":{"c":7}},"l":[{"c":1}]}"#);
        assert_eq!(
            find(&members, &["a", "b", "c"]),
            Some(Tree::Raw(Bytes::from_static(b"7")))
        );
        for nothing in [
            &["a", "c"][..],
            &["l", "c"],
            &["l", "0", "c"],
            &["a", "b", "c", "d"],
            &[],
        ] {
            assert_eq!(find(&members, nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        let opened = |text: &'static str| first(&Bytes::from_static(text.as_bytes())).and_then(|text| open(&text));
        for text in ["[]", "1", "null", "\"{}\""] {
            assert_eq!(opened(text), Err(Unfit::NotAnObject), "{text}");
        }
        for text in ["", "{", "{\"a\":}", "<html>", "{\"a\":\"\u{1}\"}", "{'a':1}"] {
            assert_eq!(opened(text), Err(Unfit::NotJson), "{text}");
        }
        assert!(first(&Bytes::from_static(b"{\"a\":\"\xff\"}")).is_err(), "not UTF-8");
        let deep = Bytes::from("[".repeat(1_000_000));
        assert_eq!(first(&deep), Err(Unfit::NotJson));
        assert!(is_empty_object(b"{ \n}") && !is_empty_object(b"{\"a\":1}") && !is_empty_object(b"[]"));
    }
}
