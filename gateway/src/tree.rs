//! JSON objects of backends, parsed only as far as needed.
//!
//! Other parts stay the bytes that the backend sent, so no number changes its digits, and no leaf is allocated. If two
//! members have the same name, the last one counts. Members are stored and written in the order of their names.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

pub use crate::room::{NoMemory, Room};

/// What a member takes beside its name, measured with small members: its place in the map, and its name's allocation.
const MEMBER: usize = 144;
/// What an item of an array takes.
const ITEM: usize = 64;

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
    /// The answer has more members than there is memory for.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
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

/// The members of an object, which must be valid JSON and short.
///
/// # Errors
/// [`Unfit`], if it is not an object.
pub fn open(text: &Bytes) -> Result<Members, Unfit> {
    open_within(text, &mut Room::default())
}

/// The members of an object, which must be valid JSON. Their memory is added to that of the answer, because many small
/// members take a multiple of their text.
///
/// # Errors
/// [`Unfit`], if it is not an object, or if there is no memory for its members.
pub fn open_within(text: &Bytes, room: &mut Room) -> Result<Members, Unfit> {
    let Some(b'{') = text.first() else {
        return Err(Unfit::NotAnObject);
    };
    let mut is_full = false;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let opening = Opening {
        text,
        room,
        is_full: &mut is_full,
    };
    let members = deserializer.deserialize_map(opening);
    members.map_err(|_| if is_full { NoMemory.into() } else { Unfit::NotJson })
}

struct Opening<'a> {
    text: &'a Bytes,
    room: &'a mut Room,
    is_full: &'a mut bool,
}

impl Opening<'_> {
    fn take<E: serde::de::Error>(&mut self, octets: usize) -> Result<(), E> {
        self.room.grow(octets).map_err(|NoMemory| {
            *self.is_full = true;
            E::custom(NoMemory)
        })
    }
}

impl<'de> Visitor<'de> for Opening<'_> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            self.take(MEMBER + name.len())?;
            members.insert(name, Tree::Raw(self.text.slice_ref(value.get().as_bytes())));
        }
        Ok(members)
    }
}

/// The items of an array, which must be valid JSON and short. Another value has none.
#[must_use]
pub fn items(text: &Bytes) -> Vec<Bytes> {
    items_within(text, &mut Room::default()).unwrap_or_default()
}

/// The items of an array, which must be valid JSON. Another value has none. Their memory is added to that of the answer.
///
/// # Errors
/// [`NoMemory`], if there is no memory for so many items.
pub fn items_within(text: &Bytes, room: &mut Room) -> Result<Vec<Bytes>, NoMemory> {
    let mut is_full = false;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let items = deserializer.deserialize_seq(Items(Opening {
        text,
        room,
        is_full: &mut is_full,
    }));
    match is_full {
        true => Err(NoMemory),
        false => Ok(items.unwrap_or_default()),
    }
}

struct Items<'a>(Opening<'a>);

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<Vec<Bytes>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = array.next_element::<&'de RawValue>()? {
            self.0.take(ITEM)?;
            items.push(self.0.text.slice_ref(item.get().as_bytes()));
        }
        Ok(items)
    }
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
    ///
    /// # Errors
    /// [`NoMemory`], if there is no memory for its members.
    pub fn into_object(self, room: &mut Room) -> Result<Option<Members>, NoMemory> {
        match self {
            Self::Raw(text) => match open_within(&text, room) {
                Ok(members) => Ok(Some(members)),
                Err(Unfit::NoMemory(none)) => Err(none),
                Err(_) => Ok(None),
            },
            Self::Object(members) => Ok(Some(members)),
        }
    }
}

/// Finds the value at a path of names. Only objects are searched, and nothing else of them is kept.
#[must_use]
pub fn find<T: AsRef<str>>(members: &Members, path: &[T]) -> Option<Tree> {
    let (first, rest) = path.split_first()?;
    let found = members.get(first.as_ref())?;
    match (rest.is_empty(), found) {
        (true, found) => Some(found.clone()),
        (false, Tree::Object(members)) => find(members, rest),
        (false, Tree::Raw(text)) => find_raw(text, rest).map(Tree::Raw),
    }
}

fn find_raw<T: AsRef<str>>(text: &Bytes, path: &[T]) -> Option<Bytes> {
    let mut found = text.clone();
    for name in path {
        let Some(b'{') = found.first() else {
            return None;
        };
        let mut deserializer = serde_json::Deserializer::from_slice(&found);
        let value = deserializer.deserialize_map(Finding(name.as_ref())).ok()??;
        found = found.slice_ref(value.get().as_bytes());
    }
    Some(found)
}

/// Finds the last member with this name.
struct Finding<'a>(&'a str);

impl<'de> Visitor<'de> for Finding<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Named(self.0))? {
            match is_it {
                true => found = Some(map.next_value()?),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Compares a name without keeping it.
struct Named<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Writes an object without escapes for browsers.
pub fn write_plain(members: &Members, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&serde_json::to_vec(name).unwrap_or_default());
        out.push(b':');
        match value {
            Tree::Raw(text) => out.extend_from_slice(text),
            Tree::Object(members) => write_plain(members, out),
        }
    }
    out.push(b'}');
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
