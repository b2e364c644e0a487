//! Properties of filters, paths and schemas, against models that do the same in a simpler way.

use std::cell::RefCell;

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use signet_gateway::file::{Report, Section, json as file};
use signet_gateway::plan::shape::Shape;
use signet_gateway::room::Room;
use signet_gateway::routes::{self, RouteMatch, Routes, Segment, Tolerance};
use signet_gateway::tree;

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        "[a-c<]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            objects(inner).prop_map(Value::Object),
        ]
    })
}

/// Objects with few different names, so that paths often match.
fn objects(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-c]", values, 0..4).prop_map(|members| members.into_iter().collect())
}

fn names(most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-c]|[0-2]|\\*", 1..=most)
}

/// An operation of `flatmap_filter` that is not refused.
fn operations() -> impl Strategy<Value = (String, Vec<Vec<String>>)> {
    let plain = |path: &Vec<String>| path.iter().all(|name| name != "*");
    prop_oneof![
        prop::collection::vec(names(4), 1..3).prop_map(|paths| ("del".to_owned(), paths)),
        (names(3), names(3))
            .prop_filter("one target", move |(_, to)| plain(to))
            .prop_map(|(from, to)| ("append".to_owned(), vec![from, to])),
        (names(4), names(4))
            .prop_filter("names", |(from, to)| {
                let is_any = |name: Option<&String>| name.is_none_or(|name| name == "*");
                let below = to.get(from.len() - 1..).unwrap_or_default();
                !is_any(from.last())
                    && !is_any(to.last())
                    && (to.len() <= from.len() || below.iter().all(|name| name != "*"))
            })
            .prop_map(|(from, to)| ("move".to_owned(), vec![from, to])),
    ]
}

/// What KrakenD's flatmap makes of a value: all of it in nodes with named edges.
#[derive(Clone, Debug, Default)]
struct Node {
    value: Value,
    is_array: bool,
    edges: Vec<(String, Node)>,
}

