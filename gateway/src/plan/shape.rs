//! The filters for a backend's object: `target`, `allow` or `deny`, `mapping` and `group`, in this order. `flatmap_filter`
//! replaces all but the first and the last.

use std::collections::BTreeMap;
use std::fmt;

use super::flatmap::Flatmap;
use crate::file::Section;
use crate::file::json::Value;
use crate::tree::{self, Members, NoMemory, Room, Tree, Unfit};

/// The filters of a backend, compiled. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    target: Vec<String>,
    allow: Option<Paths>,
    deny: Vec<Vec<String>>,
    mapping: Vec<(String, String)>,
    flatmap: Flatmap,
    group: Option<String>,
}

/// Paths as a tree. Each name leads to more names, or to everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Paths {
    Everything,
    Names(BTreeMap<String, Paths>),
}

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

impl Shape {
    /// Reads the filters of a backend.
    pub fn read(backend: &Section<'_>) -> Self {
        let mut allow = Paths::Names(BTreeMap::new());
        let allowed = backend.texts("allow");
        for text in &allowed {
            allow.add(&path(text.value));
        }
        let target = backend.text("target").filter(|target| !target.is_empty());
        let shape = Self {
            target: target.map(path).unwrap_or_default(),
            allow: (!allowed.is_empty()).then_some(allow),
            deny: backend.texts("deny").iter().map(|text| path(text.value)).collect(),
            mapping: mapping(backend),
            flatmap: backend
                .namespace("proxy")
                .as_ref()
                .map(Flatmap::read)
                .unwrap_or_default(),
            group: backend
                .text("group")
                .filter(|group| !group.is_empty())
                .map(str::to_owned),
        };
        if shape.allow.is_some() && !shape.deny.is_empty() {
            backend.warn("deny", "it has no effect, because allow already selects the fields");
        }
        if !shape.flatmap.is_nothing() {
            for key in ["allow", "deny", "mapping"].into_iter().filter(|key| backend.has(key)) {
                backend.refuse(
                    key,
                    "it has no effect beside flatmap_filter; write it as move or del there, and remove the key",
                );
            }
        }
        shape
    }

    /// Whether the filters change nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Applies the filters to an object.
    ///
    /// # Errors
    /// [`NoMemory`], if an object that a filter names has too many members.
    pub fn apply(&self, mut members: Members, room: &mut Room) -> Result<Members, NoMemory> {
        if !self.target.is_empty() {
            let mut found = Some(members);
            for name in &self.target {
                found = match found.and_then(|mut members| members.remove(name)) {
                    Some(value) => value.into_object(room)?,
                    None => None,
                };
            }
            members = found.unwrap_or_default();
        }
        if !self.flatmap.is_nothing() {
            let mapped = self.flatmap.apply(members, room)?;
            return Ok(match (&self.group, mapped) {
                (Some(group), Some(members)) => Members::from([(group.clone(), Tree::Object(members))]),
                (Some(group), None) => Members::from([(group.clone(), Tree::Raw("null".into()))]),
                (None, members) => members.unwrap_or_default(),
            });
        }
        match &self.allow {
            Some(paths) => members = paths.keep(members, room)?,
            None => {
                for path in &self.deny {
                    remove(&mut members, path, room)?;
                }
            }
        }
        for (from, to) in &self.mapping {
            if let Some(value) = members.remove(from) {
                members.insert(to.clone(), value);
            }
        }
        Ok(match &self.group {
            Some(group) => Members::from([(group.clone(), Tree::Object(members))]),
            None => members,
        })
    }
}

/// The new names of members, cut at the first dot, because paths are not supported here.
fn mapping(backend: &Section<'_>) -> Vec<(String, String)> {
    let mut renames = Vec::new();
    for (from, node, place) in backend.members("mapping") {
        match &node.value {
            Value::Text(to) => {
                let to = to.split('.').next().unwrap_or_default();
                renames.push((from.to_owned(), to.to_owned()));
            }
            _ => backend.refuse_at(
                &place,
                format!("this is {}, and must be a text: the new name", node.kind()),
            ),
        }
    }
    renames
}

