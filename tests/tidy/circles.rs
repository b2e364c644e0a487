//! Checks that no two modules of a folder use each other, directly or through others.
//!
//! A folder's `mod.rs`, or a crate's `lib.rs`, is the entrance to its modules, so it and its modules may use each
//! other. Test code does not count.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, File, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemUse, Macro, Path, UseTree};

use crate::text::{fail_with, files, is_production, read};

/// The path of a module from the root of its crate.
type Module = Vec<String>;

#[test]
fn no_two_modules_of_a_folder_know_each_other() {
    let mut crates: BTreeMap<String, BTreeMap<Module, String>> = BTreeMap::new();
    for path in files("rs").into_iter().filter(|path| is_production(path)) {
        let Some((root, module)) = placed(&path) else { continue };
        crates.entry(root).or_default().insert(module, path);
    }
    assert!(crates.len() > 10, "the crates were not found: {:?}", crates.keys());
    let mut faults = Vec::new();
    for (root, modules) in &crates {
        let uses: BTreeMap<&Module, BTreeSet<Module>> = modules
            .iter()
            .map(|(module, path)| (module, used(module, &read(path), modules)))
            .collect();
        let folders: BTreeSet<&[String]> = modules
            .keys()
            .filter_map(|module| Some(module.split_last()?.1))
            .collect();
        for folder in folders {
            for circle in circles(&siblings(folder, &uses)) {
                faults.push(format!("{root}, in /{}: {}", folder.join("/"), circle.join(" <-> ")));
            }
        }
    }
    fail_with(
        &faults,
        "move what both need into a third module, or let one be told by the other's caller",
    );
}

#[test]
fn a_circle_is_found_through_a_third_module_and_in_a_macro() {
    let texts = [
        (vec![], "mod a; mod b; mod c;"),
        (vec!["a"], "use crate::b::B;"),
        (vec!["b"], "fn b() { say!(1, super::c::C) }"),
        (
            vec!["c"],
            "fn c(a: super::a::A) {}\n#[cfg(test)]\nmod tests { use crate::d::D; }",
        ),
        (vec!["d"], "use crate::{a, b::B, c::{C, self}};"),
    ];
    let owned = |module: &[&str]| module.iter().map(|&part| part.to_owned()).collect::<Module>();
    let modules: BTreeMap<Module, String> = texts.iter().map(|(module, _)| (owned(module), String::new())).collect();
    let modules_of: Vec<(Module, BTreeSet<Module>)> = texts
        .iter()
        .map(|(module, text)| (owned(module), used(&owned(module), text, &modules)))
        .collect();
    let uses = modules_of.iter().map(|(module, used)| (module, used.clone())).collect();
    let found = circles(&siblings(&[], &uses));
    assert_eq!(found, [["a", "b", "c"]]);
}

/// The root of a file's crate, and the file's module. `None` if it is not in one of our crates.
fn placed(path: &str) -> Option<(String, Module)> {
    let at = match path.strip_prefix("src/") {
        Some(_) => 0,
        None => path.find("/src/")? + 1,
    };
    let (root, rest) = path.split_at(at + "src/".len());
    let mut module: Module = rest.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    match module.last().map(String::as_str) {
        Some("main") => return None,
        Some("mod" | "lib") => drop(module.pop()),
        _ => {}
    }
    Some((root.trim_end_matches('/').to_owned(), module))
}

/// The modules that the text of a module names.
fn used(module: &Module, text: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let file: File = syn::parse_str(text).unwrap_or_else(|error| panic!("{module:?}: {error}"));
    let mut paths = Paths::default();
    paths.visit_file(&file);
    paths
        .0
        .iter()
        .filter_map(|path| resolved(module, path, modules))
        .collect()
}

/// The module that a path names, if it is in this crate.
fn resolved(module: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut rest = path.iter().map(String::as_str).peekable();
    let mut found = match *rest.peek()? {
        "crate" => Module::new(),
        "self" | "super" => module.clone(),
        // A child, as `mod.rs` names it.
        first => {
            let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            modules.contains_key(&child).then(|| module.clone())?
        }
    };
    for part in rest {
        match part {
            "crate" | "self" => {}
            "super" => drop(found.pop()),
            part => {
                found.push(part.to_owned());
                if !modules.contains_key(&found) {
                    found.pop();
                    break;
                }
            }
        }
    }
    Some(found)
}

/// For each module of a folder, the other modules that it uses, with everything below them.
fn siblings(folder: &[String], uses: &BTreeMap<&Module, BTreeSet<Module>>) -> BTreeMap<String, BTreeSet<String>> {
    let within = |module: &Module| module.strip_prefix(folder).and_then(|rest| rest.first().cloned());
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, used) in uses {
        let Some(user) = within(module) else { continue };
        let others = used.iter().filter_map(within).filter(|other| *other != user);
        graph.entry(user.clone()).or_default().extend(others);
    }
    graph
}

/// The sets of modules in which each reaches all others.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(module) = left.pop() {
            for next in graph.get(module).into_iter().flatten() {
                if seen.insert(next) {
                    left.push(next);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|module| (module, reached(module))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, seen) in &reach {
        let back = |other: &&&String| reach.get(**other).is_some_and(|seen| seen.contains(*module));
        let circle: Vec<String> = seen.iter().filter(back).map(|other| (*other).clone()).collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// The paths in a file, without those in tests.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.0.push(with(&name.ident)),
            UseTree::Rename(name) => self.0.push(with(&name.ident)),
            UseTree::Glob(_) => self.0.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    };
    attributes.iter().any(is_test)
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'a ItemImpl) {
        if !is_of_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_path(&mut self, path: &'a Path) {
        self.0
            .push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// A macro's content has no syntax before it is expanded, so every sequence of names with `::` counts as a path.
    fn visit_macro(&mut self, item: &'a Macro) {
        let text = item.tokens.to_string().replace(" :: ", "::");
        let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let runs = text.split(|c| !is_of_path(c)).filter(|run| run.contains("::"));
        self.0
            .extend(runs.map(|run| run.split("::").map(str::to_owned).collect()));
        visit::visit_macro(self, item);
    }
}