impl Node {
    fn of(value: &Value) -> Self {
        let mut node = Self::default();
        match value {
            Value::Object(members) if !members.is_empty() => {
                node.edges = members
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::of(value)))
                    .collect();
            }
            Value::Array(items) => {
                node.is_array = true;
                let numbered = items.iter().enumerate();
                node.edges = numbered
                    .map(|(number, item)| (number.to_string(), Self::of(item)))
                    .collect();
                if items.is_empty() {
                    node.value = value.clone();
                }
            }
            other => node.value = other.clone(),
        }
        node
    }

    fn expand(&self) -> Value {
        match (self.edges.is_empty(), self.is_array) {
            (true, _) => self.value.clone(),
            (false, true) => self.edges.iter().map(|(_, node)| node.expand()).collect(),
            (false, false) => Value::Object(
                self.edges
                    .iter()
                    .map(|(name, node)| (name.clone(), node.expand()))
                    .collect(),
            ),
        }
    }

    fn put(&mut self, name: &str, node: Self) {
        if !self.is_array {
            self.edges.retain(|(at, _)| at != name);
        }
        self.value = Value::Null;
        self.edges.push((name.to_owned(), node));
    }

    fn find(&mut self, name: &str) -> Option<&mut Self> {
        self.edges.iter_mut().find(|(at, _)| at == name).map(|(_, node)| node)
    }

    fn take(&mut self, name: &str) -> Option<Self> {
        let at = self.edges.iter().position(|(at, _)| at == name)?;
        self.value = Value::Null;
        Some(self.edges.remove(at).1)
    }

    fn delete(&mut self, path: &[String]) {
        match path {
            [] => {}
            [any] if any == "*" => {
                if !self.edges.is_empty() {
                    self.value = Value::Null;
                }
                self.edges.clear();
            }
            [name] => drop(self.take(name)),
            [any, rest @ ..] if any == "*" => self.edges.iter_mut().for_each(|(_, node)| node.delete(rest)),
            [name, rest @ ..] => {
                if let Some(node) = self.find(name) {
                    node.delete(rest);
                }
            }
        }
    }

    fn get(&mut self, path: &[String]) -> Option<Self> {
        match path {
            [] => Some(self.clone()),
            [any, rest @ ..] if any == "*" => {
                if self.edges.is_empty() {
                    return None;
                }
                let mut all = Self {
                    is_array: true,
                    ..Self::default()
                };
                for (number, (_, node)) in self.edges.iter_mut().enumerate() {
                    all.edges.push((number.to_string(), node.get(rest).unwrap_or_default()));
                }
                Some(all)
            }
            [name, rest @ ..] => self.find(name)?.get(rest),
        }
    }

    /// The places of all values at a path.
    fn places(&self, path: &[String], at: &[String], found: &mut Vec<Vec<String>>) {
        let Some((first, rest)) = path.split_first() else {
            found.push(at.to_vec());
            return;
        };
        let mut seen = Vec::new();
        for (name, node) in &self.edges {
            // Of items with one number, only `*` finds the second; the model leaves such cases out.
            if (first == "*" || first == name) && !seen.contains(&name) {
                seen.push(name);
                node.places(rest, &[at, std::slice::from_ref(name)].concat(), found);
            }
        }
    }

    fn at(&mut self, path: &[String]) -> Option<&mut Self> {
        match path {
            [] => Some(self),
            [name, rest @ ..] => self.find(name)?.at(rest),
        }
    }

    fn has_twins(&self) -> bool {
        self.edges
            .iter()
            .enumerate()
            .any(|(index, (name, node))| node.has_twins() || self.edges[..index].iter().any(|(other, _)| other == name))
    }

    fn relocate(&mut self, from: &[String], to: &[String]) {
        let (parents, name) = (&from[..from.len() - 1], &from[from.len() - 1]);
        let new_name = &to[to.len() - 1];
        let mut places = Vec::new();
        self.places(parents, &[], &mut places);
        let mut out = Vec::new();
        for place in places {
            let Some(parent) = self.at(&place) else { continue };
            if to.len() == from.len() {
                let Some(at) = parent.edges.iter().position(|(label, _)| label == name) else {
                    continue;
                };
                parent.edges[at].0.clone_from(new_name);
                let kept = parent.edges.clone().into_iter().enumerate();
                let is_array = parent.is_array;
                parent.edges = kept
                    .filter(|(index, (label, _))| is_array || *index == at || label != new_name)
                    .map(|(_, edge)| edge)
                    .collect();
                continue;
            }
            let Some(node) = parent.take(name) else { continue };
            if to.len() < from.len() {
                out.push((place, node));
                continue;
            }
            let mut below = parent;
            for name in &to[from.len() - 1..to.len() - 1] {
                if below.find(name).is_none() {
                    below.put(name, Self::default());
                }
                below = below.find(name).expect("it was put there");
            }
            below.put(new_name, node);
        }
        for (place, node) in out {
            let mut at = &mut *self;
            for (index, parent) in to[..to.len() - 1].iter().enumerate() {
                let parent = if parent == "*" { &place[index] } else { parent };
                if at.find(parent).is_none() {
                    break;
                }
                at = at.find(parent).expect("it was found");
            }
            at.put(new_name, node);
        }
    }

    fn append(&mut self, from: &[String], to: &[String]) {
        let is_array = |node: &Self| node.is_array && (!node.edges.is_empty() || node.value.is_array());
        let Some(items) = self.get(from).filter(is_array) else {
            return;
        };
        let Some(target) = self.at(to).filter(|node| is_array(node)) else {
            return;
        };
        let numbers = target.edges.iter().filter_map(|(name, _)| name.parse::<usize>().ok());
        let first = numbers.max().map_or(0, |most| most + 1);
        for (number, (_, item)) in items.edges.into_iter().enumerate() {
            target.put(&(first + number).to_string(), item);
        }
        self.delete(from);
    }
}

