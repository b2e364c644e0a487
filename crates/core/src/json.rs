//! Strict JSON objects, as a token may contain them: no duplicate members, no deep nesting, no invalid strings.
//!
//! Parsers differ in which of two members with the same name they use, and attackers exploit the difference
//! (RFC 8725 §2.6, §3.11). RFC 7515 §4 and RFC 7519 §4 allow a parser to refuse duplicates or to use the
//! last one. Signet refuses.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::objects_only::ObjectsOnly;

/// The maximum nesting depth of arrays and objects, counting the outermost object.
pub const DEEPEST: usize = 16;

/// Why a text is not a strict JSON object. The error never quotes the text, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (line {line}, column {column})")]
pub struct JsonError {
    fault: Fault,
    line: usize,
    column: usize,
}

impl JsonError {
    /// The kind of fault in the text.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.fault
    }
}

/// The kinds of fault for which a text is refused as an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text breaks the grammar of RFC 8259, or something follows the object.
    #[error("not JSON (RFC 8259)")]
    NotJson,
    /// The text is an array, a string, a number, a boolean or `null`.
    #[error("not a JSON object")]
    NotAnObject,
    /// An object has two members with the same name.
    #[error("an object has a duplicate member (RFC 8725 §2.6)")]
    Duplicate,
    /// Arrays and objects nest deeper than [`DEEPEST`].
    #[error("arrays and objects are nested more than {DEEPEST} levels deep")]
    TooDeep,
    /// A number too large for a double, such as `1e400` (RFC 8259 §6).
    #[error("a number is larger than a 64-bit floating point number can be (RFC 8259 §6)")]
    HugeNumber,
    /// A `\u` escape that is not a character, such as half of a surrogate pair (RFC 8259 §8.2).
    #[error("a string has an escape that is not a Unicode character, such as half of a surrogate pair (RFC 8259 §8.2)")]
    BrokenString,
}

const DUPLICATE: &str = "duplicate member";
const TOO_DEEP: &str = "nested too deep";

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        // serde_json reports these faults only by their text. The test `every_fault_is_told_apart` pins the texts.
        let text = error.to_string();
        let is = |part: &str| text.contains(part);
        let fault = match () {
            // This comes first because here the library quotes the value, which could contain any of the other texts.
            () if error.is_data() && is("expected an object") => Fault::NotAnObject,
            () if is(DUPLICATE) => Fault::Duplicate,
            () if is(TOO_DEEP) => Fault::TooDeep,
            () if is("number out of range") => Fault::HugeNumber,
            () if is("hex escape") || is("unicode code point") => Fault::BrokenString,
            () => Fault::NotJson,
        };
        Self {
            fault,
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Removes a byte order mark from the beginning of a document, which a parser may ignore (RFC 8259 §8.1). IIS and some
/// Windows editors write one. Use it for documents that others publish or edit; a token never has one.
#[must_use]
pub fn without_bom(document: &[u8]) -> &[u8] {
    document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)
}

/// Reads a JSON document. Unlike `serde_json::from_slice`, it ignores a byte order mark and does not
/// accept an array for a struct.
///
/// # Errors
/// The library's error, which may quote the document.
pub fn read<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(without_bom(document));
    let value = T::deserialize(ObjectsOnly(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// The members of an object in their order. The values stay as they were written, which keeps the digits of numbers.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Parses an object and checks everything nested in it.
    ///
    /// # Errors
    /// [`JsonError`] with the position, if the text is not a strict object.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = deserializer.deserialize_map(ObjectVisitor)?;
        deserializer.end()?;
        Ok(object)
    }

    /// The members in the order in which they were written.
    #[must_use]
    pub fn members(&self) -> &[(Cow<'a, str>, &'a RawValue)] {
        &self.members
    }

    /// The value of the member with this name, as it was written.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| *value)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(name) = map.next_key_seed(Name)? {
            let value: &'de RawValue = map.next_value()?;
            let text = value.get();
            // serde_json skips over raw values without decoding escapes or checking that numbers are in
            // range, so they are read again.
            if !text.starts_with('"') || text.contains('\\') {
                let mut inner = serde_json::Deserializer::from_str(text);
                Strict { depth: 1 }.deserialize(&mut inner).map_err(de::Error::custom)?;
            }
            members.push((name, value));
        }
        refuse_duplicates(members.iter().map(|(name, _)| name.as_ref()))?;
        Ok(Object { members })
    }
}

/// Reports a duplicate name. Few names are compared in pairs, without an allocation. Many names are sorted, which takes
/// n log n whatever names an attacker chooses.
fn refuse_duplicates<'a, E: de::Error>(names: impl Iterator<Item = &'a str> + Clone) -> Result<(), E> {
    const FEW: usize = 12;
    let duplicate = if names.clone().nth(FEW).is_none() {
        let mut rest = names;
        loop {
            let Some(name) = rest.next() else { break false };
            if rest.clone().any(|other| other == name) {
                break true;
            }
        }
    } else {
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    };
    if duplicate { Err(E::custom(DUPLICATE)) } else { Ok(()) }
}

