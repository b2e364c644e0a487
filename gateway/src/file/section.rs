//! Typed access to the values of an object.
//!
//! A value of another type is reported and treated as missing. Reading then continues, so all
//! problems are reported at once.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::duration;
use super::json::{Node, Value};
use super::report::{Place, Report};
use super::walk::is_comment;

/// An object of the file.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    node: &'a Node,
    place: Place,
    report: &'a RefCell<Report>,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value itself.
    pub value: T,
    /// The place of the value in the file.
    pub place: Place,
}

impl<'a> Section<'a> {
    /// The root of the document.
    pub fn root(node: &'a Node, report: &'a RefCell<Report>) -> Self {
        let place = Place {
            line: node.line,
            ..Place::default()
        };
        Self { node, place, report }
    }

    /// The place of the section in the file.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The place of a key, or of the section if the key is missing.
    #[must_use]
    pub fn at(&self, key: &str) -> Place {
        match self.node.member(key) {
            Some(member) => self.place.member(key, member.line),
            None => self.place.clone(),
        }
    }

    /// Reports a problem with this key.
    pub fn refuse(&self, key: &str, text: impl Into<String>) {
        self.report.borrow_mut().refuse(self.at(key), text);
    }

    /// Reports a problem with this place.
    pub fn refuse_at(&self, place: &Place, text: impl Into<String>) {
        self.report.borrow_mut().refuse(place.clone(), text);
    }

    /// Adds a warning about this key.
    pub fn warn(&self, key: &str, text: impl Into<String>) {
        self.report.borrow_mut().warn(self.at(key), text);
    }

    /// The unconverted value.
    #[must_use]
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.node.member(key).map(|member| &member.node)
    }

    /// Whether the section has the key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Reads a string.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        let node = self.node(key)?;
        match &node.value {
            Value::Text(text) => Some(text),
            _ => self.wrong_kind(key, node, "a text"),
        }
    }

    /// Reads a flag. A missing one is `false`.
    pub fn flag(&self, key: &str) -> bool {
        let Some(node) = self.node(key) else {
            return false;
        };
        match &node.value {
            Value::Bool(flag) => *flag,
            _ => self.wrong_kind(key, node, "true or false").unwrap_or_default(),
        }
    }

    /// Reads a whole number within bounds.
    pub fn number(&self, key: &str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let node = self.node(key)?;
        let Value::Number(text) = &node.value else {
            return self.wrong_kind(key, node, "a number");
        };
        match text.parse().ok().filter(|number| bounds.contains(number)) {
            Some(number) => Some(number),
            None => {
                let (least, most) = bounds.into_inner();
                self.refuse(key, format!("{text} is not a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// Reads a duration.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let node = self.node(key)?;
        let Value::Text(text) = &node.value else {
            return self.wrong_kind(key, node, &format!("a text with a duration: {}", duration::SYNTAX));
        };
        duration::parse(text).map_err(|why| self.refuse(key, why)).ok()
    }

    /// Reads a duration. `0` means none, like a missing value.
    pub fn span(&self, key: &str) -> Option<Duration> {
        self.duration(key).filter(|span| !span.is_zero())
    }

    /// Reads one of these words, and returns its meaning. A missing value means the first word.
    pub fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let Some(text) = self.text(key) else {
            let is_absent = !self.has(key);
            return words.first().filter(|_| is_absent).map(|(_, meaning)| *meaning);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(key, format!("{text:?} is not one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// Reads a list of strings. A missing list is empty.
    pub fn texts(&self, key: &str) -> Vec<At<&'a str>> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::Array(items) = &node.value else {
            self.wrong_kind::<()>(key, node, "an array of texts");
            return Vec::new();
        };
        let place = self.at(key);
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let place = place.item(index, item.line);
            match &item.value {
                Value::Text(text) => texts.push(At {
                    value: text.as_str(),
                    place,
                }),
                _ => self.refuse_at(&place, format!("this is {}, and must be a text", item.kind())),
            }
        }
        texts
    }

    /// The members of an object with names that the user chooses, without comments.
    pub fn members(&self, key: &str) -> Vec<(&'a str, &'a Node, Place)> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::Object(members) = &node.value else {
            self.wrong_kind::<()>(key, node, "an object");
            return Vec::new();
        };
        let place = self.at(key);
        members
            .iter()
            .filter(|member| !is_comment(&member.name))
            .map(|member| {
                (
                    member.name.as_str(),
                    &member.node,
                    place.member(&member.name, member.line),
                )
            })
            .collect()
    }

    /// The object under this key. The walk has already refused a value of another type.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<Section<'a>> {
        let node = self.node(key)?;
        matches!(node.value, Value::Object(_)).then(|| Section {
            node,
            place: self.at(key),
            report: self.report,
        })
    }

    /// The namespace of `extra_config` with this name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Section<'a>> {
        self.section("extra_config")?.section(name)
    }

    /// The objects of a list. The walk has already refused other values.
    #[must_use]
    pub fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let Some(Value::Array(items)) = self.node(key).map(|node| &node.value) else {
            return Vec::new();
        };
        let place = self.at(key);
        let objects = items
            .iter()
            .enumerate()
            .filter(|(_, item)| matches!(item.value, Value::Object(_)));
        objects
            .map(|(index, node)| Section {
                node,
                place: place.item(index, node.line),
                report: self.report,
            })
            .collect()
    }

    fn wrong_kind<T>(&self, key: &str, node: &Node, wanted: &str) -> Option<T> {
        self.refuse(key, format!("this is {}, and must be {wanted}", node.kind()));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::json;

    #[test]
    fn a_value_of_another_kind_is_reported_and_read_as_absent() {
        let node = json::parse(
            "{\"t\":1,\"f\":\"true\",\"n\":\"1\",\"m\":1.5,\"d\":\"2\",\"e\":3,\"w\":\"no\",\"l\":\"a\",\"k\":[\"a\",2]}",
        )
        .expect("JSON");
        let report = RefCell::default();
        let section = Section::root(&node, &report);
        assert_eq!(section.text("t"), None);
        assert!(!section.flag("f"));
        assert_eq!(section.number("n", 1..=9), None);
        assert_eq!(section.number("m", 1..=9), None);
        assert_eq!(section.duration("d"), None);
        assert_eq!(section.duration("e"), None);
        assert_eq!(section.word("w", &[("yes", 1), ("maybe", 2)]), None);
        assert!(section.texts("l").is_empty());
        assert_eq!(section.texts("k").len(), 1);
        assert_eq!(report.borrow().problems().len(), 9);
        assert_eq!(section.word("absent", &[("yes", 1), ("maybe", 2)]), Some(1));
        assert_eq!(report.borrow().problems().len(), 9);
    }
}
