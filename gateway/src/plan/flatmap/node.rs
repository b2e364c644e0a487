//! A value with named edges, on which the operations of `flatmap_filter` work.

use bytes::Bytes;

use crate::tree::{self, NoMemory, Room, Tree};

/// Stands for every name.
pub(super) const ANY: &str = "*";

/// A value of the answer, parsed as far as a path led.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Raw(Bytes),
    Branch { is_array: bool, edges: Vec<(String, Node)> },
}

impl From<Tree> for Node {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Raw(text) => Self::Raw(text),
            Tree::Object(members) if members.is_empty() => Self::Raw(Bytes::from_static(b"{}")),
            Tree::Object(members) => Self::Branch {
                is_array: false,
                edges: members.into_iter().map(|(name, value)| (name, value.into())).collect(),
            },
        }
    }
}

impl Node {
    fn new() -> Self {
        Self::Branch {
            is_array: false,
            edges: Vec::new(),
        }
    }

    /// The edges below this value. A scalar, and an empty object or array, have none and stay as they are.
    fn edges(&mut self, room: &mut Room) -> Result<Option<&mut Vec<(String, Self)>>, NoMemory> {
        if let Self::Raw(text) = self {
            let edges: Vec<(String, Self)> = match text.first() {
                Some(b'{') => {
                    let members = tree::open_within(text, room).map_err(|_| NoMemory)?;
                    members.into_iter().map(|(name, value)| (name, value.into())).collect()
                }
                Some(b'[') => {
                    let items = tree::items_within(text, room)?;
                    let numbered = items.into_iter().enumerate();
                    numbered
                        .map(|(number, item)| (number.to_string(), Self::Raw(item)))
                        .collect()
                }
                _ => Vec::new(),
            };
            if edges.is_empty() {
                return Ok(None);
            }
            *self = Self::Branch {
                is_array: self.is_array(),
                edges,
            };
        }
        match self {
            Self::Branch { edges, .. } => Ok(Some(edges)),
            Self::Raw(_) => Ok(None),
        }
    }

    fn is_array(&self) -> bool {
        match self {
            Self::Raw(text) => text.starts_with(b"["),
            Self::Branch { is_array, .. } => *is_array,
        }
    }

    fn child(&mut self, name: &str, room: &mut Room) -> Result<Option<&mut Self>, NoMemory> {
        let found = self
            .edges(room)?
            .and_then(|edges| edges.iter_mut().find(|(at, _)| at == name));
        Ok(found.map(|(_, node)| node))
    }

