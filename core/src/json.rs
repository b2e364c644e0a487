//! JSON objects as a token may hold them: no duplicate member, no deep nesting, no broken string.
//!
//! Parsers differ on which of two members with one name they take, and that difference is an attack (RFC 8725 §2.6,
//! §3.11; RFC 7515 §4 and RFC 7519 §4 leave the choice between refusing and taking the last). Signet refuses.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep arrays and objects may nest, the outermost object included.
pub const DEEPEST: usize = 16;

/// Why a text is not an object that Signet takes. The text itself is never repeated: it may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object without duplicate members, nested at most {DEEPEST} deep (line {line}, column {column})")]
pub struct JsonError {
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// An object's members in their order; the values as they were written, so that no number changes its digits.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads an object, and checks all that lies in it.
    ///
    /// # Errors
    /// [`JsonError`] with the place, if it is not a strict object.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = deserializer.deserialize_map(ObjectVisitor)?;
        deserializer.end()?;
        Ok(object)
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[(Cow<'a, str>, &'a RawValue)] {
        &self.members
    }

    /// The value of one member, as it was written.
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
            // The raw form was only skipped over so far: neither is an escape decoded, nor is 1e400 out of range.
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

/// Few names are compared each with each, without an allocation; sorting finds duplicates among many in n log n,
/// whatever names an attacker chooses.
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
    if duplicate {
        Err(E::custom("duplicate member"))
    } else {
        Ok(())
    }
}

/// A member's name, borrowed where it has no escapes; names are compared after unescaping.
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

/// Walks a value and keeps nothing of it.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth < DEEPEST {
            Ok(self.depth + 1)
        } else {
            Err(E::custom("nested too deep"))
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