/// The name of a member, borrowed if it has no escapes. Names are compared after unescaping.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// A visitor that checks a value and discards it.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth < DEEPEST {
            Ok(self.depth + 1)
        } else {
            Err(E::custom(TOO_DEEP))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while seq.next_element_seed(Strict { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let mut names = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            names.push(name);
            map.next_value_seed(Strict { depth })?;
        }
        refuse_duplicates(names.iter().map(AsRef::as_ref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_objects_are_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        let refused = [
            r#"{"a":1,"a":2}"#,
            "{\"a\":1,\"\\u0061\":2}",
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"x":[{"a":1,"a":1}]}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1} x"#,
            r#"{"a":1}{"b":2}"#,
            r#"["a"]"#,
            "null",
            "",
            "{",
            r#"{"a":01}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e400}"#,
            r#"{a:1}"#,
            "{\"a\":\"\u{1}\"}",
            "\u{feff}{}",
            r#"{"a":1,}"#,
            &deep,
        ];
        for text in refused {
            assert!(Object::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_fault_is_told_apart() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        let abyss = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        for (text, fault) in [
            (r#"{"a":1,"a":2}"#, Fault::Duplicate),
            (r#"{"x":[{"a":1,"\u0061":1}]}"#, Fault::Duplicate),
            (deep.as_str(), Fault::TooDeep),
            (&abyss, Fault::TooDeep),
            (r#"{"a":1e400}"#, Fault::HugeNumber),
            (r#"{"a":[-1e400]}"#, Fault::HugeNumber),
            (r#"{"a":"\ud800"}"#, Fault::BrokenString),
            (r#"{"a":"\udc00"}"#, Fault::BrokenString),
            (r#"{"a":"\ud800\u0041"}"#, Fault::BrokenString),
            (r#"{"a":"\ud800x"}"#, Fault::BrokenString),
            (r#"{"\ud800":1}"#, Fault::BrokenString),
            (r#"{"a":[{"\udfff":1}]}"#, Fault::BrokenString),
            (r#"["a"]"#, Fault::NotAnObject),
            ("null", Fault::NotAnObject),
            (r#""a""#, Fault::NotAnObject),
            ("1", Fault::NotAnObject),
            ("true", Fault::NotAnObject),
            ("", Fault::NotJson),
            ("{", Fault::NotJson),
            (r#"{"a":1} x"#, Fault::NotJson),
            (r#"{"a":NaN}"#, Fault::NotJson),
            ("\u{feff}{}", Fault::NotJson),
        ] {
            let error = Object::parse(text).expect_err(text);
            assert_eq!(
                error.fault(),
                fault,
                "{}: {error}",
                text.chars().take(40).collect::<String>()
            );
        }
    }

    #[test]
    fn a_document_may_begin_with_a_byte_order_mark_and_has_objects_where_they_are_meant() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Document<'a> {
            a: u8,
            #[serde(default, borrow)]
            inner: Option<Vec<Inner<'a>>>,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        struct Inner<'a> {
            b: &'a str,
            #[serde(default)]
            c: Option<bool>,
            #[serde(default)]
            list: Vec<[u8; 2]>,
        }
        for text in [
            "{\"a\":1}",
            " {\"a\":1}\n",
            "\u{feff}{\"a\":1}",
            r#"{"a":1,"inner":null,"x":[1]}"#,
        ] {
            let document: Document<'_> = read(text.as_bytes()).expect(text);
            assert_eq!(document, Document { a: 1, inner: None });
        }
        let text = r#"{"a":1,"inner":[{"b":"x","c":true,"list":[[1,2]]}]}"#;
        let document: Document<'_> = read(text.as_bytes()).expect(text);
        let inner = Inner {
            b: "x",
            c: Some(true),
            list: vec![[1, 2]],
        };
        assert_eq!(document.inner, Some(vec![inner]));
        for text in [
            "[1]",
            " [1,null]",
            "\u{feff}[1,null]",
            "\u{feff}\u{feff}{\"a\":1}",
            r#"{"a":1,"inner":[["x",true,[]]]}"#,
            r#"{"a":1,"inner":[{"b":"x"},["x",null,[]]]}"#,
            r#"{"a":1,"a":1}"#,
            "1",
            "{\"a\":1}x",
        ] {
            assert!(read::<Document<'_>>(text.as_bytes()).is_err(), "{text}");
        }
        // A `RawValue` keeps its text unchanged.
        let raw: Vec<&RawValue> = read(b"[[1.0],{\"a\": 2}]").expect("an array");
        assert_eq!(
            raw.iter().map(|value| value.get()).collect::<Vec<_>>(),
            ["[1.0]", "{\"a\": 2}"]
        );
    }

    #[test]
    fn values_keep_their_digits() {
        let object = Object::parse(r#" {"a":1.10, "b":123456789012345678901234567890} "#).expect("strict");
        assert_eq!(object.member("a").map(RawValue::get), Some("1.10"));
        assert_eq!(
            object.member("b").map(RawValue::get),
            Some("123456789012345678901234567890")
        );
        assert_eq!(object.member("c").map(RawValue::get), None);
    }

    #[test]
    fn nesting_up_to_the_bound_is_taken() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(DEEPEST - 1), "]".repeat(DEEPEST - 1));
        assert!(Object::parse(&text).is_ok());
    }
}