    /// Adds a value. In an object it replaces one with the same name; an array grows.
    fn put(&mut self, name: &str, node: Self, room: &mut Room) -> Result<(), NoMemory> {
        let is_array = self.is_array();
        if self.edges(room)?.is_none() {
            *self = Self::Branch {
                is_array,
                edges: Vec::new(),
            };
        }
        if let Self::Branch { edges, .. } = self {
            if !is_array {
                edges.retain(|(at, _)| at != name);
            }
            edges.push((name.to_owned(), node));
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, path: &[String], room: &mut Room) -> Result<(), NoMemory> {
        let (Some((first, rest)), Some(edges)) = (path.split_first(), self.edges(room)?) else {
            return Ok(());
        };
        match (first == ANY, rest.is_empty()) {
            (true, true) => edges.clear(),
            (true, false) => {
                for (_, node) in edges {
                    node.delete(rest, room)?;
                }
            }
            (false, is_last) => {
                if let Some(at) = edges.iter().position(|(name, _)| name == first) {
                    match is_last {
                        true => drop(edges.remove(at)),
                        false => edges[at].1.delete(rest, room)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls a function for every value at a path, with the names that led there.
    fn visit(
        &mut self,
        path: &[String],
        names: &mut Vec<String>,
        room: &mut Room,
        on: &mut impl FnMut(&mut Self, &[String], &mut Room) -> Result<(), NoMemory>,
    ) -> Result<(), NoMemory> {
        let Some((first, rest)) = path.split_first() else {
            return on(self, names, room);
        };
        for (name, node) in self.edges(room)?.into_iter().flatten() {
            if first == ANY || first == name {
                names.push(name.clone());
                node.visit(rest, names, room, on)?;
                names.pop();
                if first != ANY {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The value at a path. With `*` it is the array of the values at all names, and `null` where there is none.
    fn find(&mut self, path: &[String], room: &mut Room) -> Result<Option<Self>, NoMemory> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(Some(self.clone()));
        };
        if first != ANY {
            return match self.child(first, room)? {
                Some(child) => child.find(rest, room),
                None => Ok(None),
            };
        }
        let Some(edges) = self.edges(room)?.filter(|edges| !edges.is_empty()) else {
            return Ok(None);
        };
        let mut found = Vec::with_capacity(edges.len());
        for (number, (_, node)) in edges.iter_mut().enumerate() {
            let value = node.find(rest, room)?;
            found.push((
                number.to_string(),
                value.unwrap_or(Self::Raw(Bytes::from_static(b"null"))),
            ));
        }
        Ok(Some(Self::Branch {
            is_array: true,
            edges: found,
        }))
    }

    pub(super) fn into_tree(self) -> Tree {
        match self {
            Self::Raw(text) => Tree::Raw(text),
            Self::Branch { is_array: false, edges } if !edges.is_empty() => {
                Tree::Object(edges.into_iter().map(|(name, node)| (name, node.into_tree())).collect())
            }
            branch => {
                let mut out = Vec::new();
                branch.write(&mut out);
                Tree::Raw(out.into())
            }
        }
    }

    /// Writes the value as JSON. An object or array from which everything was removed is `null`, as in KrakenD.
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(text) => out.extend_from_slice(&text),
            Self::Branch { edges, .. } if edges.is_empty() => out.extend_from_slice(b"null"),
            Self::Branch { is_array: true, edges } => {
                for (index, (_, node)) in edges.into_iter().enumerate() {
                    out.push(if index == 0 { b'[' } else { b',' });
                    node.write(out);
                }
                out.push(b']');
            }
            branch @ Self::Branch { .. } => {
                if let Tree::Object(members) = branch.into_tree() {
                    tree::write_plain(&members, out);
                }
            }
        }
    }
}

/// Renames values, moves them out to a shorter path, or puts them below new objects.
pub(super) fn relocate(root: &mut Node, from: &[String], to: &[String], room: &mut Room) -> Result<(), NoMemory> {
    let (Some((name, parents)), Some((new_name, new_parents))) = (from.split_last(), to.split_last()) else {
        return Ok(());
    };
    let mut moved_out = Vec::new();
    root.visit(parents, &mut Vec::new(), room, &mut |parent, names, room| {
        let Some(edges) = parent.edges(room)? else {
            return Ok(());
        };
        let Some(at) = edges.iter().position(|(label, _)| label == name) else {
            return Ok(());
        };
        if to.len() == from.len() {
            let is_array = parent.is_array();
            if let Some(edges) = parent.edges(room)? {
                edges[at].0.clone_from(new_name);
                let mut index = 0;
                edges.retain(|(label, _)| {
                    index += 1;
                    is_array || index - 1 == at || label != new_name
                });
            }
            return Ok(());
        }
        let (_, node) = edges.remove(at);
        if to.len() < from.len() {
            moved_out.push((names.to_vec(), node));
            return Ok(());
        }
        let mut below = parent;
        for name in &new_parents[parents.len()..] {
            if below.child(name, room)?.is_none() {
                below.put(name, Node::new(), room)?;
            }
            match below.child(name, room)? {
                Some(child) => below = child,
                None => return Ok(()),
            }
        }
        below.put(new_name, node, room)
    })?;
    for (names, node) in moved_out {
        put_out(root, new_parents, &names, new_name, node, room)?;
    }
    Ok(())
}

/// Puts a value that was moved out where its new path leads, or as near as the path exists.
fn put_out(
    at: &mut Node,
    parents: &[String],
    names: &[String],
    new_name: &str,
    node: Node,
    room: &mut Room,
) -> Result<(), NoMemory> {
    if let (Some((parent, parents)), Some((name, names))) = (parents.split_first(), names.split_first()) {
        let parent = if parent == ANY { name } else { parent };
        if let Some(child) = at.child(parent, room)? {
            return put_out(child, parents, names, new_name, node, room);
        }
    }
    at.put(new_name, node, room)
}

/// Appends the items of an array to another, and removes the first.
pub(super) fn append(root: &mut Node, from: &[String], to: &[String], room: &mut Room) -> Result<(), NoMemory> {
    let is_array = |node: &Node| match node {
        Node::Raw(text) => text.starts_with(b"["),
        Node::Branch { is_array, edges } => *is_array && !edges.is_empty(),
    };
    let Some(mut items) = root.find(from, room)?.filter(is_array) else {
        return Ok(());
    };
    let mut target = &mut *root;
    for name in to {
        match target.child(name, room)? {
            Some(child) => target = child,
            None => return Ok(()),
        }
    }
    if !is_array(target) {
        return Ok(());
    }
    let numbers = target
        .edges(room)?
        .into_iter()
        .flatten()
        .filter_map(|(name, _)| name.parse::<usize>().ok());
    let first = numbers.max().map_or(0, |number| number + 1);
    let items = items.edges(room)?.into_iter().flat_map(std::mem::take);
    for (number, (_, item)) in items.enumerate() {
        target.put(&(first + number).to_string(), item, room)?;
    }
    root.delete(from, room)
}
