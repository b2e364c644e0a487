//! The filter `flatmap_filter`: moves, deletes and appends values at paths, also in arrays.
//!
//! It does what the package `tree` of KrakenD's flatmap does. An array counts as an object whose names are the numbers of
//! its items, and an item keeps its number when others are removed. `*` stands for every name. Only the values on the
//! paths are parsed.

mod node;

use std::fmt;

use crate::file::{Place, Section};
use crate::tree::{Members, NoMemory, Room, Tree};
use node::{ANY, Node, append, relocate};

/// The operations, in order. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flatmap(Vec<Operation>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Move(Vec<String>, Vec<String>),
    Append(Vec<String>, Vec<String>),
    Delete(Vec<Vec<String>>),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Move,
    Append,
    Delete,
}

impl Flatmap {
    /// Reads the operations from the namespace `proxy`. Reports every problem.
    pub fn read(proxy: &Section<'_>) -> Self {
        let operations = proxy.sections("flatmap_filter");
        Self(operations.iter().filter_map(operation).collect())
    }

    /// Whether there are no operations.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies the operations. `None` if nothing remains of the object, which KrakenD writes as `null`.
    ///
    /// # Errors
    /// [`NoMemory`], if an object on a path has too many members.
    pub fn apply(&self, members: Members, room: &mut Room) -> Result<Option<Members>, NoMemory> {
        if self.is_nothing() || members.is_empty() {
            return Ok(Some(members));
        }
        let mut root = Node::from(Tree::Object(members));
        for operation in &self.0 {
            match operation {
                Operation::Move(from, to) => relocate(&mut root, from, to, room)?,
                Operation::Append(from, to) => append(&mut root, from, to, room)?,
                Operation::Delete(paths) => {
                    for path in paths {
                        root.delete(path, room)?;
                    }
                }
            }
        }
        Ok(match root.into_tree() {
            Tree::Object(members) => Some(members),
            Tree::Raw(_) => None,
        })
    }
}

fn operation(section: &Section<'_>) -> Option<Operation> {
    let kinds = [("move", Kind::Move), ("append", Kind::Append), ("del", Kind::Delete)];
    if !section.has("type") {
        section.refuse("type", "type is missing; write move, append or del");
        return None;
    }
    let kind = section.word("type", &kinds)?;
    let texts = section.texts("args");
    let places: Vec<&Place> = texts.iter().map(|text| &text.place).collect();
    let paths = texts
        .iter()
        .map(|text| text.value.split('.').map(str::to_owned).collect());
    let mut paths: Vec<Vec<String>> = paths.collect();
    if kind == Kind::Delete {
        if paths.is_empty() {
            section.refuse("args", "args is missing: the paths to delete");
        }
        return Some(Operation::Delete(paths));
    }
    if paths.len() != 2 {
        section.refuse(
            "args",
            format!("this has {} paths, and must have two: from and to", paths.len()),
        );
        return None;
    }
    let to = paths.pop()?;
    let from = paths.pop()?;
    let is_any = |segment: &String| segment == ANY;
    match kind {
        Kind::Append if to.iter().any(is_any) => {
            section.refuse_at(places[1], "the array to append to is one, so its path cannot have a *");
        }
        Kind::Append => return Some(Operation::Append(from, to)),
        _ if from.last().is_some_and(is_any) => {
            section.refuse_at(places[0], "the value to move needs a name, so its path cannot end in *");
        }
        _ if to.last().is_some_and(is_any) => {
            section.refuse_at(places[1], "the new name of a value cannot be *");
        }
        _ if to.len() > from.len() && to[from.len() - 1..].iter().any(is_any) => {
            section.refuse_at(places[1], "a new object cannot have the name *");
        }
        _ => {
            let shared = from.len() - 1;
            if to.len() >= from.len() && to[..shared] != from[..shared] {
                section.warn(
                    "args",
                    format!(
                        "the value stays in {}, as in KrakenD: only a shorter path moves it out",
                        from[..shared].join(".")
                    ),
                );
            }
            return Some(Operation::Move(from, to));
        }
    }
    None
}