/// Removes the value at a path.
fn remove(members: &mut Members, path: &[String], room: &mut Room) -> Result<(), NoMemory> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        members.remove(first);
        return Ok(());
    }
    let Some(value) = members.get_mut(first) else {
        return Ok(());
    };
    if let Tree::Raw(text) = value {
        *value = match tree::open_within(text, room) {
            Ok(opened) => Tree::Object(opened),
            Err(Unfit::NoMemory(none)) => return Err(none),
            Err(_) => return Ok(()),
        };
    }
    match value {
        Tree::Object(members) => remove(members, rest, room),
        Tree::Raw(_) => Ok(()),
    }
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Everything;
            return;
        };
        if *self == Self::Everything {
            *self = Self::Names(BTreeMap::new());
        }
        if let Self::Names(names) = self {
            names
                .entry(first.clone())
                .or_insert_with(|| Self::Names(BTreeMap::new()))
                .add(rest);
        }
    }

    /// Keeps only what is allowed. An object that becomes empty is left out.
    fn keep(&self, members: Members, room: &mut Room) -> Result<Members, NoMemory> {
        let Self::Names(names) = self else {
            return Ok(members);
        };
        let mut kept = Members::new();
        for (name, value) in members {
            match names.get(&name) {
                None => {}
                Some(Self::Everything) => {
                    kept.insert(name, value);
                }
                Some(paths) => {
                    let Some(members) = value.into_object(room)? else {
                        continue;
                    };
                    let inner = paths.keep(members, room)?;
                    if !inner.is_empty() {
                        kept.insert(name, Tree::Object(inner));
                    }
                }
            }
        }
        Ok(kept)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let flatmap = self.flatmap.to_string();
        if !self.target.is_empty() {
            words.push("target");
        }
        if self.allow.is_some() {
            words.push("allow");
        } else if !self.deny.is_empty() {
            words.push("deny");
        }
        if !self.mapping.is_empty() {
            words.push("mapping");
        }
        if !self.flatmap.is_nothing() {
            words.push(&flatmap);
        }
        if self.group.is_some() {
            words.push("group");
        }
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bytes::Bytes;

    use super::*;
    use crate::file::{Report, json};

    fn shaped(filters: &str, object: &str) -> String {
        let node = json::parse(filters).expect("JSON");
        let report: RefCell<Report> = RefCell::default();
        let shape = Shape::read(&Section::root(&node, &report));
        assert!(report.borrow().is_good(), "{}", report.borrow().to_text("file"));
        let members = tree::open(&Bytes::copy_from_slice(object.as_bytes())).expect("an object");
        String::from_utf8(tree::write(
            &shape.apply(members, &mut Room::default()).expect("memory"),
        ))
        .expect("text")
    }

    const OBJECT: &str = r#"{"a":{"b":{"c":1,"d":2},"e":3},"f":[{"g":4}],"h":null}"#;

    #[test]
    fn each_filter_does_what_its_name_says() {
        for (filters, shape) in [
            ("{}", r#"{"a":{"b":{"c":1,"d":2},"e":3},"f":[{"g":4}],"h":null}"#),
            (r#"{"target":"a.b"}"#, r#"{"c":1,"d":2}"#),
            (r#"{"target":"a.x"}"#, "{}"),
            (r#"{"target":"f"}"#, "{}"),
            (r#"{"allow":["a.b.c","h"]}"#, r#"{"a":{"b":{"c":1}},"h":null}"#),
            (r#"{"allow":["a.b.x","f.g"]}"#, "{}"),
            (r#"{"allow":["a.b","a.e"]}"#, r#"{"a":{"b":{"c":1,"d":2},"e":3}}"#),
            (r#"{"deny":["a.b.c","f"]}"#, r#"{"a":{"b":{"d":2},"e":3},"h":null}"#),
            (
                r#"{"deny":["a.b.c","a.b.d","x.y","h.i"]}"#,
                r#"{"a":{"b":{},"e":3},"f":[{"g":4}],"h":null}"#,
            ),
            (r#"{"allow":["h"],"deny":["h"]}"#, r#"{"h":null}"#),
            (
                r#"{"allow":["h","f"],"mapping":{"h":"a.b","f":"i"}}"#,
                r#"{"a":null,"i":[{"g":4}]}"#,
            ),
            (r#"{"allow":["h"],"mapping":{"h":"i","i":"j"}}"#, r#"{"j":null}"#),
            (
                r#"{"target":"a.b","deny":["c"],"mapping":{"d":"x"},"group":"g"}"#,
                r#"{"g":{"x":2}}"#,
            ),
            (r#"{"target":"x","group":"g"}"#, r#"{"g":{}}"#),
        ] {
            assert_eq!(shaped(filters, OBJECT), shape, "{filters}");
        }
    }

    #[test]
    fn of_two_paths_one_of_which_holds_the_other_the_later_counts() {
        assert_eq!(shaped(r#"{"allow":["a","a.e"]}"#, OBJECT), r#"{"a":{"e":3}}"#);
        assert_eq!(
            shaped(r#"{"allow":["a.e","a"]}"#, OBJECT),
            r#"{"a":{"b":{"c":1,"d":2},"e":3}}"#
        );
    }
}