fn filtered(backend: &Value, object: &Map<String, Value>) -> Value {
    let node = file::parse(&backend.to_string()).expect("JSON");
    let report: RefCell<Report> = RefCell::default();
    let shape = Shape::read(&Section::root(&node, &report));
    assert!(report.borrow().is_good(), "{}", report.borrow().to_text("file"));
    let text = Bytes::from(Value::Object(object.clone()).to_string());
    let members = tree::open(&tree::first(&text).expect("JSON")).expect("an object");
    let shaped = shape.apply(members, &mut Room::default()).expect("memory");
    serde_json::from_slice(&tree::write(&shaped)).expect("JSON")
}

proptest! {
    #[test]
    fn flatmap_does_what_the_tree_of_krakend_does(
        object in objects(values()),
        operations in prop::collection::vec(operations(), 1..4),
    ) {
        prop_assume!(!object.is_empty());
        let mut model = Node::of(&Value::Object(object.clone()));
        for (kind, paths) in &operations {
            match kind.as_str() {
                "del" => paths.iter().for_each(|path| model.delete(path)),
                "move" => model.relocate(&paths[0], &paths[1]),
                _ => model.append(&paths[0], &paths[1]),
            }
            prop_assume!(!model.has_twins());
        }
        let written: Vec<Value> = operations
            .iter()
            .map(|(kind, paths)| json!({"type": kind, "args": paths.iter().map(|path| path.join(".")).collect::<Vec<_>>()}))
            .collect();
        let backend = json!({"extra_config": {"proxy": {"flatmap_filter": written}}});
        let expected = match model.expand() {
            Value::Null => json!({}),
            value => value,
        };
        prop_assert_eq!(filtered(&backend, &object), expected);
    }

    #[test]
    fn target_mapping_and_group_follow_one_another(
        object in objects(values()),
        target in prop::option::of("[a-c](\\.[a-c])?"),
        mapping in prop::collection::btree_map("[a-c]", "[d-f]", 0..3),
        group in prop::option::of("[a-c]"),
    ) {
        let mut backend = json!({"mapping": mapping});
        let mut expected = Value::Object(object.clone());
        if let Some(target) = &target {
            backend["target"] = target.as_str().into();
            for name in target.split('.') {
                expected = expected.get(name).filter(|value| value.is_object()).cloned().unwrap_or(json!({}));
            }
        }
        let mut members = expected.as_object().expect("an object").clone();
        for (from, to) in &mapping {
            if let Some(value) = members.remove(from) {
                members.insert(to.clone(), value);
            }
        }
        let mut expected = Value::Object(members);
        if let Some(group) = &group {
            backend["group"] = group.as_str().into();
            expected = json!({group: expected});
        }
        prop_assert_eq!(filtered(&backend, &object), expected);
    }

    #[test]
    fn a_path_leads_to_the_values_that_were_encoded_in_it(one in ".{1,8}", other in ".{1,8}") {
        let mut routes = Routes::default();
        let segment = |name: &str| Segment::Parameter(name.to_owned());
        let route = [Segment::Literal("a".to_owned()), segment("x"), segment("y")];
        routes.add(Method::GET, &route, 0).expect("no conflict");
        let path = format!("/a/{}/{}", routes::encoded(&one), routes::encoded(&other));
        prop_assert_eq!(routes.find(&Method::GET, &path), Ok(RouteMatch::Endpoint(0, vec![one, other])));
    }

    #[test]
    fn no_path_is_redirected_to_another_host(path in "[/a-cA-C%2fe.\\\\:@]{0,16}") {
        let mut routes = Routes::default();
        let segment = |name: &str| Segment::Parameter(name.to_owned());
        routes.add(Method::GET, &[segment("x")], 0).expect("no conflict");
        routes.add(Method::GET, &[segment("x"), Segment::Literal("b".to_owned()), Segment::Literal(String::new())], 1).expect("no conflict");
        for (slash, case) in [(true, true), (true, false), (false, true)] {
            if let Some(to) = routes.nearest(&Method::GET, &path, Tolerance { slash, case }) {
                prop_assert!(to.starts_with('/') && !to.starts_with("//") && !to.contains('\\'), "{}", to);
            }
        }
    }
}