impl fmt::Display for Flatmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.0.iter().map(|operation| match operation {
            Operation::Move(..) => "move",
            Operation::Append(..) => "append",
            Operation::Delete(_) => "del",
        });
        write!(f, "flatmap {}", kinds.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bytes::Bytes;

    use super::*;
    use crate::file::{Report, json};
    use crate::tree;

    fn read(operations: &str) -> (Flatmap, Report) {
        let node = json::parse(&format!(r#"{{"flatmap_filter":{operations}}}"#)).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        let flatmap = Flatmap::read(&Section::root(&node, &report));
        (flatmap, report.into_inner())
    }

    fn mapped(operations: &str, object: &str) -> String {
        let (flatmap, report) = read(operations);
        assert!(report.is_good(), "{}", report.to_text("file"));
        let mut room = Room::default();
        let members = tree::open(&Bytes::copy_from_slice(object.as_bytes())).expect("an object");
        match flatmap.apply(members, &mut room).expect("memory") {
            Some(members) => String::from_utf8(tree::write(&members)).expect("text"),
            None => "null".to_owned(),
        }
    }

    #[test]
    fn each_operation_does_what_it_does_in_krakend() {
        const ONE: &str = r#"{"a":[{"b":1,"c":{"d":2}},{"b":3}],"e":{"f":[4]},"g":[5]}"#;
        for (operations, expected) in [
            (r#"[{"type":"del","args":["a","e.f"]}]"#, r#"{"e":null,"g":[5]}"#),
            (
                r#"[{"type":"del","args":["a.*.b","e","g"]}]"#,
                r#"{"a":[{"c":{"d":2}},null]}"#,
            ),
            (r#"[{"type":"del","args":["a.0","a.0","e","g"]}]"#, r#"{"a":[{"b":3}]}"#),
            (r#"[{"type":"del","args":["a.*","e","g"]}]"#, r#"{"a":null}"#),
            (r#"[{"type":"del","args":["*"]}]"#, "null"),
            (
                r#"[{"type":"del","args":["x","a.x","g.0.x","a.*.c.d.y","e","g","a.1"]}]"#,
                r#"{"a":[{"b":1,"c":{"d":2}}]}"#,
            ),
            (
                r#"[{"type":"move","args":["a.*.b","a.*.x"]},{"type":"del","args":["e","g"]}]"#,
                r#"{"a":[{"c":{"d":2},"x":1},{"x":3}]}"#,
            ),
            (
                r#"[{"type":"move","args":["a.*.c.d","a.*.d"]},{"type":"del","args":["e","g"]}]"#,
                r#"{"a":[{"b":1,"c":null,"d":2},{"b":3}]}"#,
            ),
            (
                r#"[{"type":"move","args":["a.*.b","a.*.y.z"]},{"type":"del","args":["e","g"]}]"#,
                r#"{"a":[{"c":{"d":2},"y":{"z":1}},{"y":{"z":3}}]}"#,
            ),
            (
                r#"[{"type":"move","args":["e.f","h"]},{"type":"del","args":["a","g"]}]"#,
                r#"{"e":null,"h":[4]}"#,
            ),
            (
                r#"[{"type":"move","args":["e","g.0.h"]},{"type":"del","args":["a"]}]"#,
                r#"{"g":[{"h":{"f":[4]}}]}"#,
            ),
            (
                r#"[{"type":"append","args":["g","e.f"]},{"type":"del","args":["a"]}]"#,
                r#"{"e":{"f":[4,5]}}"#,
            ),
            (
                r#"[{"type":"append","args":["a.*.b","g"]},{"type":"del","args":["a","e"]}]"#,
                r#"{"g":[5,1,3]}"#,
            ),
            (
                r#"[{"type":"append","args":["x","g"]},{"type":"append","args":["g","e"]},{"type":"del","args":["a","e"]}]"#,
                r#"{"g":[5]}"#,
            ),
            (
                r#"[{"type":"move","args":["g","e"]},{"type":"del","args":["a"]}]"#,
                r#"{"e":[5]}"#,
            ),
        ] {
            assert_eq!(mapped(operations, ONE), expected, "{operations}");
        }
        assert_eq!(mapped(r#"[{"type":"del","args":["a"]}]"#, "{}"), "{}");
        assert_eq!(mapped("[]", ONE), ONE);
    }

    #[test]
    fn operations_without_a_meaning_are_refused() {
        for operations in [
            r#"[{"type":"copy","args":["a","b"]}]"#,
            r#"[{"args":["a","b"]}]"#,
            r#"[{"type":"move","args":["a"]}]"#,
            r#"[{"type":"move","args":["a.*","b"]}]"#,
            r#"[{"type":"move","args":["a","*"]}]"#,
            r#"[{"type":"move","args":["a","b.*.c"]},{"type":"move","args":["a","*.c"]}]"#,
            r#"[{"type":"append","args":["a","b.*"]}]"#,
            r#"[{"type":"del","args":[]}]"#,
            r#"[{"type":"del","args":[1]}]"#,
        ] {
            assert!(!read(operations).1.is_good(), "{operations}");
        }
        assert_eq!(read(r#"[{"type":"move","args":["a.b","c.d"]}]"#).1.warnings().len(), 1);
    }
}
